package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// onOneProcessor makes it likely that the goroutine which has made another runnable
// goes on first; a busy machine may still take the processor away between the two. So
// tests that need this order do it in rounds, of which half have to meet it. It is
// undone when the test ends.
func onOneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// A stop that was asked for wins over the natural end: it is announced, although the
// last task has ended just before.
func TestAskedForWinsOverTheNaturalEnd(t *testing.T) {
	onOneProcessor(t)
	const rounds = 30
	asked := 0
	for range rounds {
		bubble(t, func(t *testing.T) {
			var sup *taskvisor.Supervisor
			last := onEvent(func(e taskvisor.Event) {
				if e.Kind == taskvisor.TaskRemoved { // the natural end is decided
					ended, cancel := context.WithCancel(context.Background())
					cancel()
					sup.Shutdown(ended)
				}
			})
			sup, rec := newSup(t, taskvisor.WithSubscriber(last))
			if err := sup.Run(context.Background(), taskvisor.Once("a", noWork)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			switch got := rec.Trace(""); got {
			case "H V":
				asked++
			case "V": // it was on its way before the request came
			default:
				t.Errorf("events %q", got)
			}
		})
	}
	if asked < rounds/2 {
		t.Errorf("asked for in %d of %d rounds, announced in %d", rounds, rounds, asked)
	}
}

// From the request on nobody is admitted: neither by Add nor from the queue of a slot,
// although nothing has been announced yet; what waits is rejected behind the
// announcement.
func TestNobodyIsAdmittedAfterTheRequest(t *testing.T) {
	onOneProcessor(t)
	const rounds = 10
	met := 0
	for range rounds {
		bubble(t, func(t *testing.T) {
			sup, rec := newSup(t)
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			release := make(chan struct{})
			submit := func(name string, fn taskvisor.Func) *taskvisor.Handle {
				h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, fn)})
				if err != nil {
					t.Fatal(err)
				}
				return h
			}
			owner := submit("owner", func(ctx context.Context) error {
				<-release
				if err := sup.Shutdown(ctx); !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
					t.Errorf("Shutdown from within: %v", err)
				}
				ctx = context.WithoutCancel(ctx) // which may have ended by now
				if _, err := sup.Add(ctx, taskvisor.Once("late", noWork)); !errors.Is(err, taskvisor.ErrShuttingDown) {
					t.Errorf("Add: %v", err)
				}
				if _, err := sup.Submit(ctx, taskvisor.Submission{Slot: "s", Task: taskvisor.Once("late", noWork)}); !errors.Is(err, taskvisor.ErrShuttingDown) {
					t.Errorf("Submit: %v", err)
				}
				return nil
			})
			var queued []*taskvisor.Handle
			for _, name := range []string{"first", "second"} {
				queued = append(queued, submit(name, noWork))
			}
			synctest.Wait()
			close(release)
			<-sup.Done()
			o := outcomeOf(t, owner)
			synctest.Wait()
			switch got := rec.Trace("owner"); {
			case o.Kind == taskvisor.OutcomeCompleted && got == "U A S ✓ E D":
				met++
			case o.Kind == taskvisor.OutcomeCanceled && got == "U A S ✓ D": // stopped before it returned
			default:
				t.Errorf("owner: %v, %q", o.Kind, got)
			}
			var announced bool
			for _, e := range rec.Events() {
				switch e.Kind {
				case taskvisor.ShutdownRequested:
					announced = true
				case taskvisor.ControllerRejected:
					if !announced || e.Reason != taskvisor.ErrShuttingDown {
						t.Errorf("%v, announced before: %v", e, announced)
					}
				}
			}
			for _, h := range queued {
				wantTrace(t, rec, h.Name(), "U J")
			}
		})
	}
	if met < rounds/2 {
		t.Errorf("the owner ended before it was stopped in %d of %d rounds", met, rounds)
	}
}

