package taskvisor

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/bus"
)

// sink is one subscriber.
type sink struct {
	subscriberConfig
	index    int                        // among all
	bracket  AttemptBracket             // nil if it is none
	reader   *bus.Reader[entry, *entry] // nil if inline
	called   atomic.Uint64              // inline deliveries
	panics   atomic.Uint64
	failures atomic.Uint64 // that it reported itself
}

// overflow makes the event that tells s of its losses.
func (f *fanout) overflow(s *sink, l bus.Lost) entry {
	return entry{Event: Event{Time: time.Now(), Kind: SubscriberOverflow, Supervisor: f.supervisor, Subscriber: s.name,
		Dropped: l.N, FirstSeq: l.First, LastSeq: l.Last}}
}

// call delivers one event to a subscriber and contains what it does.
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
	e := en.Event
	e.sink = s
	s.sub.OnEvent(ctx, e)
	returned = true
}

// contain counts and reports a panic (v is what was recovered) or a Goexit (v is
// nil) of a subscriber. One about a diagnostic event is only counted, or it
// would bring about the next.
func (f *fanout) contain(s *sink, kind EventKind, v any) {
	s.panics.Add(1)
	if kind != SubscriberPanicked && kind != SubscriberOverflow {
		f.reportPanic(s.name, v)
	}
}

// containGate does the same for a gate, and reports whether the goroutine is ending.
func (f *fanout) containGate(g Gate, v any) (exiting bool) {
	name := "gate"
	func() {
		defer func() { _ = recover() }()
		name = "gate " + g.String()
	}()
	f.reportPanic(name, v)
	return v == nil
}

func (f *fanout) reportPanic(name string, v any) {
	if v == nil {
		f.report(name, ErrGoexit, "")
		return
	}
	err := newPanicError(v)
	f.report(name, err, err.Stack())
}

func (f *fanout) report(name string, err error, stack string) {
	f.announce(Event{Kind: SubscriberPanicked, Subscriber: name, Err: err, Stack: stack})
}

// reporter is the subscriber of a supervisor that was given none: it writes what
// goes wrong to slog.Default, so that nothing fails in silence.
type reporter struct{}

// reporterName is in no snapshot: nobody has asked for it.
const reporterName = "slog.Default"

// reported are the kinds that a reporter is for.
func reported(k EventKind) bool {
	switch k {
	case TaskFailed, TaskStuck, TaskAbandoned, ActorExhausted, ActorDead, GraceExceeded, TaskCanceled:
		return true
	}
	return false
}

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

// routine reports whether an event of that kind says nothing that went wrong: nobody
// wakes the reporter for it.
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
