// Package run has the exported API of github.com/oklog/run on taskvisor. A program that
// uses it is linked to this package by one line of its go.mod,
//
//	replace github.com/oklog/run => github.com/taskvisor/taskvisor-go/compat/run v0.1.0
//
// and needs no other change. What taskvisor's subscribers offer is then a call of
// [Observe] away.
//
// # How it maps
//
// A run of a group is a supervisor called "run", with a number if several run at once.
// An actor is a task that runs once, named by its execute function
// ("main.(*Server).Serve"), with a number from the second of a name on. When the first
// actor has returned the supervisor shuts down: the others are canceled, and those that
// have not returned five seconds later are reported as stuck. An actor that ends by a
// signal or with its context is canceled, not failed, so that a deployment raises no
// alarm.
//
// # What is different on purpose
//
//   - A panic of an actor does not end the process in the middle of what the others do:
//     they are interrupted, and Run returns a *taskvisor.PanicError, which has the
//     stack. So it is with an actor that calls runtime.Goexit, after which the original
//     never returns: the error is taskvisor.ErrGoexit.
//   - errors.As with a *SignalError fills it in.
//   - A nil execute or interrupt panics in Add, where the mistake is.
package run
