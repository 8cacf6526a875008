package otelsub_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Tasks whose attempt may never end, and who counts as one.

func TestResidentTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		p := playInBubble(otelsub.New(otelsub.WithTracerProvider(provider)), taskvisor.Restartable("listener", noop))
		ctx, span := provider.Tracer("test").Start(p.ctx, "main")
		span.End()
		p.ctx = ctx
		noParent := func(ctx context.Context) {
			if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
				t.Errorf("the body has the span %s", sc.SpanID())
			}
		}
		p.run(3*time.Hour, fail, errBoom, noParent) // its failure begins a story
		p.run(time.Minute, fail, errBoom, noParent)
		p.next.Streak = 2
		p.run(72*time.Hour, fail, errBoom, noParent) // and this ends it: two days later is another
		p.next.Streak = 1
		p.run(time.Minute, taskvisor.ResultCanceled, nil, noParent)
		expectShape(t, recorder, `
			trace 1
			  #1 main 0s
			trace 2
			  #2 start listener 0s
			     -> submitter #1
			trace 3
			  #3 run listener 3h0m0s
			     -> start #2
			    #4 start listener 0s
			       -> previous_attempt #3
			    #5 run listener 1m0s
			       -> start #4
			    #6 start listener 0s
			       -> previous_attempt #5
			trace 4
			  #7 run listener 72h0m0s
			     -> start #6
			     -> previous_attempt #5
			    #8 start listener 0s
			       -> previous_attempt #7
			    #9 run listener 1m0s
			       -> start #8
		`)
	})
}

func TestModes(t *testing.T) {
	every := func(m otelsub.SpanMode) otelsub.Option {
		return otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return m })
	}
	defaults := every(otelsub.SpanDefault)
	always := taskvisor.RestartAlways(0)
	for _, c := range []struct {
		name string
		spec taskvisor.TaskSpec
		opt  otelsub.Option
		want int // spans
	}{
		{"once", taskvisor.Once("t", noop), defaults, 1},
		{"on failure", taskvisor.Restartable("t", noop), defaults, 2},
		{"on failure with a timeout", taskvisor.Restartable("t", noop, taskvisor.WithTimeout(1)), defaults, 1},
		{"always", taskvisor.Restartable("t", noop, always), defaults, 2},
		{"always with a timeout", taskvisor.Restartable("t", noop, always, taskvisor.WithTimeout(1)), defaults, 1},
		{"periodic", taskvisor.Periodic("t", 1, noop), defaults, 1},
		{"periodic as resident", taskvisor.Periodic("t", 1, noop), every(otelsub.SpanStartEnd), 2},
		{"resident as bounded", taskvisor.Restartable("t", noop), every(otelsub.SpanAttempt), 1},
		{"none", taskvisor.Once("t", noop), every(otelsub.SpanNone), 0},
		{"unknown mode", taskvisor.Once("t", noop), every(200), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			provider, recorder := tracing()
			play(otelsub.New(otelsub.WithTracerProvider(provider), c.opt), c.spec).attempt(taskvisor.ResultSuccess, nil)
			if n := len(recorder.Ended()); n != c.want {
				t.Errorf("%d spans, want %d:\n%s", n, c.want, draw(t, recorder))
			}
		})
	}
}
