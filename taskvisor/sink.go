package taskvisor

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/bus"
)

// sink is one subscriber. All but the counters is fixed when the supervisor was made.
type sink struct {
	subscriberConfig
	index    int                        // among all; its place in the locals of a task
	bracket  AttemptBracket             // nil if it is none
	reader   *bus.Reader[entry, *entry] // nil if inline
	called   atomic.Uint64              // inline deliveries; queued ones are the reader's to count
	panics   atomic.Uint64              // and Goexits, of OnEvent and brackets
	failures atomic.Uint64              // that it reported itself
}

// overflow makes the event that tells s of its losses. It is called while the bus is
// locked. Such an event has no number: only s gets it, and other subscribers see no gap.
func (f *fanout) overflow(s *sink, l bus.Lost) entry {
	return entry{Event: Event{Time: time.Now(), Kind: SubscriberOverflow, Supervisor: f.supervisor, Subscriber: s.name,
		Dropped: l.N, FirstSeq: l.First, LastSeq: l.Last}}
}

// call delivers one event to a subscriber and contains a panic of it. A Goexit is counted
// and reported, and ends the goroutine after call: callers have another one go on.
func (f *fanout) call(s *sink, en *entry) {
	returned := false
	defer func() {
		if !returned {
			f.contain(s, en.Kind, recover())
		}
	}()
	v := en.view
	if v == nil {
		v = &f.plain
	}
	ctx := &v.queued
	if s.inline {
		ctx = &v.inline
	}
	e := en.Event // a copy, since the entry is shared by all subscribers
	e.sink = s
	s.sub.OnEvent(ctx, e)
	returned = true
}

// contain counts and reports a panic (v is what was recovered) or a Goexit (v is
// nil) of a subscriber. One about a diagnostic event is only counted, or it
// would bring about the next. kind is 0 for a bracket, which is called for no event.
func (f *fanout) contain(s *sink, kind EventKind, v any) {
	s.panics.Add(1)
	if kind != SubscriberPanicked && kind != SubscriberOverflow {
		f.reportPanic(s.name, v)
	}
}

// containGate does the same for a gate, and reports whether the goroutine is ending: the
// caller then has the task's walk go on elsewhere.
func (f *fanout) containGate(g Gate, v any) (exiting bool) {
	name := "gate"
	func() {
		defer func() { _ = recover() }() // String is the user's too: without it the report has no name
		name = "gate " + g.String()
	}()
	f.reportPanic(name, v)
	return v == nil
}

// reportPanic reports what was recovered, or a Goexit if that is nil: panic(nil) is
// recovered as a *runtime.PanicNilError.
func (f *fanout) reportPanic(name string, v any) {
	if v == nil {
		f.report(name, ErrGoexit, "")
		return
	}
	err := newPanicError(v)
	f.report(name, err, err.Stack())
}

// report publishes what went wrong in the user's code, as an event that belongs to no
// task: the task that it was called for goes on. No lock may be held.
func (f *fanout) report(name string, err error, stack string) {
	f.announce(Event{Kind: SubscriberPanicked, Subscriber: name, Err: err, Stack: stack})
}

// reporter is the subscriber of a supervisor that was given none: it writes what
// goes wrong to slog.Default, so that nothing fails in silence.
type reporter struct{}

// reporterName is in no snapshot: the user has given no such subscriber.
const reporterName = "slog.Default"

// reported are the kinds that a reporter is for; routine leaves out some of these events.
func reported(k EventKind) bool {
	switch k {
	case TaskFailed, TaskStuck, TaskAbandoned, ActorExhausted, ActorDead, GraceExceeded, TaskCanceled:
		return true
	}
	return false
}

// OnEvent writes a line for what went wrong. It asks for slog.Default each time: a program
// may set it after the supervisor was made.
func (reporter) OnEvent(ctx context.Context, e Event) {
	level := slog.LevelWarn
	var message string
	switch e.Kind {
	case TaskFailed:
		message = "attempt failed"
		switch e.Result {
		case ResultFatal:
			return // task is dead: the next event
		case ResultPanic:
			level, message = slog.LevelError, "attempt panicked"
		case ResultTimeout:
			message = "attempt timed out"
		}
	case TaskCanceled:
		message = "attempt was canceled with an error"
	case TaskStuck:
		level, message = slog.LevelError, "attempt is stuck"
	case TaskAbandoned:
		level, message = slog.LevelError, "task abandoned"
	case ActorExhausted:
		level, message = slog.LevelError, "task gave up"
	case ActorDead:
		level, message = slog.LevelError, "task failed for good"
	case GraceExceeded:
		level, message = slog.LevelError, "grace exceeded"
	default:
		return
	}
	if log := slog.Default(); log.Enabled(ctx, level) {
		log.LogAttrs(ctx, level, message, e.attrs()...)
	}
}

// routine reports whether an event of that kind, which the task is about to publish, says
// nothing that went wrong: the reporter is not woken for it. The task's lock is held. The
// error is looked at by its type only: its methods are the user's.
func (t *task) routine(kind EventKind) bool {
	switch kind {
	case TaskCanceled: // with no error but the cancellation itself
		err := t.run.end.err
		switch err.(type) {
		case nil, Reason, *causeError:
			return true
		}
		return err == context.Canceled || err == context.DeadlineExceeded
	case ActorExhausted:
		return OutcomeKind(t.m.Outcome()) != OutcomeFailed
	}
	return false
}
