package promsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber exports the metrics of supervisors: of any number of them that have
// different names, and of any number of one name that live one after the other, whose
// counters go on. It is an inline subscriber: no event is lost, and no goroutine of its
// outlives a call. All methods are safe for concurrent use. Make it with [New]; the zero
// value is of no use.
type Subscriber struct {
	reg    prometheus.Registerer // may be nil
	config config

	// sources are the supervisors by name. Events and scrapes only read the map; it is
	// copied when it changes.
	sources atomic.Pointer[map[string]*source]

	mu        sync.Mutex // held by those that change sources, and guards the fields below
	newest    *source    // attached last, and not closed since
	unobserve []func()   // the owners of leases; nil: they tell nothing
}

var (
	_ taskvisor.Subscribe   = (*Subscriber)(nil)
	_ taskvisor.Attacher    = (*Subscriber)(nil)
	_ taskvisor.Preferences = (*Subscriber)(nil)
	_ prometheus.Collector  = (*Subscriber)(nil)
)

// New returns a subscriber to be given to taskvisor.WithSubscriber, of one supervisor or
// of several. It registers the metrics of each at reg when the supervisor is made; with
// a nil reg it does not, and is a collector to be registered or collected by hand.
//
// What is wrong with an option, or with registering, is an error of taskvisor.New.
func New(reg prometheus.Registerer, opts ...Option) *Subscriber {
	return &Subscriber{reg: reg, config: newConfig(opts)}
}

// Preferences asks for inline calls, since a counter behind a queue that can
// drop would be no counter, and for the name promsub.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("promsub")}
}

// Attach registers the metrics of the supervisor that snapshot describes.
// taskvisor.New calls it. Where one of that name has ended, its counters go on, also if
// another Subscriber had registered them; where one is alive, the error wraps
// [prometheus.AlreadyRegisteredError]. A wrong option is an error, and so is what the
// registerer refuses. After an error nothing is registered, and Attach may be called
// again.
func (s *Subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	if s.config.err != nil {
		return fmt.Errorf("promsub: %w", s.config.err)
	}
	former, err := s.attach(snapshot)
	if former != nil && former != s {
		former.unobserveIdle()
	}
	return err
}

// attach returns the subscriber that had the supervisor before; nil if there was none.
func (s *Subscriber) attach(snapshot func() taskvisor.Snapshot) (former *Subscriber, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	first := snapshot()
	from := s.sourceOf(first.Supervisor)
	if from == nil {
		from = newSource(&s.config, first)
	}
	from, err = s.registerLocked(from)
	if err == nil {
		former, err = from.take(s, &life{&s.config, snapshot, first.Created}, first.Time)
	}
	if err != nil {
		return nil, attachError(first.Supervisor, err)
	}
	s.changeLocked(func(m map[string]*source) { m[first.Supervisor] = from })
	s.newest = from
	s.observeLocked()
	return former, nil
}

// registerLocked registers a source and returns it, or the one that is registered in its
// place.
func (s *Subscriber) registerLocked(from *source) (*source, error) {
	if s.reg == nil {
		return from, nil
	}
	err := from.register(s.reg)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		there, ok := already.ExistingCollector.(*source)
		if ok && !there.unregister(s.reg) {
			return there, nil
		}
		if ok { // its grace is over
			err = from.register(s.reg)
		}
	}
	return from, err
}

func attachError(supervisor string, err error) error {
	if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		return fmt.Errorf("promsub: register metrics of supervisor %q: a supervisor of that name is there already,"+
			" name one with taskvisor.WithName: %w", supervisor, err)
	}
	return fmt.Errorf("promsub: register metrics of supervisor %q: %w", supervisor, err)
}

// changeLocked replaces the map of sources.
func (s *Subscriber) changeLocked(change func(map[string]*source)) {
	next := make(map[string]*source)
	if m := s.sources.Load(); m != nil {
		maps.Copy(next, *m)
	}
	change(next)
	s.sources.Store(&next)
}

// sourceOf returns what is counted about a supervisor; nil for one that is not attached.
func (s *Subscriber) sourceOf(supervisor string) *source {
	if m := s.sources.Load(); m != nil {
		return (*m)[supervisor]
	}
	return nil
}

