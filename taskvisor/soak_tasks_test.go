package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// soakRound is one supervisor's life in the soak.
type soakRound struct {
	sup     *taskvisor.Supervisor
	wheel   wheel
	names   [200]atomic.Int32 // bodies at work, by name
	helpers sync.WaitGroup    // goroutines that bodies leak
	bodies  atomic.Int64      // at work
	begun   atomic.Int64

	mu      sync.Mutex // guards the fields below
	handles []*taskvisor.Handle
	faults  []string
}

func (r *soakRound) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.faults) < 20 {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

func (r *soakRound) keep(hs ...*taskvisor.Handle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handles = append(r.handles, hs...)
}

func (r *soakRound) some(rng *rand.Rand) *taskvisor.Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.handles) == 0 {
		return nil
	}
	n := len(r.handles)
	return r.handles[n-1-rng.IntN(min(n, 300))]
}

func milliseconds(rng *rand.Rand, n int) time.Duration {
	return time.Duration(rng.IntN(n*1000)) * time.Microsecond
}

// spec makes a task of a random kind with a random fault.
func (r *soakRound) spec(rng *rand.Rand) taskvisor.TaskSpec {
	n := rng.IntN(len(r.names))
	work, late := milliseconds(rng, 4), milliseconds(rng, 40)
	fault, free := rng.IntN(16), rng.IntN(12) == 0
	body := func(ctx context.Context) error {
		r.begun.Add(1)
		r.bodies.Add(1)
		defer r.bodies.Add(-1)
		if !free { // those who are released may overlap
			if r.names[n].Add(1) > 1 {
				r.fault("two bodies of %q at the same time", nth("n", n))
			}
			defer r.names[n].Add(-1)
		}
		r.wheel.say(ctx, fault)
		return r.misbehave(ctx, fault, work, late)
	}
	name := nth("n", n)
	opts := []taskvisor.TaskOption{taskvisor.WithGrace(milliseconds(rng, 20)), taskvisor.WithStuckAfter(1 + milliseconds(rng, 10))}
	shape := rng.IntN(4)
	opts = append(opts, r.wheel.options(rng, shape == 0)...)
	if shape > 0 { // a Once has no retries
		opts = append(opts, taskvisor.WithMaxRetries(rng.IntN(4)),
			taskvisor.BackoffPolicy{First: milliseconds(rng, 2), Max: 5 * time.Millisecond, Factor: 2, Jitter: taskvisor.Jitter(rng.IntN(4))})
	}
	if free {
		name = nth("free", rng.IntN(20))
		opts = append(opts, taskvisor.WithReleaseOnAbandon())
	}
	if rng.IntN(3) == 0 {
		opts = append(opts, taskvisor.WithTimeout(1+milliseconds(rng, 3)))
	}
	switch shape {
	case 0:
		return taskvisor.Once(name, body, opts...)
	case 1:
		return taskvisor.Periodic(name, milliseconds(rng, 3), body, opts...)
	case 2:
		return taskvisor.Restartable(name, taskvisor.Returning(func(ctx context.Context) (string, error) { return name, body(ctx) }), opts...)
	default:
		return taskvisor.Restartable(name, body, opts...)
	}
}

// misbehave is a body's work with the fault of its task.
func (r *soakRound) misbehave(ctx context.Context, fault int, work, late time.Duration) error {
	switch fault {
	case 0:
		return errBoom
	case 1:
		panic("soak")
	case 2:
		runtime.Goexit()
	case 3:
		return taskvisor.Fatal(errBoom)
	case 4:
		return taskvisor.RetryAfter(work, errBoom)
	case 5:
		return taskvisor.ErrCanceled
	case 6: // deaf: returns late, whatever happens
		<-time.After(late)
		return nil
	case 7: // leaks a goroutine
		r.helpers.Go(func() { <-time.After(late) })
		return ctx.Err()
	case 8: // has children, one of which panics
		taskvisor.Go(ctx, func(ctx context.Context) { <-ctx.Done() })
		taskvisor.Go(ctx, func(context.Context) { panic(errBoom) })
	case 9: // asks its own supervisor
		r.sup.Snapshot()
		if h, ok := r.sup.Lookup("n0"); ok {
			h.Stop()
		}
	case 10: // waits for itself
		if a, ok := taskvisor.FromContext(ctx); ok {
			if h, ok := r.sup.Lookup(a.Task); ok && h.ID() == a.TaskID {
				o, err := h.Wait(ctx)
				abandoned := err == nil && o.Kind == taskvisor.OutcomeAbandoned // known already
				if !abandoned && !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
					r.fault("Wait for itself: %v, %v", o.Kind, err)
				}
			}
		}
	}
	select {
	case <-time.After(work):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// act does one random thing to the supervisor. It reports false when that is
// closed.
func (r *soakRound) act(rng *rand.Rand) bool {
	ctx := context.Background()
	var err error
	switch rng.IntN(30) {
	case 0: // a burst of timers that are due together
		specs := make([]taskvisor.TaskSpec, 50)
		for i := range specs {
			specs[i] = taskvisor.Periodic(fmt.Sprintf("burst-%d-%d", rng.Uint32(), i), 5*time.Millisecond, func(context.Context) error {
				r.begun.Add(1)
				return nil
			})
		}
		var hs []*taskvisor.Handle
		if hs, err = r.sup.AddAll(ctx, specs...); err == nil {
			r.keep(hs...)
			r.helpers.Go(func() { // awaited: the handles hold all of the round
				<-time.After(50 * time.Millisecond)
				for _, h := range hs {
					h.Stop()
				}
			})
		}
	case 1:
		r.sup.StopSlot(nth("slot", rng.IntN(8)), rng.IntN(2) == 0)
	case 2, 3, 4:
		if h := r.some(rng); h != nil {
			h.Stop()
		}
	case 5: // a wait that is cut short
		if h := r.some(rng); h != nil {
			short, cancel := context.WithTimeout(ctx, milliseconds(rng, 3))
			h.Cancel(short)
			cancel()
		}
	case 6, 7, 8, 9, 10, 11:
		var h *taskvisor.Handle
		if h, err = r.sup.Add(ctx, r.spec(rng)); err == nil {
			r.keep(h)
		}
	case 12, 13, 14, 15, 16, 17, 18, 19:
		r.wheel.steer(rng, r.sup, r.some(rng))
	case 20:
		var hs []*taskvisor.Handle
		hs, err = r.sup.AddAll(ctx, r.wheel.family(rng, func(int) taskvisor.Func {
			fault, work, late := rng.IntN(16), milliseconds(rng, 4), milliseconds(rng, 40)
			return func(ctx context.Context) error {
				r.begun.Add(1)
				r.bodies.Add(1)
				defer r.bodies.Add(-1)
				r.wheel.say(ctx, fault)
				return r.misbehave(ctx, fault, work, late)
			}
		})...)
		r.keep(hs...)
	default:
		var h *taskvisor.Handle
		if h, err = r.sup.Submit(ctx, taskvisor.Submission{Task: r.spec(rng), Slot: nth("slot", rng.IntN(8)), Admission: taskvisor.Admission(rng.IntN(5))}); err == nil {
			r.keep(h)
		}
	}
	switch {
	case errors.Is(err, taskvisor.ErrShuttingDown):
		return false
	case err != nil && !errors.Is(err, taskvisor.ErrTaskExists):
		r.fault("%v", err)
	}
	return true
}
