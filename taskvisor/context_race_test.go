package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The first cancellation wins: nothing that comes later changes Err or Cause.
func TestContextFirstCancellationWins(t *testing.T) {
	type row struct {
		first, then string // keys of ctxEndings
		timeout     time.Duration
	}
	stop := func(r *room, h *taskvisor.Handle, how string) {
		if f := ctxEndings[how].stop; f != nil {
			f(r, h)
		}
	}
	eachInRoom(t, map[string]row{
		"timeout, removed":      {"timeout", "removed", time.Minute},
		"timeout, shutdown":     {"timeout", "shutdown", time.Minute},
		"removed, its deadline": {"removed", "", 90 * time.Second},
		"removed, shutdown":     {"removed", "shutdown", 0},
		"shutdown, removed":     {"shutdown", "removed", 0},
		"removed, replaced":     {"removed", "replaced", 0},
		"replaced, removed":     {"replaced", "removed", 0},
	}, func(r *room, tt row) {
		e := ctxEndings[tt.first]
		e.timeout = tt.timeout
		first := e.stop
		var body atomic.Pointer[context.Context]
		e.stop = func(r *room, h *taskvisor.Handle) {
			if first != nil {
				first(r, h)
			}
			time.Sleep(time.Second)
			seen := *body.Load()
			checkEnded(r, "at first", seen, e)
			stop(r, h, tt.then)
			time.Sleep(50 * time.Second)
			checkEnded(r, "then", seen, e)
		}
		checkEnded(r, "at last", r.attempt(e, func(ctx context.Context) { ctx.Done(); body.Store(&ctx) }), e)
	})
}

// A deadline below the attempt's own is an inner matter, one above it is not seen.
func TestContextDeadlineBelow(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			earlier, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
			defer cancel()
			later, cancelLater := context.WithTimeoutCause(ctx, time.Hour, errBoom)
			defer cancelLater()
			own, _ := ctx.Deadline()
			below, _ := later.Deadline()
			same(r, "the nearest deadline counts", below, own)
			<-earlier.Done()
			isAll(r, "earlier", earlier.Err(), context.DeadlineExceeded)
			same(r, "cause of the earlier", context.Cause(earlier), errBoom)
			same(r, "attempt", ctx.Err(), nil)
			<-later.Done()
			checkEnded(r, "later", later, ctxEndings["timeout"])
			same(r, "earlier stays", context.Cause(earlier), errBoom)
			return nil
		}, taskvisor.WithTimeout(time.Minute)))
		r.trace("a", "A S T ✗ E D")
	})
}

// AfterFunc: called once after the end, on a goroutine of its own; not called
// once it was stopped.
func TestContextAfterFunc(t *testing.T) {
	eachInRoom(t, ctxEndings, func(r *room, e ctxEnding) {
		var called, nested, stopped, calledWithout atomic.Int32
		var stop, stopLate func() bool
		ctx := r.attempt(e, func(ctx context.Context) {
			stopLate = context.AfterFunc(ctx, func() {
				called.Add(1)
				isAll(r, "cause inside", context.Cause(ctx), e.cause)
				context.AfterFunc(ctx, func() { nested.Add(1) })
			})
			stop = context.AfterFunc(ctx, func() { stopped.Add(1) })
			same(r, "stop", stop(), true)
			same(r, "stop again", stop(), false)
			context.AfterFunc(context.WithoutCancel(ctx), func() { calledWithout.Add(1) })
			synctest.Wait()
			same(r, "called before the end", called.Load(), 0)
		})
		synctest.Wait()
		same(r, "called", called.Load(), 1)
		same(r, "nested", nested.Load(), 1)
		same(r, "called though stopped", stopped.Load(), 0)
		same(r, "called though detached", calledWithout.Load(), 0)
		same(r, "stopped too late", stopLate(), false)
		own := goroutine()
		other := make(chan string)
		context.AfterFunc(ctx, func() { other <- goroutine() })
		if <-other == own {
			r.Error("called on the goroutine that registered it")
		}
	})
}

