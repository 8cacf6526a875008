package taskvisor_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// FromContext gives name, id, attempt number, position in the streak and slot.
func TestAttemptFromContext(t *testing.T) {
	inRoom(t, func(r *room) {
		var got []taskvisor.Attempt
		fail := taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.After(time.Second, taskvisortest.Panic(1)), taskvisortest.Succeed())
		sub := taskvisor.Submission{Slot: "slot", Admission: taskvisor.Coalesce, Task: taskvisor.Restartable("a", func(ctx context.Context) error {
			a, ok := taskvisor.FromContext(context.WithValue(ctx, contextKey("k"), 1))
			same(r, "found", ok, true)
			same(r, "its task", a.Handle().ID(), a.TaskID)
			got = append(got, a)
			return fail(ctx)
		}, taskvisor.ConstantBackoff(time.Minute))}
		h, err := r.sup.Submit(context.Background(), sub)
		if err != nil {
			r.Fatal(err)
		}
		begin := time.Now()
		r.end(h)
		spec := h.Status().Spec
		for i := range got {
			same(r, "spec", got[i].Spec.String(), spec.String())
			got[i].Spec = taskvisor.TaskSpec{}
			got[i].Started = got[i].Started.Round(0)
		}
		at := func(d time.Duration) time.Time { return begin.Add(d).Round(0) }
		base := taskvisor.Attempt{Supervisor: "hall", Task: "a", TaskID: h.ID(), Slot: "slot", Admission: taskvisor.Coalesce}
		first, second, third := base, base, base
		first.Number, first.Started = 1, at(0)
		second.Number, second.Streak, second.Previous, second.Delay, second.Started = 2, 1, taskvisor.ResultFailure, time.Minute, at(time.Minute)
		third.Number, third.Streak, third.Previous, third.Delay, third.Started = 3, 2, taskvisor.ResultPanic, time.Minute, at(2*time.Minute+time.Second)
		if want := []taskvisor.Attempt{first, second, third}; !slices.EqualFunc(got, want, alike) {
			r.Errorf("attempts\n%+v, want\n%+v", got, want)
		}
	}, taskvisor.WithName("hall"))
}

func TestAttemptFromForeignContext(t *testing.T) {
	for _, ctx := range []context.Context{context.Background(), t.Context(), context.WithValue(t.Context(), contextKey("k"), 1)} {
		a, ok := taskvisor.FromContext(ctx)
		same(t, "found", ok, false)
		same(t, "zero", reflect.ValueOf(a).IsZero(), true)
	}
}

// The wait for a permit and for the slot are told.
func TestAttemptWaits(t *testing.T) {
	inRoom(t, func(r *room) {
		r.add(taskvisor.Once("first", taskvisortest.Script(taskvisortest.Ignore(10*time.Second))))
		var got taskvisor.Attempt
		h := r.add(taskvisor.Restartable("second", func(ctx context.Context) error {
			if got, _ = taskvisor.FromContext(ctx); got.Number == 1 {
				same(r, "waited", got.PermitWait, 10*time.Second)
				return errBoom
			}
			return nil
		}, taskvisor.ConstantBackoff(time.Second)))
		r.end(h)
		same(r, "no wait", got.PermitWait, 0)
		same(r, "delay", got.Delay, time.Second)
	}, taskvisor.WithMaxConcurrent(1))
}

// The outcome tells when the first attempt began and when the task ended.
func TestAttemptTimesOfTheOutcome(t *testing.T) {
	inRoom(t, func(r *room) {
		begin := time.Now()
		o := r.run(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.After(time.Second, taskvisortest.Succeed())),
			taskvisor.ConstantBackoff(time.Minute)))
		same(r, "attempts", o.Attempts, 2)
		same(r, "started", o.Started.Sub(begin), 0)
		same(r, "ended", o.Ended.Sub(begin), 61*time.Second)
		r.add(taskvisor.Once("resident", taskvisortest.Script(taskvisortest.Ignore(time.Hour))))
		waiting := r.add(taskvisor.Once("waits", noWork))
		time.Sleep(time.Second)
		waiting.Stop()
		o = r.end(waiting)
		same(r, "attempts", o.Attempts, 0)
		same(r, "never started", o.Started.IsZero(), true)
		time.Sleep(2 * time.Hour)
	}, taskvisor.WithMaxConcurrent(1))
}

// The status remembers the last error beyond a success, and the last success
// beyond an error.
func TestAttemptIsRememberedByTheStatus(t *testing.T) {
	inRoom(t, func(r *room) {
		begin := time.Now()
		h := r.add(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed(), taskvisortest.Block()),
			taskvisor.RestartAlways(time.Minute), taskvisor.ConstantBackoff(time.Second)))
		synctest.Wait()
		st := h.Status()
		same(r, "in backoff", st.LastErr, errBoom)
		same(r, "no success", st.LastSuccess.IsZero(), true)
		same(r, "next start", st.NextStart.Sub(begin), time.Second)
		time.Sleep(10 * time.Second)
		st = h.Status()
		same(r, "waiting", st.State, taskvisor.StateWaiting)
		same(r, "after a success", st.LastErr, errBoom)
		same(r, "success", st.LastSuccess.Sub(begin), time.Second)
		time.Sleep(time.Hour)
		h.Stop()
		r.end(h)
		isAll(r, "after the stop", h.Status().LastErr, taskvisor.ErrRemoved)
		same(r, "success", h.Status().LastSuccess.Sub(begin), time.Second)
	})
}

