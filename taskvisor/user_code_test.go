package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// oddCtx is a context of the user's, one of whose methods does something odd.
type oddCtx struct {
	context.Context
	value, done, err func()
}

func (c oddCtx) Value(key any) any     { call(c.value); return c.Context.Value(key) }
func (c oddCtx) Done() <-chan struct{} { call(c.done); return c.Context.Done() }
func (c oddCtx) Err() error            { call(c.err); return c.Context.Err() }

// oddGate is a gate, one of whose methods does something odd.
type oddGate struct{ enter, leave, text func() }

func (g oddGate) Enter(taskvisor.Attempt, func()) bool { call(g.enter); return true }
func (g oddGate) Leave(taskvisor.Attempt)              { call(g.leave) }
func (g oddGate) String() string                       { call(g.text); return "odd" }

// Code of the user's that the supervisor calls, beside bodies and subscribers, may
// panic or end its goroutine: a call may fail by it, and is then refused; nothing is
// left half done, and the supervisor goes on and can be shut down.
func TestUserCodeIsContained(t *testing.T) {
	background := context.Background()
	add := func(ctx context.Context, sup *taskvisor.Supervisor, opts ...taskvisor.TaskOption) {
		sup.Add(ctx, taskvisor.Restartable("odd", untilDone, opts...))
	}
	for name, odd := range map[string]func(sup *taskvisor.Supervisor, act func()){
		"Value of a context": func(sup *taskvisor.Supervisor, act func()) { add(oddCtx{Context: background, value: act}, sup) },
		"Done of a context":  func(sup *taskvisor.Supervisor, act func()) { add(oddCtx{Context: background, done: act}, sup) },
		"Err of a context":   func(sup *taskvisor.Supervisor, act func()) { add(oddCtx{Context: background, err: act}, sup) },
		"a submission's context": func(sup *taskvisor.Supervisor, act func()) {
			sup.Submit(oddCtx{Context: background, value: act}, taskvisor.Submission{Slot: "s", Task: taskvisor.Once("odd", untilDone)})
		},
		"a later Value of a context": func(sup *taskvisor.Supervisor, act func()) {
			calls := 0
			add(oddCtx{Context: background, value: func() {
				if calls++; calls > 3 {
					act()
				}
			}}, sup)
		},
		"the context of Wait": func(sup *taskvisor.Supervisor, act func()) {
			h, err := sup.Add(background, taskvisor.Once("odd", untilDone))
			if err == nil {
				h.Wait(oddCtx{Context: background, value: act, done: act})
			}
		},
		"a schedule": func(sup *taskvisor.Supervisor, act func()) {
			sup.Add(background, taskvisor.Scheduled("odd", func(time.Time) time.Time { act(); return time.Time{} }, idle))
		},
		"a schedule, later": func(sup *taskvisor.Supervisor, act func()) {
			n := 0
			sup.Add(background, taskvisor.Scheduled("odd", func(prev time.Time) time.Time {
				if n++; n > 2 {
					act()
				}
				return prev.Add(time.Minute)
			}, func(context.Context) error { return nil }))
		},
		"Enter of a gate": func(sup *taskvisor.Supervisor, act func()) {
			add(background, sup, taskvisor.WithGate(oddGate{enter: act}))
		},
		"Leave of a gate": func(sup *taskvisor.Supervisor, act func()) {
			add(background, sup, taskvisor.WithGate(oddGate{leave: act}))
		},
		"String of a gate": func(sup *taskvisor.Supervisor, act func()) {
			add(background, sup, taskvisor.WithGate(oddGate{text: act}))
		},
		"the cause of a stop": func(sup *taskvisor.Supervisor, act func()) {
			h, err := sup.Add(background, taskvisor.Restartable("odd", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }))
			if err == nil {
				synctest.Wait()
				h.StopFor(&unruly{act, act, act, act, act})
			}
		},
		"the cause of a stop that nobody returns": func(sup *taskvisor.Supervisor, act func()) {
			h, err := sup.Add(background, taskvisor.Restartable("odd", func(ctx context.Context) error { <-ctx.Done(); return nil }))
			if err == nil {
				synctest.Wait()
				h.StopFor(&unruly{act, act, act, act, act})
			}
		},
		"the cause of a stop at a gate": func(sup *taskvisor.Supervisor, act func()) {
			h, err := sup.Add(background, taskvisor.Restartable("odd", idle, taskvisor.WithGate(taskvisor.NewLimit("shut", 0))))
			if err == nil {
				h.StopFor(&unruly{act, act, act, act, act})
			}
		},
		"the cause of an interruption": func(sup *taskvisor.Supervisor, act func()) {
			h, err := sup.Add(background, taskvisor.Restartable("odd", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }))
			if err == nil {
				synctest.Wait()
				h.Interrupt(&unruly{act, act, act, act, act})
			}
		},
		"an error": func(sup *taskvisor.Supervisor, act func()) {
			sup.Add(background, taskvisor.Once("odd", func(context.Context) error { return &unruly{act, act, act, act, act} }))
		},
		"a panic's value": func(sup *taskvisor.Supervisor, act func()) {
			sup.Add(background, taskvisor.Once("odd", func(context.Context) error { panic(&unruly{act, act, act, act, act}) }))
		},
		"the cause of an inner shutdown": func(sup *taskvisor.Supervisor, act func()) {
			inner, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
			if err != nil {
				panic(err)
			}
			ctx, cancel := context.WithCancelCause(background)
			inner.Start(ctx)
			inner.Add(background, taskvisor.Once("inside", untilDone))
			synctest.Wait()
			cancel(&unruly{act, act, act, act, act})
			<-inner.Done()
		},
		"the context of Start, when it ends": func(sup *taskvisor.Supervisor, act func()) {
			inner, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
			if err != nil {
				panic(err)
			}
			ctx, cancel := context.WithCancel(background)
			inner.Start(oddCtx{Context: ctx, value: func() {
				if ctx.Err() != nil {
					act()
				}
			}})
			cancel()
			<-inner.Done()
		},
		"the context of Run": func(sup *taskvisor.Supervisor, act func()) {
			for _, ctx := range []context.Context{oddCtx{Context: background, value: act}, oddCtx{Context: background, done: act}, oddCtx{Context: background, err: act}} {
				inner, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
				if err != nil {
					panic(err)
				}
				defer inner.Shutdown(background) // it can be shut down, whatever became of Run
				inner.Run(ctx, taskvisor.Once("inside", untilDone))
			}
		},
	} {
		for how, act := range map[string]func(){"panic": func() { panic("odd") }, "Goexit": runtime.Goexit} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					sup, _ := taskvisortest.Start(t)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { recover() }()
						odd(sup, act)
					}()
					time.Sleep(10 * time.Minute)
					if h, ok := sup.Lookup("odd"); ok {
						h.Stop()
						time.Sleep(time.Minute)
					}
					select {
					case <-ended:
					default:
						t.Error("a call hangs")
					}
					if left := sup.List(); len(left) != 0 {
						t.Errorf("left: %+v", left)
					}
					o := outcomeOf(t, addTo(t, sup, taskvisor.Once("odd", func(context.Context) error { return nil })))
					same(t, "outcome of the next", o.Kind, taskvisor.OutcomeCompleted)
					synctest.Wait()
					checkConservation(t, sup.Snapshot())
					before := time.Now()
					if err := sup.Shutdown(background); err != nil || time.Since(before) != 0 {
						t.Errorf("Shutdown: %v after %v", err, time.Since(before))
					}
				})
			})
		}
	}
}

