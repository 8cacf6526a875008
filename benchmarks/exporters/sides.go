// Package exporters measures what the subscribers cost beside the SDKs that
// they feed, alone and in a loop of attempts, and what a scrape costs.
package exporters

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Rows compares each subscriber with the calls to its SDK that a program makes
// which does the same by hand (side "raw"), and then shows what an attempt of a
// restart loop costs with it.
func Rows() []rounds.Row {
	return []rounds.Row{
		{Name: "Prom", Title: "promsub: the three events of an attempt", Op: "attempt", N: 1_000_000, Sides: []rounds.Side{
			{Name: "raw", Run: rawProm(true)}, {Name: "raw, children held", Run: rawProm(false)}, {Name: "taskvisor", Run: prom}}},
		{Name: "OtelNoop", Title: "otelsub, no-op tracer: one attempt", Op: "attempt", N: 1_000_000, Sides: []rounds.Side{
			{Name: "raw", Run: rawNoop}, {Name: "raw, with attributes", Run: rawOtel(noop.NewTracerProvider(), false)},
			{Name: "taskvisor", Run: otel(noop.NewTracerProvider())}}},
		{Name: "OtelSampled", Title: "otelsub, every span sampled: one attempt", Op: "attempt", N: 200_000, Sides: []rounds.Side{
			{Name: "raw", Run: rawOtel(sdktrace.NewTracerProvider(), true)}, {Name: "taskvisor", Run: otel(sdktrace.NewTracerProvider())}}},
		{Name: "Slog", Title: "slogsub, JSON: one record", Op: "record", N: 500_000, Sides: []rounds.Side{
			{Name: "raw", Run: rawSlog}, {Name: "taskvisor", Run: slogRecord}}},
		{Name: "Loop", Title: "restart loop with a subscriber", Op: "attempt", N: 200_000, Sides: []rounds.Side{
			{Name: "none", Run: work.Restart()},
			{Name: "inline counter", Run: beside(func() taskvisor.Option { return taskvisor.WithSubscriber(&work.Counter{}, taskvisor.Inline()) })},
			{Name: "prom", Run: beside(func() taskvisor.Option { return taskvisor.WithSubscriber(promsub.New(prometheus.NewRegistry())) })},
			{Name: "otel no-op", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(noop.NewTracerProvider())))
			})},
			{Name: "otel sampled", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(sdktrace.NewTracerProvider()), everyAttempt))
			}), Part: 2},
			{Name: "slog JSON", Run: beside(func() taskvisor.Option {
				return taskvisor.WithSubscriber(slogsub.New(logger(), slogsub.WithSuppression(0)))
			}), Part: 2},
		}},
	}
}

// everyAttempt makes spans for tasks without a timeout too, which otherwise
// count as residents and get none over their attempts.
var everyAttempt = otelsub.WithSpanFor(func(taskvisor.TaskSpec) otelsub.SpanMode { return otelsub.SpanAttempt })

func beside(sub func() taskvisor.Option) func(*rounds.Meter, int) error {
	return work.RestartBeside(func() []taskvisor.Option { return []taskvisor.Option{sub()} })
}

// attempt is what a subscriber is told of an attempt of a periodic task.
func attempt() [3]taskvisor.Event {
	e := taskvisor.Event{Time: time.Now(), Supervisor: "sup", Task: "job", TaskID: 7, Attempt: 1000,
		Timeout: time.Minute, Duration: 3 * time.Millisecond, Delay: time.Second, Source: taskvisor.BackoffSuccess}
	var all [3]taskvisor.Event
	for i, kind := range []taskvisor.EventKind{taskvisor.TaskStarting, taskvisor.TaskStopped, taskvisor.BackoffScheduled} {
		all[i] = e
		all[i].Kind = kind
	}
	all[1].Result = taskvisor.ResultSuccess
	return all
}

func prom(m *rounds.Meter, n int) error {
	reg := prometheus.NewRegistry()
	sub := promsub.New(reg)
	if err := sub.Attach(func() taskvisor.Snapshot { return taskvisor.Snapshot{Supervisor: "sup"} }); err != nil {
		return err
	}
	ctx := context.Background()
	sub.OnEvent(ctx, taskvisor.Event{Kind: taskvisor.TaskAdded, Task: "job", TaskID: 7, Time: time.Now()})
	events := attempt()
	var s taskvisor.Subscribe = sub // as the supervisor calls it
	m.Start()
	for range n {
		s.OnEvent(ctx, events[0])
		s.OnEvent(ctx, events[1])
		s.OnEvent(ctx, events[2])
	}
	m.Stop()
	return counted(reg, "taskvisor_task_attempts_total", n)
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

func otel(provider trace.TracerProvider) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		sub := otelsub.New(otelsub.WithTracerProvider(provider))
		spec := taskvisor.Periodic("job", time.Second, func(context.Context) error { return nil }, taskvisor.WithTimeout(time.Minute))
		a := taskvisor.Attempt{Supervisor: "sup", Task: "job", TaskID: 7, Spec: spec, Started: time.Now(), Delay: time.Second, Previous: taskvisor.ResultSuccess}
		r := taskvisor.Result{Kind: taskvisor.ResultSuccess, Duration: 3 * time.Millisecond, Retry: true, Delay: time.Second}
		events := attempt()
		ctx := context.Background()
		recorded := 0
		var s taskvisor.Subscribe = sub
		var bracket taskvisor.AttemptBracket = sub
		m.Start()
		for range n {
			a.Number++
			inner := bracket.BeginAttempt(ctx, a)
			s.OnEvent(inner, events[0])
			if trace.SpanFromContext(inner).IsRecording() {
				recorded++
			}
			bracket.EndAttempt(inner, a, r)
			s.OnEvent(inner, events[1])
			s.OnEvent(inner, events[2])
		}
		m.Stop()
		if _, off := provider.(noop.TracerProvider); off {
			return work.Counted("spans", recorded, 0)
		}
		return work.Counted("spans", recorded, n)
	}
}

// logger writes JSON to nowhere.
func logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func slogRecord(m *rounds.Meter, n int) error {
	var lines lineCounter
	l := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var s taskvisor.Subscribe = slogsub.New(l, slogsub.WithSuppression(0))
	e := attempt()[1]
	ctx := context.Background()
	m.Start()
	for range n {
		s.OnEvent(ctx, e)
	}
	m.Stop()
	return work.Counted("lines", lines.n, n)
}

type lineCounter struct{ n int }

func (l *lineCounter) Write(p []byte) (int, error) { l.n++; return len(p), nil }
