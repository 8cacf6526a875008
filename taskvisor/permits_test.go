package taskvisor_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// starts returns the tasks in the order of their attempts.
func starts(rec *taskvisortest.Recorder) []string {
	var names []string
	for _, e := range rec.Events() {
		if e.Kind == taskvisor.TaskStarting {
			names = append(names, e.Task)
		}
	}
	return names
}

// Registration is not limited; attempts are, and waiters are served in order.
func TestPermitsAreFIFO(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(2))
		var running, most atomic.Int32
		var specs []taskvisor.TaskSpec
		var want []string
		for i := range 20 {
			name := fmt.Sprint("t", i)
			want = append(want, name)
			specs = append(specs, taskvisor.Once(name, func(context.Context) error {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Second)
				running.Add(-1)
				return nil
			}))
		}
		if _, err := sup.AddAll(context.Background(), specs...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if sn := sup.Snapshot(); len(sn.Tasks) != 20 || sn.InUse != 2 || sn.MaxConcurrent != 2 || sup.Count(taskvisor.StatePending) != 18 {
			t.Errorf("%d registered, %d of %d permits, %d pending", len(sn.Tasks), sn.InUse, sn.MaxConcurrent, sup.Count(taskvisor.StatePending))
		}
		time.Sleep(time.Minute)
		got := starts(rec)
		for i := 0; i < len(got); i += 2 { // each second two begin, on two goroutines
			slices.SortFunc(got[i:i+2], func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
		}
		if !slices.Equal(got, want) || most.Load() != 2 {
			t.Errorf("started %v, %d at a time", got, most.Load())
		}
	})
}

// Delays do not hold permits.
func TestPermitsAreFreeDuringDelays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		work := func(ctx context.Context) error { time.Sleep(time.Second); return nil }
		addTo(t, sup, taskvisor.Periodic("periodic", 10*time.Second, work))
		addTo(t, sup, taskvisor.Restartable("failing", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(10*time.Second)))
		synctest.Wait()
		outcomeOf(t, addTo(t, sup, taskvisor.Once("once", work)))
		if got, want := starts(rec), []string{"periodic", "failing", "once"}; !slices.Equal(got, want) {
			t.Errorf("started %v, want %v", got, want)
		}
		if sn := sup.Snapshot(); sn.InUse != 0 {
			t.Errorf("%d permits in use during delays", sn.InUse)
		}
	})
}

// A restart without delay passes its permit on when others wait, and queues
// again behind them.
func TestRestartGivesItsPermitUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		work := func(context.Context) error { time.Sleep(time.Second); return nil }
		spec := func(name string) taskvisor.TaskSpec { return taskvisor.Periodic(name, 0, work) }
		if _, err := sup.AddAll(context.Background(), spec("a"), spec("b"), spec("c")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9*time.Second - time.Millisecond)
		if got, want := starts(rec), []string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("started %v, want %v", got, want)
		}
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.BackoffScheduled && e.Delay != 0 {
				t.Errorf("%v: want no delay", e)
			}
		}
	})
}

// Alone, it keeps it.
func TestRestartKeepsAnUncontestedPermit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		h := addTo(t, sup, taskvisor.Periodic("a", 0, func(ctx context.Context) error {
			if a, _ := taskvisor.FromContext(ctx); a.PermitWait != 0 {
				t.Errorf("attempt %d waited %v", a.Number, a.PermitWait)
			}
			time.Sleep(time.Second)
			return nil
		}))
		time.Sleep(10 * time.Second)
		h.Stop()
		if got := len(starts(rec)); got < 9 {
			t.Errorf("%d attempts in ten seconds", got)
		}
		outcomeOf(t, h)
	})
}

// A permit stays taken until the body has really returned, timed out or not.
func TestPermitIsHeldUntilTheBodyReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1), taskvisor.WithGrace(5*time.Second))
		slow := taskvisortest.Script(taskvisortest.Ignore(time.Minute))
		addTo(t, sup, taskvisor.Once("timed out", slow, taskvisor.WithTimeout(time.Second)))
		synctest.Wait()
		stopped := addTo(t, sup, taskvisor.Once("stopped", slow))
		waiter := addTo(t, sup, taskvisor.Once("waiter", func(ctx context.Context) error {
			if a, _ := taskvisor.FromContext(ctx); a.PermitWait != 2*time.Minute {
				t.Errorf("it waited %v for its permit", a.PermitWait)
			}
			return nil
		}))
		time.Sleep(61 * time.Second)
		stopped.Stop() // abandoned five seconds later, and still there
		outcomeOf(t, waiter)
		wantTrace(t, rec, "timed out", "A S T K ✗ E D")
		wantTrace(t, rec, "stopped", "A S Q N ✓ R D")
		wantTrace(t, rec, "waiter", "A S ✓ E D")
	})
}

// Waiters that are stopped disappear from the queue; permits are passed to those
// behind them and none is lost.
func TestStoppedWaitersLoseNoPermitConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 50 {
			sup, _ := newSup(t, taskvisor.WithMaxConcurrent(2))
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			var hs []*taskvisor.Handle
			for i := range 20 {
				hs = append(hs, addTo(t, sup, taskvisor.Periodic(fmt.Sprint(i), 0, taskvisortest.Script(taskvisortest.Succeed()))))
			}
			done := make(chan struct{})
			for i := range 2 {
				go func() {
					for n := i; n < len(hs); n += 2 {
						hs[n].Stop()
					}
					done <- struct{}{}
				}()
			}
			<-done
			<-done
			for _, h := range hs {
				outcomeOf(t, h)
			}
			synctest.Wait() // gates are left after the outcome
			if sn := sup.Snapshot(); sn.InUse != 0 || sn.Started != sn.Ended || sn.Removed != 20 {
				t.Fatalf("%d permits in use, %d started, %d ended, %d removed", sn.InUse, sn.Started, sn.Ended, sn.Removed)
			}
			outcomeOf(t, addTo(t, sup, taskvisor.Once("last", taskvisortest.Script(taskvisortest.Succeed()))))
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A Goexit or a panic gives the permit back like any other end.
func TestPermitsSurviveBadEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		for i, step := range []taskvisortest.Step{taskvisortest.Goexit(), taskvisortest.Panic("x"), taskvisortest.Fail(taskvisor.Fatal(errBoom))} {
			outcomeOf(t, addTo(t, sup, taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(step))))
			if sn := sup.Snapshot(); sn.InUse != 0 {
				t.Errorf("%d: %d permits in use", i, sn.InUse)
			}
		}
	})
}
