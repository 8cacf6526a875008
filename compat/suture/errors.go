package suture

import (
	"errors"
	"fmt"
)

// What a service returns to say what shall follow. Both may be wrapped.
var (
	// ErrDoNotRestart ends the service, and only it: its supervisor forgets it.
	ErrDoNotRestart = errors.New("suture: the service asks not to be restarted")
	// ErrTerminateSupervisorTree ends the supervisor that the service is in, and the
	// supervisors above it; see [Spec.DontPropagateTermination].
	ErrTerminateSupervisorTree = errors.New("suture: the service asks for the end of its supervisors")
)

// What the methods of a Supervisor return.
var (
	// ErrWrongSupervisor is returned by Remove and RemoveAndWait for the token of
	// another supervisor.
	ErrWrongSupervisor = errors.New("suture: the token is another supervisor's")
	// ErrTimeout is returned by RemoveAndWait if the service did not stop in time, or
	// not before its supervisor had ended.
	ErrTimeout = errors.New("suture: the service has not stopped in time")
	// ErrSupervisorNotStarted is returned by Remove and RemoveAndWait before Serve.
	ErrSupervisorNotStarted = errors.New("suture: the supervisor was not started")
	// ErrSupervisorNotRunning is returned by RemoveAndWait after the end, and by a
	// second Serve.
	ErrSupervisorNotRunning = errors.New("suture: the supervisor does not run")
	// ErrSupervisorNotTerminated is there because suture has it; nothing returns it.
	ErrSupervisorNotTerminated = errors.New("suture: the supervisor has not ended")
)

// errReturned stands for a service that returned nil: a failure, as suture counts.
var errReturned = errors.New("suture: the service returned, and is to be restarted")

var errServedBefore = fmt.Errorf("%w, it has served before: %w", ErrSupervisorNotRunning, ErrDoNotRestart)
