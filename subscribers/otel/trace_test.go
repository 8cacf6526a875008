package otelsub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The shapes of traces: what is whose parent, and what links to what.

var errBoom = errors.New("boom")

var traceShapes = []struct {
	name  string
	opts  []otelsub.Option
	task  []taskvisor.TaskOption
	steps []step
	want  string
}{
	{
		name:  "every success begins a trace",
		steps: []step{ok(), ok()},
		want: `
			trace 1
			  #1 run job 1s
			trace 2
			  #2 run job 1s
			     -> previous_attempt #1
		`,
	}, {
		name:  "a streak of failures is one trace, up to its recovery",
		steps: []step{fail(errBoom), fail(errBoom), ok(), ok()},
		want: `
			trace 1
			  #1 run job 1s
			    #2 run job 1s
			       -> previous_attempt #1
			    #3 run job 1s
			       -> previous_attempt #2
			trace 2
			  #4 run job 1s
			     -> previous_attempt #3
		`,
	}, {
		name:  "without retry traces",
		opts:  []otelsub.Option{otelsub.WithoutRetryTraces()},
		steps: []step{fail(errBoom), ok()},
		want: `
			trace 1
			  #1 run job 1s
			trace 2
			  #2 run job 1s
			     -> previous_attempt #1
		`,
	}, {
		name:  "a long run that fails is the first of a new streak",
		steps: []step{fail(errBoom), fail(errBoom).lasting(20 * time.Minute), ok()},
		want: `
			trace 1
			  #1 run job 1s
			    #2 run job 20m0s
			       -> previous_attempt #1
			      #3 run job 1s
			         -> previous_attempt #2
		`,
	}, {
		name:  "an hour is enough for a trace",
		steps: []step{fail(errBoom), fail(taskvisor.RetryAfter(time.Hour, errBoom)), fail(errBoom), ok()},
		want: `
			trace 1
			  #1 run job 1s
			    #2 run job 1s
			       -> previous_attempt #1
			trace 2
			  #3 run job 1s
			     -> previous_attempt #2
			     -> previous_trace #1
			    #4 run job 1s
			       -> previous_attempt #3
		`,
	}, {
		name:  "a kind",
		task:  []taskvisor.TaskOption{taskvisor.WithKind("import")},
		steps: []step{ok()},
		want: `
			trace 1
			  #1 run import 1s
		`,
	}, {
		name:  "a name of its own",
		opts:  []otelsub.Option{otelsub.WithSpanName(func(s taskvisor.TaskSpec) string { return "task/" + s.Name() })},
		steps: []step{ok()},
		want: `
			trace 1
			  #1 task/job 1s
		`,
	}, {
		name:  "none",
		opts:  []otelsub.Option{otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return otelsub.SpanNone })},
		steps: []step{ok(), fail(errBoom)},
		want:  "",
	},
}

func TestTraceShapes(t *testing.T) {
	for _, c := range traceShapes {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, c.opts, nil, func(r *rig) {
				h := r.add(context.Background(), bounded(steps(c.steps...), c.task...))
				r.after(h, len(c.steps))
				if c.want != "" {
					expectShape(t, r.spans, c.want)
				} else if n := len(r.spans.Started()); n > 0 {
					t.Errorf("%d spans", n)
				}
			})
		})
	}
}

// TestTracesAreBounded: a failure that never ends makes traces of 32 attempts,
// each linked to the one before.
func TestTracesAreBounded(t *testing.T) {
	for name, opts := range map[string][]otelsub.Option{"": nil, "caller": {otelsub.WithCallerAsParent()}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, opts, nil, func(r *rig) {
				h := r.add(r.request(), bounded(func(context.Context) error { return errBoom }))
				r.after(h, 100)
				sizes := make(map[trace.TraceID]int)
				var order []trace.TraceID
				for _, s := range r.spans.Ended() {
					id := s.SpanContext().TraceID()
					if s.Name() != "run job" {
						continue
					}
					if sizes[id] == 0 {
						order = append(order, id)
						if n := len(order); n > 1 && s.Links()[0].SpanContext.TraceID() != order[n-2] {
							t.Errorf("trace %d is not linked to the one before", n)
						}
					}
					sizes[id]++
				}
				for i, id := range order {
					if want := min(32, 100-32*i); sizes[id] != want {
						t.Errorf("trace %d has %d attempts, want %d", i+1, sizes[id], want)
					}
				}
				if len(order) != 4 {
					t.Errorf("%d traces", len(order))
				}
			})
		})
	}
}

// TestCallersTraceIsBounded: a periodic task with a parent would otherwise fill
// the trace of the request that added it for ever.
func TestCallersTraceIsBounded(t *testing.T) {
	inRig(t, []otelsub.Option{otelsub.WithCallerAsParent()}, nil, func(r *rig) {
		n := 0
		h := r.add(r.request(), bounded(func(context.Context) error {
			if n++; n%3 == 1 {
				return errBoom
			}
			return nil
		}))
		r.after(h, 100)
		callers := r.spans.Ended()[0].SpanContext().TraceID()
		inside := 0
		for _, s := range r.spans.Ended() {
			if s.SpanContext().TraceID() == callers && s.Name() == "run job" {
				inside++
			}
		}
		if inside != 32 {
			t.Errorf("%d attempts in the caller's trace", inside)
		}
	})
}

