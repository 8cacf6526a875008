package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Brackets begin in the order of the subscribers, before TaskStarting, and end in
// reverse, before the terminal event; the body is inside them.
func TestBracketOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex // guards steps: the first TaskStarting is delivered by Add, the body may be running
		var steps []string
		step := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, fmt.Sprintf(format, args...))
		}
		opts := []taskvisor.Option{}
		for i := range 3 {
			opts = append(opts, taskvisor.WithSubscriber(&bracket{
				begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
					step("begin %d", i)
					return context.WithValue(ctx, i, a.Number)
				},
				end: func(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
					step("end %d", i)
					for k := range 3 { // each gets what its own BeginAttempt returned
						if got, want := ctx.Value(k) == a.Number, k <= i; got != want {
							t.Errorf("EndAttempt %d: value of %d there: %v", i, k, got)
						}
					}
				},
			}))
		}
		opts = append(opts, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskStarting || e.Kind == taskvisor.TaskStopped || e.Kind == taskvisor.TaskFailed {
				step("%s", e.Kind)
			}
		})))
		sup, _ := taskvisortest.Start(t, opts...)
		n := 0
		outcomeOf(t, addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			time.Sleep(time.Second)
			n++
			step("body")
			for k := range 3 {
				if ctx.Value(k) != n {
					t.Errorf("the body of attempt %d has the value %v of bracket %d", n, ctx.Value(k), k)
				}
			}
			if n == 1 {
				return errBoom
			}
			return nil
		})))
		attempt := "begin 0|begin 1|begin 2|task_starting|body|end 2|end 1|end 0|"
		if got, want := strings.Join(steps, "|"), attempt+"task_failed|"+attempt+"task_stopped"; got != want {
			t.Errorf("steps %s\nwant  %s", got, want)
		}
	})
}

// EndAttempt is called on every path, with the result as it was decided.
func TestEndAttemptOnEveryPath(t *testing.T) {
	script := taskvisortest.Script
	for _, tt := range []struct {
		name string
		body taskvisor.Func
		stop bool
		want taskvisor.ResultKind
		err  error
	}{
		{"success", script(taskvisortest.Succeed()), false, taskvisor.ResultSuccess, nil},
		{"failure", script(taskvisortest.Fail(errBoom)), false, taskvisor.ResultFailure, errBoom},
		{"panic", script(taskvisortest.Panic(errBoom)), false, taskvisor.ResultPanic, errBoom},
		{"Goexit", script(taskvisortest.Goexit()), false, taskvisor.ResultFailure, taskvisor.ErrGoexit},
		{"timeout", script(taskvisortest.Block()), false, taskvisor.ResultTimeout, taskvisor.ErrAttemptTimeout},
		{"fatal", script(taskvisortest.Fail(taskvisor.Fatal(errBoom))), false, taskvisor.ResultFatal, errBoom},
		{"canceled", script(taskvisortest.Fail(taskvisor.ErrCanceled)), false, taskvisor.ResultCanceled, taskvisor.ErrCanceled},
		{"stopped", idle, true, taskvisor.ResultCanceled, taskvisor.ErrRemoved},
		{"stopped, returns nil", untilStopped(func() error { return nil }), true, taskvisor.ResultSuccess, nil},
		{"abandoned", script(taskvisortest.Ignore(time.Minute)), true, taskvisor.ResultSuccess, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var got []taskvisor.Result
				watch := &bracket{end: func(_ context.Context, _ taskvisor.Attempt, r taskvisor.Result) { got = append(got, r) }}
				sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(watch))
				h := addTo(t, sup, taskvisor.Once("a", tt.body, taskvisor.WithTimeout(time.Hour), taskvisor.WithGrace(time.Second)))
				synctest.Wait()
				if tt.stop {
					h.Stop()
				}
				outcomeOf(t, h)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if len(got) != 1 || got[0].Kind != tt.want || !errors.Is(got[0].Err, tt.err) || (tt.err == nil) != (got[0].Err == nil) {
					t.Fatalf("results %+v", got)
				}
				for _, e := range rec.Events("a") {
					if e.Result != 0 && (e.Result != got[0].Kind || e.Err != got[0].Err || e.Duration != got[0].Duration) {
						t.Errorf("the event says %v, the bracket %+v", e, got[0])
					}
				}
				if want := map[bool]taskvisor.Reason{true: taskvisor.ErrRemoved}[tt.stop]; got[0].Reason != want || got[0].Retry || got[0].Aborted {
					t.Errorf("reason %v, retry %v", got[0].Reason, got[0].Retry)
				}
			})
		})
	}
}

