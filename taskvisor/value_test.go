package taskvisor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The value is that of the attempt that completes the task.
func TestReturningValueOfTheLastAttempt(t *testing.T) {
	inRoom(t, func(r *room) {
		n := 0
		h := r.add(taskvisor.Restartable("a", taskvisor.Returning(func(context.Context) (int, error) {
			if n++; n < 3 {
				return n, errBoom
			}
			return n, nil
		})))
		v, err := taskvisor.Await[int](context.Background(), h)
		same(r, "value", v, 3)
		same(r, "error", err, nil)
		o, _ := h.Outcome()
		same(r, "outcome", o.Value, any(3))
		again, err := taskvisor.Await[int](context.Background(), h)
		same(r, "again", again, 3)
		same(r, "error", err, nil)
	})
}

// A value is kept only if the task completed.
func TestReturningValueOnlyIfCompleted(t *testing.T) {
	body := taskvisor.Returning(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "late", nil
	})
	inRoom(t, func(r *room) {
		timeout := r.add(taskvisor.Once("timeout", body, taskvisor.WithTimeout(time.Second)))
		_, err := taskvisor.Await[string](context.Background(), timeout)
		isAll(r, "timeout", err, taskvisor.ErrAttemptTimeout)
		stopped := r.add(taskvisor.Once("stopped", body))
		time.Sleep(time.Second)
		stopped.Stop()
		_, err = taskvisor.Await[string](context.Background(), stopped)
		isAll(r, "stopped", err, taskvisor.ErrRemoved)
		periodic := r.add(taskvisor.Periodic("periodic", time.Hour, taskvisor.Returning(func(context.Context) (int, error) { return 1, nil })))
		time.Sleep(time.Second)
		periodic.Stop()
		for _, h := range []*taskvisor.Handle{timeout, stopped, periodic} {
			same(r, h.Name(), r.end(h).Value, nil)
		}
	})
}

// A value that an earlier attempt left behind is not the last one's.
func TestReturningValueIsNotInherited(t *testing.T) {
	inRoom(t, func(r *room) {
		n := 0
		o := r.run(taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n > 1 {
				return nil
			}
			return taskvisor.Returning(func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "of an attempt that timed out", nil
			})(ctx)
		}, taskvisor.WithTimeout(time.Second)))
		same(r, "attempts", o.Attempts, 2)
		same(r, "value", o.Value, nil)
	})
}

// Await's error is that of the waiting, or the outcome's.
func TestAwaitErrors(t *testing.T) {
	inRoom(t, func(r *room) {
		block := r.add(taskvisor.Once("block", taskvisor.Returning(func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })))
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errBoom)
		defer cancel()
		_, err := taskvisor.Await[int](ctx, block)
		isAll(r, "impatient", err, errBoom)
		same(r, "the task goes on", block.Status().State, taskvisor.StateRunning)

		failed := r.add(taskvisor.Once("failed", taskvisor.Returning(func(context.Context) (int, error) { return 7, errBoom })))
		v, err := taskvisor.Await[int](context.Background(), failed)
		same(r, "value of a failure", v, 0)
		isAll(r, "failure", err, errBoom)

		r.run(taskvisor.Once("self", taskvisor.Returning(func(ctx context.Context) (int, error) {
			self, _ := r.sup.Lookup("self")
			_, err := taskvisor.Await[int](ctx, self)
			isAll(r, "self", err, taskvisor.ErrWouldWaitForSelf)
			return 1, nil
		})))
	})
}

// A value of another type is an error that says so and names the task.
func TestAwaitOfAnotherType(t *testing.T) {
	inRoom(t, func(r *room) {
		number := r.add(taskvisor.Once("number", taskvisor.Returning(func(context.Context) (int, error) { return 7, nil })))
		plain := r.add(taskvisor.Once("plain", noWork))
		_, err := taskvisor.Await[string](context.Background(), number)
		if err == nil || !strings.Contains(err.Error(), `"number"`) || !strings.Contains(err.Error(), "int") || !strings.Contains(err.Error(), "string") {
			r.Errorf("a string: %v", err)
		}
		var refused *taskvisor.TaskError
		if _, err = taskvisor.Await[int](context.Background(), plain); !errors.As(err, &refused) || refused.Task != "plain" {
			r.Errorf("no value: %v", err)
		}
		v, err := taskvisor.Await[any](context.Background(), number)
		same(r, "as any", v, any(7))
		same(r, "error", err, nil)
		failure := r.add(taskvisor.Once("error", taskvisor.Returning(func(context.Context) (error, error) { return nil, nil })))
		e, err := taskvisor.Await[error](context.Background(), failure)
		same(r, "a nil interface", e, nil)
		same(r, "error", err, nil)
	})
}

// A bracket's derived context belongs to the attempt as well.
func TestReturningThroughBrackets(t *testing.T) {
	inRoom(t, func(r *room) {
		h := r.add(taskvisor.Once("a", taskvisor.Returning(func(ctx context.Context) (string, error) {
			return ctx.Value(contextKey("bracket")).(string), nil
		})))
		v, err := taskvisor.Await[string](context.Background(), h)
		same(r, "value", v, "set")
		same(r, "error", err, nil)
	}, taskvisor.WithSubscriber(valueBracket{}))
}

type valueBracket struct{ queuedOnly }

func (valueBracket) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	return context.WithValue(ctx, contextKey("bracket"), "set")
}

func (valueBracket) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// Called outside of an attempt, a Returning body is an ordinary function.
func TestReturningOutsideOfAnAttempt(t *testing.T) {
	fn := taskvisor.Returning(func(context.Context) (int, error) { return 1, errBoom })
	same(t, "error", fn(t.Context()), errBoom)
	same(t, "nil", taskvisor.Returning(func(context.Context) (int, error) { return 1, nil })(t.Context()), nil)
	defer func() {
		if recover() == nil {
			t.Error("Returning(nil) did not panic")
		}
	}()
	taskvisor.Returning[int](nil)
}

// An abandoned body's value comes too late.
func TestReturningAfterAbandonment(t *testing.T) {
	inRoom(t, func(r *room) {
		h := r.add(taskvisor.Once("a", taskvisor.Returning(func(ctx context.Context) (int, error) {
			return 7, taskvisortest.Script(taskvisortest.Ignore(time.Minute))(ctx)
		}), taskvisor.WithGrace(time.Second)))
		time.Sleep(time.Second)
		_, err := h.Cancel(context.Background())
		same(r, "cancel", err, nil)
		time.Sleep(time.Hour)
		o, _ := h.Outcome()
		same(r, "outcome", o.Kind, taskvisor.OutcomeAbandoned)
		same(r, "value", o.Value, nil)
	})
}

// A helper that an earlier attempt left behind does not set a later one's value.
func TestReturningValueOfAnEndedAttempt(t *testing.T) {
	inRoom(t, func(r *room) {
		n := 0
		late := taskvisor.Returning(func(context.Context) (string, error) { return "of a helper", nil })
		o := r.run(taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n == 1 {
				time.AfterFunc(2*time.Second, func() { _ = late(ctx) })
				return errBoom
			}
			time.Sleep(time.Minute)
			return nil
		}, taskvisor.ConstantBackoff(time.Second)))
		same(r, "attempts", o.Attempts, 2)
		same(r, "value", o.Value, nil)
	})
}
