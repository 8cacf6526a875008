package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A child that the attempt waits for is not silent, and nothing wakes up for its
// silence: the timer would fire without end, and no time pass in the bubble.
func TestIdleTimeoutWhileChildrenAreJoined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			return taskvisor.Go(ctx, func(context.Context) { time.Sleep(time.Minute) })
		}, taskvisor.WithIdleTimeout(time.Second)))
		if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeCompleted || o.Ended.Sub(o.Started) != time.Minute {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
	})
}

// However an attempt comes about, a millisecond lies between two starts, unless the task
// opts out.
func TestRestartFloorHoldsForTheWheel(t *testing.T) {
	asks := map[string]func(*taskvisor.Handle, error) bool{"RunNow": (*taskvisor.Handle).RunNow, "Interrupt": (*taskvisor.Handle).Interrupt}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				h := addTo(t, sup, taskvisor.Periodic("a", time.Hour, noWork))
				free := addTo(t, sup, taskvisor.Periodic("free", time.Hour, noWork, taskvisor.WithoutRestartFloor()))
				synctest.Wait()
				changes := 0
				for range 100 {
					if ask(h, nil) {
						changes++
					}
					ask(free, nil)
					synctest.Wait()
					time.Sleep(100 * time.Microsecond)
				}
				time.Sleep(time.Second)
				var last time.Time
				for _, e := range rec.Events("a") {
					if e.Kind == taskvisor.TaskStarting {
						if d := e.Time.Sub(last); d < time.Millisecond {
							t.Errorf("%v between two starts", d)
						}
						last = e.Time
					}
				}
				// A call may find an attempt that runs: it changes something, and the floor holds.
				if n := h.Status().Attempt; n < 10 || n > 12 || changes < 9 || changes > 24 {
					t.Errorf("%d attempts and %d changes by a hundred calls in 10 ms", n, changes)
				}
				same(t, "attempts without the floor", free.Status().Attempt, 101)
			})
		})
	}
}

// RunNow while brackets end an attempt does not shorten the floor by the time that they
// have taken, and is refused where no attempt can follow.
func TestRunNowWhileBracketsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var changed bool
		slow := &bracket{end: func(_ context.Context, a taskvisor.Attempt, r taskvisor.Result) {
			time.Sleep(700 * time.Microsecond)
			if a.Number == 1 || r.Kind == taskvisor.ResultFatal {
				h, _ := sup.Lookup("a")
				changed = h.RunNow(nil)
			}
		}}
		var rec *taskvisortest.Recorder
		sup, rec = taskvisortest.Start(t, taskvisor.WithSubscriber(slow))
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed(), taskvisortest.Fail(taskvisor.Fatal(errBoom)))))
		outcomeOf(t, h)
		wantTrace(t, rec, "a", "A S ! ✓ B S ✗ X D")
		if changed {
			t.Error("RunNow has changed something about a fatal end")
		}
		var starts []time.Time
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskStarting {
				starts = append(starts, e.Time)
			}
		}
		same(t, "between the starts", starts[1].Sub(starts[0]), time.Millisecond)
	})
}

// A task is paused since it was paused, not since its delay has passed meanwhile.
func TestPausedSince(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Periodic("a", time.Minute, noWork))
		time.Sleep(30 * time.Second)
		h.Pause(nil)
		paused := time.Now()
		time.Sleep(time.Hour)
		if st := h.Status(); st.State != taskvisor.StatePaused || !st.Since.Equal(paused) {
			t.Errorf("%v since %v, want %v", st.State, st.Since, paused)
		}
	})
}

// A task with readiness that has completed without a word was never ready: what comes
// after it fails. Without readiness, to have completed is to have been ready.
func TestReadinessIsNeverAssumed(t *testing.T) {
	for name, want := range map[string]taskvisor.OutcomeKind{"silent": taskvisor.OutcomeFailed, "said": taskvisor.OutcomeCompleted, "none": taskvisor.OutcomeCompleted} {
		bubble(t, func(t *testing.T) {
			sup, _ := taskvisortest.Start(t)
			var opts []taskvisor.TaskOption
			if name != "none" {
				opts = append(opts, taskvisor.WithReadiness())
			}
			hs, err := sup.AddAll(context.Background(),
				taskvisor.Once("first", func(ctx context.Context) error {
					if name == "said" {
						taskvisor.Ready(ctx)
					}
					return nil
				}, opts...),
				taskvisor.Once("second", noWork, taskvisor.After("first")))
			if err != nil {
				t.Fatal(err)
			}
			if o := outcomeOf(t, hs[1]); o.Kind != want || (want == taskvisor.OutcomeFailed) != errors.Is(o.Err, taskvisor.ErrDependency) {
				t.Errorf("%s: %+v", name, o)
			}
		})
	}
}

// Whoever steers a task that has not been announced yet is heard, and nothing precedes
// TaskAdded.
func TestSteeredBeforeItIsAnnounced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var paused, resumed int
		meddler := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded && e.Task == "first" {
				paused = sup.PauseAll(errWhy)
				h, _ := sup.Lookup("third")
				if h.Resume(nil) {
					resumed++
				}
			}
		})
		sup, rec := newSup(t, taskvisor.WithSubscriber(meddler, taskvisor.Inline()))
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		owner, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once("owner", taskvisortest.Script(taskvisortest.Block()))})
		if err != nil {
			t.Fatal(err)
		}
		queued, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once("queued", noWork, taskvisor.WithStartPaused())})
		if err != nil {
			t.Fatal(err)
		}
		if queued.Pause(nil) || !queued.Resume(nil) || queued.Resume(nil) {
			t.Error("a submission that waits, and was to begin paused, is not resumed once")
		}
		if _, err = sup.AddAll(context.Background(), taskvisor.Once("first", noWork), taskvisor.Once("second", noWork), taskvisor.Once("third", noWork)); err != nil {
			t.Fatal(err)
		}
		owner.Stop()
		synctest.Wait()
		if paused != 4 || resumed != 1 {
			t.Errorf("%d paused, %d resumed", paused, resumed)
		}
		wantTrace(t, rec, "second", "A ‖")
		wantTrace(t, rec, "third", "A S ✓ E D")
		wantTrace(t, rec, "queued", "U A S ✓ E D")
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
