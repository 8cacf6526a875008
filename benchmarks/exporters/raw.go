package exporters

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
)

// rawProm keeps the same series by hand. The outcome is known when the attempt
// has ended, so the children are looked up by their labels; one that held all
// children of all tasks would save that.
func rawProm(lookup bool) func(m *rounds.Meter, n int) error {
	return func(m *rounds.Meter, n int) error {
		labels := prometheus.Labels{"supervisor": "sup"}
		attempts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "attempts_total", ConstLabels: labels}, []string{"task", "outcome"})
		restarts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "restarts_total", ConstLabels: labels}, []string{"task", "source"})
		duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds", ConstLabels: labels,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}, []string{"task", "outcome"})
		attempt1, restart1, duration1 := attempts.WithLabelValues("job", "success"), restarts.WithLabelValues("job", "success"), duration.WithLabelValues("job", "success")
		seconds := attempt()[1].Duration.Seconds()
		m.Start()
		for range n {
			if lookup {
				attempts.WithLabelValues("job", "success").Inc()
				duration.WithLabelValues("job", "success").Observe(seconds)
				restarts.WithLabelValues("job", "success").Inc()
				continue
			}
			attempt1.Inc()
			duration1.Observe(seconds)
			restart1.Inc()
		}
		m.Stop()
		reg := prometheus.NewRegistry()
		reg.MustRegister(attempts)
		return counted(reg, "attempts_total", n)
	}
}

// rawNoop is the least that a span can cost: a name, no attributes.
func rawNoop(m *rounds.Meter, n int) error {
	tracer := noop.NewTracerProvider().Tracer("bench")
	ctx := context.Background()
	ended := 0
	m.Start()
	for range n {
		_, span := tracer.Start(ctx, "run job")
		span.End()
		ended++
	}
	m.Stop()
	return work.Counted("spans", ended, n)
}

// rawOtel opens and closes a span with the attributes and the link of an
// attempt's. A program that
// does not ask whether its tracer is a no-op makes the attributes all the same.
func rawOtel(provider trace.TracerProvider, recording bool) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		tracer := provider.Tracer("bench")
		ctx := context.Background()
		_, earlier := tracer.Start(ctx, "earlier")
		recorded := 0
		m.Start()
		for i := range n {
			_, span := tracer.Start(ctx, "run job",
				trace.WithAttributes(
					attribute.String("taskvisor.supervisor.name", "sup"), attribute.String("taskvisor.task.name", "job"),
					attribute.Int64("taskvisor.task.id", 7), attribute.Float64("taskvisor.attempt.timeout", 60),
					attribute.Int("taskvisor.attempt.number", i), attribute.Float64("taskvisor.attempt.delay", 1)),
				trace.WithLinks(trace.Link{SpanContext: earlier.SpanContext()}))
			span.SetAttributes(
				attribute.String("taskvisor.attempt.outcome", "success"), attribute.Float64("taskvisor.backoff.delay", 1))
			if span.IsRecording() {
				recorded++
			}
			span.End()
		}
		m.Stop()
		if recording {
			return work.Counted("spans", recorded, n)
		}
		return work.Counted("spans", recorded, 0)
	}
}

func rawSlog(m *rounds.Meter, n int) error {
	var lines lineCounter
	l := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx := context.Background()
	m.Start()
	for range n {
		l.LogAttrs(ctx, slog.LevelDebug, "attempt succeeded", slog.String("supervisor", "sup"), slog.String("task", "job"),
			slog.Uint64("task_id", 7), slog.Int("attempt", 1000), slog.Duration("duration", 3*time.Millisecond))
	}
	m.Stop()
	return work.Counted("lines", lines.n, n)
}
