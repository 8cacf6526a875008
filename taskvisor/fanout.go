package taskvisor

import (
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/bus"
)

// fanout carries events from their owners (the tasks and the supervisor) to
// subscribers. Queued ones read the bus, each with a worker. Inline ones are called
// through the owner's outbox, after its lock was released.
type fanout struct {
	supervisor string
	plain      views       // for events without values
	wanted     []bool      // by kind: somebody wants it
	sinks      []*sink     // all subscribers
	inline     []*sink     // of these
	brackets   []*sink     // of these
	reports    bool        // the reporter is all there is
	closing    atomic.Bool // the shutdown has begun, or will after a delay

	bus         bus.Bus[entry, *entry]
	undelivered atomic.Int64  // events in outboxes
	attending   atomic.Int64  // goroutines that deliver what is in outboxes
	workers     atomic.Int64  // that have not ended
	walkers     atomic.Int64  // tasks whose gates are being called
	bufs        sync.Pool     // of *outbuf
	quiet       chan struct{} // capacity 1: one of these may have dropped to 0

	mu   sync.Mutex // owner of the events that belong to no task
	root outbox     // guarded by mu
}

func (f *fanout) init(s *Supervisor, drain context.Context, subs []subscriberConfig) {
	f.supervisor = s.cfg.name
	queued := context.WithValue(drain, callbackKey{}, s)
	f.plain = views{queued: eventCtx{Context: queued}, inline: eventCtx{Context: context.WithValue(queued, inlineKey{}, s)}}
	f.quiet = make(chan struct{}, 1)
	f.wanted = make([]bool, len(eventLabels))
	names := map[string]int{}
	for _, sc := range subs {
		s := &sink{subscriberConfig: sc, index: len(f.sinks)}
		if names[sc.name]++; names[sc.name] > 1 {
			s.name = fmt.Sprintf("%s#%d", sc.name, names[sc.name])
		}
		if b, ok := capability[AttemptBracket](sc.sub); ok {
			s.bracket = b
			f.brackets = append(f.brackets, s)
		}
		if sc.inline {
			f.inline = append(f.inline, s)
		} else {
			s.reader = f.bus.Add(sc.capacity, func(l bus.Lost) entry { return f.overflow(s, l) })
		}
		for k := range f.wanted {
			f.wanted[k] = f.wanted[k] || sc.wants == nil || sc.wants(EventKind(k))
		}
		f.sinks = append(f.sinks, s)
		_, f.reports = sc.sub.(reporter)
	}
}

// wants reports whether anybody wants to hear of events of that kind.
func (f *fanout) wants(kind EventKind) bool { return f.wanted[kind] }

// listens reports whether there is any subscriber.
func (f *fanout) listens() bool { return len(f.sinks) > 0 }

// start begins delivery to queued subscribers.
func (f *fanout) start() {
	for _, s := range f.sinks {
		if s.reader != nil {
			f.workers.Add(1)
			background(func() { f.work(s) })
		}
	}
}

// close gives an event that stands in its place on the bus to subscribers: to queued
// ones at once, to inline ones through the outbox of its owner, whose lock is held.
func (f *fanout) close(en *entry, o *outbox) {
	if len(f.inline) > 0 {
		o.putLocked(f, en)
	}
	f.bus.Done()
}

// final reports whether k is a supervisor's last event.
func final(k EventKind) bool { return k == AllStoppedWithinGrace || k == GraceExceeded }

// announce publishes an event that belongs to no task. No lock is held.
func (f *fanout) announce(e Event) {
	f.mu.Lock()
	f.recordRootLocked(e)
	buf := f.root.detachLocked()
	f.mu.Unlock()
	f.bus.Wake()
	f.deliver(&f.mu, &f.root, buf)
}

func (f *fanout) recordRootLocked(e Event) {
	if !f.wants(e.Kind) {
		f.bus.Count(1, final(e.Kind))
		return
	}
	if en, n := f.bus.Next(final(e.Kind)); en != nil {
		e.Seq, e.Time, e.Supervisor = n, time.Now(), f.supervisor
		*en = entry{Event: e}
		f.close(en, &f.root)
	}
}

// work delivers s's events until there are none any more.
func (f *fanout) work(s *sink) {
	ended := false
	defer func() {
		if !ended { // runtime.Goexit: it costs the event and this goroutine
			background(func() { f.work(s) })
			return
		}
		f.workers.Add(-1)
		f.signalQuiet()
	}()
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(),
		pprof.Labels("taskvisor_subscriber", s.name, "taskvisor_supervisor", f.supervisor)))
	for en := s.reader.Next(); en != nil; en = s.reader.Next() {
		if s.subscriberConfig.wants == nil || s.subscriberConfig.wants(en.Kind) {
			f.call(s, en)
		}
	}
	ended = true
}

// drain waits until inline and queued subscribers have seen everything, after the
// verdict, and all gates have been left, or until the deadline; then it gives up those
// that have not.
func (f *fanout) drain(deadline time.Time) {
	f.bus.WakeAll()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for f.workers.Load() > 0 || f.undelivered.Load() > 0 || f.walkers.Load() > 0 {
		select {
		case <-f.quiet:
		case <-timer.C:
			for _, s := range f.sinks {
				if s.reader != nil {
					s.reader.Cut()
				}
			}
			return
		}
	}
}

func (f *fanout) signalQuiet() {
	select {
	case f.quiet <- struct{}{}:
	default:
	}
}

// views are what queued and inline subscribers get as context.
type views struct{ queued, inline eventCtx }

// callbackKey and inlineKey find the supervisor that a subscriber's, or an inline
// subscriber's, context comes from.
type (
	callbackKey struct{}
	inlineKey   struct{}
)

// eventCtx is the values of an attempt's context, and the end of the time for
// draining. It refers to nothing that is ever changed.
type eventCtx struct {
	context.Context                 // the drain context
	upper           context.Context // of the attempt, with what brackets have added; nil: none
	lower           *values         // given to Add: an attempt that is over has none any more
}

func (c *eventCtx) Value(key any) any {
	if c.upper != nil {
		if v := c.upper.Value(key); v != nil {
			return v
		}
	}
	if v := c.lower.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// view returns the contexts for events of a task with the values that were given to
// Add; nil if there are none, or nobody listens.
func (f *fanout) view(given *values) *views {
	if given == nil || !f.listens() {
		return nil
	}
	return &views{eventCtx{f.plain.queued.Context, nil, given}, eventCtx{f.plain.inline.Context, nil, given}}
}

// viewOf returns those of an attempt's events.
func (f *fanout) viewOf(attempt context.Context, given *values) *views {
	attempt = context.WithoutCancel(attempt)
	return &views{eventCtx{f.plain.queued.Context, attempt, given}, eventCtx{f.plain.inline.Context, attempt, given}}
}
