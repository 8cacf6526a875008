package taskvisor

import (
	"fmt"
	"time"
)

// Fatal returns an error that ends the task without a retry, under every
// policy. It wraps err, whose text it keeps; Fatal(nil) is nil.
//
// This and the other marks, [Canceled], [RetryAfter] and [RunAfter], speak to the
// supervisor of the task that returns them and to nobody else: a body that returns
// the error of another task's [Outcome] is judged by its own policy.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

// The marks are types of their own, and not exported: only this package makes them, and
// ending.inspect finds them by type wherever in an error's tree they are.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// RetryAfter returns an error that sets the delay before the next attempt to d
// instead of the backoff's: neither drawn nor capped, though never below the
// restart floor; a negative d is 0. The attempt still counts as a failure, and
// the retry limit applies. It wraps err, whose text it keeps; RetryAfter(d,
// nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{max(d, 0), err}
}

// RunAfter returns an error that is a success, and sets the next start of a task
// that restarts on success to d from now instead of its interval; a negative d is
// 0. For other tasks it is a success like nil. Joined with another error it is a
// failure, and d the delay before the retry, as with [RetryAfter].
func RunAfter(d time.Duration) error { return &runAfterError{max(d, 0)} }

// runAfterError wraps nothing: it is a success.
type runAfterError struct{ delay time.Duration } // not negative

func (e *runAfterError) Error() string { return fmt.Sprintf("run again after %s", e.delay) }

// Canceled returns an error that makes the task end itself, as [ErrCanceled] does,
// under every policy; err is the reason, and is heard: it is the error of the
// attempt and of the outcome, which is [OutcomeCanceled]. Canceled(nil) is nil.
func Canceled(err error) error {
	if err == nil {
		return nil
	}
	return &canceledError{err}
}

// canceledError is ErrCanceled for errors.Is, beside what it wraps.
type canceledError struct{ err error }

func (e *canceledError) Error() string { return e.err.Error() }
func (e *canceledError) Unwrap() error { return e.err }
func (e *canceledError) Is(target error) bool {
	return target == error(ErrCanceled) || ErrCanceled.Is(target)
}

type retryAfterError struct {
	delay time.Duration // not negative
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// A quote, a spokenError or a causeError, is an error in which marks are not the body's. The
// walk of ending.inspect stops at it. Where methods As and Is of the user's lead into errors
// that it does not see, it asks them for these: what is found first is a mark or a quote.
type (
	fatalOrQuote  interface{ fatalOrQuote() }
	laterOrQuote  interface{ laterOrQuote() }
	cancelOrQuote struct{ quoted bool } // a target for errors.Is
)

func (*fatalError) fatalOrQuote()      {}
func (*retryAfterError) laterOrQuote() {}
func (*spokenError) fatalOrQuote()     {}
func (*spokenError) laterOrQuote()     {}
func (*causeError) fatalOrQuote()      {}
func (*causeError) laterOrQuote()      {}

func (*cancelOrQuote) Error() string { return "cancel or quote" }

// quotes is the method Is of a quote.
func quotes(target error) bool {
	first, ok := target.(*cancelOrQuote)
	if ok {
		first.quoted = true
	}
	return ok
}

func (e *spokenError) Is(target error) bool { return quotes(target) }
func (e *causeError) Is(target error) bool  { return quotes(target) }

// spokenError is an error that has been judged: its marks were for the supervisor
// of the task that returned it. Text and tree are those of err, so errors.Is and errors.As
// find all that is in it; only ending.inspect stops here. Without it, a body that returns
// the error of another task's outcome would be fatal because that task was.
type spokenError struct{ err error }

func (e *spokenError) Error() string { return e.err.Error() }
func (e *spokenError) Unwrap() error { return e.err }

// causeError is a Reason with what the caller, or the trigger of a shutdown, gave
// as its cause, which is the user's: the supervisor calls none of its methods. Marks in it
// are not the body's.
type causeError struct {
	reason Reason
	cause  error
}

// Error does not repeat the reason once for each level of nested supervisors.
func (e *causeError) Error() string {
	if inner, ok := e.cause.(*causeError); ok && inner.reason == e.reason {
		return inner.Error()
	}
	if e.cause == error(e.reason) { // this cannot panic, whatever the cause is: a Reason is comparable
		return e.reason.Error()
	}
	return e.reason.Error() + ": " + e.cause.Error()
}

func (e *causeError) Unwrap() []error { return []error{e.reason, e.cause} }

// because is reason as an error, with its cause if there is one.
func because(reason Reason, cause error) error {
	if cause == nil {
		return reason
	}
	return &causeError{reason, cause}
}
