package taskvisortest

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Step is what a scripted task does in one attempt; see [Script]. It is
// immutable and may be used in several scripts. The zero value succeeds.
type Step struct {
	run func(ctx context.Context) error
}

func (s Step) do(ctx context.Context) error {
	if s.run == nil {
		return nil
	}
	return s.run(ctx)
}

// Script returns a Func whose first call does the first step, the second call
// the second, and so on; the last step repeats. It panics without steps.
//
// The Func is safe for concurrent use. It counts calls, not attempts: tasks
// that share it share its steps, each of which is done once.
func Script(steps ...Step) taskvisor.Func {
	if len(steps) == 0 {
		panic("taskvisortest: Script without steps")
	}
	steps = append([]Step(nil), steps...)
	var calls atomic.Uint64
	return func(ctx context.Context) error {
		n := min(calls.Add(1), uint64(len(steps)))
		return steps[n-1].do(ctx)
	}
}

// Succeed returns nil at once.
func Succeed() Step { return Step{} }

// Fail returns err at once; it may be marked by [taskvisor.Fatal] or
// [taskvisor.RetryAfter]. It panics if err is nil, which would be a success.
func Fail(err error) Step {
	if err == nil {
		panic("taskvisortest: Fail(nil)")
	}
	return Step{func(context.Context) error { return err }}
}

// Panic panics with v.
func Panic(v any) Step {
	return Step{func(context.Context) error { panic(v) }}
}

// Goexit ends the attempt's goroutine by [runtime.Goexit], as t.FailNow does.
func Goexit() Step {
	return Step{func(context.Context) error {
		runtime.Goexit()
		return nil
	}}
}

// Block waits until the attempt's context is done and returns its cause: a
// well-behaved worker that never finishes by itself.
func Block() Step {
	return Step{func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}}
}

// Ignore works for d whatever happens to the attempt's context, then succeeds:
// a body that gets stuck and outlives its grace.
func Ignore(d time.Duration) Step {
	return Step{func(context.Context) error {
		time.Sleep(d)
		return nil
	}}
}

// After waits for d and then does step. If the attempt's context is done
// before, it returns the cause instead.
func After(d time.Duration, step Step) Step {
	return Step{func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return step.do(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}
