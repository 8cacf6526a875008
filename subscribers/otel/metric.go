package otelsub

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// durationBounds are seconds: from a cache hit to a nightly job.
var durationBounds = []float64{.005, .025, .1, .25, 1, 2.5, 10, 30, 60, 300, 1800, 3600}

// metrics holds the instruments. Counters and histograms are updated by inline events,
// which are never dropped; the others are read from snapshots when they are collected.
type metrics struct {
	meter   metric.Meter
	keys    *keys
	owners  []*lease.Owner
	tallies [instrumentCount]metric.Int64Counter
	timers  [instrumentCount]metric.Float64Histogram
	ints    [instrumentCount]metric.Int64Observable
	floats  [instrumentCount]metric.Float64Observable
	seen    []metric.Observable // all of the last two
	err     error               // what the provider refused

	attaching sync.Mutex // held by attach, which may wait for a collection

	mu           sync.Mutex           // guards the fields below
	sources      map[string]*observed // by the supervisor's name
	over         []*observed          // those that have ended and were not collected since
	registration metric.Registration  // while there are sources
	forget       func()               // ends what the owners of leases tell, likewise
}

func newMetrics(p metric.MeterProvider, k *keys, owners []*lease.Owner) *metrics {
	m := &metrics{
		meter: p.Meter(ScopeName,
			metric.WithInstrumentationVersion(Version), metric.WithSchemaURL(semconv.SchemaURL)),
		keys:    k,
		owners:  owners,
		sources: make(map[string]*observed),
	}
	errs := []error{m.checkOwners()}
	for i := range instruments {
		errs = append(errs, m.make(id(i)))
	}
	m.err = errors.Join(errs...)
	return m
}

// make makes one instrument.
func (m *metrics) make(i id) (err error) {
	of := &instruments[i]
	unit, help := metric.WithUnit(of.unit), metric.WithDescription(of.help)
	switch of.form {
	case tally:
		m.tallies[i], err = m.meter.Int64Counter(of.name, unit, help)
	case timer:
		m.timers[i], err = m.meter.Float64Histogram(of.name, unit, help, metric.WithExplicitBucketBoundaries(durationBounds...))
	case total:
		m.ints[i], err = m.meter.Int64ObservableCounter(of.name, unit, help)
	case spent:
		m.floats[i], err = m.meter.Float64ObservableCounter(of.name, unit, help)
	case count:
		m.ints[i], err = m.meter.Int64ObservableUpDownCounter(of.name, unit, help)
	case level:
		m.ints[i], err = m.meter.Int64ObservableGauge(of.name, unit, help)
	case seconds:
		m.floats[i], err = m.meter.Float64ObservableGauge(of.name, unit, help)
	}
	if m.ints[i] != nil {
		m.seen = append(m.seen, m.ints[i])
	} else if m.floats[i] != nil {
		m.seen = append(m.seen, m.floats[i])
	}
	return err
}

// attach adds a supervisor to those that are observed. An SDK holds its lock while it
// collects, and registering a callback needs that: mu, which the callback takes, must
// not be held then.
func (m *metrics) attach(snapshot func() taskvisor.Snapshot) error {
	if m.err != nil {
		return fmt.Errorf("otelsub: %w", m.err)
	}
	first := snapshot()
	name := first.Supervisor
	m.attaching.Lock()
	defer m.attaching.Unlock()
	m.mu.Lock()
	old := m.sources[name]
	m.mu.Unlock()
	// One that was shut down before it ran has ended without a word.
	if old != nil && !old.ended.Load() && old.snapshot().State != taskvisor.SupervisorStopped {
		return fmt.Errorf("otelsub: a supervisor %q reports here already: name one with taskvisor.WithName", name)
	}
	if m.observed(first, snapshot, nil, nil) {
		return nil
	}
	r, err := m.meter.RegisterCallback(m.observe, m.seen...)
	if err != nil {
		return fmt.Errorf("otelsub: %w", err)
	}
	m.observed(first, snapshot, r, m.watchLeases())
	return nil
}

// observed adds a source, if there is a callback that reads it, or r is that.
func (m *metrics) observed(first taskvisor.Snapshot, snapshot func() taskvisor.Snapshot, r metric.Registration, forget func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r != nil {
		m.registration, m.forget = r, forget
	}
	if m.registration == nil {
		return false
	}
	m.sources[first.Supervisor] = &observed{name: first.Supervisor, snapshot: snapshot, created: first.Created}
	return true
}

// maxOver bounds the supervisors that have ended and wait for a collection, which may
// never come. Beyond it the first that ended is not reported once more.
const maxOver = 16

// detach lets go of a supervisor that has ended, once its last state was collected.
func (m *metrics) detach(name string) {
	m.mu.Lock()
	from := m.sources[name]
	if from == nil || from.ended.Swap(true) {
		m.mu.Unlock()
		return
	}
	m.over = append(m.over, from)
	var first *observed
	if len(m.over) > maxOver {
		first = m.over[0]
	}
	m.mu.Unlock()
	if first != nil {
		m.remove(first)
	}
}

// all returns the supervisors that are observed, by name.
func (m *metrics) all() map[string]*observed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.sources)
}

// source returns what is kept about a supervisor; nil if that has ended.
func (m *metrics) source(name string) *observed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sources[name]
}

// close lets go of the supervisors that do not run.
func (m *metrics) close() {
	for _, from := range m.all() {
		switch from.snapshot().State {
		case taskvisor.SupervisorNew, taskvisor.SupervisorStopped:
			m.remove(from)
		}
	}
}

// remove lets go of a source, unless another one has taken its name; the last one
// takes the callback along.
func (m *metrics) remove(from *observed) {
	m.mu.Lock()
	var last metric.Registration
	var forget func()
	m.over = slices.DeleteFunc(m.over, func(o *observed) bool { return o == from })
	if m.sources[from.name] == from {
		delete(m.sources, from.name)
		if len(m.sources) == 0 {
			last, m.registration = m.registration, nil
			forget, m.forget = m.forget, nil
		}
	}
	m.mu.Unlock()
	if forget != nil {
		forget()
	}
	if last != nil {
		// An SDK waits here for a collection under way, and that for the
		// callbacks of others; the supervisor's shutdown must not. The goroutine
		// ends when the collection does, and nobody needs its answer.
		go func() { _ = last.Unregister() }()
	}
}
