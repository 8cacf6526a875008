package footprint

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Periodic is what many periodic tasks cost a process while they run.
type Periodic struct {
	Tasks         int
	Rate          int     // starts per second that their interval asks for
	Interval      float64 // seconds
	Window        float64 // seconds measured
	Starts        int
	PerSecond     float64
	P50, P99, Max float64 // lateness of starts, milliseconds
	CPUPerStart   float64 // nanoseconds, garbage collection included
	CPUShare      float64 // processors in use
	Settled       float64 // bytes per task, after a garbage collection
	Peak          float64 // bytes per task, the most that the process ever had
}

// RunPeriodic measures tasks periodic tasks in a child, for so many seconds.
func RunPeriodic(ctx context.Context, tasks, rate, seconds int) (Periodic, error) {
	var p Periodic
	err := spawn(ctx, &p, "periodic", tasks, rate, seconds)
	return p, err
}

// clockwork is what the bodies share: the due time of each next start, and how
// late starts were while somebody measured. All of it is there, and touched,
// before the first task, so that it does not count as memory of tasks.
type clockwork struct {
	base      time.Time
	interval  int64
	due       []int64 // by task, nanoseconds since base; 0 before the first start
	late      []int32 // microseconds
	count     atomic.Int64
	starts    atomic.Int64
	measuring atomic.Bool
}

func newClockwork(n, rate, seconds int) *clockwork {
	c := &clockwork{base: time.Now(), interval: int64(n) * 1e9 / int64(rate),
		due: make([]int64, n), late: make([]int32, 2*rate*seconds+n)}
	for i := range c.due {
		c.due[i] = -1
	}
	for i := range c.late {
		c.late[i] = -1
	}
	return c
}

// tick is the work of task i. The next start is due an interval after it ends.
func (c *clockwork) tick(i int) {
	now := int64(time.Since(c.base))
	if c.measuring.Load() {
		c.starts.Add(1)
		if due := c.due[i]; due >= 0 {
			if at := c.count.Add(1) - 1; int(at) < len(c.late) {
				c.late[at] = int32(min(max(0, now-due)/1000, 1<<31-1))
			}
		}
	}
	c.due[i] = int64(time.Since(c.base)) + c.interval
}

func periodic(n, rate, seconds int) (Periodic, error) {
	c := newClockwork(n, rate, seconds)
	before := rss()
	add, alive, err := c.tasks(work.Names(n))
	if err != nil {
		return Periodic{}, err
	}
	// Spread evenly, so that every millisecond has its share of starts.
	began := time.Now()
	for i := range n {
		if ahead := time.Duration(int64(i)*c.interval/int64(n)) - time.Since(began); ahead > 2*time.Millisecond {
			time.Sleep(ahead)
		}
		if err := add(i); err != nil {
			return Periodic{}, err
		}
	}
	time.Sleep(time.Duration(c.interval))
	cpu, at := rounds.CPU(), time.Now()
	c.measuring.Store(true)
	time.Sleep(time.Duration(seconds) * time.Second)
	c.measuring.Store(false)
	cpu, took := rounds.CPU()-cpu, time.Since(at)
	p := c.report(cpu, took)
	p.Tasks, p.Rate = n, rate
	p.Peak = float64(statusKB("VmHWM")<<10-before) / float64(n)
	p.Settled = float64(settledRSS()-before) / float64(n)
	return p, work.Counted("tasks", alive(), n)
}

func (c *clockwork) report(cpu, took time.Duration) Periodic {
	late := c.late[:min(int(c.count.Load()), len(c.late))]
	slices.Sort(late)
	p := Periodic{Interval: float64(c.interval) / 1e9, Window: took.Seconds(), Starts: int(c.starts.Load()), CPUShare: cpu.Seconds() / took.Seconds()}
	p.PerSecond = float64(p.Starts) / p.Window
	p.CPUPerStart = float64(cpu) / float64(max(1, p.Starts))
	if k := len(late); k > 0 {
		p.P50, p.P99, p.Max = float64(late[k/2])/1000, float64(late[k*99/100])/1000, float64(late[k-1])/1000
	}
	return p
}

// tasks starts a supervisor and returns what adds task i.
func (c *clockwork) tasks(names []string) (add func(i int) error, alive func() int, err error) {
	sup, err := taskvisor.New()
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, nil, err
	}
	add = func(i int) error {
		body := func(context.Context) error { c.tick(i); return nil }
		_, err := sup.Add(ctx, taskvisor.Periodic(names[i], time.Duration(c.interval), body))
		return err
	}
	return add, func() int { return len(sup.List()) }, nil
}
