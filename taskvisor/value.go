package taskvisor

import (
	"context"
	"fmt"
)

// Returning turns a function with a result into a Func. The value of the attempt
// that completes the task becomes the Outcome's Value; see [Await]. It panics if
// fn is nil.
func Returning[T any](fn func(ctx context.Context) (T, error)) Func {
	if fn == nil {
		panic("taskvisor: nil function for Returning")
	}
	return func(ctx context.Context) error {
		v, err := fn(ctx)
		if err == nil {
			keepValue(ctx, v)
		}
		return err
	}
}

// keepValue leaves v with the task whose attempt ctx belongs to, while it runs. A task
// keeps one value: newAttempt drops that of the attempt before, and the outcome shows it
// only if the task completed. It goes by the context, since a Func returns an error only.
func keepValue(ctx context.Context, v any) {
	a := attemptFrom(ctx)
	if a == nil { // the Func was called outside of a task, in a test for instance
		return
	}
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run == a { // not a call with the context of an attempt that is over
		t.extraLocked().value = v
	}
}

// Await waits for the task and returns the value of its [Returning] body. The
// error is that of the waiting, as from [Handle.Wait], or the outcome's, or says
// that the task returns no value of type T.
func Await[T any](ctx context.Context, h *Handle) (T, error) {
	var zero T
	o, err := h.wait(ctx, "await")
	if err == nil {
		err = o.Err
	}
	if err != nil {
		return zero, err
	}
	v, ok := o.Value.(T)
	// An interface T that the body returned as nil comes back as a nil any, which is not ok.
	if !ok && (o.Value != nil || any(zero) != nil) {
		return zero, &TaskError{Op: "await", Task: h.Name(), Err: fmt.Errorf("its value is %T, not %T", o.Value, zero)}
	}
	return v, nil
}
