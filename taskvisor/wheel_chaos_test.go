package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// wheelChaos is one run: callers add tasks of every kind, steer and stop them, while
// gates open and close.
type wheelChaos struct {
	t     *testing.T
	sup   *taskvisor.Supervisor
	audit *auditor
	wheel wheel
	begun atomic.Int64 // bodies called

	mu      sync.Mutex // guards the fields below
	handles []*taskvisor.Handle
	running map[string]bool
	faults  []string
}

// TestWheelChaos has callers run, interrupt, pause, resume and stop tasks that wait at
// gates, for each other and for a restart budget, time out by silence, say that they are
// ready, and ignore their context; the supervisor shuts down in the middle of it. The
// auditor holds each task to the order of its events. TASKVISOR_SEED repeats a run,
// TASKVISOR_CHAOS is the number of runs.
func TestWheelChaos(t *testing.T) {
	runs, seed := 150, rand.Uint64()
	if n, err := strconv.Atoi(os.Getenv("TASKVISOR_CHAOS")); err == nil {
		runs = n
	}
	if s, err := strconv.ParseUint(os.Getenv("TASKVISOR_SEED"), 10, 64); err == nil {
		runs, seed = 1, s
	}
	for i := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) { chaosRun(t, seed+i) })
		if t.Failed() {
			t.Fatalf("TASKVISOR_SEED=%d repeats this run", seed+i)
		}
	}
}

func chaosRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := &wheelChaos{t: t, audit: newAuditor(), running: map[string]bool{}}
	c.wheel = newWheel(rng, rng.IntN(4) == 0, c.fault)
	opts := []taskvisor.Option{taskvisor.WithSubscriber(c.audit), taskvisor.WithMaxQueue(rng.IntN(6)), taskvisor.WithGrace(milliseconds(rng, 50)),
		taskvisor.WithSubscriber(&bracket{begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
			if a.Number%7 == 0 {
				time.Sleep(time.Millisecond)
			}
			return context.WithValue(ctx, chaosKey{}, a.TaskID)
		}})}
	if rng.IntN(2) == 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(1+rng.IntN(5)))
	}
	if rng.IntN(2) == 0 {
		opts = append(opts, taskvisor.WithRestartBudget(1+rng.IntN(20), 20*time.Millisecond))
	}
	var err error
	if c.sup, err = taskvisor.New(opts...); err != nil {
		t.Fatal(err)
	}
	if err := c.sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	callers := make(chan struct{}) // Go 1.25.0 confuses WaitGroups of different bubbles
	n := uint64(1 + rng.IntN(4))
	for i := range n {
		go func() {
			c.caller(rand.New(rand.NewPCG(seed, i+1)))
			callers <- struct{}{}
		}()
	}
	time.Sleep(milliseconds(rng, 400))
	shutdownErr := c.sup.Shutdown(context.Background())
	for range n {
		<-callers
	}
	c.checkEnd(shutdownErr)
	time.Sleep(time.Minute) // bodies that ignored everything
	synctest.Wait()
	c.check()
}

type chaosKey struct{}

func (c *wheelChaos) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *wheelChaos) some(rng *rand.Rand) *taskvisor.Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.handles) == 0 {
		return nil
	}
	return c.handles[len(c.handles)-1-rng.IntN(min(len(c.handles), 12))]
}

// caller acts until the supervisor is closed.
func (c *wheelChaos) caller(rng *rand.Rand) {
	ctx := context.Background()
	for range 2000 {
		var hs []*taskvisor.Handle
		var err error
		switch rng.IntN(16) {
		case 0:
			hs, err = c.sup.AddAll(ctx, c.wheel.family(rng, func(int) taskvisor.Func { return c.body(rng, false) })...)
		case 1:
			if h := c.some(rng); h != nil {
				h.StopFor(errBoom)
			}
		case 2, 3, 4:
			var h *taskvisor.Handle
			if h, err = c.sup.Add(ctx, c.spec(rng)); err == nil {
				hs = append(hs, h)
			}
		case 5:
			var h *taskvisor.Handle
			sub := taskvisor.Submission{Task: c.spec(rng), Slot: nth("slot", rng.IntN(3)), Admission: taskvisor.Admission(rng.IntN(5))}
			if h, err = c.sup.Submit(ctx, sub); err == nil {
				hs = append(hs, h)
			}
		default:
			c.wheel.steer(rng, c.sup, c.some(rng))
		}
		if errors.Is(err, taskvisor.ErrShuttingDown) {
			return
		} else if err != nil && !errors.Is(err, taskvisor.ErrTaskExists) {
			c.fault("%v", err)
		}
		c.mu.Lock()
		c.handles = append(c.handles, hs...)
		c.mu.Unlock()
		if rng.IntN(3) > 0 {
			time.Sleep(milliseconds(rng, 3))
		}
	}
}

