package otelsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// durationBounds are seconds: from a cache hit to a nightly job.
var durationBounds = []float64{.005, .025, .1, .25, 1, 2.5, 10, 30, 60, 300, 1800, 3600}

// metrics holds the instruments. Counters and the histogram are updated by
// inline events, which are never dropped; the others are read from snapshots
// when they are collected.
type metrics struct {
	meter      metric.Meter
	attempts   metric.Int64Counter
	duration   metric.Float64Histogram
	restarts   metric.Int64Counter
	rejections metric.Int64Counter
	count      metric.Int64ObservableUpDownCounter
	dropped    metric.Int64ObservableCounter
	err        error // what the provider refused

	mu           sync.Mutex          // guards the fields below
	sources      map[string]*source  // by the supervisor's name
	registration metric.Registration // while there are sources
}

// source is a supervisor that is observed.
type source struct{ snapshot func() taskvisor.Snapshot }

func newMetrics(p metric.MeterProvider) *metrics {
	m := &metrics{
		meter: p.Meter(ScopeName,
			metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(semconv.SchemaURL)),
		sources: make(map[string]*source),
	}
	var errs [6]error
	m.attempts, errs[0] = m.meter.Int64Counter("taskvisor.task.attempts",
		metric.WithDescription("Attempts that ended."), metric.WithUnit("{attempt}"))
	m.duration, errs[1] = m.meter.Float64Histogram("taskvisor.task.attempt.duration",
		metric.WithDescription("How long attempts took."), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(durationBounds...))
	m.restarts, errs[2] = m.meter.Int64Counter("taskvisor.task.restarts",
		metric.WithDescription("Further attempts that were scheduled."), metric.WithUnit("{restart}"))
	m.rejections, errs[3] = m.meter.Int64Counter("taskvisor.admission.rejections",
		metric.WithDescription("Submissions that were refused."), metric.WithUnit("{submission}"))
	m.count, errs[4] = m.meter.Int64ObservableUpDownCounter("taskvisor.task.count",
		metric.WithDescription("Registered tasks."), metric.WithUnit("{task}"))
	m.dropped, errs[5] = m.meter.Int64ObservableCounter("taskvisor.subscriber.events.dropped",
		metric.WithDescription("Events that a subscriber was too slow for."), metric.WithUnit("{event}"))
	m.err = errors.Join(errs[:]...)
	return m
}

// series are the ready-made measurement options of one task and result.
type series struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newSeries(supervisor, task string, result taskvisor.ResultKind) series {
	o := metric.WithAttributeSet(attribute.NewSet(
		keySupervisor.String(supervisor), keyTask.String(task), keyOutcome.String(result.String())))
	return series{[]metric.AddOption{o}, []metric.RecordOption{o}}
}

// attempt counts an attempt that ended. t is nil if the task was forgotten
// before its last attempt ended.
func (m *metrics) attempt(ctx context.Context, t *task, e *taskvisor.Event) {
	var of series
	if t != nil {
		of = t.seriesOf(e.Result)
	} else {
		of = newSeries(e.Supervisor, e.Task, e.Result)
	}
	m.attempts.Add(ctx, 1, of.add...)
	m.duration.Record(ctx, e.Duration.Seconds(), of.record...)
}

func (t *task) seriesOf(result taskvisor.ResultKind) series {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, ok := t.series[result]
	if !ok {
		if t.series == nil {
			t.series = make(map[taskvisor.ResultKind]series)
		}
		of = newSeries(t.supervisor, t.label, result)
		t.series[result] = of
	}
	return of
}

func (m *metrics) restart(ctx context.Context, e *taskvisor.Event) {
	m.restarts.Add(ctx, 1, metric.WithAttributes(
		keySupervisor.String(e.Supervisor), keyTask.String(e.Task), keyRestartCause.String(e.Source.String())))
}

func (m *metrics) rejection(ctx context.Context, e *taskvisor.Event) {
	m.rejections.Add(ctx, 1, metric.WithAttributes(
		keySupervisor.String(e.Supervisor), keyReason.String(e.Reason.String())))
}

// attach adds a supervisor to those that are observed.
func (m *metrics) attach(snapshot func() taskvisor.Snapshot) error {
	if m.err != nil {
		return fmt.Errorf("otelsub: %w", m.err)
	}
	name := snapshot().Supervisor
	m.mu.Lock()
	defer m.mu.Unlock()
	// One that was shut down before it ran has ended without a word.
	if old := m.sources[name]; old != nil && old.snapshot().State != taskvisor.StateStopped {
		return fmt.Errorf("otelsub: a supervisor %q reports here already: name one with taskvisor.WithName", name)
	}
	if m.registration == nil {
		r, err := m.meter.RegisterCallback(m.observe, m.count, m.dropped)
		if err != nil {
			return fmt.Errorf("otelsub: %w", err)
		}
		m.registration = r
	}
	m.sources[name] = &source{snapshot}
	return nil
}

// detach lets go of a supervisor that has ended.
func (m *metrics) detach(name string) {
	m.mu.Lock()
	delete(m.sources, name)
	m.unlock()
}

// close lets go of the supervisors that do not run.
func (m *metrics) close() {
	m.mu.Lock()
	for name, from := range m.sources {
		switch from.snapshot().State {
		case taskvisor.StateNew, taskvisor.StateStopped:
			delete(m.sources, name)
		}
	}
	m.unlock()
}

// unlock is for who removed a source: the last one takes the callback along.
func (m *metrics) unlock() {
	var last metric.Registration
	if len(m.sources) == 0 {
		last, m.registration = m.registration, nil
	}
	m.mu.Unlock()
	if last != nil {
		// An SDK waits here for a collection under way, and that for the
		// callbacks of others; the supervisor's shutdown must not. The goroutine
		// ends when the collection does, and nobody needs its answer.
		go func() { _ = last.Unregister() }()
	}
}

// observe reads the state of every supervisor.
func (m *metrics) observe(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	sources := maps.Clone(m.sources)
	m.mu.Unlock()
	for name, from := range sources {
		s := from.snapshot()
		if s.State != taskvisor.StateStopped {
			m.observeOne(o, s)
			continue
		}
		m.mu.Lock()
		if m.sources[name] == from {
			delete(m.sources, name)
		}
		m.unlock()
	}
	return nil
}

// taskStates are always reported, so that a state that empties shows 0.
var taskStates = []taskvisor.State{
	taskvisor.StatePending, taskvisor.StateRunning, taskvisor.StateBackoff,
	taskvisor.StateWaiting, taskvisor.StateStopping, taskvisor.StateAbandoned,
}

func (m *metrics) observeOne(o metric.Observer, s taskvisor.Snapshot) {
	counts := make(map[taskvisor.State]int64, len(taskStates))
	for i := range s.Tasks {
		counts[s.Tasks[i].State]++
	}
	supervisor := keySupervisor.String(s.Supervisor)
	for _, state := range taskStates {
		o.ObserveInt64(m.count, counts[state], metric.WithAttributes(supervisor, keyState.String(state.String())))
	}
	for _, sub := range s.Subscribers {
		for kind, n := range sub.Dropped {
			o.ObserveInt64(m.dropped, int64(n), metric.WithAttributes(
				supervisor, keySubscriber.String(sub.Name), keyKind.String(kind.String())))
		}
	}
}
