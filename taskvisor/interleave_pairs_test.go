package taskvisor_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// collision is a supervisor on which two operations meet: a slot with a running
// owner and one submission that waits, and a task that waits for a permit.
type collision struct {
	t       *testing.T
	sup     *taskvisor.Supervisor
	rec     *taskvisortest.Recorder
	audit   *auditor
	owner   *taskvisor.Handle
	waiting *taskvisor.Handle
	patient *taskvisor.Handle
	ret     chan struct{} // closed: bodies return
	back    sync.Once
	inside  atomic.Int32 // bodies of the slot
	overlap atomic.Int32

	mu      sync.Mutex // guards handles
	handles []*taskvisor.Handle
}

// operations are what can meet. None of them waits for a body.
var operations = map[string]func(c *collision){
	"stop":     func(c *collision) { c.owner.Stop() },
	"return":   func(c *collision) { c.back.Do(func() { close(c.ret) }) },
	"expire":   func(c *collision) { taskvisor.Expire(c.owner) },
	"give up":  func(c *collision) { c.owner.Stop(); taskvisor.GiveUp(c.owner) },
	"withdraw": func(c *collision) { c.waiting.Stop() },
	"patient":  func(c *collision) { c.patient.Stop() },
	"slot":     func(c *collision) { c.sup.StopSlot("s", false) },
	"purge":    func(c *collision) { c.sup.StopSlot("s", true) },
	"queue":    func(c *collision) { c.submit("queue", taskvisor.Queue) },
	"replace":  func(c *collision) { c.submit("replace", taskvisor.Replace) },
	"coalesce": func(c *collision) { c.submit("coalesce", taskvisor.Coalesce) },
	"join":     func(c *collision) { c.submit("join", taskvisor.Join) },
	"shutdown": func(c *collision) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.sup.Shutdown(ctx) // begins it and does not wait
	},
	"namesake": func(c *collision) { c.add("waiting") }, // the waiting submission's name
	"snapshot": func(c *collision) { c.sup.Snapshot() },
}

func (c *collision) body(context.Context) error {
	if c.inside.Add(1) > 1 {
		c.overlap.Add(1)
	}
	defer c.inside.Add(-1)
	<-c.ret
	return nil
}

func (c *collision) keep(h *taskvisor.Handle, err error) *taskvisor.Handle {
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.handles = append(c.handles, h)
	}
	return h
}

func (c *collision) submit(name string, policy taskvisor.Admission) *taskvisor.Handle {
	return c.keep(c.sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: policy,
		Task: taskvisor.Once(name, c.body, taskvisor.WithTimeout(time.Hour))}))
}

func (c *collision) add(name string) *taskvisor.Handle {
	return c.keep(c.sup.Add(context.Background(), taskvisor.Once(name, func(context.Context) error { <-c.ret; return nil })))
}

func newCollision(t *testing.T) *collision {
	c := &collision{t: t, rec: &taskvisortest.Recorder{}, audit: newAuditor(), ret: make(chan struct{})}
	var err error
	c.sup, err = taskvisor.New(taskvisor.WithSubscriber(c.rec), taskvisor.WithSubscriber(c.audit),
		taskvisor.WithSubscriber(&tally{}, taskvisor.Queued(8)), taskvisor.WithMaxConcurrent(1), taskvisor.WithMaxQueue(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.owner = c.submit("owner", taskvisor.Queue)
	c.waiting = c.submit("waiting", taskvisor.Coalesce)
	c.patient = c.add("patient")
	c.until(func() bool { return taskvisor.Active(c.owner) })
	return c
}

// until yields until the condition holds. The limit is for a failure only.
func (c *collision) until(condition func() bool) {
	for start := time.Now(); !condition(); runtime.Gosched() {
		if time.Since(start) > 20*time.Second {
			buf := make([]byte, 1<<20)
			panic(fmt.Sprintf("%s: waited too long\n%s", c.t.Name(), buf[:runtime.Stack(buf, true)]))
		}
	}
}

// atLocks returns how many goroutines wait for a mutex.
func atLocks() int {
	buf := make([]byte, 1<<18)
	return bytes.Count(buf[:runtime.Stack(buf, true)], []byte("[sync.Mutex.Lock"))
}

// meet runs first until it needs the lock, which is held, for the k-th time, as
// far as the lock's fairness allows to tell; then second, as far as that gets;
// then both to their end.
func (c *collision) meet(lock sync.Locker, first, second func(c *collision), k int) {
	var done [2]atomic.Bool
	var ops group
	begin := func(i int, op func(c *collision)) {
		ops.Go(func() { op(c); done[i].Store(true) })
	}
	lock.Lock()
	begin(0, first)
	stuck := func() bool {
		for range 20 {
			if done[0].Load() {
				return true
			}
			runtime.Gosched()
		}
		return atLocks() > 0
	}
	c.until(stuck)
	for range k {
		lock.Unlock()
		runtime.Gosched()
		lock.Lock()
		c.until(stuck)
	}
	begin(1, second)
	before := atLocks()
	for i := 0; i < 100 && !done[1].Load(); i++ { // as far as it can, or nearly
		if i%20 == 19 && atLocks() > before {
			break
		}
		runtime.Gosched()
	}
	lock.Unlock()
	ops.Wait()
}

// end lets everything end and checks what came of it.
func (c *collision) end() {
	t := c.t
	operations["return"](c)
	quiet := func() bool {
		sn := c.sup.Snapshot()
		// Counted last of all: the shutdown does not wait for an abandoned body's.
		counted := sn.Added == sn.Removed
		return len(sn.Tasks) == 0 && counted && sn.Started == sn.Ended && c.audit.sum() == sn.Seq
	}
	c.until(quiet)
	o, _ := c.owner.Outcome()
	if err := c.sup.Shutdown(context.Background()); err != nil && o.Kind != taskvisor.OutcomeAbandoned {
		t.Errorf("shutdown: %v", err)
	}
	c.until(quiet)
	sn, events := c.sup.Snapshot(), c.rec.Events()
	checkConservation(t, sn)
	checkAnnouncements(t, events, sn)
	slotMoves(t, events)
	for _, f := range c.audit.faults {
		t.Error(f)
	}
	if n := c.overlap.Load(); n > 0 || sn.InUse != 0 || len(sn.Slots) != 0 {
		t.Errorf("%d overlaps; %d permits and %d slots left", n, sn.InUse, len(sn.Slots))
	}
	for _, h := range c.handles {
		o, known := h.Outcome()
		if a := c.audit.tasks[h.ID()]; !known || a == nil || a.outcome != o.Kind {
			t.Errorf("%s: outcome %v, known %v, events: %+v", h.Name(), o.Kind, known, a)
		}
	}
}

// Any two operations meet at any lock: one is held where it first takes it, the
// other goes ahead. The soak takes all locks, and holds also at the second and
// third time.
func TestOperationsMeetAtLocks(t *testing.T) {
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	locks, times := []string{"controller", "task"}, 1
	if os.Getenv("TASKVISOR_SOAK") != "" {
		locks, times = []string{"controller", "registry", "task", "permits", "ring"}, 3
	}
	n := 0
	for _, first := range names {
		for _, second := range names {
			for _, lock := range locks {
				for k := range times {
					n++
					c := newCollision(t)
					c.meet(taskvisor.Locks(c.owner)[lock], operations[first], operations[second], k)
					c.end()
					if t.Failed() {
						t.Fatalf("when %q was held at the lock of the %s (%d) and %q went ahead", first, lock, k, second)
					}
				}
			}
		}
	}
	t.Logf("%d meetings", n)
}
