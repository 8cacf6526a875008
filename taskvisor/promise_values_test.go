package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

type ownKey struct{}

// valueWatch holds the context of every event, inline or queued, and of every bracket to
// the values of its own task.
type valueWatch struct {
	inline bool
	mu     sync.Mutex // guards the fields below
	seen   int
	faults []string
}

func (w *valueWatch) Preferences() []taskvisor.SubscriberOption {
	if w.inline {
		return []taskvisor.SubscriberOption{taskvisor.Inline()}
	}
	return nil
}

func (w *valueWatch) check(where string, ctx context.Context, task string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	var want any = task
	if task == "" || strings.HasPrefix(task, "plain") {
		want = nil
	}
	if got := ctx.Value(ownKey{}); got != want {
		w.faults = append(w.faults, fmt.Sprintf("%s of %q has the values of %v", where, task, got))
	}
}

func (w *valueWatch) OnEvent(ctx context.Context, e taskvisor.Event) {
	if e.Kind != taskvisor.ControllerSlotTransition { // it has those of the slot's owner
		w.check(e.Kind.String(), ctx, e.Task)
	}
}

func (w *valueWatch) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	w.check("BeginAttempt", ctx, a.Task)
	if a.Number%2 == 0 {
		runtime.Goexit() // the attempt goes on, on another goroutine
	}
	return ctx
}

func (w *valueWatch) EndAttempt(ctx context.Context, a taskvisor.Attempt, _ taskvisor.Result) {
	w.check("EndAttempt", ctx, a.Task)
}

// Values and labels are those of the task that was added with them, in every context and
// on every goroutine, whoever makes an attempt due: a task that leaves a limit lets the
// next one in, an owner its successor, a callback what it runs, interrupts and resumes.
func TestLabelsAndValuesNeverReachAnotherTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		inline, queued := &valueWatch{inline: true}, &valueWatch{}
		limit := taskvisor.NewLimit("one", 1)
		var sup *taskvisor.Supervisor
		var meddled atomic.Int32
		meddler := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if meddled.Add(1) > 200 { // or each end would beget further attempts
				return
			}
			if e.Kind == taskvisor.TaskStopped || e.Kind == taskvisor.TaskFailed {
				for _, h := range sup.List() {
					h.Pause(nil)
					h.Resume(nil)
					h.RunNow(nil)
				}
			}
		})
		sup, _ = taskvisortest.Start(t, taskvisor.WithSubscriber(inline), taskvisor.WithSubscriber(queued), taskvisor.WithSubscriber(meddler))
		var mu sync.Mutex
		var faults []string
		bodies := 0
		body := func(name string, want any) taskvisor.Func {
			attempt := 0
			return func(ctx context.Context) error {
				a, _ := taskvisor.FromContext(ctx)
				label, _ := pprof.Label(ctx, "taskvisor_task_id")
				mu.Lock()
				if bodies++; ctx.Value(ownKey{}) != want || a.Task != name || label != fmt.Sprint(a.TaskID) {
					faults = append(faults, fmt.Sprintf("%s has the values of %v, label %s, task %q", name, ctx.Value(ownKey{}), label, a.Task))
				}
				if got := worn(t); !strings.Contains(got, fmt.Sprintf(`"taskvisor_task_id":"%d"`, a.TaskID)) || strings.Contains(got, "tenant") != (want != nil) ||
					want != nil && !strings.Contains(got, fmt.Sprintf(`"tenant":"%v"`, want)) {
					faults = append(faults, fmt.Sprintf("the goroutine of %s (%d) wears %s", name, a.TaskID, got))
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
				if attempt++; attempt < 4 {
					return errBoom
				}
				return nil
			}
		}
		var hs []*taskvisor.Handle
		for i := range 12 {
			name, ctx := nth("plain", i), context.Background()
			var want any
			if i%3 > 0 {
				name = nth("own", i)
				ctx = pprof.WithLabels(context.WithValue(ctx, ownKey{}, name), pprof.Labels("tenant", name))
				want = name
			}
			spec := taskvisor.Restartable(name, body(name, want), taskvisor.ConstantBackoff(0), taskvisor.WithGate(limit))
			var h *taskvisor.Handle
			var err error
			if i%2 == 0 {
				h, err = sup.Submit(ctx, taskvisor.Submission{Slot: "s", Task: spec})
			} else {
				h, err = sup.Add(ctx, spec)
			}
			if err != nil {
				t.Fatal(err)
			}
			hs = append(hs, h)
		}
		for _, h := range hs {
			outcomeOf(t, h)
		}
		synctest.Wait()
		for _, f := range append(faults, append(inline.faults, queued.faults...)...) {
			t.Error(f)
		}
		if bodies < 48 || inline.seen < 300 || queued.seen < 300 {
			t.Errorf("%d bodies, %d and %d contexts seen", bodies, inline.seen, queued.seen)
		}
	})
}