// What a bracket is told of the attempt, and of what is planned.
func TestBracketDescriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var attempts []taskvisor.Attempt
		var results []taskvisor.Result
		watch := &bracket{
			begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
				attempts = append(attempts, a)
				return ctx
			},
			end: func(_ context.Context, _ taskvisor.Attempt, r taskvisor.Result) { results = append(results, r) },
		}
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("named"), taskvisor.WithMaxConcurrent(1), taskvisor.WithSubscriber(watch))
		work := func(s taskvisortest.Step) taskvisortest.Step { return taskvisortest.After(time.Second, s) }
		begun := time.Now()
		first := addTo(t, sup, taskvisor.Once("first", taskvisortest.Script(work(taskvisortest.Succeed()))))
		synctest.Wait()
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "slot", Admission: taskvisor.Coalesce, Task: taskvisor.Restartable("a",
			taskvisortest.Script(work(taskvisortest.Fail(errBoom)), work(taskvisortest.Panic(1)), work(taskvisortest.Succeed())),
			taskvisor.ConstantBackoff(5*time.Second), taskvisor.WithTimeout(time.Minute))})
		if err != nil {
			t.Fatal(err)
		}
		outcomeOf(t, h)
		outcomeOf(t, first)
		if len(attempts) != 4 || len(results) != 4 {
			t.Fatalf("%d attempts, %d results", len(attempts), len(results))
		}
		attempts, results = attempts[1:], results[1:]
		for i, want := range []taskvisor.Attempt{
			{Number: 1, PermitWait: time.Second, Started: begun.Add(time.Second)},
			{Number: 2, Streak: 1, Previous: taskvisor.ResultFailure, Delay: 5 * time.Second, Started: begun.Add(7 * time.Second)},
			{Number: 3, Streak: 2, Previous: taskvisor.ResultPanic, Delay: 5 * time.Second, Started: begun.Add(13 * time.Second)},
		} {
			a, r := attempts[i], results[i]
			if d, ok := a.Spec.Timeout(); d != time.Minute || !ok {
				t.Errorf("attempt %d: timeout %v", i+1, d)
			}
			if !a.Started.Equal(want.Started) {
				t.Errorf("attempt %d started at %v", i+1, a.Started.Sub(begun))
			}
			want.Supervisor, want.Task, want.TaskID, want.Slot, want.Admission = "named", "a", h.ID(), "slot", taskvisor.Coalesce
			a.Spec, want.Started = taskvisor.TaskSpec{}, a.Started
			if !alike(a, want) {
				t.Errorf("attempt %+v, want %+v", a, want)
			}
			if retry := i < 2; r.Retry != retry || r.Duration != time.Second || retry && r.Delay != 5*time.Second || !retry && r.Delay != 0 {
				t.Errorf("result %+v", r)
			}
		}
	})
}

// oddBracket runs one attempt between a good bracket and another around the one
// under test, and returns what the good ones were called with, the reports, and
// whether the body ran.
func oddBracket(t *testing.T, odd *bracket) (calls []string, reports []taskvisor.Event, trace string) {
	t.Helper()
	good := func(name string) taskvisor.Option {
		return taskvisor.WithSubscriber(&bracket{
			begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
				calls = append(calls, "begin "+name)
				return ctx
			},
			end: func(context.Context, taskvisor.Attempt, taskvisor.Result) { calls = append(calls, "end "+name) },
		})
	}
	sup, rec := taskvisortest.Start(t, good("outer"), taskvisor.WithSubscriber(odd, taskvisor.WithName("odd")), good("inner"))
	o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
		calls = append(calls, "body")
		if a, ok := taskvisor.FromContext(ctx); !ok || a.Task != "a" || ctx.Err() != nil {
			t.Errorf("the body's context is of no use: %v, %v", a, ctx.Err())
		}
		return nil
	})))
	if o.Kind != taskvisor.OutcomeCompleted {
		t.Errorf("outcome %+v", o)
	}
	for _, e := range rec.Events() {
		if e.Kind == taskvisor.SubscriberPanicked {
			reports = append(reports, e)
		}
	}
	return calls, reports, rec.Trace("a")
}

