package work

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Failures is how often the body of the rows with failures fails before it
// succeeds.
const Failures = 5

// Flaky returns a body that fails five times, then succeeds, and adds what it
// did to ran.
func Flaky(ran *int) func() error {
	i := 0
	return func() error {
		*ran++
		if i++; i <= Failures {
			return ErrFail
		}
		return nil
	}
}

// RawFailures retries in a goroutine of its own until the body succeeds.
func RawFailures(m *rounds.Meter, n int) error {
	ran := 0
	ctx := context.Background()
	m.Start()
	for range n {
		body := Flaky(&ran)
		fn := func(context.Context) error { return body() }
		done := make(chan struct{})
		go func() {
			for Protect(ctx, fn) != nil {
			}
			close(done)
		}()
		<-done
	}
	m.Stop()
	return Counted("attempts", ran, n*(Failures+1))
}

// FailuresThenSuccess is the same with a task.
func FailuresThenSuccess(m *rounds.Meter, n int) error {
	sup, err := started(taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
	if err != nil {
		return err
	}
	ran := 0
	ctx := context.Background()
	m.Start()
	for range n {
		body := Flaky(&ran)
		fn := func(context.Context) error { return body() }
		h, err := sup.Add(ctx, taskvisor.Restartable("task", fn))
		if err != nil {
			return end(sup, err)
		}
		if _, err := h.Wait(ctx); err != nil {
			return end(sup, err)
		}
	}
	m.Stop()
	return end(sup, Counted("attempts", ran, n*(Failures+1)))
}

// RawPanic recovers from n panics.
func RawPanic(m *rounds.Meter, n int) error {
	done := 0
	fn := func(context.Context) error { done++; panic("boom") }
	ctx := context.Background()
	failed := 0
	m.Start()
	for range n {
		if Protect(ctx, fn) != nil {
			failed++
		}
	}
	m.Stop()
	return Counted("panics", failed, n)
}

// RawPanicStack keeps the stack's text too.
func RawPanicStack(m *rounds.Meter, n int) error {
	text := 0
	one := func() {
		defer func() {
			if v := recover(); v != nil {
				text += min(1, len(debug.Stack()))
			}
		}()
		panic("boom")
	}
	m.Start()
	for range n {
		one()
	}
	m.Stop()
	return Counted("stacks", text, n)
}

// Panic restarts a task that panics n times. Its stack is captured.
func Panic(m *rounds.Meter, n int) error { return panics(m, n) }

// PanicText has a subscriber that asks for the text of each stack.
func PanicText(m *rounds.Meter, n int) error {
	var r renderer
	if err := panics(m, n, taskvisor.WithSubscriber(&r, taskvisor.Inline())); err != nil {
		return err
	}
	return Counted("stacks", r.texts, n)
}

func panics(m *rounds.Meter, n int, opts ...taskvisor.Option) error {
	sup, err := started(opts...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	done := 0
	fn := func(context.Context) error {
		if done++; done > n {
			return nil
		}
		panic("boom")
	}
	m.Start()
	h, err := sup.Add(ctx, taskvisor.Restartable("task", fn, taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
	if err != nil {
		return end(sup, err)
	}
	o, err := h.Wait(ctx)
	m.Stop()
	if err == nil && o.Kind != taskvisor.OutcomeCompleted {
		err = fmt.Errorf("outcome %s", o.Kind)
	}
	return end(sup, errors.Join(err, Counted("attempts", o.Attempts, n+1)))
}

type renderer struct{ texts int }

// OnEvent is inline and the task is alone, so there is one call at a time.
func (r *renderer) OnEvent(_ context.Context, e taskvisor.Event) {
	var p *taskvisor.PanicError
	if e.Kind == taskvisor.TaskFailed && errors.As(e.Err, &p) && p.Stack() != "" {
		r.texts++
	}
}
