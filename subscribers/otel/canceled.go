package otelsub

import (
	"context"
	"reflect"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// saysMore reports whether the error of a canceled attempt tells more than that it
// was canceled: what a stopped body could not finish, or why a task ended itself.
func saysMore(r *taskvisor.Result) bool {
	if r.Err == nil {
		return false
	}
	if r.Reason == taskvisor.ErrCanceled || r.Reason == 0 {
		return r.Err.Error() != taskvisor.ErrCanceled.Error()
	}
	left := maxNodes
	return !isCancellation(r.Err, &left)
}

// maxNodes bounds the errors of one tree that are looked at.
const maxNodes = 1000

// ours is the package whose causes of a cancellation say why it was asked for,
// which is no news about the body that returns them.
var ours = reflect.TypeFor[taskvisor.PanicError]().PkgPath()

// isCancellation reports whether each branch of err ends in a cancellation. A body
// that returns errors.Join(ctx.Err(), f.Close()) has more to say than that.
func isCancellation(err error, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	if err == context.Canceled || err == error(taskvisor.ErrCanceled) {
		return true
	}
	if x, ok := err.(interface{ Is(error) bool }); ok && x.Is(context.Canceled) {
		return true
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		inner := x.Unwrap()
		return inner != nil && isCancellation(inner, left)
	case interface{ Unwrap() []error }:
		branches := x.Unwrap()
		if len(branches) > 0 && isReason(err, branches[0]) {
			return true
		}
		for _, branch := range branches {
			if branch == nil || !isCancellation(branch, left) {
				return false
			}
		}
		return len(branches) > 0
	}
	return false
}

// askedOf returns what the caller gave as a cause of the stop or interruption of the
// attempt that ctx is of; nil if it gave none.
func askedOf(ctx context.Context) error {
	err := context.Cause(ctx)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	branches := joined.Unwrap()
	if len(branches) != 2 || !isReason(err, branches[0]) {
		return nil
	}
	if _, bare := branches[1].(taskvisor.Reason); bare {
		return nil
	}
	return branches[1]
}

// isReason reports whether err is the cause of an attempt's context: the reason of a
// stop, and beside it what the caller gave as its cause.
func isReason(err, first error) bool {
	reason, ok := first.(taskvisor.Reason)
	return ok && reason.Is(context.Canceled) && isOurs(reflect.TypeOf(err))
}

// isOurs reports whether t is a type of the supervisor's.
func isOurs(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == ours
}
