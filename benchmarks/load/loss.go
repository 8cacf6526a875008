// Package load measures what queued subscribers get and what they lose, at a
// steady rate of events and as fast as tasks can go.
package load

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Publishers is the number of tasks that make the events.
const Publishers = 8

// Loss is one run.
type Loss struct {
	Asked       int // events per second; 0: as many as possible
	Subscribers int
	Capacity    int
	Work        string // of a subscriber, per event
	Seconds     float64
	Published   uint64
	PerSecond   float64 // events
	Delivered   uint64  // to the subscriber that got the least
	Dropped     uint64  // by the one that lost the most
	Terminal    uint64  // of these, terminal events
	CPUPerEvent float64 // nanoseconds, everybody's
	Exact       bool    // delivered + dropped = published, and what each subscriber counted itself, for all
}

// Case is what to run.
type Case struct {
	Rate        int // events per second; 0: as many as possible
	Subscribers int
	Work        time.Duration // spun away for each event
	Capacity    int           // 0: the default
}

// Cases are those of the page. The slow subscribers cannot keep up at any of
// these rates, and take seconds to catch up with what is left in the end.
func Cases() []Case {
	var all []Case
	for _, rate := range []int{100_000, 0} {
		for _, subscribers := range []int{1, 4, 16} {
			all = append(all, Case{Rate: rate, Subscribers: subscribers})
		}
		for _, subscribers := range []int{1, 4} {
			all = append(all, Case{Rate: rate, Subscribers: subscribers, Work: 20 * time.Microsecond})
		}
	}
	return all
}

// worker is a subscriber that takes its time and counts for itself.
type worker struct {
	spin             time.Duration
	events, overflow atomic.Uint64
}

func (w *worker) OnEvent(_ context.Context, e taskvisor.Event) {
	if e.Kind == taskvisor.SubscriberOverflow {
		w.overflow.Add(e.Dropped)
		return
	}
	w.events.Add(1)
	if w.spin > 0 {
		for until := time.Now().Add(w.spin); time.Now().Before(until); {
		}
	}
}

// Run runs c for about d.
func Run(c Case, d time.Duration) (Loss, error) {
	runtime.GC()
	workers := make([]*worker, c.Subscribers)
	opts := []taskvisor.Option{taskvisor.WithSubscriberDrain(10 * time.Minute)}
	for i := range workers {
		workers[i] = &worker{spin: c.Work}
		var so []taskvisor.SubscriberOption
		if c.Capacity > 0 {
			so = append(so, taskvisor.Queued(c.Capacity))
		}
		opts = append(opts, taskvisor.WithSubscriber(workers[i], so...))
	}
	sup, err := taskvisor.New(opts...)
	if err != nil {
		return Loss{}, err
	}
	specs := make([]taskvisor.TaskSpec, Publishers)
	began := time.Now()
	for i := range specs {
		specs[i] = taskvisor.Periodic(fmt.Sprintf("loop-%d", i), 0, paced(c.Rate, began, began.Add(d)), taskvisor.WithoutRestartFloor())
	}
	cpu := rounds.CPU()
	if err := sup.Run(context.Background(), specs...); err != nil {
		return Loss{}, err
	}
	cpu = rounds.CPU() - cpu
	return account(c, sup.Snapshot(), workers, d, cpu)
}

// paced returns a body that returns at once, as often as gives the tasks
// rate events a second, and ends its task when the time is over.
func paced(rate int, began, until time.Time) taskvisor.Func {
	n := 0
	return func(context.Context) error {
		n++
		now := time.Now()
		if now.After(until) {
			return taskvisor.ErrCanceled
		}
		if rate > 0 {
			due := began.Add(time.Duration(float64(n) * 3 * Publishers / float64(rate) * float64(time.Second)))
			if ahead := due.Sub(now); ahead > 0 {
				time.Sleep(ahead)
			}
		}
		return nil
	}
}

func account(c Case, sn taskvisor.Snapshot, workers []*worker, d, cpu time.Duration) (Loss, error) {
	l := Loss{Asked: c.Rate, Subscribers: c.Subscribers, Work: c.Work.String(), Seconds: d.Seconds(), Published: sn.Seq,
		PerSecond: float64(sn.Seq) / d.Seconds(), Delivered: sn.Seq, CPUPerEvent: float64(cpu) / float64(sn.Seq), Exact: true}
	for i, st := range sn.Subscribers {
		var dropped, terminal uint64
		for kind, n := range st.Dropped {
			dropped += n
			if kind.Terminal() {
				terminal += n
			}
		}
		w := workers[i]
		if st.Delivered+dropped != sn.Seq || w.events.Load() != st.Delivered || w.overflow.Load() != dropped {
			l.Exact = false
		}
		l.Capacity = st.Capacity
		l.Delivered = min(l.Delivered, st.Delivered)
		if dropped >= l.Dropped {
			l.Dropped, l.Terminal = dropped, terminal
		}
	}
	_, err := work.Accounts(sn)
	return l, err
}
