package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A flapping task delays nobody: each has its own schedule.
func TestSiblingsAreIndependent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		flapping := addTo(t, sup, taskvisor.Restartable("flapping", taskvisortest.Script(taskvisortest.Fail(errBoom))))
		steady := addTo(t, sup, taskvisor.Restartable("steady", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(200*time.Millisecond)))
		time.Sleep(time.Minute)
		synctest.Wait()
		last := time.Time{}
		for _, e := range rec.Events("steady") {
			if e.Kind == taskvisor.TaskStarting {
				if !last.IsZero() && e.Time.Sub(last) != 200*time.Millisecond {
					t.Errorf("attempt %d came after %v", e.Attempt, e.Time.Sub(last))
				}
				last = e.Time
			}
		}
		if n := steady.Status().Attempt; n != 301 {
			t.Errorf("%d attempts in a minute, want 301", n)
		}
		flapping.Stop()
		steady.Stop()
	})
}

// The floor keeps a task without backoff from burning a processor.
func TestHotLoopsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, spec := range []taskvisor.TaskSpec{
			taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(0)),
			taskvisor.Periodic("a", 0, taskvisortest.Script(taskvisortest.Succeed())),
			taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(taskvisor.RetryAfter(0, errBoom)))),
		} {
			sup, _ := taskvisortest.Start(t)
			h := addTo(t, sup, spec)
			time.Sleep(300*time.Millisecond + time.Microsecond)
			if _, err := h.Cancel(context.Background()); err != nil {
				t.Fatal(err)
			}
			if n := h.Status().Attempt; n != 301 {
				t.Errorf("%v: %d attempts in 300 ms, want 301", spec, n)
			}
		}
	})
}

// Nothing about a task grows with the number of its attempts.
func TestMemoryIsBoundedOverAMillionRestarts(t *testing.T) {
	sup, err := taskvisor.New()
	if err != nil {
		t.Fatal(err)
	}
	half := 500_000
	if raceEnabled {
		half = 50_000
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before, after uint64
	n := 0
	err = sup.Run(context.Background(), taskvisor.Restartable("a", func(context.Context) error {
		switch n++; n {
		case half:
			before = heap()
		case 2 * half:
			after = heap()
			return nil
		}
		return errBoom
	}, taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
	if err != nil || n != 2*half {
		t.Fatalf("Run: %v after %d attempts", err, n)
	}
	if after > before+256<<10 {
		t.Errorf("%d bytes in use after %d restarts, %d after twice as many", before, half, after)
	}
}

// Giving up is an end like any other, under every policy: the process goes on,
// a last event says so, and the error is the original.
func TestGivingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		for i, policy := range []taskvisor.RestartPolicy{taskvisor.RestartNever(), taskvisor.RestartOnFailure(), taskvisor.RestartAlways(time.Second)} {
			for end, step := range map[string]taskvisortest.Step{"error": taskvisortest.Fail(errBoom), "panic": taskvisortest.Panic(errBoom)} {
				name := fmt.Sprint(end, i)
				opts := []taskvisor.TaskOption{policy}
				if !policy.Never() {
					opts = append(opts, taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(time.Second))
				}
				o := outcomeOf(t, addTo(t, sup, taskvisor.Restartable(name, taskvisortest.Script(step), opts...)))
				if o.Kind != taskvisor.OutcomeFailed || !errors.Is(o.Err, errBoom) {
					t.Errorf("%s: outcome %+v", name, o)
				}
				want := "A S ✗ B S ✗ E D"
				if policy.Never() {
					want = "A S ✗ E D"
				}
				wantTrace(t, rec, name, want)
			}
		}
	})
}

// What ended is announced before what follows starts, in the order of time, not
// only of numbers.
func TestEndIsAnnouncedBeforeTheNextStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var announced, begun atomic.Int32
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskFailed {
				announced.Add(1)
			}
		})))
		h := addTo(t, sup, taskvisor.Restartable("a", func(context.Context) error {
			n := begun.Add(1)
			// The event of the attempt before has a number by now; it may still be on
			// its way to a subscriber if a timer of another goroutine began this one.
			if sn := sup.Snapshot(); sn.Ended != uint64(n-1) || sn.Started != uint64(n) {
				t.Errorf("attempt %d begins with %d ended and %d started", n, sn.Ended, sn.Started)
			}
			if n == 500 {
				return nil
			}
			return errBoom
		}, taskvisor.ConstantBackoff(0)))
		outcomeOf(t, h)
		if announced.Load() != 499 {
			t.Errorf("%d failures announced", announced.Load())
		}
	})
}