// worn returns the labels of the goroutine that runs the caller.
func worn(t *testing.T) string { return ownLabels(t, "worn") }

// A context that nobody has looked at tells afterwards how its attempt ended, also that
// of a later attempt, whether it is asked while another runs, in between, or when the
// task is gone.
func TestContextsOfLaterAttemptsTellTheirCause(t *testing.T) {
	ends := []struct {
		cause error
		err   error
		end   func(h *taskvisor.Handle)
	}{
		{context.Canceled, context.Canceled, func(*taskvisor.Handle) { time.Sleep(time.Second) }},
		{taskvisor.ErrAttemptTimeout, context.DeadlineExceeded, func(*taskvisor.Handle) { time.Sleep(2 * time.Minute) }},
		{taskvisor.ErrInterrupted, context.Canceled, func(h *taskvisor.Handle) { h.Interrupt(errWhy) }},
		{context.Canceled, context.Canceled, func(*taskvisor.Handle) { panic(errBoom) }},
		{taskvisor.ErrAttemptTimeout, context.DeadlineExceeded, func(*taskvisor.Handle) { time.Sleep(2 * time.Minute) }},
		{taskvisor.ErrRemoved, context.Canceled, func(h *taskvisor.Handle) { h.StopFor(errWhy) }},
	}
	for _, when := range []string{"while the next runs", "between attempts", "in the end"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, _ := taskvisortest.Start(t)
				var kept []context.Context
				look := func(where string) {
					for i, ctx := range kept {
						if cause := context.Cause(ctx); !errors.Is(cause, ends[i].cause) || ctx.Err() != ends[i].err {
							t.Errorf("%s: attempt %d: cause %v, error %v, want %v, %v", where, i+1, cause, ctx.Err(), ends[i].cause, ends[i].err)
						}
						why := ends[i].cause == error(taskvisor.ErrInterrupted) || ends[i].cause == error(taskvisor.ErrRemoved)
						if errors.Is(context.Cause(ctx), errWhy) != why {
							t.Errorf("%s: attempt %d: cause %v", where, i+1, context.Cause(ctx))
						}
						select {
						case <-ctx.Done():
						default:
							t.Errorf("%s: attempt %d: not done", where, i+1)
						}
					}
				}
				h := addTo(t, sup, taskvisor.Periodic("a", time.Minute, func(ctx context.Context) error {
					if when == "while the next runs" {
						look("in the body")
					}
					n := len(kept)
					h, _ := sup.Lookup("a")
					defer func() { kept = append(kept, ctx) }()
					ends[n].end(h)
					return errBoom
				}, taskvisor.WithTimeout(time.Minute), taskvisor.ConstantBackoff(time.Minute)))
				for when == "between attempts" && h.Status().Attempt < len(ends) {
					time.Sleep(time.Minute)
					if h.Status().State == taskvisor.StateBackoff {
						look("in a delay")
					}
				}
				outcomeOf(t, h)
				synctest.Wait()
				look("in the end")
				if len(kept) != len(ends) {
					t.Errorf("%d attempts", len(kept))
				}
			})
		})
	}
}
