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

// keepValue leaves v with the task whose attempt ctx belongs to, while it runs.
func keepValue(ctx context.Context, v any) {
	a := attemptFrom(ctx)
	if a == nil {
		return
	}
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run == a {
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
	if !ok && (o.Value != nil || any(zero) != nil) {
		return zero, &TaskError{Op: "await", Task: h.Name(), Err: fmt.Errorf("its value is %T, not %T", o.Value, zero)}
	}
	return v, nil
}