// spec makes a task of a random temper.
func (c *wheelChaos) spec(rng *rand.Rand) taskvisor.TaskSpec {
	once, release := rng.IntN(4) == 0, rng.IntN(8) == 0
	opts := append(c.wheel.options(rng, once), taskvisor.WithGrace(milliseconds(rng, 20)), taskvisor.WithStuckAfter(1+milliseconds(rng, 10)))
	if rng.IntN(3) == 0 {
		opts = append(opts, taskvisor.WithTimeout(1+milliseconds(rng, 6)))
	}
	if rng.IntN(10) == 0 {
		opts = append(opts, taskvisor.WithStartPaused())
	}
	if release {
		opts = append(opts, taskvisor.WithReleaseOnAbandon())
	}
	name, body := nth("n", rng.IntN(60)), c.body(rng, release)
	if once {
		return taskvisor.Once(name, body, opts...)
	}
	opts = append(opts, taskvisor.WithMaxRetries(rng.IntN(5)),
		taskvisor.BackoffPolicy{First: milliseconds(rng, 3), Max: 5 * time.Millisecond, Factor: 2, Jitter: taskvisor.Jitter(rng.IntN(4))})
	if rng.IntN(2) == 0 {
		return taskvisor.Periodic(name, milliseconds(rng, 4), body, opts...)
	}
	return taskvisor.Restartable(name, body, opts...)
}

// body makes one that does something else each time. overlaps says that it may run beside
// the next task of its name.
func (c *wheelChaos) body(rng *rand.Rand, overlaps bool) taskvisor.Func {
	seed := rng.Uint64()
	return func(ctx context.Context) error {
		c.begun.Add(1)
		a, _ := taskvisor.FromContext(ctx)
		if ctx.Value(chaosKey{}) != any(a.TaskID) {
			c.fault("%q has the values of %v", a.Task, ctx.Value(chaosKey{}))
		}
		defer c.enter(fmt.Sprint(a.Task, a.TaskID), a.Task, overlaps)()
		rng := rand.New(rand.NewPCG(seed, uint64(a.Number)))
		for range rng.IntN(4) {
			c.wheel.say(ctx, rng.IntN(6))
			select {
			case <-time.After(milliseconds(rng, 3)):
			case <-ctx.Done():
				if rng.IntN(3) == 0 {
					time.Sleep(milliseconds(rng, 40))
				}
				return context.Cause(ctx)
			}
		}
		switch rng.IntN(12) {
		case 0:
			panic("chaos")
		case 1:
			runtime.Goexit()
		case 2:
			return taskvisor.Fatal(errBoom)
		case 3:
			return taskvisor.ErrCanceled
		case 4:
			taskvisor.Go(ctx, func(ctx context.Context) { <-ctx.Done(); time.Sleep(milliseconds(rng, 9)) })
		case 5, 6, 7:
			return errBoom
		case 8:
			return taskvisor.RetryAfter(milliseconds(rng, 5), errBoom)
		}
		return nil
	}
}

// enter notes that a body runs: two attempts of a task never overlap, nor do two tasks of
// a name, but for those that are released.
func (c *wheelChaos) enter(id, name string, overlaps bool) (leave func()) {
	keys := []string{id, name}
	if overlaps {
		keys = keys[:1]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		if c.running[k] {
			c.faults = append(c.faults, fmt.Sprintf("two bodies of %q at the same time", k))
		}
		c.running[k] = true
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, k := range keys {
			delete(c.running, k)
		}
	}
}

// checkEnd is made when the supervisor has ended, and perhaps some bodies have not: the
// report names those, and only those, that are announced as abandoned.
func (c *wheelChaos) checkEnd(shutdownErr error) {
	var late *taskvisor.GraceExceededError
	errors.As(shutdownErr, &late)
	if late == nil {
		if n := len(c.sup.Snapshot().Tasks); n > 0 || shutdownErr != nil {
			c.t.Errorf("shutdown: %v; %d tasks left", shutdownErr, n)
		}
		return
	}
	c.audit.mu.Lock()
	defer c.audit.mu.Unlock()
	for _, st := range late.Tasks {
		if a := c.audit.tasks[st.ID]; a == nil || !a.abandoned {
			c.t.Errorf("%s is listed as running after its grace: %+v", st.Name, a)
		}
	}
}

// check is made when nothing runs any more.
func (c *wheelChaos) check() {
	t := c.t
	for _, f := range append(c.audit.faults, c.faults...) {
		t.Error(f)
	}
	sn := c.sup.Snapshot()
	checkConservation(t, sn)
	if sn.Started != sn.Ended || sn.InUse != 0 || len(sn.Slots)+len(sn.Tasks) != 0 || int64(sn.Started) != c.begun.Load() {
		t.Errorf("at the end: started %d, ended %d, bodies called %d, %d permits, %d slots, %d tasks",
			sn.Started, sn.Ended, c.begun.Load(), sn.InUse, len(sn.Slots), len(sn.Tasks))
	}
	if n := c.audit.sum(); n != sn.Seq {
		t.Errorf("inline subscribers got %d of %d events", n, sn.Seq)
	}
	c.wheel.check(t)
	for _, h := range c.handles {
		o, known := h.Outcome()
		a := c.audit.tasks[h.ID()]
		if !known || a == nil || o.Kind != a.outcome || o.Attempts != a.attempt || (o.Err == nil) != (o.Kind == taskvisor.OutcomeCompleted) {
			t.Errorf("%s (%d): outcome %+v, known %v; events: %+v", h.Name(), h.ID(), o, known, a)
		}
		if st := h.Status(); st.Gate != "" || !st.NextStart.IsZero() || st.State.Alive() {
			t.Errorf("%s: status %+v after the end", h.Name(), st)
		}
	}
}
