package otelsub_test

import (
	"context"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// unseen gives tasks called "child" no spans.
var unseen = otelsub.WithSpanFor(func(s taskvisor.TaskSpec) otelsub.SpanMode {
	if s.Name() == "child" {
		return otelsub.SpanNone
	}
	return otelsub.SpanDefault
})

// TestChildWithoutASpan: a task that an attempt adds with its context, or runs in a
// supervisor of its own, has nothing to do with the attempt's spans: it neither ends them
// nor passes for them.
func TestChildWithoutASpan(t *testing.T) {
	add := func(r *rig, ctx context.Context, child taskvisor.TaskSpec) {
		_, _ = r.add(ctx, child).Wait(ctx)
	}
	run := func(own ...*otelsub.Subscriber) func(*rig, context.Context, taskvisor.TaskSpec) {
		return func(r *rig, ctx context.Context, child taskvisor.TaskSpec) {
			inner, err := taskvisor.New(taskvisor.WithName("inner"), taskvisor.WithSubscriber(append(own, r.sub)[0]))
			if err != nil {
				r.Error(err)
				return
			}
			if err := inner.Run(ctx, child); err == nil {
				r.Error("the child has not failed")
			}
		}
	}
	for name, do := range map[string]func(*rig, context.Context, taskvisor.TaskSpec){
		"added": add, "inner supervisor": run(), "of another subscriber": run(otelsub.New(unseen)),
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, []otelsub.Option{unseen}, nil, func(r *rig) {
				parent := func(ctx context.Context) error {
					do(r, ctx, taskvisor.Once("child", func(ctx context.Context) error {
						if got := otelsub.TraceLabels(ctx); got != nil {
							t.Errorf("the child has the labels %v", got)
						}
						return taskvisor.Fatal(errBoom)
					}))
					time.Sleep(time.Second)
					return nil
				}
				r.add(t.Context(), taskvisor.Once("bounded", parent))
				time.Sleep(time.Minute)
				r.add(t.Context(), taskvisor.Restartable("resident", parent))
				time.Sleep(time.Minute)
				expect(t, r.spans, `
					trace 1
					  #1 run bounded 1s | attempt.number=1 attempt.result=success
					trace 2
					  #2 start resident 0s | attempt.number=1
					trace 3
					  #3 run resident 1s | attempt.number=1 attempt.result=success
					     -> start #2
				`)
			})
		})
	}
}
