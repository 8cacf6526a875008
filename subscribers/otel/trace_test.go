package otelsub_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The shapes of traces: what is whose parent, and what links to what.

const (
	ok   = taskvisor.ResultSuccess
	fail = taskvisor.ResultFailure
)

var traceShapes = []struct {
	name string
	opts []otelsub.Option
	play func(p *player)
	want string
}{
	{
		name: "every success begins a trace",
		play: func(p *player) { p.attempt(ok, nil); p.attempt(ok, nil) },
		want: `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=success
			trace 2
			  #2 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=success
			     -> previous_attempt #1
		`,
	}, {
		name: "a streak of failures is one trace, up to its recovery",
		play: func(p *player) {
			p.attempt(fail, errBoom)
			p.attempt(fail, errBoom)
			p.attempt(ok, nil)
			p.attempt(ok, nil)
		},
		want: `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"
			    #2 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"
			       -> previous_attempt #1
			    #3 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=success
			       -> previous_attempt #2
			trace 2
			  #4 run job 1s | attempt.number=4 attempt.delay=2 attempt.outcome=success
			     -> previous_attempt #3
		`,
	}, {
		name: "without retry traces",
		opts: []otelsub.Option{otelsub.WithoutRetryTraces()},
		play: func(p *player) { p.attempt(fail, nil); p.attempt(ok, nil) },
		want: `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			trace 2
			  #2 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=success
			     -> previous_attempt #1
		`,
	}, {
		name: "a long run that fails is the first of a new streak",
		play: func(p *player) {
			p.attempt(fail, nil)
			p.next.Streak = 1
			p.run(20*time.Minute, fail, nil, nil)
			p.next.Streak = 1 // not 2: the streak was reset
			p.attempt(ok, nil)
		},
		want: `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			    #2 run job 20m0s | attempt.number=2 attempt.delay=2 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			       -> previous_attempt #1
			      #3 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=success
			         -> previous_attempt #2
		`,
	}, {
		name: "an hour is enough for a trace",
		play: func(p *player) {
			p.attempt(fail, nil)
			p.attempt(fail, nil)
			p.wait(time.Hour)
			p.attempt(fail, nil)
			p.attempt(ok, nil)
		},
		want: `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			    #2 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			       -> previous_attempt #1
			trace 2
			  #3 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
			     -> previous_attempt #2
			     -> previous_trace #1
			    #4 run job 1s | attempt.number=4 attempt.delay=2 attempt.outcome=success
			       -> previous_attempt #3
		`,
	}, {
		name: "the body's spans nest",
		play: func(p *player) {
			p.run(time.Second, ok, nil, func(ctx context.Context) {
				span := trace.SpanFromContext(ctx)
				_, inner := span.TracerProvider().Tracer("body").Start(ctx, "query")
				p.wait(time.Millisecond)
				inner.End()
			})
		},
		want: `
			trace 1
			  #1 run job 1.001s | attempt.number=1 attempt.outcome=success
			    #2 query 1ms
		`,
	}, {
		name: "a name of its own",
		opts: []otelsub.Option{otelsub.WithSpanName(func(s taskvisor.TaskSpec) string { return "task/" + s.Name() })},
		play: func(p *player) { p.attempt(ok, nil) },
		want: `
			trace 1
			  #1 task/job 1s | attempt.number=1 attempt.outcome=success
		`,
	}, {
		name: "none",
		opts: []otelsub.Option{otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return otelsub.SpanNone })},
		play: func(p *player) { p.attempt(ok, nil); p.attempt(fail, nil) },
		want: ``,
	},
}

func TestTraceShapes(t *testing.T) {
	for _, c := range traceShapes {
		t.Run(c.name, inBubble(func(t *testing.T) {
			provider, recorder := tracing()
			p := playInBubble(otelsub.New(append(c.opts, otelsub.WithTracerProvider(provider))...), bounded())
			c.play(p)
			if c.want == "" {
				if got := draw(t, recorder); got != "" {
					t.Errorf("spans: %s", got)
				}
				return
			}
			expect(t, recorder, c.want)
		}))
	}
}

