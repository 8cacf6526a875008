package taskvisor_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// busy fails at once, again and again, unless that would be for ever.
func busy(attempts *atomic.Int32) taskvisor.TaskSpec {
	return taskvisor.Restartable("a", func(context.Context) error {
		if attempts.Add(1) == 5000 {
			return nil
		}
		return errBoom
	}, taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor())
}

// Attempts that are faster than an inline subscriber do not keep the Add that
// delivers their first events: their own goroutine takes over.
func TestAddIsNotKeptByABusyTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := inlineFunc(func(context.Context, taskvisor.Event) { time.Sleep(time.Millisecond) })
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slow))
		var attempts atomic.Int32
		h := addTo(t, sup, busy(&attempts))
		if n := attempts.Load(); n > 100 {
			t.Errorf("Add returned after %d attempts", n)
		}
		time.Sleep(time.Second)
		h.Stop()
		outcomeOf(t, h)
		var last uint64
		for _, e := range rec.Events("a") {
			if e.Seq <= last {
				t.Fatalf("%v was delivered after %d", e, last)
			}
			last = e.Seq
		}
		checkConservation(t, sup.Snapshot())
	})
}

// A task that is stopped in its brackets does not wait for a subscriber before it ends,
// however many of its events that one has yet to see.
func TestStopInABracketOfATaskThatIsAhead(t *testing.T) {
	for n := 1; n <= 40; n++ {
		bubble(t, func(t *testing.T) {
			var sup *taskvisor.Supervisor
			pause := &bracket{
				event: func(_ context.Context, e taskvisor.Event) {
					if e.Kind == taskvisor.TaskAdded {
						time.Sleep(time.Hour)
					}
				},
				begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
					if a.Number == n {
						h, _ := sup.Lookup("a")
						h.Stop()
					}
					return ctx
				},
			}
			sup, _ = startInto(t, &sup, taskvisor.WithSubscriber(pause))
			var attempts atomic.Int32
			var adding group
			adding.Go(func() { sup.Add(context.Background(), busy(&attempts)) })
			synctest.Wait()
			if h, ok := sup.Lookup("a"); ok && h.Status().State != taskvisor.StateRunning { // else it waits before it comes to that bracket
				t.Errorf("stopped before attempt %d: %v", n, h.Status().State)
			}
			adding.Wait()
		})
	}
}

// Whoever stops a task that waits for a subscriber does not wait for it too.
func TestStopOfATaskThatWaitsForASubscriber(t *testing.T) {
	for _, shutdown := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			pause := inlineFunc(func(_ context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskAdded {
					time.Sleep(time.Hour)
				}
			})
			sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(pause))
			var attempts atomic.Int32
			var adding group
			adding.Go(func() { sup.Add(context.Background(), busy(&attempts)) })
			synctest.Wait()
			h, ok := sup.Lookup("a")
			if n := attempts.Load(); !ok || n > 100 {
				t.Fatalf("registered %v, %d attempts while the subscriber was at the first event", ok, n)
			}
			before := time.Now()
			if shutdown {
				sup.Shutdown(context.Background())
			} else {
				h.Stop()
			}
			o, err := h.Wait(context.Background())
			if took := time.Since(before); err != nil || o.Kind != taskvisor.OutcomeCanceled || took > 10*time.Second {
				t.Errorf("%v, %v after %v", o.Kind, err, took)
			}
			adding.Wait()
			synctest.Wait()
			if n := kindsOf(rec)[taskvisor.TaskRemoved]; n != 1 {
				t.Errorf("%d times removed", n)
			}
		})
	}
}

// Events that beget events do not keep the one who published the first.
func TestRefusalsThatBegetRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 10_000
		var sup *taskvisor.Supervisor
		refused := 0
		again := inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind != taskvisor.TaskAddFailed {
				return
			}
			if refused++; refused < n {
				sup.Add(ctx, taskvisor.Once("a", idle))
			}
			time.Sleep(time.Microsecond)
		})
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(again))
		addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Block())))
		synctest.Wait()
		before := time.Now()
		if _, err := sup.Add(context.Background(), taskvisor.Once("a", idle)); err == nil {
			t.Error("a taken name was accepted")
		}
		if kept := time.Since(before); kept > 2*time.Millisecond {
			t.Errorf("Add delivered others' events for %v", kept)
		}
		time.Sleep(time.Second)
		if got := kindsOf(rec)[taskvisor.TaskAddFailed]; got != n {
			t.Errorf("%d refusals were delivered, want %d", got, n)
		}
	})
}

// Rejections that beget rejections call the subscriber from within itself, each for a
// submission of its own: no deeper than so many calls.
func TestRejectionsThatBegetRejections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 3000
		var sup *taskvisor.Supervisor
		var rejected, deepest atomic.Int64
		again := inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind != taskvisor.ControllerRejected {
				return
			}
			frames := int64(runtime.Callers(0, make([]uintptr, 8000)))
			for seen := deepest.Load(); frames > seen && !deepest.CompareAndSwap(seen, frames); seen = deepest.Load() {
			}
			if rejected.Add(1) < n {
				sup.Submit(ctx, taskvisor.Submission{Slot: "s", Admission: taskvisor.DropIfRunning, Task: taskvisor.Once("a", idle)})
			}
		})
		sup, _ = startInto(t, &sup, taskvisor.WithSubscriber(again))
		for range 2 {
			sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: taskvisor.DropIfRunning, Task: taskvisor.Once("a", idle)})
		}
		synctest.Wait()
		if got := rejected.Load(); got != n || deepest.Load() > 4000 {
			t.Errorf("%d of %d rejections, %d frames deep", got, n, deepest.Load())
		}
	})
}

// An attempt that has waited for room goes on when there is some: a task that is faster
// than its inline subscriber keeps its pace, for as long as it likes.
func TestAttemptsGoOnWhenThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Task == "a" {
				time.Sleep(time.Millisecond)
			}
		})
		sup, err := taskvisor.New(taskvisor.WithSubscriber(slow))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h := addTo(t, sup, taskvisor.Periodic("a", 0, noWork, taskvisor.WithoutRestartFloor()))
		before := 0
		for range 10 {
			time.Sleep(time.Second) // a thousand events, three of each attempt
			n := h.Status().Attempt
			if n < before+300 || n > before+500 {
				t.Errorf("%d attempts in a second", n-before)
			}
			before = n
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
