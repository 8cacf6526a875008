package taskvisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A context that is kept speaks for its own attempt only: the one that runs since hears
// and shows nothing of it.
func TestKeptContextSpeaksForItsOwnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var kept context.Context
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			if kept == nil {
				kept = ctx
				taskvisor.Beat(ctx, "first")
				return errBoom
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			return ctx.Err()
		}, taskvisor.WithReadiness(), taskvisor.WithIdleTimeout(time.Minute), taskvisor.ConstantBackoff(time.Second)))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		taskvisor.Beat(kept, "late")
		taskvisor.Ready(kept)
		taskvisor.LateStack(h, 1, "of the first")
		if st := h.Status(); st.Attempt != 2 || st.Ready || st.Note != "" || st.Stack != "" {
			t.Errorf("attempt %d, ready %v, note %q, stack %q", st.Attempt, st.Ready, st.Note, st.Stack)
		}
		time.Sleep(30 * time.Second)
		taskvisor.Beat(kept, "late")
		time.Sleep(29*time.Second + time.Millisecond) // a minute of its own silence
		wantTrace(t, rec, "a", "A S ✗ B S T")
		h.Stop()
		if by, ok := taskvisor.StopDeadline(kept); ok {
			t.Errorf("one that has ended may use the time until %v", by)
		}
		outcomeOf(t, h)
	})
}

// The deadline of an attempt is its own, whenever its context is first looked at: after a
// stop too, and in the attempts that follow.
func TestDeadlineOfAContextThatIsLookedAtLate(t *testing.T) {
	look := func(t *testing.T, ctx context.Context, begun time.Time) {
		t.Helper()
		if d, ok := ctx.Deadline(); !ok || d.Sub(begun) != time.Minute {
			t.Errorf("deadline %v after the start, %v", d.Sub(begun), ok)
		}
	}
	for name, happens := range map[string]func(h *taskvisor.Handle){
		"stop":      func(h *taskvisor.Handle) { h.Stop() },
		"interrupt": func(h *taskvisor.Handle) { h.Interrupt(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, _ := taskvisortest.Start(t)
				n := 0
				h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
					if n++; n > 1 {
						return nil
					}
					begun := time.Now()
					time.Sleep(2 * time.Second)
					look(t, ctx, begun)
					return nil
				}, taskvisor.WithTimeout(time.Minute)))
				time.Sleep(time.Second)
				happens(h)
				outcomeOf(t, h)
			})
		})
	}
	t.Run("timed out", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sup, _ := taskvisortest.Start(t)
			var first context.Context
			begun := time.Now()
			h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
				if first == nil {
					first = ctx
					time.Sleep(time.Hour)
					return nil
				}
				look(t, first, begun)
				return nil
			}, taskvisor.WithTimeout(time.Minute), taskvisor.ConstantBackoff(time.Second)))
			outcomeOf(t, h)
		})
	})
}

// A bracket that ends is too late for children; it hears of an interruption, and the last
// note.
func TestWhatAnEndingBracketFinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var reasons []taskvisor.Reason
		var notes []string
		late := &bracket{end: func(ctx context.Context, _ taskvisor.Attempt, r taskvisor.Result) {
			reasons, notes = append(reasons, r.Reason), append(notes, r.Note)
			if err := taskvisor.Go(ctx, func(context.Context) { t.Error("a child runs") }); err == nil {
				t.Error("a child is accepted")
			}
		}}
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(late))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", noWork)))
		first := true
		h := addTo(t, sup, taskvisor.Restartable("b", func(ctx context.Context) error {
			if !first {
				return nil
			}
			first = false
			taskvisor.Beat(ctx, "half way")
			<-ctx.Done()
			return ctx.Err()
		}))
		synctest.Wait()
		h.Interrupt(errBoom)
		outcomeOf(t, h)
		if len(reasons) != 3 || reasons[0] != 0 || reasons[1] != taskvisor.ErrInterrupted || reasons[2] != 0 {
			t.Errorf("reasons %v", reasons)
		}
		sameList(t, "notes", notes, []string{"", "half way", ""})
	})
}

// A task that a subscriber adds to another supervisor is no callback: it may wait for the
// one whose event it was.
func TestTaskOfACallbackIsNoCallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other, _ := taskvisortest.Start(t)
		var sup *taskvisor.Supervisor
		waited := make(chan error, 1)
		asks := func(ctx context.Context) error { waited <- sup.Shutdown(ctx); return nil }
		add := queuedFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskStarting {
				if _, err := other.Add(ctx, taskvisor.Once("asks", asks)); err != nil {
					t.Error(err)
				}
			}
		})
		sup, _ = startInto(t, &sup, taskvisor.WithSubscriber(add))
		addTo(t, sup, taskvisor.Once("a", noWork))
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}

// Who waits for the children of an attempt is told once that they are gone, also if one
// more comes and goes before he looks: a second time would end the process.
func TestJoinIsToldOnce(*testing.T) { taskvisor.ComeAndGo() }
