// Package exporters measures what the subscribers add to an attempt, beside the
// same written by hand, and what it costs to look: a scrape, a snapshot, a page.
package exporters

import (
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Rows are the three subscribers together, beside the same by hand, and then each
// alone: an attempt of a restart loop with it, until everything has been written.
func Rows() []rounds.Row {
	return []rounds.Row{
		observedRow(),
		{Name: "Loop", Title: "an attempt with one subscriber", Op: "attempt", N: 200_000, Sides: []rounds.Side{
			{Name: "inline counter", Run: beside(func() taskvisor.Option { return taskvisor.WithSubscriber(&work.Counter{}, taskvisor.Inline()) })},
			{Name: "prom", Run: beside(func() taskvisor.Option { return taskvisor.WithSubscriber(promsub.New(prometheus.NewRegistry())) })},
			{Name: "otel no-op", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(noop.NewTracerProvider())))
			})},
			{Name: "otel, every attempt sampled", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(sdktrace.NewTracerProvider()), everyAttempt))
			}), Part: 2},
			{Name: "slog JSON, debug", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(slogsub.New(logger(), slogsub.WithSuppression(0)))
			}), Part: 2},
		}},
	}
}

// everyAttempt makes spans for tasks without a timeout too, which otherwise
// count as residents and get none over their attempts.
var everyAttempt = otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return otelsub.SpanAttempt })

func beside(sub func() taskvisor.Option) func(*rounds.Meter, int) error {
	return work.RestartObserved(func() []taskvisor.Option { return []taskvisor.Option{sub()} })
}

// logger writes JSON to nowhere.
func logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
