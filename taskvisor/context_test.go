package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// contextKey is the key of the values that these tests give along.
type contextKey string

// ending is one way in which an attempt's context ends.
type ctxEnding struct {
	timeout time.Duration // 0: none
	stop    func(r *room, h *taskvisor.Handle)
	err     error   // ctx.Err()
	cause   error   // context.Cause, by errors.Is
	also    []error // what the cause is too
}

// ctxEndings ends an attempt a minute after its start, in every way. A body that
// ends by itself is told so by the test.
var ctxEndings = map[string]ctxEnding{
	"timeout": {timeout: time.Minute, err: context.DeadlineExceeded, cause: taskvisor.ErrAttemptTimeout, also: []error{context.DeadlineExceeded}},
	"removed": {stop: func(_ *room, h *taskvisor.Handle) { h.Stop() }, err: context.Canceled, cause: taskvisor.ErrRemoved, also: []error{context.Canceled}},
	"removed, with a deadline": {
		timeout: time.Hour, stop: func(_ *room, h *taskvisor.Handle) { h.Stop() },
		err: context.Canceled, cause: taskvisor.ErrRemoved, also: []error{context.Canceled},
	},
	"shutdown": {
		stop: func(r *room, _ *taskvisor.Handle) { go r.sup.Shutdown(context.Background()) }, err: context.Canceled,
		cause: taskvisor.ErrShutdown, also: []error{context.Canceled},
	},
	"replaced": {stop: func(r *room, _ *taskvisor.Handle) {
		_, err := r.sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("successor", noWork), Slot: "a", Admission: taskvisor.Replace})
		if err != nil {
			r.Error(err)
		}
	}, err: context.Canceled, cause: taskvisor.ErrReplaced, also: []error{context.Canceled}},
	"returned":                  {err: context.Canceled, cause: context.Canceled},
	"returned, with a deadline": {timeout: time.Hour, err: context.Canceled, cause: context.Canceled},
}

// checkEnded demands that ctx ended as e says, and that nothing about it changes.
func checkEnded(t testing.TB, what string, ctx context.Context, e ctxEnding) {
	t.Helper()
	for range 2 {
		select {
		case <-ctx.Done():
		default:
			t.Errorf("%s is not done", what)
		}
		same(t, what+": Err", ctx.Err(), e.err)
		cause := context.Cause(ctx)
		isAll(t, what+": cause", cause, append(e.also, e.cause)...)
		if e.cause == taskvisor.ErrAttemptTimeout {
			timeout, ok := cause.(interface{ Timeout() bool })
			same(t, what+": Timeout()", ok && timeout.Timeout(), true)
		}
		if e.cause == context.Canceled {
			same(t, what+": cause of an attempt that merely returned", cause, context.Canceled)
		}
	}
}

// attempt runs one attempt that ends in the given way and returns its context.
// look is what the body does with it first; nil: nothing.
func (r *room) attempt(e ctxEnding, look func(ctx context.Context)) context.Context {
	r.Helper()
	kept := make(chan context.Context, 1)
	returned := make(chan struct{})
	var opts []taskvisor.TaskOption
	if e.timeout > 0 {
		opts = append(opts, taskvisor.WithTimeout(e.timeout))
	}
	ctx := context.WithValue(context.Background(), contextKey("given"), "value")
	h, err := r.sup.Submit(ctx, taskvisor.Submission{Slot: "a", Task: taskvisor.Once("a", func(ctx context.Context) error {
		defer close(returned)
		kept <- ctx
		if look != nil {
			look(ctx)
		}
		time.Sleep(2 * time.Minute) // whatever happens to ctx
		return nil
	}, opts...)})
	if err != nil {
		r.Fatal(err)
	}
	time.Sleep(time.Minute)
	if e.stop != nil {
		e.stop(r, h)
	}
	<-returned
	r.end(h)
	return <-kept
}

