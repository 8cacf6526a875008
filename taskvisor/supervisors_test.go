package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// onlySelf reports errors of calls that should have refused to wait for
// themselves.
func onlySelf(t *testing.T, call string, err error) {
	t.Helper()
	if !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
		t.Errorf("%s: error %v, want %v", call, err, taskvisor.ErrWouldWaitForSelf)
	}
}

// A body that waits for its own task is refused at once, with any context that
// comes from its attempt; what does not need waiting is done.
func TestWaitForSelfInABody(t *testing.T) {
	type key struct{}
	for name, derive := range map[string]func(context.Context) context.Context{
		"given":        func(ctx context.Context) context.Context { return ctx },
		"derived":      func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, 1) },
		"not canceled": context.WithoutCancel,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				var h *taskvisor.Handle
				ready := make(chan struct{})
				h = addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
					<-ready
					mine := derive(ctx)
					_, err := h.Wait(mine)
					onlySelf(t, "Wait", err)
					if ctx.Err() != nil {
						t.Error("Wait stopped the task")
					}
					_, err = h.Cancel(mine)
					onlySelf(t, "Cancel", err)
					if !errors.Is(context.Cause(ctx), taskvisor.ErrRemoved) {
						t.Errorf("after Cancel the cause is %v: it should have stopped the task", context.Cause(ctx))
					}
					onlySelf(t, "Shutdown", sup.Shutdown(mine))
					_, err = taskvisor.Await[int](mine, h)
					onlySelf(t, "Await", err)
					return nil
				}))
				close(ready)
				outcomeOf(t, h)
				<-sup.Done()
				wantTrace(t, rec, "a", "A S Q ✓ D")
				wantTrace(t, rec, "", "H V")
			})
		})
	}
}

// Children of an attempt are part of it.
func TestWaitForSelfInAChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		var h *taskvisor.Handle
		ready := make(chan struct{})
		h = addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			<-ready
			done := make(chan struct{})
			taskvisor.Go(ctx, func(ctx context.Context) {
				defer close(done)
				_, err := h.Wait(ctx)
				onlySelf(t, "Wait", err)
				onlySelf(t, "Shutdown", sup.Shutdown(ctx))
			})
			<-done
			return nil
		}))
		close(ready)
		outcomeOf(t, h)
	})
}

// Waiting for somebody else is nothing special, and neither is a context of a
// task that is over.
func TestWaitForAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		slow := addTo(t, sup, taskvisor.Once("slow", taskvisortest.Script(taskvisortest.After(time.Minute, taskvisortest.Fail(errBoom)))))
		var kept context.Context
		h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			kept = context.WithoutCancel(ctx)
			if o, err := slow.Wait(ctx); err != nil || o.Err != errBoom {
				t.Errorf("Wait for another: %v, %v", o, err)
			}
			return nil
		}))
		outcomeOf(t, h)
		if _, err := h.Wait(kept); err != nil {
			t.Errorf("Wait for what is over, with its context: %v", err)
		}
	})
}

// In brackets and callbacks a supervisor does not wait for itself either.
func TestWaitForSelfInCallbacks(t *testing.T) {
	for _, name := range []string{"begin", "end", "inline", "queued"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var sup *taskvisor.Supervisor
				called := 0
				refuse := func(ctx context.Context) {
					called++
					onlySelf(t, "Shutdown", sup.Shutdown(ctx))
				}
				var opt taskvisor.Option
				switch name {
				case "begin":
					opt = taskvisor.WithSubscriber(&bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
						refuse(ctx)
						return ctx
					}})
				case "end":
					opt = taskvisor.WithSubscriber(&bracket{end: func(ctx context.Context, _ taskvisor.Attempt, _ taskvisor.Result) { refuse(ctx) }})
				case "inline":
					opt = taskvisor.WithSubscriber(inlineFunc(func(ctx context.Context, e taskvisor.Event) {
						if e.Kind == taskvisor.TaskStarting {
							refuse(ctx)
						}
					}))
				default:
					opt = taskvisor.WithSubscriber(queuedFunc(func(ctx context.Context, e taskvisor.Event) {
						if e.Kind == taskvisor.TaskStarting {
							refuse(ctx)
						}
					}))
				}
				sup, rec := startInto(t, &sup, opt)
				outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed())))))
				<-sup.Done()
				if called != 1 {
					t.Errorf("the callback was called %d times", called)
				}
				wantTrace(t, rec, "", "H V")
			})
		})
	}
}

