package otelsub_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
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

// TestChildWithoutALease: what a leader adds with its context does not run under the
// leader's lease, and leaves no note there.
func TestChildWithoutALease(t *testing.T) {
	for order, ownerFirst := range map[string]bool{"owner first": true, "owner behind": false} {
		t.Run(order, func(t *testing.T) {
			inReplicas(t, ownerFirst, sdktrace.AlwaysSample(), func(_ *leasetest.Memory, a, b *replica) {
				child := func(ctx context.Context) error {
					if token, ok := lease.Token(ctx); ok {
						t.Errorf("the child has the token %d", token)
					}
					return nil
				}
				inner, err := taskvisor.New(taskvisor.WithName("inner"), taskvisor.WithSubscriber(a.sub))
				if err != nil {
					t.Fatal(err)
				}
				a.add(context.Background(), taskvisor.Once("job", func(ctx context.Context) error {
					a.add(ctx, taskvisor.Once("bounded", child))
					a.add(ctx, taskvisor.Restartable("resident", child))
					_ = inner.Run(ctx, taskvisor.Once("inside", func(context.Context) error { return nil }))
					<-ctx.Done()
					return nil
				}, a.owner.Singleton("job")))
				time.Sleep(time.Second / 2)
				b.add(context.Background(), taskvisor.Once("job", steps(ok()), b.owner.Singleton("job")))
				time.Sleep(time.Second)
				a.conn.Cut(true) // and never heard of again
				time.Sleep(3 * leaseTTL)
				synctest.Wait()
				for _, name := range []string{"run bounded", "start resident", "run resident"} {
					without(a.T, spansOf(a.spans, "a", name))
				}
				without(a.T, spansOf(a.spans, "inner", "run inside"))
				leader, next := spansOf(a.spans, "a", "run job"), spansOf(b.spans, "b", "run job")
				if len(leader) != 1 || len(next) != 1 {
					a.Fatalf("%d and %d spans", len(leader), len(next))
				}
				if got := previousOwner(next[0]); len(got) != 1 || got[0].SpanID() != leader[0].SpanContext().SpanID() {
					t.Errorf("linked to %v, want the leader's %s", got, leader[0].SpanContext().SpanID())
				}
			})
		})
	}
}

// without demands a span, and that it says nothing of a lease.
func without(t *testing.T, spans []sdktrace.ReadOnlySpan) {
	t.Helper()
	if len(spans) != 1 {
		t.Errorf("%d spans", len(spans))
		return
	}
	for _, a := range spans[0].Attributes() {
		if a.Key == "taskvisor.lease.token" || a.Key == "taskvisor.lease.wait" {
			t.Errorf("%s has %s=%d", spans[0].Name(), a.Key, a.Value.AsInt64())
		}
	}
}
