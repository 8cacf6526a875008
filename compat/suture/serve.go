package suture

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// hookDrain is how long Serve waits for the EventHook at its end.
const hookDrain = 5 * time.Second

// ServeBackground calls Serve on a goroutine of its own and returns when the
// supervisor serves. The channel gets what Serve returns.
func (s *Supervisor) ServeBackground(ctx context.Context) <-chan error {
	end := make(chan error, 1)
	// Started here; ends with the supervisor; the caller waits for it by the channel,
	// which has room for all that is sent.
	go func() { end <- s.Serve(ctx) }()
	<-s.begun
	return end
}

// Serve starts the services, and returns when ctx has ended or a service asked for
// the end by ErrTerminateSupervisorTree, and then all services have returned or the
// Timeout has passed. In the first case the error is ctx's; in the second it is the
// service's, or ErrDoNotRestart if the Spec says DontPropagateTermination. A nil ctx
// never ends. Serve panics if s was not made by New, or serves already.
func (s *Supervisor) Serve(ctx context.Context) error {
	if s == nil {
		panic("suture: Serve with a nil *suture.Supervisor")
	}
	if s.id == 0 {
		panic("suture: Serve of a *suture.Supervisor that was not made by New")
	}
	if ctx == nil {
		ctx = context.Background()
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	spec, err := s.enter(inner, stop)
	if err != nil {
		return err
	}
	v := watch.begin(s.path(ctx))
	defer watch.end(v)
	sup, err := v.supervisor(
		taskvisor.WithName(v.name),
		taskvisor.WithGrace(graceOf(ctx, spec.Timeout)),
		taskvisor.WithSubscriber((*insider)(s), taskvisor.WithName("suture")),
	)
	if err != nil { // a negative Timeout
		s.leave()
		return errors.Join(err, ErrDoNotRestart)
	}
	s.registerAll(inner, sup)
	if sup.Start(inner) != nil { // it has ended already
		_ = sup.Shutdown(context.Background()) // closes it; nothing runs
	}
	close(s.begun)
	<-sup.Done()
	s.leave()
	s.hooks.wait(hookDrain)
	return s.result(ctx)
}

// enter begins the one life of the supervisor.
func (s *Supervisor) enter(ctx context.Context, stop context.CancelFunc) (Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case serving:
		panic("suture: Serve of a *suture.Supervisor that serves already")
	case terminated:
		return Spec{}, errServedBefore
	}
	s.state, s.ctx, s.stop = serving, ctx, stop
	return s.spec, nil
}

// registerAll makes tasks of what was added so far, also of what is added meanwhile,
// and then has Add do so itself.
func (s *Supervisor) registerAll(ctx context.Context, sup *taskvisor.Supervisor) {
	for done := uint32(0); ; {
		s.mu.Lock()
		if done == s.counter {
			s.sup = sup
			s.mu.Unlock()
			return
		}
		done++
		r := s.services[done]
		s.mu.Unlock()
		s.register(ctx, sup, r)
	}
}

// leave ends it.
func (s *Supervisor) leave() {
	s.pause.end()
	s.mu.Lock()
	s.state = terminated
	s.mu.Unlock()
	select {
	case <-s.begun:
	default:
		close(s.begun)
	}
	close(s.served)
}

// result is what Serve returns at the end.
func (s *Supervisor) result(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ending == nil:
		return ctx.Err()
	case s.spec.DontPropagateTermination:
		return ErrDoNotRestart
	}
	return s.ending
}

// path is the supervisor's name below that of the one it is in.
func (s *Supervisor) path(ctx context.Context) string {
	if a, ok := taskvisor.FromContext(ctx); ok {
		return fit(a.Supervisor + "/" + s.Name)
	}
	return fit(s.Name)
}

// graceOf is the Timeout, but less than that of the supervisor outside: who waits for
// a service that hangs does not hang.
func graceOf(ctx context.Context, timeout time.Duration) time.Duration {
	if a, ok := taskvisor.FromContext(ctx); ok {
		outer := a.Spec.Grace()
		return min(timeout, outer-outer/16)
	}
	return timeout
}

// taskOf is a service as a task.
func (s *Supervisor) taskOf(r *supervised) taskvisor.TaskSpec {
	opts := []taskvisor.TaskOption{
		taskvisor.WithKind(r.base),
		taskvisor.RestartOnFailure(),
		taskvisor.ConstantBackoff(0), // the pause is what slows restarts down
		taskvisor.WithUnlimitedRetries(),
		taskvisor.WithGate(s.pause),
	}
	if s.spec.PassThroughPanics {
		opts = append(opts, taskvisor.WithoutRecover())
	}
	return taskvisor.Restartable(r.task, func(ctx context.Context) error {
		return s.said(ctx, r.service.Serve(ctx))
	}, opts...)
}

// said says in taskvisor's words what a service returned.
func (s *Supervisor) said(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil: // it was told to
		return err
	case err == nil:
		return errReturned
	case errors.Is(err, ErrDoNotRestart):
		return nil
	case errors.Is(err, ErrTerminateSupervisorTree):
		s.mu.Lock()
		if s.ending == nil {
			s.ending = err
		}
		s.mu.Unlock()
		return taskvisor.Fatal(err)
	}
	return err
}
