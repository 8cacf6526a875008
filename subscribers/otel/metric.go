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
	over         []*observed          // those that have ended, or were given up before they ran
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
	m.attaching.Lock()
	defer m.attaching.Unlock()
	next, former, err := m.successor(snapshot)
	if err != nil || m.observed(next, former, nil, nil) {
		return err
	}
	r, err := m.meter.RegisterCallback(m.observe, m.seen...)
	if err != nil {
		return fmt.Errorf("otelsub: %w", err)
	}
	m.observed(next, former, r, m.watchLeases())
	return nil
}

// successor makes a source that goes on where the former supervisor of its name, if one is
// kept, has stopped; an error if that may still run.
func (m *metrics) successor(snapshot func() taskvisor.Snapshot) (next, former *observed, err error) {
	first := snapshot()
	name := first.Supervisor
	next = &observed{name: name, snapshot: snapshot, created: first.Created}
	for _, from := range m.all() {
		m.sweep(from)
	}
	if former = m.source(name); former == nil {
		next.spent = new(spending)
		return next, nil, nil
	}
	last := former.snapshot()
	if former.mayRun(last.State) {
		return nil, nil, fmt.Errorf("otelsub: a supervisor %q reports here already: name one with taskvisor.WithName", name)
	}
	next.before, next.spent = former.before.plus(&last), former.spent
	return next, former, nil
}

// observed adds a source in the place of the former, if there is a callback that reads it,
// or r is that.
func (m *metrics) observed(next, former *observed, r metric.Registration, forget func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r != nil {
		m.registration, m.forget = r, forget
	}
	if m.registration == nil {
		return false
	}
	m.dropLocked(former)
	m.sources[next.name] = next
	return true
}

// maxOver bounds the supervisors that have ended and wait for a collection, which may
// never come, and those that were given up. Beyond it the first is let go of.
const maxOver = 16

// detach lets go of a supervisor that has ended, once its last state was collected.
func (m *metrics) detach(name string) {
	if from := m.source(name); from != nil && !from.ended.Swap(true) {
		m.rest(from)
	}
}

// rest puts a source among those that do not run.
func (m *metrics) rest(from *observed) {
	m.mu.Lock()
	m.dropLocked(from)
	m.over = append(m.over, from)
	var first *observed
	if len(m.over) > maxOver {
		first = m.over[0]
		m.dropLocked(first)
	}
	m.mu.Unlock()
	if first != nil && (first.ended.Load() || first.snapshot().State == taskvisor.SupervisorNew) { // or it was started after all
		m.remove(first)
	}
}

// dropLocked takes a source from those that do not run.
func (m *metrics) dropLocked(from *observed) {
	m.over = slices.DeleteFunc(m.over, func(o *observed) bool { return o == from })
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

// close gives up the supervisors that have not been started, and lets go of those that
// have nothing more to say. One that is started after all is reported again: New calls
// it for another that was refused.
func (m *metrics) close() {
	for _, from := range m.all() {
		if m.sweep(from); from.snapshot().State == taskvisor.SupervisorNew && !from.closed.Swap(true) {
			m.rest(from)
		}
	}
}

// sweep lets go of a supervisor that was shut down before it ran: it ends without a word.
func (m *metrics) sweep(from *observed) {
	if !from.begun.Load() && from.snapshot().State == taskvisor.SupervisorStopped {
		m.remove(from)
	}
}

// remove lets go of a source, unless another one has taken its name; the last one
// takes the callback along.
func (m *metrics) remove(from *observed) {
	m.mu.Lock()
	var last metric.Registration
	var forget func()
	m.dropLocked(from)
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
