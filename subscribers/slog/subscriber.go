package slogsub

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber writes events to a logger. Make one with [New] and give it to
// [taskvisor.WithSubscriber]. It is safe for concurrent use and may serve
// several supervisors. What it keeps of a task, which is something only if that
// failed, lives and dies with the task.
type Subscriber struct {
	handler slog.Handler
	level   LevelFunc
	format  func(error) string                      // nil: errors are written as they are
	labels  func(context.Context) map[string]string // nil: none
	every   time.Duration                           // 0 or less: write everything
	reports reports
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
	s := &Subscriber{handler: logger.Handler(), level: DefaultLevel, every: defaultSuppression}
	for _, o := range opts {
		o.apply(s)
	}
	return s
}

// LevelFunc returns the level of an event's record. It is called for every
// event, before anything else, and must be quick and safe for concurrent use.
// To leave events out, return a level below the handler's. A record that tells of
// two events, as of a failure and the end of its task, has the higher level of both.
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
	return option(func(s *Subscriber) { s.every = every })
}

// WithErrorFormatter writes errors as the string that f returns, cut as the texts of
// errors are. It is the place to remove what must not be logged: f is given every
// error, those of panics included (a *taskvisor.PanicError has the panic's value),
// and every stack, as an error whose text is the stack.
func WithErrorFormatter(f func(error) string) Option {
	return option(func(s *Subscriber) { s.format = f })
}

// WithContextLabels adds what f finds in the context of an event to its record, a
// string attribute for each label, in the order of their names. It is for trace ids
// where the handler does not add them: f may be otelsub.TraceLabels, which knows the
// trace of a resident task as well, whose body has no span that a handler could find.
func WithContextLabels(f func(ctx context.Context) map[string]string) Option {
	return option(func(s *Subscriber) { s.labels = f })
}

// Preferences asks for the name slogsub, with which drops and panics are
// reported.
func (s *Subscriber) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("slogsub")}
}

// OnEvent writes the record of an event. It implements [taskvisor.Subscribe].
func (s *Subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	level := s.level(e)
	switch e.Kind {
	case taskvisor.SubscriberOverflow, taskvisor.SubscriberPanicked:
		s.report(ctx, &e, level)
		return
	case taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		s.finish(ctx, &e)
	}
	t := s.storyOf(&e)
	if t == nil { // nothing is kept of the task
		s.write(ctx, &e, level, 0)
		return
	}
	if failure := t.take(); failure != nil && s.resume(t, failure, &e, level) {
		return
	}
	if ends(e.Kind) {
		if last, suppressed := t.end(); last != nil {
			s.writeFailure(last, suppressed)
		}
	}
	if e.Kind == taskvisor.TaskFailed {
		t.hold(&failure{ctx: ctx, e: e, level: level})
		return
	}
	if !s.handler.Enabled(ctx, level) {
		return
	}
	if suppressed, pass := t.note(ctx, &e, level, s.every); pass {
		s.write(ctx, &e, level, suppressed)
	}
}

// resume writes a failure now that it is known what follows it, and reports
// whether that says all there is to say about e.
func (s *Subscriber) resume(t *story, f *failure, e *taskvisor.Event, level slog.Level) (told bool) {
	switch e.Kind {
	case taskvisor.BackoffScheduled:
		f.next, told = *e, true
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		f.next, told = *e, true
		f.level = max(f.level, level)
	}
	if !s.handler.Enabled(f.ctx, f.level) {
		return false // e has a level of its own
	}
	suppressed, pass := t.failed(f, s.every, ends(e.Kind))
	if pass {
		s.writeFailure(f, suppressed)
	}
	return told && pass
}

// write writes the record of one event.
func (s *Subscriber) write(ctx context.Context, e *taskvisor.Event, level slog.Level, suppressed int) {
	if !s.handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(e.Time, level, messageOf(e), 0)
	s.addAttrs(&r, e)
	s.handle(ctx, &r, e, suppressed)
}

// writeFailure writes a failure with what follows it.
func (s *Subscriber) writeFailure(f *failure, suppressed int) {
	if f.e.Kind != taskvisor.TaskFailed { // of an attempt that was interrupted
		s.write(f.ctx, &f.e, f.level, suppressed)
		return
	}
	r := slog.NewRecord(f.e.Time, f.level, f.message(), 0)
	s.addFailure(&r, &f.e, &f.next)
	s.handle(f.ctx, &r, &f.e, suppressed)
}

// handle hands a record on, and an error of the handler to the supervisor's
// snapshot: there is nobody else to tell.
func (s *Subscriber) handle(ctx context.Context, r *slog.Record, e *taskvisor.Event, suppressed int) {
	if suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	if s.labels != nil {
		labels := s.labels(ctx)
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			r.AddAttrs(slog.String(name, labels[name]))
		}
	}
	e.ReportFailure(s.handler.Handle(ctx, *r))
}