// What a context of the user's panics with is the error of the call that it was given to.
func TestCallsFailByTheirContext(t *testing.T) {
	odd := func() { panic(errBoom) }
	for _, ctx := range []context.Context{oddCtx{Context: context.Background(), value: odd}, oddCtx{Context: context.Background(), err: odd}} {
		callsFail(t, ctx)
	}
}

func callsFail(t *testing.T, ctx context.Context) {
	t.Helper()
	spec := taskvisor.Once("a", noWork)
	for name, call := range map[string]func(*taskvisor.Supervisor) error{
		"Add":    func(sup *taskvisor.Supervisor) error { _, err := sup.Add(ctx, spec); return err },
		"AddAll": func(sup *taskvisor.Supervisor) error { _, err := sup.AddAll(ctx, spec); return err },
		"Submit": func(sup *taskvisor.Supervisor) error {
			_, err := sup.Submit(ctx, taskvisor.Submission{Task: spec})
			return err
		},
		"Start": func(sup *taskvisor.Supervisor) error { return sup.Start(ctx) },
		"Run":   func(sup *taskvisor.Supervisor) error { return sup.Run(ctx, spec) },
	} {
		sup, rec := newSup(t)
		err := call(sup)
		var p *taskvisor.PanicError
		if !errors.As(err, &p) || !errors.Is(err, errBoom) {
			t.Errorf("%s: %v", name, err)
		}
		if st := sup.Snapshot(); st.State != taskvisor.SupervisorNew || st.Added != 0 || len(rec.Events()) != 0 {
			t.Errorf("%s leaves %v, %d added, %v", name, st.State, st.Added, rec.Events())
		}
	}
}