// The verdict follows every TaskRemoved, also that of a task which is leaving when the
// grace ends, whether it was alive until then or abandoned long before. The controller's
// lock keeps it from leaving, so this is no bubble.
func TestVerdictFollowsWhoIsLeaving(t *testing.T) {
	for name, own := range map[string]time.Duration{"alive": time.Hour, "abandoned": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			sup, rec := newSup(t, taskvisor.WithGrace(time.Second))
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			back := make(chan struct{})
			h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s",
				Task: taskvisor.Once("a", func(context.Context) error { <-back; return nil }, taskvisor.WithGrace(own))})
			if err != nil {
				t.Fatal(err)
			}
			hold := make(chan struct{}) // another keeps the shutdown waiting until a is leaving
			holder := addTo(t, sup, taskvisor.Once("holder", func(context.Context) error { <-hold; return nil }))
			eventually(t, "they run", func() bool { return taskvisor.Active(h) && taskvisor.Active(holder) })
			want := taskvisor.StateStopping
			if name == "abandoned" {
				h.Stop()
				want = taskvisor.StateAbandoned
				eventually(t, "it is abandoned", func() bool { return h.Status().State == want })
			}
			result := make(chan error, 1)
			go func() { result <- sup.Shutdown(context.Background()) }()
			eventually(t, "they are stopped", func() bool {
				return h.Status().State == want && holder.Status().State == taskvisor.StateStopping
			})
			controller := taskvisor.Locks(h)["controller"]
			controller.Lock()
			close(back)
			eventually(t, "its name is free", func() bool { _, taken := sup.Lookup("a"); return !taken })
			close(hold)
			select {
			case err := <-result:
				t.Errorf("the end did not wait: %v", err)
				result = make(chan error, 1)
				result <- err
			case <-time.After(100 * time.Millisecond):
			}
			controller.Unlock()
			if err := <-result; err != nil {
				t.Errorf("shutdown: %v", err)
			}
			events := rec.Events()
			if last := events[len(events)-1]; last.Kind != taskvisor.AllStoppedWithinGrace {
				t.Errorf("the last event is %v", last)
			}
			if got := rec.Trace("a"); got[len(got)-1] != 'D' {
				t.Errorf("events %q", got)
			}
		})
	}
}

// So it does that of a body which was abandoned long ago and comes back at the verdict:
// its task is gone already, and still registered. On one processor the shutdown, which is
// let go last, comes to that before the body's goroutine goes on.
func TestVerdictFollowsWhoComesBackJustNow(t *testing.T) {
	onOneProcessor(t)
	for range 10 {
		sup, rec := newSup(t)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		back := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(back), taskvisor.WithGrace(time.Millisecond)))
		eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
		h.Stop()
		eventually(t, "it is abandoned", func() bool { return h.Status().State == taskvisor.StateAbandoned })
		locks := taskvisor.Locks(h)
		locks["controller"].Lock()
		result := make(chan error, 1)
		go func() { result <- sup.Shutdown(context.Background()) }()
		eventually(t, "the shutdown was announced", func() bool { return kindsOf(rec)[taskvisor.ShutdownRequested] > 0 })
		locks["registry"].Lock()
		close(back)
		eventually(t, "the task is gone", func() bool { return h.Status().State == taskvisor.StateFinished })
		locks["registry"].Unlock()
		locks["controller"].Unlock()
		if err := <-result; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		events := rec.Events()
		if last := events[len(events)-1]; last.Kind != taskvisor.AllStoppedWithinGrace || kindsOf(rec)[taskvisor.TaskRemoved] != 1 {
			t.Errorf("the last event is %v, events of the task %q", last, rec.Trace("a"))
		}
	}
}

// A task that an inline callback adds with its context may wait for others, as any task
// may; so may one that an attempt adds with its own.
func TestTaskAddedFromACallbackMayWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var waited atomic.Int32
		meddler := inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind != taskvisor.TaskAdded || e.Task != "a" {
				return
			}
			other, _ := sup.Lookup("a")
			_, err := sup.Add(ctx, taskvisor.Once("b", func(ctx context.Context) error {
				if o, err := other.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeCompleted {
					t.Errorf("Wait: %v, %v", o.Kind, err)
				}
				waited.Add(1)
				return nil
			}))
			if err != nil {
				t.Error(err)
			}
			if _, err := other.Wait(ctx); !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
				t.Errorf("the callback itself may not: %v", err)
			}
		})
		sup, rec := newSup(t, taskvisor.WithSubscriber(meddler))
		ctx := context.WithValue(context.Background(), ownKey{}, "a") // values hide nothing of that
		err := sup.Run(ctx, taskvisor.Once("a", func(ctx context.Context) error {
			time.Sleep(time.Minute)
			own, _ := sup.Lookup("a")
			_, err := sup.Add(ctx, taskvisor.Once("c", func(ctx context.Context) error {
				if _, err := own.Wait(ctx); err != nil {
					t.Errorf("Wait: %v", err)
				}
				waited.Add(1)
				return nil
			}))
			return err
		}))
		if err != nil || waited.Load() != 2 {
			t.Errorf("%v; %d have waited", err, waited.Load())
		}
		wantTrace(t, rec, "b", "A S ✓ E D")
	})
}
