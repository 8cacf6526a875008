package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// mustGo is Go where it must be accepted.
func mustGo(t testing.TB, ctx context.Context, fn func(context.Context)) {
	t.Helper()
	if err := taskvisor.Go(ctx, fn); err != nil {
		t.Errorf("Go: %v", err)
	}
}

// When the body is back, whatever it did, the context is cancelled and the
// children are joined before the attempt ends.
func TestGoChildrenAreJoined(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func() error
		result taskvisor.ResultKind
	}{
		"returns": {func() error { return nil }, taskvisor.ResultSuccess},
		"fails":   {func() error { return errBoom }, taskvisor.ResultFailure},
		"panics":  {func() error { panic(errBoom) }, taskvisor.ResultPanic},
		"exits":   {func() error { runtime.Goexit(); return nil }, taskvisor.ResultFailure},
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				var ended atomic.Int32
				r.run(taskvisor.Once("a", func(ctx context.Context) error {
					for i := range 3 {
						mustGo(t, ctx, func(ctx context.Context) {
							<-ctx.Done()
							checkEnded(t, "child's context", ctx, ctxEndings["returned"])
							time.Sleep(time.Duration(i) * time.Second)
							ended.Add(1)
						})
					}
					time.Sleep(time.Second)
					same(t, "cancelled before the body is back", ctx.Err(), nil)
					return tt.end()
				}))
				same(t, "joined", ended.Load(), 3)
				e := r.terminal()
				same(t, "duration with children", e.Duration, 3*time.Second)
				same(t, "result", e.Result, tt.result)
			})
		})
	}
}

// A child's panic or Goexit cancels the context at once and counts like the
// body's: the body's first, then the earliest.
func TestGoChildFailureCounts(t *testing.T) {
	later, earlier := errors.New("later"), errors.New("earlier")
	type row struct {
		body     func(ctx context.Context) error // after its context is done
		children []func(context.Context)
		result   taskvisor.ResultKind
		is       error
	}
	wait := func(d time.Duration, end func()) func(context.Context) {
		return func(context.Context) { time.Sleep(d); end() }
	}
	panics := func(err error) func() { return func() { panic(err) } }
	returns := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	eachInRoom(t, map[string]row{
		"panic":                   {returns(nil), []func(context.Context){wait(time.Second, panics(errBoom))}, taskvisor.ResultPanic, errBoom},
		"Goexit":                  {returns(nil), []func(context.Context){wait(time.Second, runtime.Goexit)}, taskvisor.ResultFailure, taskvisor.ErrGoexit},
		"over the body's error":   {returns(later), []func(context.Context){wait(time.Second, panics(errBoom))}, taskvisor.ResultPanic, errBoom},
		"over the body's fatal":   {returns(taskvisor.Fatal(later)), []func(context.Context){wait(time.Second, panics(errBoom))}, taskvisor.ResultPanic, errBoom},
		"the earliest":            {returns(nil), []func(context.Context){wait(3*time.Second, panics(later)), wait(time.Second, panics(earlier))}, taskvisor.ResultPanic, earlier},
		"Goexit, then panic":      {returns(nil), []func(context.Context){wait(3*time.Second, panics(later)), wait(time.Second, runtime.Goexit)}, taskvisor.ResultFailure, taskvisor.ErrGoexit},
		"the body's panic first":  {func(context.Context) error { panic(later) }, []func(context.Context){wait(time.Second, panics(earlier))}, taskvisor.ResultPanic, later},
		"the body's Goexit first": {func(context.Context) error { runtime.Goexit(); return nil }, []func(context.Context){wait(time.Second, panics(earlier))}, taskvisor.ResultFailure, taskvisor.ErrGoexit},
	}, func(r *room, tt row) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			begin := time.Now()
			for _, child := range tt.children {
				mustGo(r, ctx, child)
			}
			<-ctx.Done()
			same(r, "cancelled after", time.Since(begin), time.Second)
			same(r, "Err", ctx.Err(), context.Canceled)
			if cause := context.Cause(ctx); cause == context.Canceled || !errors.Is(cause, taskvisor.ErrGoexit) && !strings.HasPrefix(cause.Error(), "panic: ") {
				r.Errorf("cause %v", cause)
			}
			return tt.body(ctx)
		}))
		e := r.terminal()
		same(r, "result", e.Result, tt.result)
		isAll(r, "event", e.Err, tt.is)
		var p *taskvisor.PanicError
		same(r, "is a panic", errors.As(e.Err, &p), tt.result == taskvisor.ResultPanic)
	})
}

