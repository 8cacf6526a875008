package slogsub

import (
	"context"
	"log/slog"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber writes events to a logger. Make one with [New] and give it to
// [taskvisor.WithSubscriber]. It is safe for concurrent use and may serve
// several supervisors. What it keeps of a task, which is something only if that
// failed, it forgets when the task is removed.
type Subscriber struct {
	handler slog.Handler
	level   LevelFunc
	format  func(error) string // nil: errors are written as they are
	floods  floods
}

var _ taskvisor.Subscribe = (*Subscriber)(nil)

// Option configures a [Subscriber]; see [New]. The interface is sealed.
type Option interface{ apply(s *Subscriber) }

type option func(s *Subscriber)

func (o option) apply(s *Subscriber) { o(s) }

// defaultSuppression is how often a task that keeps failing is mentioned.
const defaultSuppression = time.Minute

// New returns a subscriber that writes to logger, with the attributes and
// groups that logger has; nil means what [slog.Default] returns now.
func New(logger *slog.Logger, opts ...Option) *Subscriber {
	if logger == nil {
		logger = slog.Default()
	}
	s := &Subscriber{
		handler: logger.Handler(),
		level:   DefaultLevel,
		floods:  floods{every: defaultSuppression},
	}
	for _, o := range opts {
		o.apply(s)
	}
	return s
}

// LevelFunc returns the level of an event's record. It is called for every
// event, before anything else, and must be quick and safe for concurrent use.
// To leave events out, return a level below the handler's.
type LevelFunc func(e taskvisor.Event) slog.Level

// WithLevel replaces [DefaultLevel], which f may call for the events that it
// does not care about. A nil f changes nothing.
func WithLevel(f LevelFunc) Option {
	return option(func(s *Subscriber) {
		if f != nil {
			s.level = f
		}
	})
}

// WithSuppression says how often, at most, a task that keeps failing is
// mentioned; once a minute by default. Zero or less writes every failure.
func WithSuppression(every time.Duration) Option {
	return option(func(s *Subscriber) { s.floods.every = every })
}

// WithErrorFormatter writes errors as the string that f returns. It is the
// place to remove what must not be logged: f is given every error, those of
// panics included (a *taskvisor.PanicError has the panic's value), and every
// stack, as an error whose text is the stack.
func WithErrorFormatter(f func(error) string) Option {
	return option(func(s *Subscriber) { s.format = f })
}

// Preferences asks for the name slogsub, with which drops and panics are
// reported.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("slogsub")}
}

// OnEvent writes the record of an event. It implements [taskvisor.Subscribe].
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	level := s.level(e)
	enabled := s.handler.Enabled(ctx, level)
	n := s.floods.note(&e, enabled)
	if n.dropped > 0 {
		s.writeDropped(ctx, &e, n)
	}
	if enabled && !n.silent {
		s.write(ctx, &e, level, n)
	}
	if n.recovered {
		s.writeRecovery(ctx, &e, max(level, slog.LevelInfo), n)
	}
}

func (s *Subscriber) write(ctx context.Context, e *taskvisor.Event, level slog.Level, n note) {
	r := slog.NewRecord(e.Time, level, messageOf(e), 0)
	s.addAttrs(&r, e)
	if n.suppressed > 0 && e.Kind != taskvisor.TaskStopped {
		r.AddAttrs(slog.Int("suppressed", n.suppressed))
	}
	_ = s.handler.Handle(ctx, r) // there is nobody to tell, as for any logger
}

// writeRecovery says that a task whose failure was written has succeeded.
func (s *Subscriber) writeRecovery(ctx context.Context, e *taskvisor.Event, level slog.Level, n note) {
	if !s.handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(e.Time, level, "task recovered", 0)
	addAttempt(&r, e)
	if n.suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", n.suppressed))
	}
	_ = s.handler.Handle(ctx, r)
}

// writeDropped says at the supervisor's end what no record has said yet.
func (s *Subscriber) writeDropped(ctx context.Context, e *taskvisor.Event, n note) {
	rest := taskvisor.Event{
		Kind: taskvisor.SubscriberOverflow, Time: e.Time,
		Supervisor: e.Supervisor, Subscriber: n.subscriber, Dropped: n.dropped,
	}
	if level := s.level(rest); s.handler.Enabled(ctx, level) {
		s.write(ctx, &rest, level, note{})
	}
}