// An inline subscriber is called on the goroutine that the task needs.
func TestWaitForTheTaskInItsInlineCallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var got error
		sup, _ = startInto(t, &sup, taskvisor.WithSubscriber(inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskStarting {
				h, _ := sup.Lookup(e.Task)
				short, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				_, got = h.Wait(short)
			}
		})))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed())))))
		onlySelf(t, "Wait", got)
	})
}

// A queued one may wait for tasks: they do not wait for it, whatever brackets do.
func TestWaitForTheTaskInAQueuedCallback(t *testing.T) {
	for name, opts := range map[string][]taskvisor.Option{"no bracket": nil, "a bracket": {taskvisor.WithSubscriber(valueBracket{})}} {
		bubble(t, func(t *testing.T) {
			var sup *taskvisor.Supervisor
			var got taskvisor.Outcome
			var failed error
			sup, _ = startInto(t, &sup, append(opts, taskvisor.WithSubscriber(queuedFunc(func(ctx context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStarting {
					if _, ok := taskvisor.FromContext(ctx); ok {
						t.Errorf("%s: the context belongs to the attempt", name)
					}
					h, _ := sup.Lookup(e.Task)
					got, failed = h.Wait(ctx)
				}
			})))...)
			outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed())))))
			if failed != nil || got.Kind != taskvisor.OutcomeCompleted {
				t.Errorf("%s: %v, %v", name, got.Kind, failed)
			}
		})
	}
}

// A supervisor that is run inside an attempt of another is part of it: from
// within, neither may be waited for.
func TestWaitForSelfAcrossNestedSupervisors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer, outerRec := taskvisortest.Start(t)
		inner, innerRec := newSup(t)
		var h *taskvisor.Handle
		ready := make(chan struct{})
		h = addTo(t, outer, taskvisor.Once("host", func(ctx context.Context) error {
			<-ready
			err := inner.Run(ctx, taskvisor.Once("guest", func(ctx context.Context) error {
				_, err := h.Wait(ctx)
				onlySelf(t, "Wait for the host", err)
				onlySelf(t, "Shutdown of the inner", inner.Shutdown(ctx))
				onlySelf(t, "Shutdown of the outer", outer.Shutdown(ctx))
				<-ctx.Done()
				return nil
			}))
			<-ctx.Done() // the inner may have ended before the outer's stop arrives
			return err
		}))
		close(ready)
		outcomeOf(t, h)
		<-outer.Done()
		wantTrace(t, innerRec, "guest", "A S ✓ D")
		wantTrace(t, innerRec, "", "H V")
		wantTrace(t, outerRec, "host", "A S ✓ D")
	})
}

// Running a supervisor inside its own attempt is answered, not waited for.
func TestRunInsideItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error { return sup.Run(ctx) }))
		o := outcomeOf(t, h)
		onlySelf(t, "Run", o.Err)
		wantErr(t, o.Err, taskvisor.ErrAlreadyRunning)
	})
}