// Err, Cause and Done tell why, to the context itself and to every kind of child.
func TestContextTellsWhy(t *testing.T) {
	eachInRoom(t, ctxEndings, func(r *room, e ctxEnding) {
		children := map[string]context.Context{}
		var unaffected context.Context
		ctx := r.attempt(e, func(ctx context.Context) {
			same(r, "Err before", ctx.Err(), nil)
			same(r, "Cause before", context.Cause(ctx), nil)
			deadline, ok := ctx.Deadline()
			same(r, "has a deadline", ok, e.timeout > 0)
			if ok {
				same(r, "deadline", time.Until(deadline), e.timeout)
			}
			children = family(r.T, ctx)
			children["itself"] = ctx
			unaffected = context.WithoutCancel(ctx)
		})
		for name, child := range children {
			checkEnded(r, name, child, e)
			same(r, name+": value", child.Value(contextKey("given")), nil) // the task is gone
		}
		same(r, "WithoutCancel: Err", unaffected.Err(), nil)
		same(r, "WithoutCancel: Cause", context.Cause(unaffected), nil)
		same(r, "WithoutCancel: Done", unaffected.Done(), nil)
		checkEnded(r, "made later", context.WithValue(ctx, contextKey("k"), 1), e)
		for name, child := range family(r.T, ctx) {
			checkEnded(r, name+", made later", child, e)
		}
	})
}

// family returns children of every kind.
func family(t *testing.T, ctx context.Context) map[string]context.Context {
	kids := map[string]context.Context{"WithValue": context.WithValue(ctx, contextKey("k"), "v"), "custom": struct{ context.Context }{ctx}}
	keep := func(name string, child context.Context, cancel func()) {
		t.Cleanup(cancel)
		kids[name] = child
	}
	child, cancel := context.WithCancel(ctx)
	keep("WithCancel", child, cancel)
	caused, cancelCause := context.WithCancelCause(ctx)
	keep("WithCancelCause", caused, func() { cancelCause(errBoom) })
	child, cancel = context.WithTimeout(ctx, 24*time.Hour)
	keep("WithTimeout", child, cancel)
	child, cancel = context.WithDeadlineCause(ctx, time.Now().Add(24*time.Hour), errBoom)
	keep("WithDeadlineCause", child, cancel)
	child, cancel = context.WithCancel(context.WithValue(kids["custom"], contextKey("k"), "v"))
	keep("grandchild", child, cancel)
	child, cancel = context.WithTimeout(context.WithValue(kids["WithTimeout"], contextKey("k"), "v"), 48*time.Hour)
	keep("great-grandchild", child, cancel)
	return kids
}

// A context kept beyond its attempt reads as it ended, whether anybody looked at
// it before or not.
func TestContextFirstLookedAtAfterTheEnd(t *testing.T) {
	eachInRoom(t, ctxEndings, func(r *room, e ctxEnding) {
		ctx := r.attempt(e, nil)
		checkEnded(r, "kept", ctx, e)
		same(r, "value", ctx.Value(contextKey("given")), nil) // the task is gone
		a, ok := taskvisor.FromContext(ctx)
		same(r, "FromContext", ok, true)
		same(r, "task", a.Task, "a")
		same(r, "number", a.Number, 1)
		for name, child := range family(r.T, ctx) {
			checkEnded(r, name, child, e)
		}
		called := make(chan struct{})
		context.AfterFunc(ctx, func() { close(called) })
		<-called
		if err := taskvisor.Go(ctx, func(context.Context) { r.Error("a child of an ended attempt was started") }); err == nil {
			r.Error("Go accepted an ended attempt's context")
		}
	})
}