// A child's panic is retried as the body's is, and shows where it came from.
func TestGoChildPanicIsRetried(t *testing.T) {
	inRoom(t, func(r *room) {
		n := 0
		r.run(taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n == 2 {
				return nil
			}
			mustGo(r, ctx, panickyChild)
			<-ctx.Done()
			return nil
		}))
		r.trace("a", "A S ✗ B S ✓ E D")
		var p *taskvisor.PanicError
		if !errors.As(r.events(taskvisor.TaskFailed)[0].Err, &p) || !strings.Contains(strings.SplitN(p.Stack(), "\n", 2)[0], "panickyChild") {
			r.Errorf("stack %v", p)
		}
	})
}

func panickyChild(context.Context) { panic("child") }

// A child may have children until the join is complete.
func TestGoChildrenOfChildren(t *testing.T) {
	inRoom(t, func(r *room) {
		var ended atomic.Int32
		var spawn func(depth int) func(context.Context)
		spawn = func(depth int) func(context.Context) {
			return func(ctx context.Context) {
				<-ctx.Done()
				time.Sleep(time.Second)
				if depth > 0 {
					mustGo(r, ctx, spawn(depth-1))
					mustGo(r, ctx, spawn(depth-1))
				}
				ended.Add(1)
			}
		}
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			mustGo(r, ctx, spawn(4))
			return nil
		}))
		same(r, "ended", ended.Load(), 31)
		same(r, "duration", r.terminal().Duration, 5*time.Second)
	})
}

// After the join, and with a context of no attempt, Go is an error that names
// the task, and starts nothing.
func TestGoRefuses(t *testing.T) {
	inRoom(t, func(r *room) {
		started := func(context.Context) { r.Error("started") }
		for _, ctx := range []context.Context{context.Background(), context.WithValue(context.Background(), contextKey("k"), 1)} {
			var refused *taskvisor.TaskError
			if err := taskvisor.Go(ctx, started); !errors.As(err, &refused) || refused.Op != "go" {
				r.Errorf("foreign context: %v", err)
			}
		}
		kept := map[string]context.Context{}
		r.run(taskvisor.Restartable("culprit", func(ctx context.Context) error {
			if kept["looked at"] == nil {
				ctx.Done()
				kept["looked at"], kept["derived"] = ctx, context.WithoutCancel(context.WithValue(ctx, contextKey("k"), 1))
				return errBoom
			}
			for name, ctx := range kept { // of the attempt before
				if err := taskvisor.Go(ctx, started); err == nil {
					r.Errorf("%s: accepted during the next attempt", name)
				}
			}
			kept["not looked at"] = ctx
			return nil
		}))
		for name, ctx := range kept {
			if err := taskvisor.Go(ctx, started); err == nil || !strings.Contains(err.Error(), `"culprit"`) {
				r.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A nil function is a programmer's error.
func TestGoNilPanics(t *testing.T) {
	inRoom(t, func(r *room) {
		o := r.run(taskvisor.Once("a", func(ctx context.Context) error { return taskvisor.Go(ctx, nil) }))
		if o.Err == nil || !strings.Contains(o.Err.Error(), "nil function") {
			r.Errorf("outcome %v", o.Err)
		}
	})
}

// fn gets the context that was given, so that what the body derived is kept.
func TestGoPassesTheContext(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			derived, cancel := context.WithTimeout(context.WithValue(ctx, contextKey("k"), "v"), time.Second)
			defer cancel()
			done := make(chan struct{})
			mustGo(r, derived, func(ctx context.Context) {
				defer close(done)
				same(r, "context", ctx, derived)
				a, _ := taskvisor.FromContext(ctx)
				same(r, "attempt", a.Task, "a")
			})
			<-done
			return nil
		}))
	})
}

// Joining counts as running: the deadline applies.
func TestGoDeadlineDuringJoin(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			mustGo(r, ctx, func(ctx context.Context) {
				<-ctx.Done()
				time.Sleep(63 * time.Second)
				// the body's return was the first to cancel it
				checkEnded(r, "child's context", ctx, ctxEndings["returned"])
			})
			return nil
		}, taskvisor.WithTimeout(time.Minute)))
		r.trace("a", "A S T ✗ E D")
		same(r, "result", r.terminal().Result, taskvisor.ResultTimeout)
		same(r, "duration", r.terminal().Duration, 63*time.Second)
	})
}

