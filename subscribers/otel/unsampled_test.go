package otelsub_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Most attempts of a busy service are not sampled: what they cost is what tracing costs.

// An attempt that is not sampled takes two things more from the heap than the same span
// that a body begins and ends itself: what is known of it, and the context that has that.
func TestUnsampledAttemptAllocatesLittle(t *testing.T) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	tracer, ctx := provider.Tracer("test"), context.Background()
	a := capture(t, timed)
	byHand := testing.AllocsPerRun(1000, func() {
		a.Number++
		_, span := tracer.Start(ctx, "run job", trace.WithAttributes(
			attribute.String("supervisor", a.Supervisor), attribute.String("task", a.Task), attribute.Int("id", int(a.TaskID)),
			attribute.Int("number", a.Number), attribute.Float64("delay", a.Delay.Seconds())))
		span.End()
	})
	sub := otelsub.New(otelsub.WithTracerProvider(provider))
	ours := testing.AllocsPerRun(1000, func() {
		a.Number++
		sub.EndAttempt(sub.BeginAttempt(ctx, a), a, taskvisor.Result{Kind: taskvisor.ResultSuccess})
	})
	if ours > byHand+2 {
		t.Errorf("%v allocations, by hand %v", ours, byHand)
	}
}
