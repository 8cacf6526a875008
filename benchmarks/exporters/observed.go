package exporters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// sampled is the share of the attempts that are traced.
const sampled = 0.1

// observedRow has all three subscribers on, as a service in production has them:
// metrics, a tenth of the traces, a log at level Info, which says nothing of an
// attempt that succeeds.
func observedRow() rounds.Row {
	return rounds.Row{Name: "Observed", Title: "a successful attempt with metrics, traces (10 % sampled) and a log (Info)", Op: "attempt", N: 200_000, Sides: []rounds.Side{
		{Name: "by hand", Run: byHand},
		{Name: "by hand, in a task's body", Run: byHandInTask},
		{Name: "taskvisor", Run: observed},
		{Name: "taskvisor, no subscriber", Run: work.Restart(taskvisor.WithTimeout(time.Minute))},
	}}
}

// spanCounter is a span processor that counts what would be exported.
type spanCounter struct{ n atomic.Int64 }

func (*spanCounter) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c *spanCounter) OnEnd(sdktrace.ReadOnlySpan)                   { c.n.Add(1) }
func (*spanCounter) Shutdown(context.Context) error                  { return nil }
func (*spanCounter) ForceFlush(context.Context) error                { return nil }

// check reports an error unless the sampled share of n attempts was traced, give or
// take a half, which chance does not reach where n is worth a measurement.
func (c *spanCounter) check(n int) error {
	got, want := float64(c.n.Load()), sampled*float64(n)
	if n >= 1000 && (got < want/2 || got > want*3/2) {
		return fmt.Errorf("%.0f spans, want about %.0f", got, want)
	}
	return nil
}

func sampling() (*sdktrace.TracerProvider, *spanCounter) {
	c := &spanCounter{}
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(sampled))), sdktrace.WithSpanProcessor(c)), c
}

// infoLogger writes JSON to lines.
func infoLogger(lines *lineCounter) *slog.Logger {
	return slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// observed is a restart loop of taskvisor with the three subscribers.
func observed(m *rounds.Meter, n int) error {
	reg := prometheus.NewRegistry()
	provider, spans := sampling()
	var lines lineCounter
	run := work.RestartObserved(func() []taskvisor.Option {
		return []taskvisor.Option{
			taskvisor.WithSubscriber(promsub.New(reg)),
			taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(provider))),
			taskvisor.WithSubscriber(slogsub.New(infoLogger(&lines))),
		}
	}, taskvisor.WithTimeout(time.Minute))
	if err := run(m, n); err != nil {
		return err
	}
	return errors.Join(spans.check(n), counted(reg, "taskvisor_task_attempts_total", n))
}

// hand is what a program keeps that instruments its loops itself.
type hand struct {
	attempts, restarts *prometheus.CounterVec
	duration           *prometheus.HistogramVec
	tracer             trace.Tracer
	log                *slog.Logger
}

func newHand(reg prometheus.Registerer, provider trace.TracerProvider, log *slog.Logger) *hand {
	labels := prometheus.Labels{"supervisor": "sup"}
	h := &hand{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "attempts_total", ConstLabels: labels}, []string{"task", "result"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "restarts_total", ConstLabels: labels}, []string{"task", "source"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds", ConstLabels: labels,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}, []string{"task", "result"}),
		tracer: provider.Tracer("bench"), log: log,
	}
	reg.MustRegister(h.attempts, h.restarts, h.duration)
	return h
}

// attempt runs fn with a timeout and a recover, and tells all three of it.
func (h *hand) attempt(ctx context.Context, number int, fn taskvisor.Func) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	began := time.Now()
	ctx, span := h.tracer.Start(ctx, "run loop", trace.WithAttributes(
		attribute.String("supervisor.name", "sup"), attribute.String("task.name", "loop"), attribute.Int64("task.id", 7),
		attribute.Int("attempt.number", number), attribute.Float64("attempt.timeout", 60)))
	h.log.LogAttrs(ctx, slog.LevelDebug, "attempt starting", slog.String("task", "loop"), slog.Int("attempt", number))
	err := work.Protect(ctx, fn)
	took := time.Since(began)
	result, level := "success", slog.LevelDebug
	if err != nil {
		result, level = "failure", slog.LevelWarn
	}
	span.SetAttributes(attribute.String("attempt.result", result))
	span.End()
	h.attempts.WithLabelValues("loop", result).Inc()
	h.duration.WithLabelValues("loop", result).Observe(took.Seconds())
	h.log.LogAttrs(ctx, level, "attempt ended", slog.String("task", "loop"), slog.Int("attempt", number), slog.String("result", result), slog.Duration("duration", took))
	h.restarts.WithLabelValues("loop", result).Inc()
}

// byHand is a bare loop whose author wrote down the same at each attempt.
func byHand(m *rounds.Meter, n int) error {
	return handwritten(n, func(h *hand, fn taskvisor.Func) error {
		ctx := context.Background()
		m.Start()
		for i := range n {
			h.attempt(ctx, i+1, fn)
		}
		m.Stop()
		return nil
	})
}

// byHandInTask has taskvisor run the loop, and the body tell of itself.
func byHandInTask(m *rounds.Meter, n int) error {
	return handwritten(n, func(h *hand, fn taskvisor.Func) error {
		number, next := 0, work.Loop(n)
		return work.RestartBody(m, n, func(ctx context.Context) error {
			number++
			h.attempt(ctx, number, fn)
			return next(ctx)
		})
	})
}

// handwritten checks that loop has told of n attempts.
func handwritten(n int, loop func(h *hand, fn taskvisor.Func) error) error {
	reg := prometheus.NewRegistry()
	provider, spans := sampling()
	var lines lineCounter
	done := 0
	if err := loop(newHand(reg, provider, infoLogger(&lines)), func(context.Context) error { done++; return nil }); err != nil {
		return err
	}
	if err := errors.Join(work.Counted("attempts", done, n), spans.check(n)); err != nil {
		return err
	}
	return counted(reg, "attempts_total", n)
}

// counted holds a counter against what it has to be.
func counted(reg prometheus.Gatherer, name string, want int) error {
	families, err := reg.Gather()
	if err != nil {
		return err
	}
	got := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, metric := range f.GetMetric() {
				got += metric.GetCounter().GetValue()
			}
		}
	}
	return work.Counted(name, int(got), want)
}

// lineCounter counts what a logger writes.
type lineCounter struct{ n int }

func (l *lineCounter) Write(p []byte) (int, error) { l.n++; return len(p), nil }