// Joining counts as running: a stop, its stuck report and its grace apply.
func TestGoStopDuringJoin(t *testing.T) {
	for name, tt := range map[string]struct {
		child func()
		trace string
		kind  taskvisor.OutcomeKind
	}{
		"in time": {func() { time.Sleep(2 * time.Second) }, "A S Q ✓ D", taskvisor.OutcomeCanceled},
		"stuck":   {func() { time.Sleep(20 * time.Second) }, "A S Q K ✓ D", taskvisor.OutcomeCanceled},
		"panic":   {func() { time.Sleep(2 * time.Second); panic(errBoom) }, "A S Q ✗ D", taskvisor.OutcomeCanceled},
		"late":    {func() { time.Sleep(time.Minute) }, "A S Q K N ✓ R D", taskvisor.OutcomeAbandoned},
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				h := r.add(taskvisor.Restartable("a", func(ctx context.Context) error {
					mustGo(t, ctx, func(ctx context.Context) {
						<-ctx.Done()
						tt.child()
					})
					return nil
				}, taskvisor.WithGrace(30*time.Second)))
				time.Sleep(time.Second)
				same(t, "state while joining", h.Status().State, taskvisor.StateRunning)
				h.Stop()
				same(t, "outcome", r.end(h).Kind, tt.kind)
				time.Sleep(time.Hour)
				r.trace("a", tt.trace)
			})
		})
	}
}

// Two attempts do not overlap, children included.
func TestGoChildrenDoNotOverlapAttempts(t *testing.T) {
	inRoom(t, func(r *room) {
		var running atomic.Int32
		h := r.add(taskvisor.Periodic("a", 0, func(ctx context.Context) error {
			same(r, "children of the attempt before", running.Load(), 0)
			for range 3 {
				running.Add(1)
				mustGo(r, ctx, func(context.Context) {
					time.Sleep(time.Second)
					running.Add(-1)
				})
			}
			return nil
		}, taskvisor.WithoutRestartFloor()))
		time.Sleep(59*time.Second + 500*ms)
		h.Stop()
		same(r, "attempts", r.end(h).Attempts, 60)
	})
}

// Children wear the task's labels.
func TestGoChildrenAreLabelled(t *testing.T) {
	inRoom(t, func(r *room) {
		var h *taskvisor.Handle
		h = r.add(taskvisor.Once("labelled", func(ctx context.Context) error {
			time.Sleep(time.Second)
			pprof.SetGoroutineLabels(context.Background()) // whatever the body wears
			mustGo(r, ctx, func(context.Context) {
				wearsLabels(r, "taskvisor_test.TestGoChildrenAreLabelled.func1.1.1", h)
				// and so does what it starts itself
				done := make(chan struct{})
				go func() {
					defer close(done)
					wearsLabels(r, "taskvisor_test.TestGoChildrenAreLabelled.func1.1.1.1", h)
				}()
				<-done
			})
			return nil
		}))
		r.end(h)
	})
}

// wearsLabels demands that a goroutine in the given function wears h's labels.
func wearsLabels(r *room, function string, h *taskvisor.Handle) {
	r.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		r.Error(err)
	}
	for record := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(record, function+"+") {
			continue
		}
		for key, value := range map[string]string{"taskvisor_supervisor": r.sup.Name(), "taskvisor_task": h.Name(), "taskvisor_task_id": fmt.Sprint(h.ID())} {
			if want := fmt.Sprintf("%q:%q", key, value); !strings.Contains(record, want) {
				r.Errorf("%s is not among the labels of\n%s", want, record)
			}
		}
		return
	}
	r.Errorf("no goroutine is in %s", function)
}

// Strangers call Go while the attempt ends: what is accepted is joined, what is
// refused is not started.
func TestGoDuringJoinConcurrentSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		var started, accepted atomic.Int64
		var strangers group
		err = sup.Run(t.Context(), taskvisor.Once("a", func(ctx context.Context) error {
			for range 8 {
				strangers.Go(func() {
					for range 1000 {
						if taskvisor.Go(ctx, func(context.Context) { started.Add(1) }) != nil {
							return
						}
						accepted.Add(1)
					}
				})
			}
			runtime.Gosched()
			return nil
		}))
		same(t, "Run", err, nil)
		joined := started.Load()
		strangers.Wait()
		synctest.Wait()
		same(t, "started", started.Load(), accepted.Load())
		same(t, "joined", joined, accepted.Load())
	})
}