// The stop of the outer reaches the inner through the context; each ends in its
// own grace.
func TestNestedSupervisorsEndTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer, outerRec := taskvisortest.Start(t, taskvisor.WithGrace(10*time.Second))
		inner, innerRec := newSup(t, taskvisor.WithGrace(time.Second), taskvisor.WithName("inner"))
		release := make(chan struct{})
		var innerErr error
		addTo(t, outer, taskvisor.Once("host", func(ctx context.Context) error {
			innerErr = inner.Run(ctx, taskvisor.Once("stuck", stubborn(release)), taskvisor.Once("good", idle))
			return innerErr
		}))
		synctest.Wait()
		before := time.Now()
		err := outer.Shutdown(context.Background())
		var outerLate *taskvisor.GraceExceededError
		if !errors.As(err, &outerLate) || len(outerLate.Tasks) != 1 || outerLate.Tasks[0].Name != "host/stuck" || time.Since(before) != time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(before))
		}
		var late *taskvisor.GraceExceededError
		if !errors.As(innerErr, &late) || len(late.Tasks) != 1 || late.Tasks[0].Name != "stuck" {
			t.Errorf("the inner Run returned %v", innerErr)
		}
		wantTrace(t, innerRec, "stuck", "A S N")
		wantTrace(t, innerRec, "good", "A S C D")
		wantTrace(t, outerRec, "host", "A S C D")
		same(t, "the inner one's events are those of", innerRec.Events("stuck")[0].Supervisor, "inner")
		close(release)
	})
}

// A supervisor that is started inside a task, and not run, outlives the task
// only until its context ends with the attempt.
func TestSupervisorStartedInATaskEndsWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer, _ := taskvisortest.Start(t)
		inner, rec := newSup(t)
		outcomeOf(t, addTo(t, outer, taskvisor.Once("host", func(ctx context.Context) error {
			if err := inner.Start(ctx); err != nil {
				return err
			}
			_, err := inner.Add(ctx, taskvisor.Once("guest", idle))
			synctest.Wait()
			return err
		})))
		<-inner.Done()
		wantTrace(t, rec, "guest", "A S C D")
		wantTrace(t, rec, "", "H V")
	})
}

// A supervisor runs once, and the task that runs it ends with it, whatever the defaults
// say: its outcome tells how the supervisor inside has ended.
func TestAsTaskRunsOnce(t *testing.T) {
	essential := func(fn taskvisor.Func) taskvisor.TaskSpec {
		return taskvisor.Once("essential", fn, taskvisor.WithEssential())
	}
	eachInRoom(t, map[string]struct {
		inside taskvisor.TaskSpec
		opts   []taskvisor.TaskOption
		act    func(inner *taskvisor.Supervisor, h *taskvisor.Handle)
		trace  string
		is     error // nil: the outcome has no error
	}{
		"completes":   {inside: essential(noWork), trace: "A S ✓ E D"},
		"fails":       {inside: essential(taskvisortest.Script(taskvisortest.Fail(errBoom))), trace: "A S ✗ X D", is: errBoom},
		"timed out":   {inside: essential(idle), opts: []taskvisor.TaskOption{taskvisor.WithTimeout(time.Minute)}, trace: "A S T ✗ E D", is: taskvisor.ErrAttemptTimeout},
		"interrupted": {inside: essential(idle), act: func(_ *taskvisor.Supervisor, h *taskvisor.Handle) { h.Interrupt(errBoom) }, trace: "A S I ✗ X D", is: taskvisor.ErrInterrupted},
		"stopped":     {inside: essential(idle), act: func(_ *taskvisor.Supervisor, h *taskvisor.Handle) { h.Stop() }, trace: "A S Q ✓ D", is: taskvisor.ErrRemoved},
		"shut down":   {inside: essential(idle), act: func(inner *taskvisor.Supervisor, _ *taskvisor.Handle) { inner.Shutdown(context.Background()) }, trace: "A S ✓ E D"},
		"fails after RunNow": {inside: essential(taskvisortest.Script(taskvisortest.After(time.Minute, taskvisortest.Fail(errBoom)))),
			act: func(_ *taskvisor.Supervisor, h *taskvisor.Handle) { h.RunNow(nil) }, trace: "A S ! ✗ X D", is: errBoom},
	}, func(r *room, tt struct {
		inside taskvisor.TaskSpec
		opts   []taskvisor.TaskOption
		act    func(inner *taskvisor.Supervisor, h *taskvisor.Handle)
		trace  string
		is     error
	}) {
		sup, rec := taskvisortest.Start(r.T, taskvisor.WithTaskDefaults(taskvisor.RestartAlways(time.Second), taskvisor.ConstantBackoff(time.Second)))
		inner, _ := newSup(r.T)
		addTo(r.T, inner, tt.inside)
		h := addTo(r.T, sup, inner.AsTask("inner", tt.opts...))
		if tt.act != nil {
			synctest.Wait()
			tt.act(inner, h)
		}
		o := outcomeOf(r.T, h)
		if tt.is == nil {
			same(r, "error", o.Err, nil)
		} else {
			isAll(r, "outcome", o.Err, tt.is)
		}
		wantTrace(r.T, rec, "inner", tt.trace)
		_, err := sup.Add(context.Background(), inner.AsTask("again"))
		same(r, "Add", err, nil)
		wantTrace(r.T, rec, "again", "A S ✗ X D")
	})
}

