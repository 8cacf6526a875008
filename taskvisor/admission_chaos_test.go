package taskvisor_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// chaos is one run of random submissions to a few slots, in a bubble.
type chaos struct {
	t     *testing.T
	sup   *taskvisor.Supervisor
	rec   *taskvisortest.Recorder
	audit *auditor
	wheel wheel
	keys  int

	inside  []atomic.Int32 // bodies at work, by slot
	overlap atomic.Int32

	mu      sync.Mutex // guards the fields below
	handles []*taskvisor.Handle
}

// TestAdmissionChaos has callers submit with every policy to a few slots while
// owners fail, panic, exit, ignore their context, are stopped and abandoned, and
// the supervisor shuts down in the middle of it; they wait at gates, are run, interrupted
// and paused. TASKVISOR_SEED repeats a run,
// TASKVISOR_CHAOS is the number of runs.
func TestAdmissionChaos(t *testing.T) {
	runs, seed := 150, rand.Uint64()
	if n, err := strconv.Atoi(os.Getenv("TASKVISOR_CHAOS")); err == nil {
		runs = n
	}
	if s, err := strconv.ParseUint(os.Getenv("TASKVISOR_SEED"), 10, 64); err == nil {
		runs, seed = 1, s
	}
	for i := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) { admissionChaos(t, seed+i) })
		if t.Failed() {
			t.Fatalf("TASKVISOR_SEED=%d repeats this run", seed+i)
		}
	}
}

func admissionChaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := &chaos{t: t, rec: &taskvisortest.Recorder{}, audit: newAuditor(), keys: 1 + rng.IntN(3)}
	c.wheel = newWheel(rng, rng.IntN(4) == 0, func(format string, args ...any) { t.Errorf(format, args...) })
	c.inside = make([]atomic.Int32, c.keys)
	opts := []taskvisor.Option{taskvisor.WithSubscriber(c.rec), taskvisor.WithSubscriber(c.audit), taskvisor.WithMaxQueue(rng.IntN(6)),
		taskvisor.WithGrace(time.Duration(rng.IntN(50)) * time.Millisecond)}
	if rng.IntN(2) == 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(1+rng.IntN(3)))
	}
	var err error
	if c.sup, err = taskvisor.New(opts...); err != nil {
		t.Fatal(err)
	}
	if err := c.sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	callers := make(chan struct{}) // Go 1.25.0 confuses WaitGroups of different bubbles
	n := uint64(1 + rng.IntN(6))
	for i := range n {
		go func() {
			c.caller(rand.New(rand.NewPCG(seed, i+1)), int(i))
			callers <- struct{}{}
		}()
	}
	time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
	shutdownErr := c.sup.Shutdown(context.Background())
	for range n {
		<-callers
	}
	synctest.Wait()
	c.check(shutdownErr)
	time.Sleep(time.Minute) // bodies that ignored everything
	synctest.Wait()
	c.checkOverlap()
	c.wheel.check(t)
	for _, f := range c.audit.faults {
		t.Error(f)
	}
	if sn := c.sup.Snapshot(); sn.Started != sn.Ended || len(sn.Slots) != 0 || len(sn.Tasks) != 0 || sn.InUse != 0 {
		t.Errorf("when all is over: started %d, ended %d, %d slots, %d tasks, %d permits", sn.Started, sn.Ended, len(sn.Slots), len(sn.Tasks), sn.InUse)
	}
}

// caller submits, stops and looks until the supervisor is closed, or for a while.
func (c *chaos) caller(rng *rand.Rand, id int) {
	var own []*taskvisor.Handle
	for n := range 60 {
		key := rng.IntN(c.keys)
		switch rng.IntN(15) {
		case 0:
			c.sup.StopSlot(nth("s", key), rng.IntN(2) == 0)
		case 1, 2:
			if len(own) > 0 {
				own[rng.IntN(len(own))].Stop()
			}
		case 3:
			c.sup.Snapshot()
		case 4, 5, 6:
			var h *taskvisor.Handle
			if len(own) > 0 {
				h = own[rng.IntN(len(own))]
			}
			c.wheel.steer(rng, c.sup, h)
		default:
			name := fmt.Sprintf("t%d-%d", id, n)
			if rng.IntN(10) == 0 {
				name = nth("shared", rng.IntN(2)) // taken now and then
			}
			sub := taskvisor.Submission{Slot: nth("s", key), Admission: taskvisor.Admission(rng.IntN(5)), Task: c.spec(rng, name, key)}
			h, err := c.sup.Submit(context.Background(), sub)
			if err != nil {
				if !errors.Is(err, taskvisor.ErrShuttingDown) {
					c.t.Error(err)
				}
				return
			}
			own = append(own, h)
			c.mu.Lock()
			c.handles = append(c.handles, h)
			c.mu.Unlock()
		}
		if rng.IntN(3) > 0 {
			time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
		}
	}
}