// peek is a bracket that is the first to look at an attempt's context, after the
// result was decided.
type peek struct {
	queuedOnly
	r        *room
	attempts atomic.Int32
}

func (*peek) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context { return ctx }

func (p *peek) EndAttempt(ctx context.Context, a taskvisor.Attempt, res taskvisor.Result) {
	p.attempts.Add(1)
	got, ok := taskvisor.FromContext(ctx)
	same(p.r, "found", ok, true)
	same(p.r, "number", got.Number, a.Number)
	same(p.r, "streak", got.Streak, a.Streak)
	same(p.r, "previous", got.Previous, a.Previous)
	same(p.r, "delay", got.Delay, a.Delay)
	if err := taskvisor.Go(ctx, func(context.Context) { panic("started after the result was decided") }); err == nil {
		p.r.Errorf("Go was accepted in EndAttempt of attempt %d", a.Number)
	}
	same(p.r, "Err", ctx.Err(), context.Canceled)
	same(p.r, "Cause", context.Cause(ctx), context.Canceled)
	if res.Kind == taskvisor.ResultSuccess && res.Err != nil {
		p.r.Errorf("success with error %v", res.Err)
	}
}

// In EndAttempt the attempt is over: it is described as it was, and has no more
// children.
func TestAttemptFirstLookedAtInEndAttempt(t *testing.T) {
	p := &peek{}
	inRoom(t, func(r *room) {
		p.r = r
		r.run(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom), taskvisortest.Succeed()),
			taskvisor.BackoffPolicy{First: time.Second, Max: time.Hour, Factor: 2}))
		r.trace("a", "A S ✗ B S ✗ B S ✓ E D")
		same(r, "attempts", p.attempts.Load(), 3)
		for _, e := range r.events(taskvisor.TaskStopped) {
			same(r, "error of a success", e.Err, nil)
		}
	}, taskvisor.WithSubscriber(p))
}

// A nil context is a programmer's error, and panics with a sentence.
func TestNilContextPanics(t *testing.T) {
	inRoom(t, func(r *room) {
		h := r.add(taskvisor.Once("a", noWork))
		r.end(h)
		spec := taskvisor.Once("b", noWork)
		var none context.Context
		for name, call := range map[string]func(){
			"Add":      func() { r.sup.Add(none, spec) },
			"AddAll":   func() { r.sup.AddAll(none, spec) },
			"Submit":   func() { r.sup.Submit(none, taskvisor.Submission{Task: spec}) },
			"Run":      func() { r.sup.Run(none) },
			"Start":    func() { r.sup.Start(none) },
			"Shutdown": func() { r.sup.Shutdown(none) },
			"Wait":     func() { h.Wait(none) },
			"Cancel":   func() { h.Cancel(none) },
			"Await":    func() { taskvisor.Await[int](none, h) },
		} {
			func() {
				defer func() {
					if v, _ := recover().(string); !strings.Contains(v, "nil context") {
						r.Errorf("%s: %v", name, v)
					}
				}()
				call()
			}()
		}
		synctest.Wait()
		same(r, "added", r.sup.Snapshot().Added, 1)
		same(r, "state", r.sup.Snapshot().State, taskvisor.SupervisorRunning)
	})
}

// What refused a call names the culprit, and nothing of it remains; what was
// accepted is not lost.
func TestRefusedCallsNameTheCulprit(t *testing.T) {
	inRoom(t, func(r *room) {
		r.add(taskvisor.Once("taken", taskvisortest.Script(taskvisortest.Block())))
		synctest.Wait()
		ended, cancel := context.WithCancelCause(context.Background())
		cancel(errBoom)
		for name, tt := range map[string]struct {
			call func() error
			task string
			is   error
		}{
			"taken": {func() error { _, err := r.sup.Add(context.Background(), taskvisor.Once("taken", noWork)); return err }, "taken", taskvisor.ErrTaskExists},
			"batch": {func() error {
				_, err := r.sup.AddAll(context.Background(), taskvisor.Once("new", noWork), taskvisor.Once("taken", noWork))
				return err
			}, "taken", taskvisor.ErrTaskExists},
			"ended context": {func() error { _, err := r.sup.Add(ended, taskvisor.Once("late", noWork)); return err }, "late", errBoom},
			"submit, ended context": {func() error {
				_, err := r.sup.Submit(ended, taskvisor.Submission{Task: taskvisor.Once("late", noWork)})
				return err
			}, "late", errBoom},
		} {
			err := tt.call()
			checkRefusal(t, err, tt.task, "")
			isAll(t, name, err, tt.is)
		}
		same(r, "tasks", len(r.sup.List()), 1)
		if _, ok := r.sup.Lookup("new"); ok {
			r.Error("a refused batch left a task behind")
		}
		r.trace("taken", "A S F F")
		r.run(taskvisor.Once("new", noWork))
		var refused *taskvisor.TaskError
		same(r, "closed", r.sup.Shutdown(context.Background()), nil)
		_, err := r.sup.Add(context.Background(), taskvisor.Once("too late", noWork))
		same(r, "typed", errors.As(err, &refused), true)
		checkRefusal(t, err, "too late", "shutting down")
	})
}