// Whatever a bracket does, the attempt runs, the others are called, and it is
// reported.
func TestOddBrackets(t *testing.T) {
	whole := []string{"begin outer", "begin inner", "body", "end inner", "end outer"}
	ends := 0
	end := func(context.Context, taskvisor.Attempt, taskvisor.Result) { ends++ }
	begin := func(f func(ctx context.Context) context.Context) *bracket {
		return &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context { return f(ctx) }, end: end}
	}
	for _, tt := range []struct {
		name string
		odd  *bracket
		ends int // calls of its own EndAttempt
		is   error
		says string
	}{
		{"panic in begin", begin(func(context.Context) context.Context { panic(errBoom) }), 0, errBoom, ""},
		{"panic in end", &bracket{end: func(context.Context, taskvisor.Attempt, taskvisor.Result) { ends++; panic(errBoom) }}, 1, errBoom, ""},
		{"Goexit in begin", begin(func(context.Context) context.Context { runtime.Goexit(); return nil }), 0, taskvisor.ErrGoexit, ""},
		{"Goexit in end", &bracket{end: func(context.Context, taskvisor.Attempt, taskvisor.Result) { ends++; runtime.Goexit() }}, 1, taskvisor.ErrGoexit, ""},
		{"nil context", begin(func(context.Context) context.Context { return nil }), 1, nil, "nil"},
		{"WithoutCancel", begin(context.WithoutCancel), 1, nil, "derived"},
		{"values without an end", begin(func(ctx context.Context) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), ownKey{}, "x")
		}), 1, nil, "derived"},
		{"foreign context", begin(func(context.Context) context.Context { return context.Background() }), 1, nil, "derived"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ends = 0
				calls, reports, trace := oddBracket(t, tt.odd)
				if !slices.Equal(calls, whole) || ends != tt.ends {
					t.Errorf("calls %q, %d of its own end, want %d", calls, ends, tt.ends)
				}
				if trace != "A S ✓ E D" {
					t.Errorf("trace %q", trace)
				}
				if len(reports) != 1 || reports[0].Subscriber != "odd" || tt.is != nil && !errors.Is(reports[0].Err, tt.is) || !strings.Contains(fmt.Sprint(reports[0].Err), tt.says) {
					t.Errorf("reports %v, want one with %v %q", reports, tt.is, tt.says)
				}
			})
		})
	}
}

// A context that the bracket cancels itself is the bracket's business; it ends
// the body, not the attempt's own context, and is an ordinary failure.
func TestBracketMayDeriveAnyContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(&bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(errBoom)
			return ctx
		}}))
		if o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", idle))); o.Kind != taskvisor.OutcomeFailed || o.Err != errBoom {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S ✗ E D")
	})
}

// Contexts are not compared: one of a type that cannot be is as good as any.
func TestBracketMayReturnAnUncomparableContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			return oddCtx{Context: context.WithValue(ctx, ownKey{}, "seen")}
		}}
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(b), taskvisor.WithSubscriber(noBracket{}))
		var got any
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error { got = ctx.Value(ownKey{}); return nil })))
		same(t, "value", got, any("seen"))
		if n := kindsOf(rec)[taskvisor.SubscriberPanicked]; n != 0 {
			t.Errorf("%d reports: %v", n, rec.Events(""))
		}
	})
}

// A queued subscriber may be a bracket too: its brackets are called on the
// attempt's goroutine, its events on its worker.
func TestQueuedSubscriberWithBrackets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &queuedBracket{}
		sup, rec := newSup(t, taskvisor.WithSubscriber(b))
		if err := sup.Run(context.Background(), taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()))); err != nil {
			t.Fatal(err)
		}
		if b.begun != 2 || b.ended != 2 || b.events != len(rec.Events()) {
			t.Errorf("%d begun, %d ended, %d of %d events", b.begun, b.ended, b.events, len(rec.Events()))
		}
	})
}

type queuedBracket struct{ begun, ended, events int }

func (b *queuedBracket) OnEvent(context.Context, taskvisor.Event) { b.events++ }

func (b *queuedBracket) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	b.begun++
	return ctx
}

func (b *queuedBracket) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) { b.ended++ }

// noBracket changes nothing.
type noBracket struct{}

func (noBracket) OnEvent(context.Context, taskvisor.Event)                              {}
func (noBracket) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context { return ctx }
func (noBracket) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result)       {}

// The recovery precedes the end of the attempt that brings it, with brackets and without.
func TestRecoveredBeforeStopped(t *testing.T) {
	for name, opts := range map[string][]taskvisor.Option{"none": nil, "brackets": {taskvisor.WithSubscriber(noBracket{})}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, opts...)
				h := addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed())))
				<-h.Done()
				synctest.Wait()
				var kinds []taskvisor.EventKind
				for _, e := range rec.Events("a") {
					if e.Attempt == 2 && (e.Kind == taskvisor.TaskRecovered || e.Kind == taskvisor.TaskStopped) {
						kinds = append(kinds, e.Kind)
					}
				}
				sameList(t, "events", kinds, []taskvisor.EventKind{taskvisor.TaskRecovered, taskvisor.TaskStopped})
			})
		})
	}
}
