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
//
// An event is numbered, put on the bus and put into the outbox in one step, under its
// owner's lock: so both ways have the events of one owner in the same order.
type fanout struct {
	// Fixed by init.
	supervisor string
	plain      views   // for events without values
	wanted     []bool  // by kind: at least one subscriber wants it
	sinks      []*sink // all subscribers, in the order given
	inline     []*sink // of these, in that order; none: no owner has an outbox that is used
	brackets   []*sink // of these, in that order
	reports    bool    // the reporter is all there is

	// The shutdown has begun, or will after a delay: from here on inline subscribers are
	// called on goroutines of their own, so that none can hold it up. Never reset.
	closing atomic.Bool

	bus bus.Bus[entry, *entry]

	// The drain waits until undelivered, workers and walkers are 0. Each of them signals
	// quiet when it drops to 0.
	undelivered atomic.Int64  // events in outboxes, or taken from one and not delivered to all
	attending   atomic.Int64  // goroutines in attend: bounds how deep inline subscribers call themselves
	workers     atomic.Int64  // that have not ended
	walkers     atomic.Int64  // tasks whose gates are being called
	bufs        sync.Pool     // of *outbuf, empty ones
	quiet       chan struct{} // capacity 1: one of the three may be 0 now; only the drain receives

	mu   sync.Mutex // guards root, as the owner's lock of the events that belong to no task
	root outbox
}

// init takes over the subscribers. It is called once, by New, before anything happens.
func (f *fanout) init(s *Supervisor, drain context.Context, subs []subscriberConfig) {
	f.supervisor = s.cfg.name
	queued := context.WithValue(drain, callbackKey{}, s)
	f.plain = views{queued: eventCtx{Context: queued}, inline: eventCtx{Context: context.WithValue(queued, inlineKey{}, s)}}
	f.quiet = make(chan struct{}, 1)
	f.wanted = make([]bool, len(eventLabels))
	names := map[string]int{}
	for _, sc := range subs {
		s := &sink{subscriberConfig: sc, index: len(f.sinks)}
		if names[sc.name]++; names[sc.name] > 1 { // metrics and snapshots tell them apart by name
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

// wants reports whether any subscriber wants events of that kind. Others are only counted.
func (f *fanout) wants(kind EventKind) bool { return f.wanted[kind] }

// listens reports whether there is any subscriber.
func (f *fanout) listens() bool { return len(f.sinks) > 0 }

// start begins delivery to queued subscribers. What was published before waits on the bus.
func (f *fanout) start() {
	for _, s := range f.sinks {
		if s.reader != nil {
			f.workers.Add(1)
			// Started when the supervisor starts, one for each queued subscriber; ends when
			// the verdict was delivered, or after the drain's deadline with the call that it
			// is in; the drain waits for it.
			background(func() { f.work(s) })
		}
	}
}

// close gives an event that stands in its place on the bus to subscribers: to queued
// ones at once, to inline ones through the outbox of its owner, whose lock is held. The
// outbox gets its copy first: after Done the place belongs to the readers.
func (f *fanout) close(en *entry, o *outbox) {
	if len(f.inline) > 0 {
		o.putLocked(f, en)
	}
	f.bus.Done()
}

// final reports whether k is a supervisor's last event.
func final(k EventKind) bool { return k == AllStoppedWithinGrace || k == GraceExceeded }

// announce publishes an event that belongs to no task. No lock is held. It calls inline
// subscribers, unless another goroutine is at it; one of them may end the caller's
// goroutine, though not once the shutdown has begun.
func (f *fanout) announce(e Event) {
	f.mu.Lock()
	f.recordRootLocked(e)
	buf := f.root.detachLocked()
	f.mu.Unlock()
	f.bus.Wake()
	f.deliver(&f.mu, &f.root, buf)
}

// recordRootLocked publishes e, which belongs to no task, or counts it where nobody wants
// it: the verdict seals the bus either way. f.mu is held; the caller wakes the bus and
// delivers the outbox after it.
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
			background(func() { f.work(s) }) // it goes on after the event: the reader's position has moved
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
// that have not: queued ones get nothing more, what inline ones and gates are at is left
// to goroutines that nobody waits for.
func (f *fanout) drain(deadline time.Time) {
	f.bus.WakeAll() // also workers for which the verdict was not published: the bus is sealed
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

// signalQuiet has the drain look again. It never blocks: a signal that was not received
// yet serves for this one too, since the drain reads the counters after it.
func (f *fanout) signalQuiet() {
	select {
	case f.quiet <- struct{}{}:
	default:
	}
}

// views are what queued and inline subscribers get as context. They are made once for a
// task, and once for an attempt with brackets, not for each event.
type views struct{ queued, inline eventCtx }

// callbackKey and inlineKey find the supervisor that a subscriber's, or an inline
// subscriber's, context comes from: waiting for it with such a context would wait for the
// subscriber itself, and is refused with ErrWouldWaitForSelf.
type (
	callbackKey struct{}
	inlineKey   struct{}
)

// eventCtx is the values of an attempt's context, and the end of the time for
// draining. It refers to nothing that is ever changed, so subscribers may keep it.
type eventCtx struct {
	context.Context                 // the drain context: its end, and the supervisor under callbackKey
	upper           context.Context // of the attempt, with what brackets have added; nil: none
	lower           *values         // given to Add: an attempt that is over has none any more; nil: none
}

// Value looks for key from the attempt down. The attempt itself is hidden, there as in the
// values: who hears of it does not belong to it, and may wait for it; and so are callbackKey
// and inlineKey, so that those of this supervisor are found, and not those of another that an
// Add came from.
func (c *eventCtx) Value(key any) any {
	if c.upper != nil && !belongs(key) {
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

// viewOf returns those of an attempt's events. attempt is what the brackets have made of
// its context: only its values are taken, its end is not that of the events.
func (f *fanout) viewOf(attempt context.Context, given *values) *views {
	attempt = context.WithoutCancel(attempt)
	return &views{eventCtx{f.plain.queued.Context, attempt, given}, eventCtx{f.plain.inline.Context, attempt, given}}
}
