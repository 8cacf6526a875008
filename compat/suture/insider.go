package suture

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// insider is a Supervisor as the subscriber of its own tasks. It never blocks: what
// the EventHook is to be told goes into the outbox.
type insider Supervisor

// Preferences asks for every event.
func (*insider) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// BeginAttempt adds nothing.
func (*insider) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context { return ctx }

// EndAttempt counts failures before what follows them begins.
func (i *insider) EndAttempt(_ context.Context, a taskvisor.Attempt, result taskvisor.Result) {
	s := (*Supervisor)(i)
	switch result.Kind {
	case taskvisor.ResultSuccess, taskvisor.ResultCanceled:
		return
	}
	s.mu.Lock()
	r, ending := s.tasks[a.Task], s.ending
	s.mu.Unlock()
	if result.Kind == taskvisor.ResultFatal && ending != nil {
		s.stop()
		return
	}
	if r != nil {
		s.failed(r, result)
	}
}

// failed counts a failure and tells of it.
func (s *Supervisor) failed(r *supervised, result taskvisor.Result) {
	count, held, begins := s.pause.fail(time.Now())
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	if begins {
		s.tell(EventBackoff{s, s.Name})
		s.pause.hold(spec.backoff(), func() { s.tell(EventResume{s, s.Name}) })
	}
	restarting := result.Retry && !held
	var p *taskvisor.PanicError
	if result.Kind == taskvisor.ResultPanic && errors.As(result.Err, &p) {
		s.tell(EventServicePanic{s, s.Name, r.service, r.name, count, spec.FailureThreshold, restarting, spec.Sprint(p.Value), p.Stack()})
		return
	}
	var said any
	if !errors.Is(result.Err, errReturned) {
		said = result.Err
	}
	s.tell(EventServiceTerminate{s, s.Name, r.service, r.name, count, spec.FailureThreshold, restarting, said})
}

// OnEvent forgets what is gone, and tells of what hangs.
func (i *insider) OnEvent(_ context.Context, e taskvisor.Event) {
	s := (*Supervisor)(i)
	switch e.Kind {
	case taskvisor.TaskRemoved:
		s.mu.Lock()
		switch r := s.tasks[e.Task]; {
		case r == nil:
		case r.inner != nil && s.ctx.Err() != nil:
			delete(s.services, r.id) // it may have left something, which the report names
		default:
			s.forget(r)
		}
		s.mu.Unlock()
	case taskvisor.TaskAbandoned:
		s.mu.Lock()
		r := s.tasks[e.Task]
		s.mu.Unlock()
		if r != nil {
			s.tell(EventStopTimeout{s, s.Name, r.service, r.name})
		}
	}
}

// tell has the EventHook called.
func (s *Supervisor) tell(e Event) {
	hook := s.hook()
	s.hooks.post(func() { hook(e) })
}

func (s *Supervisor) hook() EventHook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec.EventHook
}

func (s *Supervisor) setHook(hook EventHook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec.EventHook = hook
}
