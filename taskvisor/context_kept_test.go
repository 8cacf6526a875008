package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// heavyError is an error that one would not want to be kept.
type heavyError struct{ _ [1 << 16]byte }

func (*heavyError) Error() string { return "heavy" }

// A context that is kept does not keep the error of its attempt.
func TestKeptContextKeepsNoError(t *testing.T) {
	t.Run("no brackets", func(t *testing.T) { keptContext(t) })
	t.Run("brackets", func(t *testing.T) { keptContext(t, taskvisor.WithSubscriber(noBracket{}, taskvisor.Inline())) })
}

func keptContext(t *testing.T, opts ...taskvisor.Option) {
	sup := newSupervisor(t, opts...)
	var kept context.Context
	var heavy weak.Pointer[heavyError]
	n := 0
	h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
		if n++; n > 1 {
			return errBoom // the task remembers this one instead
		}
		kept = ctx
		err := &heavyError{}
		heavy = weak.Make(err)
		return err
	}, taskvisor.WithMaxRetries(3), taskvisor.ConstantBackoff(0)))
	<-h.Done()
	eventually(t, "the error is garbage", func() bool { runtime.GC(); return heavy.Value() == nil })
	if a, ok := taskvisor.FromContext(kept); !ok || a.Number != 1 {
		t.Errorf("attempt %+v", a)
	}
}

// Nor does one that a bracket keeps, nor what brackets have made of it.
func TestKeptContextKeepsNoBrackets(t *testing.T) {
	type key struct{}
	var kept context.Context
	var failed, made weak.Pointer[heavyError]
	n := 0
	keeper := &bracket{begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
		if a.Number > 1 {
			return ctx
		}
		kept = ctx
		value := &heavyError{}
		made = weak.Make(value)
		return context.WithValue(ctx, key{}, value)
	}}
	sup := newSupervisor(t, taskvisor.WithSubscriber(keeper))
	h := addTo(t, sup, taskvisor.Restartable("a", func(context.Context) error {
		if n++; n > 1 {
			return errBoom
		}
		err := &heavyError{}
		failed = weak.Make(err)
		return err
	}, taskvisor.WithMaxRetries(3), taskvisor.ConstantBackoff(0)))
	<-h.Done()
	eventually(t, "the error is garbage", func() bool { runtime.GC(); return failed.Value() == nil })
	eventually(t, "what the bracket made is garbage", func() bool { runtime.GC(); return made.Value() == nil })
	if a, ok := taskvisor.FromContext(kept); !ok || a.Number != 1 {
		t.Errorf("attempt %+v", a)
	}
}

// A bracket that looks at the context before the attempt is announced does not hide its
// deadline, which is not known until then.
func TestDeadlineOfAContextThatABracketLookedAt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		early := &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			if d, ok := ctx.Deadline(); ok {
				t.Errorf("deadline %v before the start", d)
			}
			ctx.Done()
			time.Sleep(time.Second)
			return ctx
		}}
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(early))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != time.Minute {
				t.Errorf("deadline in %v, %v", time.Until(d), ok)
			}
			return nil
		}, taskvisor.WithTimeout(time.Minute))))
	})
}

// A released body that is back leaves no values behind, as any other that has ended.
func TestReleasedTaskLetsGoOfItsValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		back := make(chan struct{})
		var kept context.Context
		h, err := sup.Add(context.WithValue(context.Background(), ownKey{}, "v"), taskvisor.Once("a", func(ctx context.Context) error {
			kept = ctx
			<-back
			if ctx.Value(ownKey{}) != "v" {
				t.Error("a released body has lost its values while it runs")
			}
			return nil
		}, taskvisor.WithReleaseOnAbandon(), taskvisor.WithGrace(time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.Stop()
		time.Sleep(time.Minute)
		close(back)
		<-h.Returned()
		synctest.Wait()
		if v := kept.Value(ownKey{}); v != nil {
			t.Errorf("value %v after the end", v)
		}
	})
}

// The cause of the stop that was claimed stands: a later caller's changes nothing.
func TestFirstCauseOfAStopStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}))
		synctest.Wait()
		if first, second := h.StopFor(errWhy), h.StopFor(errBoom); !first || second {
			t.Errorf("claimed %v, %v", first, second)
		}
		if o := outcomeOf(t, h); !errors.Is(o.Err, errWhy) || errors.Is(o.Err, errBoom) {
			t.Errorf("outcome %v", o.Err)
		}
	})
}

// A child that a bracket has started is joined, also where the body is not called.
func TestChildOfABracketIsJoined(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		back := false
		starts := &bracket{begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
			if err := taskvisor.Go(ctx, func(context.Context) { time.Sleep(10 * time.Second); back = true }); err != nil {
				t.Error(err)
			}
			h, _ := sup.Lookup(a.Task)
			h.Stop()
			return ctx
		}}
		sup, rec := newSup(t, taskvisor.WithSubscriber(starts))
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { t.Error("the body was called"); return nil }))
		outcomeOf(t, h)
		if !back || time.Since(begun) != 10*time.Second {
			t.Errorf("the child was not joined: back %v, after %v", back, time.Since(begun))
		}
		wantTrace(t, rec, "a", "A Q D")
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A child that is started just when the body has returned is joined, or refused. The
// task's lock holds both up: the child is first.
func TestChildStartedWhenTheBodyReturns(t *testing.T) {
	sup, _ := newSup(t)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	given, release := make(chan context.Context, 1), make(chan struct{})
	h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
		given <- ctx
		<-release
		return nil
	}))
	ctx := <-given
	lock := taskvisor.Locks(h)["task"]
	lock.Lock()
	childBack := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		started <- taskvisor.Go(ctx, func(ctx context.Context) {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
				t.Error("the child was not told to end")
			}
			close(childBack)
		})
	}()
	<-time.After(20 * time.Millisecond) // it waits for the lock
	close(release)
	<-time.After(20 * time.Millisecond) // so does the attempt
	lock.Unlock()
	<-h.Done()
	if err := <-started; err == nil {
		select {
		case <-childBack:
		default:
			t.Error("the task has ended before its child")
		}
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A context that is first looked at between the result and the end of its attempt reads
// as ended, and goes on doing so: an inline subscriber hears of the recovery then.
func TestContextLookedAtBetweenResultAndEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var kept context.Context
		looked := 0
		look := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskRecovered {
				looked++
				if kept.Err() != context.Canceled || context.Cause(kept) != context.Canceled {
					t.Errorf("%v, cause %v", kept.Err(), context.Cause(kept))
				}
			}
		})
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(look))
		outcomeOf(t, addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			if kept == nil {
				kept = ctx
				return errBoom
			}
			kept = ctx
			return nil
		})))
		if looked != 1 || kept.Err() != context.Canceled {
			t.Errorf("looked %d times; in the end %v", looked, kept.Err())
		}
	})
}