// spec makes a task of a random temper. Its work takes time: in a bubble none passes while
// anybody runs, so that a task without interval and floor would else go on for ever.
func (c *chaos) spec(rng *rand.Rand, name string, key int) taskvisor.TaskSpec {
	work, late := time.Duration(1+rng.IntN(60))*time.Millisecond, time.Duration(rng.IntN(120))*time.Millisecond
	temper := rng.IntN(7)
	body := func(ctx context.Context) error {
		if c.inside[key].Add(1) > 1 {
			c.overlap.Add(1)
		}
		defer c.inside[key].Add(-1)
		select {
		case <-time.After(work):
		case <-ctx.Done():
			if temper > 4 {
				time.Sleep(late)
			}
			return context.Cause(ctx)
		}
		switch temper {
		case 0:
			return errBoom
		case 1:
			panic("chaos")
		case 2:
			runtime.Goexit()
		case 3:
			return taskvisor.Fatal(errBoom)
		}
		return nil
	}
	opts := []taskvisor.TaskOption{taskvisor.WithMaxRetries(rng.IntN(3)), taskvisor.ConstantBackoff(time.Duration(rng.IntN(30)) * time.Millisecond),
		taskvisor.WithGrace(time.Duration(rng.IntN(90)) * time.Millisecond), taskvisor.WithStuckAfter(time.Millisecond)}
	opts = append(opts, c.wheel.options(rng, false)...)
	if rng.IntN(4) == 0 {
		return taskvisor.Periodic(name, time.Duration(rng.IntN(20))*time.Millisecond, body, opts...)
	}
	return taskvisor.Restartable(name, body, opts...)
}

// check is made when the supervisor has ended, and perhaps some bodies have not.
func (c *chaos) check(shutdownErr error) {
	t, events, sn := c.t, c.rec.Events(), c.sup.Snapshot()
	checkConservation(t, sn)
	checkAnnouncements(t, events, sn)
	slotMoves(t, events)
	c.checkOutcomes(events, sn, shutdownErr)
	c.checkQueueOrder(events)
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has the number %d", i+1, e.Seq)
		}
	}
}

// checkOutcomes demands that every handle has the one outcome that its events
// tell of.
func (c *chaos) checkOutcomes(events []taskvisor.Event, sn taskvisor.Snapshot, shutdownErr error) {
	t := c.t
	told := map[taskvisor.TaskID]taskvisor.OutcomeKind{}
	tell := func(e taskvisor.Event, kind taskvisor.OutcomeKind) {
		if before := told[e.TaskID]; before != 0 && !(before == taskvisor.OutcomeAbandoned && kind == before) {
			t.Errorf("task %d is %v after it was %v", e.TaskID, kind, before)
		}
		told[e.TaskID] = kind
	}
	for _, e := range events {
		switch e.Kind {
		case taskvisor.TaskRemoved, taskvisor.TaskAbandoned:
			tell(e, e.Outcome)
		case taskvisor.ControllerRejected:
			tell(e, taskvisor.OutcomeRejected)
		}
	}
	distinct := map[taskvisor.TaskID]bool{}
	for _, h := range c.handles {
		o, known := h.Outcome()
		if !known || o.Kind != told[h.ID()] || (o.Err == nil) != (o.Kind == taskvisor.OutcomeCompleted) {
			t.Errorf("%s (%d): outcome %v (%v), known %v, announced as %v", h.Name(), h.ID(), o.Kind, o.Err, known, told[h.ID()])
		}
		distinct[h.ID()] = true
	}
	if uint64(len(c.handles)) != sn.Submitted || uint64(len(distinct)) != sn.Submitted-sn.Joined {
		t.Errorf("%d handles, %d of them distinct; submitted %d, joined %d", len(c.handles), len(distinct), sn.Submitted, sn.Joined)
	}
	var late *taskvisor.GraceExceededError
	if errors.As(shutdownErr, &late) {
		for _, st := range late.Tasks {
			if told[st.ID] != taskvisor.OutcomeAbandoned {
				t.Errorf("%s is listed as running after its grace, and is %v", st.Name, told[st.ID])
			}
		}
	}
	if late == nil && len(sn.Tasks) > 0 { // the other way round, they may be back by now
		t.Errorf("shutdown: %v; %d tasks left", shutdownErr, len(sn.Tasks))
	}
}

// checkQueueOrder demands that Queue submissions to one slot became tasks in the
// order of their submission.
func (c *chaos) checkQueueOrder(events []taskvisor.Event) {
	submitted := map[taskvisor.TaskID]uint64{}
	lists := map[string][]taskvisor.Event{}
	for _, e := range events {
		switch {
		case e.Kind == taskvisor.ControllerSubmitted && e.Admission == taskvisor.Queue:
			submitted[e.TaskID] = e.Seq
		case e.Kind == taskvisor.TaskAdded && e.Admission == taskvisor.Queue && e.Slot != "":
			lists[e.Slot] = append(lists[e.Slot], e)
		}
	}
	for key, list := range lists {
		if !slices.IsSortedFunc(list, func(a, b taskvisor.Event) int { return cmp.Compare(submitted[a.TaskID], submitted[b.TaskID]) }) {
			c.t.Errorf("slot %s: not first in, first out: %v", key, list)
		}
	}
}

func (c *chaos) checkOverlap() {
	if n := c.overlap.Load(); n > 0 {
		c.t.Errorf("%d times two bodies of a slot ran at the same time", n)
	}
}