// What was looked at between the end's cause and the return reads the same.
func TestContextFirstLookedAtWhenCancelled(t *testing.T) {
	eachInRoom(t, ctxEndings, func(r *room, e ctxEnding) {
		ctx := r.attempt(e, func(ctx context.Context) {
			time.Sleep(90 * time.Second)
			if e.cause != context.Canceled {
				checkEnded(r, "cancelled", ctx, e)
			} else {
				same(r, "Err", ctx.Err(), nil)
			}
		})
		checkEnded(r, "kept", ctx, e)
	})
}

// Later attempts have contexts of their own; those of earlier ones stay as they are.
func TestContextOfEachAttemptIsItsOwn(t *testing.T) {
	inRoom(t, func(r *room) {
		var looked, not []context.Context
		n := 0
		h := r.add(taskvisor.Restartable("a", func(ctx context.Context) error {
			for i, earlier := range looked {
				same(r, fmt.Sprintf("attempt %d", i), earlier.Err(), context.Canceled)
			}
			if n++; n%2 == 0 {
				same(r, "fresh", ctx.Err(), nil)
				looked = append(looked, ctx)
			} else {
				not = append(not, ctx)
			}
			if n == 200 {
				return taskvisor.ErrCanceled
			}
			return errBoom
		}, taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor(), taskvisor.WithMaxRetries(1000)))
		r.end(h)
		for i, ctx := range append(looked, not...) {
			checkEnded(r, fmt.Sprintf("context %d", i), ctx, ctxEndings["returned"])
			a, _ := taskvisor.FromContext(ctx)
			want := 2*i + 2
			if i >= len(looked) {
				want = 2*(i-len(looked)) + 1
			}
			same(r, "number", a.Number, want)
		}
	})
}

// The values of the caller's context reach the attempt, its deadline and its end
// never do.
func TestContextCarriesValuesOnly(t *testing.T) {
	inRoom(t, func(r *room) {
		given, cancel := context.WithDeadlineCause(context.WithValue(context.Background(), contextKey("k"), "v"), time.Now().Add(time.Second), errBoom)
		defer cancel()
		got := make(chan context.Context, 1)
		h, err := r.sup.Add(given, taskvisor.Once("a", func(ctx context.Context) error {
			got <- ctx
			<-ctx.Done()
			return nil
		}))
		if err != nil {
			r.Fatal(err)
		}
		ctx := <-got
		_, has := ctx.Deadline()
		same(r, "has a deadline", has, false)
		time.Sleep(time.Hour)
		synctest.Wait()
		isAll(r, "given context", given.Err(), context.DeadlineExceeded)
		same(r, "Err", ctx.Err(), nil)
		same(r, "value", ctx.Value(contextKey("k")), any("v"))
		same(r, "unknown key", ctx.Value(contextKey("x")), nil)
		h.Stop()
		r.end(h)
		checkEnded(r, "stopped", ctx, ctxEndings["removed"])
		same(r, "value after the end", ctx.Value(contextKey("k")), nil)
		same(r, "unknown key after the end", ctx.Value(contextKey("x")), nil)
	})
}

// On shutdown the cause also unwraps to what triggered it.
func TestContextShutdownCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		parent, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Minute, func() { cancel(errBoom) })
		var cause, err2 error
		err = sup.Run(parent, taskvisor.Once("a", func(ctx context.Context) error {
			<-ctx.Done()
			cause, err2 = context.Cause(ctx), ctx.Err()
			return cause
		}))
		same(t, "Run", err, nil)
		same(t, "Err", err2, context.Canceled)
		isAll(t, "cause", cause, taskvisor.ErrShutdown, context.Canceled, errBoom)
		same(t, "removed", errors.Is(cause, taskvisor.ErrRemoved), false)
	})
}

// Given by Run, values reach the attempts as well.
func TestContextOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		err = sup.Run(context.WithValue(context.Background(), contextKey("k"), "v"), taskvisor.Once("a", func(ctx context.Context) error {
			same(t, "value", ctx.Value(contextKey("k")), any("v"))
			return nil
		}))
		same(t, "Run", err, nil)
	})
}