// TestTracesAreBounded: a failure that never ends makes traces of 32 attempts,
// each linked to the one before.
func TestTracesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, caller := range []bool{false, true} {
			provider, recorder := tracing()
			opts := []otelsub.Option{otelsub.WithTracerProvider(provider)}
			if caller {
				opts = append(opts, otelsub.WithCallerAsParent())
			}
			p := playInBubble(otelsub.New(opts...), bounded())
			if caller {
				ctx, span := provider.Tracer("test").Start(p.ctx, "request")
				span.End()
				p.ctx = ctx
			}
			for range 100 {
				p.attempt(taskvisor.ResultFailure, errBoom)
			}
			sizes := make(map[trace.TraceID]int)
			var order []trace.TraceID
			for _, s := range recorder.Ended() {
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
					t.Errorf("caller %t: trace %d has %d attempts, want %d", caller, i+1, sizes[id], want)
				}
			}
		}
	})
}

// TestCallersTraceIsBounded: a periodic task with a parent would otherwise fill
// the trace of the request that added it for ever.
func TestCallersTraceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		p := playInBubble(otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithCallerAsParent()), bounded())
		ctx, span := provider.Tracer("test").Start(p.ctx, "request")
		span.End()
		p.ctx = ctx
		for i := range 100 {
			kind := taskvisor.ResultSuccess
			if i%3 == 0 {
				kind = taskvisor.ResultFailure
			}
			p.attempt(kind, nil)
		}
		inside := 0
		for _, s := range recorder.Ended() {
			if s.SpanContext().TraceID() == span.SpanContext().TraceID() && s.Name() == "run job" {
				inside++
				continue
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
				  #1 request 1s
				trace 2
				  #2 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
				     -> submitter #1
				    #3 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=success
				       -> previous_attempt #2
				trace 3
				  #4 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=success
				     -> previous_attempt #3
				     -> submitter #1
			`,
		}, {
			name: "is the parent if asked",
			opts: []otelsub.Option{otelsub.WithCallerAsParent()},
			want: `
				trace 1
				  #1 request 1s
				    #2 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""
				      #3 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=success
				         -> previous_attempt #2
				    #4 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=success
				       -> previous_attempt #3
			`,
		},
	} {
		t.Run(c.name, inBubble(func(t *testing.T) {
			provider, recorder := tracing()
			p := playInBubble(otelsub.New(append(c.opts, otelsub.WithTracerProvider(provider))...), bounded())
			ctx, span := provider.Tracer("test").Start(p.ctx, "request")
			p.wait(time.Second)
			span.End()
			p.ctx = ctx
			p.attempt(taskvisor.ResultFailure, nil)
			p.attempt(taskvisor.ResultSuccess, nil)
			p.attempt(taskvisor.ResultSuccess, nil)
			expect(t, recorder, c.want)
		}))
	}
}

// TestReplacedTask: the newcomer is linked to the owner that it displaced,
// whether that is still known or already removed.
func TestReplacedTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, removed := range []bool{false, true} {
			provider, recorder := tracing()
			sub := otelsub.New(otelsub.WithTracerProvider(provider))
			owner := playInBubble(sub, taskvisor.Once("job", noop))
			owner.attempt(taskvisor.ResultSuccess, nil)
			if removed {
				owner.event(taskvisor.TaskRemoved, taskvisor.ErrReplaced)
			}
			newcomer := playInBubble(sub, taskvisor.Once("job", noop))
			newcomer.next.TaskID, newcomer.next.Replaced = 8, 7
			newcomer.attempt(taskvisor.ResultSuccess, nil)
			expect(t, recorder, `
				trace 1
				  #1 run job 1s | attempt.number=1 attempt.outcome=success
				trace 2
				  #2 run job 1s | attempt.number=1 attempt.outcome=success
				     -> replaced_task #1
			`)
		}
	})
}

// TestUnsampledIsNotLinked: a link to a span that nobody kept leads nowhere.
// Its children are not sampled either, as the parent's decision holds.
func TestUnsampledIsNotLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing(sdktrace.WithSampler(sdktrace.ParentBased(&alternating{})))
		p := playInBubble(otelsub.New(otelsub.WithTracerProvider(provider)), bounded())
		ctx, span := provider.Tracer("test").Start(p.ctx, "request") // not sampled
		span.End()
		p.ctx = ctx
		p.attempt(taskvisor.ResultSuccess, nil) // sampled
		p.attempt(taskvisor.ResultFailure, nil) // not sampled
		p.attempt(taskvisor.ResultSuccess, nil) // hence neither
		p.attempt(taskvisor.ResultSuccess, nil) // sampled
		expect(t, recorder, `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=success
			trace 2
			  #2 run job 1s | attempt.number=4 attempt.delay=2 attempt.outcome=success
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