// Whether an attempt was stopped is known from the supervisor's own stop, not
// from the error: an inner context's error is a failure like any other.
func TestInnerContextErrorsAreRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, err := range []error{context.Canceled, context.DeadlineExceeded, fmt.Errorf("query: %w", context.Canceled), taskvisor.ErrRemoved, taskvisor.ErrShutdown, taskvisor.ErrAttemptTimeout, io.EOF, os.ErrDeadlineExceeded} {
			sup, rec := taskvisortest.Start(t)
			o := outcomeOf(t, addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(err), taskvisortest.Succeed()))))
			if o.Kind != taskvisor.OutcomeCompleted {
				t.Errorf("%v: outcome %+v", err, o)
			}
			wantTrace(t, rec, "a", "A S ✗ B S ✓ E D")
		}
	})
}

// Observing changes no schedule.
func TestScheduleIsTheSameWithObservers(t *testing.T) {
	run := func(t *testing.T, opts ...taskvisor.Option) (starts []time.Duration) {
		sup, err := taskvisor.New(opts...)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		steps := []taskvisortest.Step{taskvisortest.Fail(errBoom), taskvisortest.Panic(1), taskvisortest.Goexit(), taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)),
			taskvisortest.Block(), taskvisortest.Fail(taskvisor.RetryAfter(3*time.Second, errBoom)), taskvisortest.Fail(errBoom), taskvisortest.Succeed()}
		script := taskvisortest.Script(steps...)
		err = sup.Run(context.Background(), taskvisor.Restartable("a", func(ctx context.Context) error {
			starts = append(starts, time.Since(begun))
			return script(ctx)
		}, taskvisor.BackoffPolicy{First: 100 * time.Millisecond, Max: 2 * time.Second, Factor: 2}, taskvisor.WithTimeout(time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		return starts
	}
	slow := queuedFunc(func(context.Context, taskvisor.Event) { time.Sleep(time.Hour) })
	bad := queuedFunc(func(context.Context, taskvisor.Event) { panic(1) })
	brackets := &bracket{}
	bubble(t, func(t *testing.T) {
		want := fmt.Sprint(run(t))
		if n := strings.Count(want, " "); n != 7 {
			t.Fatalf("%d restarts: %s", n, want)
		}
		for name, opts := range map[string][]taskvisor.Option{
			"recorder": {taskvisor.WithSubscriber(&taskvisortest.Recorder{})},
			"all": {taskvisor.WithSubscriber(&taskvisortest.Recorder{}), taskvisor.WithSubscriber(slow), taskvisor.WithSubscriber(bad),
				taskvisor.WithSubscriber(brackets), taskvisor.WithSubscriberDrain(0)},
		} {
			if got := fmt.Sprint(run(t, opts...)); got != want {
				t.Errorf("%s: attempts at %s, want %s", name, got, want)
			}
		}
		time.Sleep(100 * time.Hour)
	})
}

// Recovery needs no listener.
func TestPanicsAreContainedWithoutObservers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Panic(errBoom))))
		var p *taskvisor.PanicError
		if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeFailed || !errors.As(o.Err, &p) || p.Value != errBoom || !strings.Contains(p.Stack(), "taskvisortest") {
			t.Errorf("outcome %+v", o)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A panic of a child ends the attempt as an error of it would: one failure path.
func TestChildPanicCancelsTheBody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			taskvisor.Go(ctx, func(context.Context) { panic(errBoom) })
			<-ctx.Done()
			return nil
		})))
		if o.Kind != taskvisor.OutcomeFailed || !errors.Is(o.Err, errBoom) {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S ✗ E D")
	})
}

// mutable is a value that a task works on while it is supervised, and whose
// methods must stay uncalled.
type mutable struct {
	t *testing.T
	n int
}

func (m *mutable) String() string { m.t.Error("String of the user's value was called"); return "" }
func (m *mutable) Format(fmt.State, rune) {
	m.t.Error("Format of the user's value was called")
}

// Describing a task never looks into what it works on: the race detector sees
// a write without a lock beside every form of description.
func TestUserValuesAreNeverTouched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mutable{t: t}
		type key struct{}
		sup, rec := taskvisortest.Start(t)
		ctx := context.WithValue(context.Background(), key{}, m)
		stop := make(chan struct{})
		h, err := sup.Add(ctx, taskvisor.Once("a", func(ctx context.Context) error {
			for {
				m.n++
				select {
				case <-stop:
					panic(m) // a value that is formatted where the panic is
				default:
					runtime.Gosched()
				}
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_ = fmt.Sprint(h.Status().Spec) + h.Status().Spec.LogValue().String()
			for _, e := range rec.Events() {
				_ = e.String()
			}
			sup.Snapshot()
		}
		close(stop)
		o := outcomeOf(t, h)
		if o.Err.Error() != "panic: (*taskvisor_test.mutable)" {
			t.Errorf("error %q", o.Err)
		}
	})
}

// A context of which nobody reads anything, a Done channel that nobody receives
// from, an unread handle: none of them holds anything up.
func TestNobodyHasToRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		for i := range 100 {
			h := addTo(t, sup, taskvisor.Once(fmt.Sprint(i), idle))
			h.Done()
			h.Stop()
		}
		sup.Done()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
