package flightsub

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Recorder is a subscriber that keeps incidents. Make one with [New] and give it to
// [taskvisor.WithSubscriber] of one or more supervisors. It is safe for concurrent use.
type Recorder struct {
	settings
	store store

	making sync.Mutex // held while an incident is made: they are few, and a recorder writes one at a time
	mu     sync.Mutex // guards the fields below
	shots  map[string]func() taskvisor.Snapshot
	all    []func() taskvisor.Snapshot // of supervisors whose name is not known yet, or that have not begun
	rate   rate
}

var (
	_ taskvisor.Subscribe   = (*Recorder)(nil)
	_ taskvisor.Attacher    = (*Recorder)(nil)
	_ taskvisor.Preferences = (*Recorder)(nil)
)

// New returns a recorder. Errors are those of the options, and that the directory
// cannot be used.
func New(opts ...Option) (*Recorder, error) {
	r := &Recorder{settings: defaults(), shots: map[string]func() taskvisor.Snapshot{}}
	for _, o := range opts {
		o.apply(&r.settings)
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	r.rate.init(r.every, r.burst)
	if err := r.store.open(r.dir, r.maxCount, r.maxBytes); err != nil {
		return nil, err
	}
	return r, nil
}

// Preferences asks for the name flightsub, with which drops and panics are reported.
func (r *Recorder) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("flightsub")}
}

// Attach keeps the supervisor's snapshot function. It implements
// [taskvisor.Attacher] and never fails.
func (r *Recorder) Attach(snapshot func() taskvisor.Snapshot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= enoughSupervisors {
		r.resolveLocked()
	}
	r.all = append(r.all, snapshot)
	return nil
}

// enoughSupervisors may be attached until it is looked which have ended.
const enoughSupervisors = 64

// resolveLocked learns the names of those that have begun since the last time, and
// forgets those that have ended.
func (r *Recorder) resolveLocked() {
	for name, f := range r.shots {
		if f().State == taskvisor.SupervisorStopped {
			delete(r.shots, name)
		}
	}
	r.all = slices.DeleteFunc(r.all, func(f func() taskvisor.Snapshot) bool {
		sn := f()
		if !begun(&sn) {
			return false // and there is no event to keep
		}
		if sn.State != taskvisor.SupervisorStopped || r.shots[sn.Supervisor] == nil {
			r.shots[sn.Supervisor] = f
		}
		return true
	})
}

// begun reports whether anything has happened in a supervisor.
func begun(sn *taskvisor.Snapshot) bool { return sn.State != taskvisor.SupervisorNew || sn.Seq > 0 }

// Close forgets the supervisor that was attached last, if nothing has happened in it yet:
// [taskvisor.New] calls it when another subscriber refuses, and nobody else needs to.
func (r *Recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.all) - 1
	if last < 0 {
		return
	}
	if sn := r.all[last](); !begun(&sn) {
		r.all = slices.Delete(r.all, last, last+1)
	}
}

// OnEvent remembers the event, and keeps an incident if it is one. It implements
// [taskvisor.Subscribe]; the methods of errors, and the function given to
// [WithErrorFormatter], are called here and nowhere else.
func (r *Recorder) OnEvent(_ context.Context, e taskvisor.Event) {
	var s *story
	if l := e.Local(); l != nil {
		s = storyOf(l)
		s.note(&e, r.text)
	}
	t := r.trigger(&e)
	if t == 0 || !r.on[t] {
		return
	}
	r.mu.Lock()
	ok := t == GraceExceeded || r.rate.take(e.Supervisor, e.Task, time.Now()) // one in a supervisor's life, and the last
	r.mu.Unlock()
	if !ok {
		return
	}
	r.making.Lock()
	defer r.making.Unlock()
	r.mu.Lock()
	suppressed := r.rate.suppressed
	r.mu.Unlock()
	in, err := r.keep(t, &e, s, suppressed)
	r.mu.Lock()
	r.rate.told(suppressed, err == nil)
	r.mu.Unlock()
	if err != nil {
		e.ReportFailure(err)
		return
	}
	r.log(&in, &e)
}

// trigger says what e is an incident of; 0 if it is none.
func (r *Recorder) trigger(e *taskvisor.Event) Trigger {
	switch e.Kind {
	case taskvisor.TaskFailed:
		if e.Result == taskvisor.ResultPanic {
			return Panic
		}
	case taskvisor.TaskStuck:
		return Stuck
	case taskvisor.TaskAbandoned:
		return Abandoned
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		if e.Outcome == taskvisor.OutcomeFailed || e.Outcome == taskvisor.OutcomeFatal {
			return GaveUp
		}
	case taskvisor.TimeoutHit:
		if silent(e) {
			return IdleTimeout
		}
	case taskvisor.GraceExceeded:
		return GraceExceeded
	}
	return 0
}

// snapshot is the state of the supervisor that e is of; the zero value if it is gone.
func (r *Recorder) snapshot(e *taskvisor.Event) (sn taskvisor.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) > 0 {
		r.resolveLocked()
	}
	if f := r.shots[e.Supervisor]; f != nil {
		sn = f()
	}
	return sn
}

// log writes the line that says where an incident is.
func (r *Recorder) log(in *Incident, e *taskvisor.Event) {
	if r.logger == nil {
		return
	}
	attrs := []slog.Attr{slog.String("incident", in.ID), slog.String("trigger", in.Kind), slog.String("supervisor", in.Supervisor)}
	if in.Task != "" {
		attrs = append(attrs, slog.String("task", in.Task), slog.Uint64("task_id", uint64(e.TaskID)), slog.Int("attempt", e.Attempt))
	}
	if path := r.store.path(in.ID); path != "" {
		attrs = append(attrs, slog.String("path", path))
	}
	r.logger.LogAttrs(context.Background(), slog.LevelWarn, "incident kept", attrs...)
}

// text returns what is shown of an error.
func (r *Recorder) text(err error) (text string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			text = "(the error's text could not be had: it panicked)"
		}
	}()
	if r.format != nil {
		return clip(r.format(err), maxText)
	}
	return clip(err.Error(), maxText)
}

// stack returns what is shown of stacks.
func (r *Recorder) stack(stack string) (text string) {
	if r.format == nil || stack == "" {
		return clip(stack, maxStack)
	}
	defer func() {
		if recover() != nil {
			text = "(the stack could not be formatted: the formatter panicked)"
		}
	}()
	return clip(r.format(errors.New(stack)), maxStack)
}
