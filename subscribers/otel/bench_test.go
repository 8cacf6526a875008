package otelsub_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkAttempt is what a subscriber adds to one attempt of a periodic task
// that succeeds. SDKAlone is the least that a sampled span of this kind can
// cost: eight attributes, one link, nothing else.
func BenchmarkAttempt(b *testing.B) {
	sampled := sdktrace.NewTracerProvider()
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	for _, c := range []struct {
		name string
		opts []otelsub.Option
	}{
		{"Noop", []otelsub.Option{otelsub.WithTracerProvider(tracenoop.NewTracerProvider())}},
		{"GlobalDefault", nil},
		{"Unsampled", []otelsub.Option{otelsub.WithTracerProvider(never)}},
		{"Sampled", []otelsub.Option{otelsub.WithTracerProvider(sampled)}},
		{"NoopWithMetrics", []otelsub.Option{
			otelsub.WithTracerProvider(tracenoop.NewTracerProvider()),
			otelsub.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			sub := otelsub.New(c.opts...)
			a := capture(b, timed)
			a.Delay = time.Minute
			e := taskvisor.Event{Kind: taskvisor.TaskStopped, Supervisor: "sup", Task: "job", TaskID: 7, Result: taskvisor.ResultSuccess, Duration: time.Second}
			r := taskvisor.Result{Kind: taskvisor.ResultSuccess, Duration: time.Second, Retry: true, Delay: time.Minute}
			b.ReportAllocs()
			for b.Loop() {
				a.Number++
				ctx := sub.BeginAttempt(b.Context(), a)
				sub.EndAttempt(ctx, a, r)
				sub.OnEvent(ctx, e)
			}
		})
	}
	b.Run("SDKAlone", func(b *testing.B) { sdkAlone(b, sampled) })
}

func sdkAlone(b *testing.B, provider *sdktrace.TracerProvider) {
	tracer := provider.Tracer("bench")
	_, earlier := tracer.Start(b.Context(), "earlier")
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		_, span := tracer.Start(b.Context(), "run job",
			trace.WithAttributes(
				attribute.String("taskvisor.supervisor.name", "sup"), attribute.String("taskvisor.task.name", "job"),
				attribute.Int64("taskvisor.task.id", 7), attribute.Float64("taskvisor.attempt.timeout", 1),
				attribute.Int("taskvisor.attempt.number", n), attribute.Float64("taskvisor.attempt.delay", 60)),
			trace.WithLinks(trace.Link{SpanContext: earlier.SpanContext()}))
		span.SetAttributes(
			attribute.String("taskvisor.attempt.result", "success"), attribute.Float64("taskvisor.backoff.delay", 60))
		span.End()
	}
}
