package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

// ErrSignal is what errors.Is finds in the error of an actor of [SignalHandler] that
// got a signal.
var ErrSignal = errors.New("run: a signal arrived")

// SignalError is that error; Signal is which. Look for it by errors.Is with
// [ErrSignal], or, where the signal matters, by errors.As.
type SignalError struct {
	Signal os.Signal
}

// Error names the signal.
func (e SignalError) Error() string { return fmt.Sprintf("run: received %v", e.Signal) }

// Is reports whether target is ErrSignal.
func (e SignalError) Is(target error) bool { return errors.Is(target, ErrSignal) }

// As sets target if it is a *SignalError; that e may be held by value or by pointer
// makes no difference then.
func (e SignalError) As(target any) bool {
	switch t := target.(type) {
	case *SignalError:
		*t = e
	case **SignalError:
		*t = &e
	default:
		return false
	}
	return true
}

// ContextHandler returns an actor that returns the error of ctx when that ends, and
// context.Canceled when it is interrupted before.
func ContextHandler(ctx context.Context) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	wait := func() error {
		<-ctx.Done()
		return ctx.Err()
	}
	return wait, func(error) { cancel() }
}

// SignalHandler returns an actor that returns a *SignalError when the process gets one
// of the signals, or any signal if none are named, and otherwise does what that of
// [ContextHandler] does.
func SignalHandler(ctx context.Context, signals ...os.Signal) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	wait := func() error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, signals...)
		defer signal.Stop(got)
		select {
		case sig := <-got:
			return &SignalError{sig}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return wait, func(error) { cancel() }
}