func TestCaller(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []otelsub.Option
		want string
	}{
		{
			name: "is linked",
			want: `
				trace 1
				  #1 request 0s
				trace 2
				  #2 run job 1s
				     -> submitter #1
				    #3 run job 1s
				       -> previous_attempt #2
				trace 3
				  #4 run job 1s
				     -> previous_attempt #3
				     -> submitter #1
			`,
		}, {
			name: "is the parent if asked",
			opts: []otelsub.Option{otelsub.WithCallerAsParent()},
			want: `
				trace 1
				  #1 request 0s
				    #2 run job 1s
				      #3 run job 1s
				         -> previous_attempt #2
				    #4 run job 1s
				       -> previous_attempt #3
			`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, c.opts, nil, func(r *rig) {
				r.after(r.add(r.request(), bounded(steps(fail(errBoom), ok(), ok()))), 3)
				expectShape(t, r.spans, c.want)
			})
		})
	}
}

// TestReplaceLinksToTheDisplaced: a body, a waiting owner and one that was
// released while it still ran.
func TestReplaceLinksToTheDisplaced(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		submit := func(name string, fn taskvisor.Func, opts ...taskvisor.TaskOption) {
			r.submit(taskvisor.Periodic(name, time.Hour, fn, opts...), taskvisor.Replace)
			time.Sleep(time.Second)
		}
		submit("running", steps())
		submit("waiting", steps(step{}))
		submit("deaf", steps(step{took: time.Minute}), taskvisor.WithGrace(0), taskvisor.WithReleaseOnAbandon())
		submit("last", steps(step{}, step{}))
		time.Sleep(time.Hour)
		expectShape(t, r.spans, `
			trace 1
			  #1 run running 1s
			trace 2
			  #2 run waiting 0s
			     -> replaced_task #1
			trace 3
			  #3 run deaf 1s
			     * taskvisor.attempt.abandoned
			     -> replaced_task #2
			trace 4
			  #4 run last 0s
			     -> replaced_task #3
			trace 5
			  #5 return deaf 59s
			     -> abandoned_attempt #3
			trace 6
			  #6 run last 0s
			     -> previous_attempt #4
		`)
	})
}

// TestReplacedMemoryIsBounded: newcomers that never begin fetch nothing.
func TestReplacedMemoryIsBounded(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		var last *taskvisor.Handle
		for i := range 1500 {
			slot := taskvisor.Submission{Task: taskvisor.Restartable(name("owner", i), steps(), taskvisor.WithTimeout(time.Hour)), Slot: name("slot", i)}
			if _, err := r.sup.Submit(r.Context(), slot); err != nil {
				t.Fatal(err)
			}
			slot.Task = taskvisor.Restartable(name("newcomer", i), steps(), taskvisor.WithStartPaused())
			slot.Admission = taskvisor.Replace
			time.Sleep(time.Millisecond) // the owner has begun
			h, err := r.sup.Submit(r.Context(), slot)
			if err != nil {
				t.Fatal(err)
			}
			last = h
		}
		time.Sleep(time.Second)
		if n := r.sub.Replaced(); n != 1024 {
			t.Errorf("%d displaced owners are remembered", n)
		}
		last.Resume(nil)
		time.Sleep(time.Second)
		if n := r.sub.Replaced(); n != 1023 {
			t.Errorf("%d displaced owners are remembered after a newcomer began", n)
		}
	})
}

// slowToBegin is a bracket that holds every attempt for a minute.
type slowToBegin struct{}

func (slowToBegin) OnEvent(context.Context, taskvisor.Event) {}

func (slowToBegin) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	time.Sleep(time.Minute)
	return ctx
}

func (slowToBegin) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// TestOwnersAreForgotten: the owner of a slot is remembered while it lives, whatever
// becomes of it, also if its task is gone before its attempt has begun.
func TestOwnersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, _ := tracing()
		sub := otelsub.New(otelsub.WithTracerProvider(provider))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(slowToBegin{}, taskvisor.Inline()), taskvisor.WithSubscriber(sub))
		submit := func(of string, opts ...taskvisor.TaskOption) *taskvisor.Handle {
			h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: of, Task: taskvisor.Restartable(of, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			}, opts...)})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		lives, early := submit("lives"), submit("early", taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon())
		time.Sleep(30 * time.Second)
		early.Stop()
		time.Sleep(2 * time.Second)
		if o, ok := early.Outcome(); !ok || o.Kind != taskvisor.OutcomeAbandoned || o.Attempts != 0 {
			t.Errorf("early: %+v", o)
		}
		time.Sleep(time.Minute)
		if n := sub.Owners(); n != 1 {
			t.Errorf("%d owners are remembered, one lives", n)
		}
		lives.Stop()
		time.Sleep(time.Minute)
		if n := sub.Owners(); n != 0 {
			t.Errorf("%d owners are remembered, none lives", n)
		}
	})
}

// TestUnsampledIsNotLinked: a link to a span that nobody kept leads nowhere.
// Its children are not sampled either, as the parent's decision holds.
func TestUnsampledIsNotLinked(t *testing.T) {
	provider, recorder := tracing(sdktrace.WithSampler(sdktrace.ParentBased(&alternating{})))
	inRig(t, []otelsub.Option{otelsub.WithTracerProvider(provider)}, nil, func(r *rig) {
		r.provider = provider
		ctx := r.request()                                                      // not sampled
		r.after(r.add(ctx, bounded(steps(ok(), fail(errBoom), ok(), ok()))), 4) // sampled, not, hence neither, sampled
		expectShape(t, recorder, `
			trace 1
			  #1 run job 1s
			trace 2
			  #2 run job 1s
		`)
	})
}

// alternating samples every other root, beginning with the second.
type alternating struct{ n int }

func (s *alternating) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.n++
	if s.n%2 == 0 {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (s *alternating) Description() string { return "alternating" }