// What would have it run again is an error; what depends on it begins while it runs.
func TestAsTaskIsNotRestarted(t *testing.T) {
	inRoom(t, func(r *room) {
		inner, _ := newSup(t)
		for name, opt := range map[string]taskvisor.TaskOption{"always": taskvisor.RestartAlways(0), "on failure": taskvisor.RestartOnFailure(),
			"retries": taskvisor.WithMaxRetries(3), "backoff": taskvisor.ConstantBackoff(time.Second)} {
			if _, err := r.sup.Add(context.Background(), inner.AsTask(name, opt)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		nothingLeft(r)
		addTo(t, inner, taskvisor.Once("inside", worksFor(time.Minute)))
		h := r.add(inner.AsTask("inner"))
		same(t, "what depends on it", r.run(taskvisor.Once("dependent", noWork, taskvisor.After("inner"))).Kind, taskvisor.OutcomeCompleted)
		same(t, "meanwhile", h.Status().State, taskvisor.StateRunning)
		same(t, "outcome", r.end(h).Kind, taskvisor.OutcomeCompleted)
	})
}

// A thousand of them share a process: nothing is global but the ids.
func TestAThousandSupervisors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sups := make([]*taskvisor.Supervisor, 1000)
		hs := make([]*taskvisor.Handle, len(sups))
		ids := map[taskvisor.TaskID]bool{}
		for i := range sups {
			sup, err := taskvisor.New(taskvisor.WithName(fmt.Sprint("s", i)), taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) {})))
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			sups[i] = sup
			hs[i] = addTo(t, sup, taskvisor.Once("same name", taskvisortest.Script(taskvisortest.After(time.Minute, taskvisortest.Fail(errBoom)))))
			addTo(t, sup, taskvisor.Once("idle", idle))
			ids[hs[i].ID()] = true
		}
		if len(ids) != len(sups) {
			t.Errorf("%d ids for %d tasks", len(ids), len(sups))
		}
		for i, sup := range sups {
			if o, err := hs[i].Wait(context.Background()); err != nil || o.Err != errBoom {
				t.Fatalf("supervisor %d: %v, %v", i, o, err)
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Fatalf("supervisor %d: %v", i, err)
			}
			if sn := sup.Snapshot(); sn.Added != 2 || sn.Removed != 2 || sn.Subscribers[0].Delivered != sn.Seq {
				t.Fatalf("supervisor %d: %+v", i, sn)
			}
		}
	})
}

// queuedFunc is a subscriber with a queue, made of a function.
type queuedFunc func(ctx context.Context, e taskvisor.Event)

func (f queuedFunc) OnEvent(ctx context.Context, e taskvisor.Event) { f(ctx, e) }