// Children cost no goroutines: the package context knows the attempt's context
// for one of its own.
func TestContextChildrenNeedNoGoroutine(t *testing.T) {
	for name, opts := range map[string][]taskvisor.TaskOption{"": nil, "with a deadline": {taskvisor.WithTimeout(time.Hour)}} {
		inRoom(t, func(r *room) {
			r.run(taskvisor.Once("a", func(ctx context.Context) error {
				before := runtime.NumGoroutine()
				const n = 200
				for range n {
					_, cancel := context.WithCancel(context.WithValue(ctx, contextKey("k"), "v"))
					defer cancel()
				}
				if now := runtime.NumGoroutine(); now > before+n/2 {
					r.Errorf("%d children %s have %d goroutines", n, name, now-before)
				}
				return nil
			}, opts...))
		})
	}
}

// A cancelled child leaves the attempt alone, and its siblings.
func TestContextChildFinishesFirst(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			child, cancel := context.WithCancelCause(ctx)
			sibling, cancelSibling := context.WithCancel(ctx)
			defer cancelSibling()
			cancel(errBoom)
			same(r, "child", context.Cause(child), errBoom)
			same(r, "attempt", ctx.Err(), nil)
			same(r, "sibling", sibling.Err(), nil)
			return nil
		}))
		r.trace("a", "A S ✓ E D")
	})
}

// The context's text is short, and reading it touches nobody's values.
func TestContextString(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			same(r, "text", fmt.Sprint(ctx), "taskvisor.attempt")
			same(r, "child's text", strings.HasPrefix(fmt.Sprint(child), "taskvisor.attempt"), true)
			return nil
		}, taskvisor.WithTimeout(time.Second)))
	})
}

// A done context has an Err and a Cause, in every interleaving.
func TestContextErrDoneRaceConcurrentSafe(t *testing.T) {
	for _, how := range []string{"timeout", "removed", "returned"} {
		sup, _ := taskvisortest.Start(t)
		for i := range 200 {
			var watchers group
			var opts []taskvisor.TaskOption
			if how == "timeout" {
				opts = append(opts, taskvisor.WithTimeout(time.Duration(1+i%7)*10*time.Microsecond))
			}
			h, err := sup.Add(context.Background(), taskvisor.Once("a", func(ctx context.Context) error {
				for range 3 {
					watchers.Go(func() { watchEnd(t, ctx) })
				}
				if how != "returned" {
					<-ctx.Done()
				}
				return nil
			}, opts...))
			if err != nil {
				t.Fatal(err)
			}
			if how == "removed" {
				h.Stop()
			}
			if _, err := h.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			watchers.Wait()
		}
	}
}

// watchEnd waits for the end of ctx, sees it from all sides, and demands that they
// agree.
func watchEnd(t *testing.T, ctx context.Context) {
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	<-child.Done()
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil || cause == nil || !errors.Is(cause, err) {
		t.Errorf("done, with Err %v and Cause %v", err, cause)
	}
	if child.Err() != err || context.Cause(child) != cause {
		t.Errorf("child: %v, %v; attempt: %v, %v", child.Err(), context.Cause(child), err, cause)
	}
	<-ctx.Done()
	if ctx.Err() != err || context.Cause(ctx) != cause {
		t.Errorf("changed from %v, %v to %v, %v", err, cause, ctx.Err(), context.Cause(ctx))
	}
}

// Many look at a context for the first time while its attempt ends: all see one
// context, and see it end.
func TestContextFirstLookRaceConcurrentSafe(t *testing.T) {
	sup, _ := taskvisortest.Start(t)
	for i := range 100 {
		var lookers group
		var done [3]<-chan struct{}
		h, err := sup.Add(context.WithValue(t.Context(), contextKey("k"), "v"), taskvisor.Once("a", func(ctx context.Context) error {
			var returning atomic.Bool
			for l := range done {
				lookers.Go(func() {
					for !returning.Load() {
						runtime.Gosched()
					}
					for range (i + l) % 50 { // the end of the attempt is passed at every point
						returning.Load()
					}
					done[l] = ctx.Done()
					if v := ctx.Value(contextKey("k")); v != nil { // or the task is gone
						same(t, "value", v, any("v"))
					}
					if a, ok := taskvisor.FromContext(ctx); !ok || a.Number != 1 {
						t.Errorf("attempt %+v", a)
					}
					_ = taskvisor.Go(ctx, func(context.Context) {})
					<-ctx.Done()
				})
			}
			returning.Store(true)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		o, err := h.Wait(t.Context())
		if err != nil || o.Kind != taskvisor.OutcomeCompleted {
			t.Fatalf("%v, %v", o, err)
		}
		lookers.Wait()
		for _, d := range done {
			same(t, "channel", d, done[0])
		}
	}
}
