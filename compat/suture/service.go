package suture

import "context"

// Service is what a supervisor runs.
//
// Serve does the work and returns when ctx ends, or when it has failed. Whatever it
// returns, it is called again, except after [ErrDoNotRestart],
// [ErrTerminateSupervisorTree] and a removal; so is one that panicked. Calls never
// overlap. A service that has a String method is named by it.
type Service interface {
	Serve(ctx context.Context) error
}

// DeprecatedService is a service as the versions of suture before contexts had it:
// Serve works until Stop is called, from another goroutine.
type DeprecatedService interface {
	Serve()
	Stop()
}

// AsService makes a Service of an old one. When the context ends it calls Stop, and
// it returns when the old Serve has. A panic of the old Serve is one of the
// service's.
func AsService(service DeprecatedService) Service {
	return &oldService{service}
}

type oldService struct{ DeprecatedService }

// Serve runs the old Serve on the caller's goroutine, so that a panic of it is the
// service's, and calls Stop from another, for which it waits.
func (o *oldService) Serve(ctx context.Context) error {
	stopped := make(chan struct{})
	// Started when ctx ends, unless Serve has returned before; ends with Stop; Serve
	// waits for it.
	unused := context.AfterFunc(ctx, func() {
		defer close(stopped)
		o.Stop()
	})
	o.DeprecatedService.Serve()
	if !unused() {
		<-stopped
	}
	return ctx.Err()
}
