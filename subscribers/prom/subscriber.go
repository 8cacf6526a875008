package promsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber exports the metrics of one supervisor. It is an inline subscriber:
// no event is lost, and it starts no goroutine. All methods are safe for
// concurrent use. Make it with [New]; the zero value is of no use.
type Subscriber struct {
	reg    prometheus.Registerer // may be nil
	config config

	// metrics is nil until Attach, which alone knows the supervisor's name and
	// with it the descriptors. Events and scrapes only read it.
	metrics atomic.Pointer[metrics]

	mu         sync.Mutex // guards the fields below
	attached   bool
	registered bool
}

var (
	_ taskvisor.Subscribe   = (*Subscriber)(nil)
	_ taskvisor.Attacher    = (*Subscriber)(nil)
	_ taskvisor.Preferences = (*Subscriber)(nil)
	_ prometheus.Collector  = (*Subscriber)(nil)
)

// New returns a subscriber for one supervisor, to be given to
// taskvisor.WithSubscriber. It registers itself at reg when the supervisor is
// made; with a nil reg it does not, and can be registered or collected by hand
// from then on.
//
// What is wrong with an option, or with registering, is an error of
// taskvisor.New.
func New(reg prometheus.Registerer, opts ...Option) *Subscriber {
	return &Subscriber{reg: reg, config: newConfig(opts)}
}

// Preferences asks for inline calls, since a counter behind a queue that can
// drop would be no counter, and for the name promsub.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("promsub")}
}

// Attach makes the metrics of the supervisor that snapshot describes and
// registers them. taskvisor.New calls it. A second Attach is an error, after
// [Subscriber.Close] too: the counters belong to one supervisor. So is a wrong
// option, and a registerer that refuses: two supervisors with one name on one
// registerer give an error that wraps [prometheus.AlreadyRegisteredError].
// After an error nothing is registered, and Attach may be called again.
func (s *Subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		return errors.New("promsub: attached already: a Subscriber serves one supervisor")
	}
	if s.config.err != nil {
		return fmt.Errorf("promsub: %w", s.config.err)
	}
	m := newMetrics(s.config, snapshot)
	s.metrics.Store(m)
	if s.reg != nil {
		if err := s.reg.Register(s); err != nil {
			s.metrics.Store(nil)
			return registerError(m.labels["supervisor"], err)
		}
	}
	s.attached, s.registered = true, s.reg != nil
	return nil
}

func registerError(supervisor string, err error) error {
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		return fmt.Errorf("promsub: register metrics of supervisor %q: a supervisor of that name is there already,"+
			" name one with taskvisor.WithName: %w", supervisor, err)
	}
	return fmt.Errorf("promsub: register metrics of supervisor %q: %w", supervisor, err)
}

// Close unregisters the metrics. Call it when the supervisor has ended and its
// last values have been scraped, or when taskvisor.New failed after Attach, if
// the process and its registry live on. The subscriber can still be collected by
// hand. Close may be called again, and does nothing where Attach registered
// nothing.
func (s *Subscriber) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registered {
		s.reg.Unregister(s)
		s.registered = false
	}
}

// Describe implements [prometheus.Collector]. Before Attach there is nothing to
// describe, so register by hand after taskvisor.New.
func (s *Subscriber) Describe(ch chan<- *prometheus.Desc) {
	m := s.metrics.Load()
	if m == nil {
		return
	}
	for _, d := range m.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]: counters and histograms as the
// events left them, and gauges from a snapshot taken now. No lock is held while
// anything is sent.
func (s *Subscriber) Collect(ch chan<- prometheus.Metric) {
	if m := s.metrics.Load(); m != nil {
		m.collect(ch)
	}
}

// OnEvent implements taskvisor.Subscribe. The common events, those of an
// attempt, allocate nothing but for an exemplar.
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	m := s.metrics.Load()
	if m == nil {
		return
	}
	switch e.Kind {
	case taskvisor.TaskStarting:
		m.tasks.endBackoff(e.TaskID, e.Time)
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		m.attemptEnded(ctx, &e)
	case taskvisor.BackoffScheduled:
		m.backoffScheduled(&e)
	case taskvisor.TaskAdded:
		m.taskAdded(&e)
	case taskvisor.TaskAbandoned:
		m.taskAbandoned(&e)
	case taskvisor.TaskReturned:
		m.release(m.tasks.returned(e.TaskID), e.Time)
	case taskvisor.TaskRemoved:
		m.taskRemoved(&e)
	case taskvisor.ControllerSubmitted:
		m.submitted(e.Admission, e.Verdict)
	case taskvisor.ControllerRejected:
		m.rejected(e.Reason)
	}
}