// Close says that those of the subscriber's supervisors that do not run will not run any
// more. Call it when a supervisor has ended, if the process and its registry live on:
// otherwise the supervisor is shown as stopped for ever. Its series stay for the grace
// of [WithSeriesGrace] and two scrapes, so that what it did last is still scraped; those
// of one that has not run are hidden until it does, and those of one of its name that ran
// before have that grace. The one that was attached last, as one that taskvisor.New gives
// up because another subscriber refuses it, is let go of after that grace, if it has not
// run and has no tasks. Close may be called again.
func (s *Subscriber) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.sources.Load(); m != nil {
		for _, from := range *m {
			from.close(s, from == s.newest)
		}
	}
	s.newest = nil
	s.sweepLocked()
	s.unobserveLocked()
}

// sweepLocked unregisters what has had its grace. A scrape cannot: the registry calls
// it.
func (s *Subscriber) sweepLocked() {
	m := s.sources.Load()
	if m == nil {
		return
	}
	var over []string
	for name, from := range *m {
		if !from.ownedBy(s) || from.unregister(s.reg) {
			over = append(over, name)
		}
	}
	if len(over) > 0 {
		s.changeLocked(func(m map[string]*source) {
			for _, name := range over {
				delete(m, name)
			}
		})
	}
}

// Describe implements [prometheus.Collector]. Before a supervisor is attached there is
// nothing to describe.
func (s *Subscriber) Describe(ch chan<- *prometheus.Desc) {
	if m := s.sources.Load(); m != nil {
		for _, from := range *m {
			from.Describe(ch)
		}
	}
}

// Collect implements [prometheus.Collector]: counters and histograms as the events left
// them, and gauges from a snapshot taken now. No lock that an event takes is held while
// anything is sent.
func (s *Subscriber) Collect(ch chan<- prometheus.Metric) {
	if m := s.sources.Load(); m != nil {
		for _, from := range *m {
			from.Collect(ch)
		}
	}
}

// OnEvent implements taskvisor.Subscribe. The common events, those of an attempt,
// allocate nothing but for an exemplar.
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskAdded:
		s.added(&e)
	case taskvisor.TaskGated, taskvisor.TaskStarting, taskvisor.TaskPaused, taskvisor.TaskStopped, taskvisor.TaskFailed,
		taskvisor.TaskCanceled, taskvisor.BackoffScheduled, taskvisor.TaskRemoved:
		s.taskEvent(ctx, &e)
	case taskvisor.BodyReturned:
		s.late(ctx, &e)
	case taskvisor.TaskAbandoned, taskvisor.ControllerSubmitted, taskvisor.ControllerRejected:
		from := s.sourceOf(e.Supervisor)
		switch {
		case from == nil:
		case e.Kind == taskvisor.TaskAbandoned:
			from.abandonedOne(e.Reason)
		case e.Kind == taskvisor.ControllerSubmitted:
			from.submitted(e.Admission, e.Verdict)
		default:
			from.rejected(e.Reason)
		}
	}
}

func (s *Subscriber) taskEvent(ctx context.Context, e *taskvisor.Event) {
	t, kept := s.taskOf(e)
	if t == nil {
		return
	}
	if !kept || e.Kind == taskvisor.TaskRemoved {
		defer t.release(e.Time)
	}
	switch e.Kind {
	case taskvisor.TaskStarting:
		t.starting(e.Time)
	case taskvisor.TaskGated:
		t.starting(e.Time)
		t.startGate(t.source.gates.get(e.Gate), e.Time)
	case taskvisor.TaskPaused:
		t.endGate(e.Time, false)
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		t.attemptEnded(ctx, e)
	case taskvisor.BackoffScheduled:
		t.backoffScheduled(e)
	case taskvisor.TaskRemoved:
		t.removed(e)
	}
}

// late counts the attempt of a task that was removed from under it, in the series that
// its label has now.
func (s *Subscriber) late(ctx context.Context, e *taskvisor.Event) {
	from := s.sourceOf(e.Supervisor)
	if from == nil {
		return
	}
	l := from.life.Load()
	if l == nil {
		return
	}
	t := &task{source: from, life: l, label: from.labels.hold(l.config.textOf(e.Task, e.TaskKind), e.Time)}
	defer t.release(e.Time)
	t.attemptEnded(ctx, e)
}
