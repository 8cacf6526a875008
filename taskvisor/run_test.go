package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Run announces all, starts all, and returns when the last task is gone; the
// verdict comes without a request.
func TestRunEndsNaturally(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		begun := time.Now()
		err := sup.Run(context.Background(),
			taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)))),
			taskvisor.Restartable("b", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()), taskvisor.ConstantBackoff(time.Minute)),
			taskvisor.Restartable("c", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errBoom)))))
		const want = "taskvisor: run \"a\": boom\ntaskvisor: run \"c\": boom" // in the order given; b has recovered
		if err == nil || err.Error() != want || !errors.Is(err, errBoom) || time.Since(begun) != time.Minute {
			t.Errorf("Run: %v after %v, want the failures of what it was given", err, time.Since(begun))
		}
		events := rec.Events()
		for i, e := range events {
			if e.Kind == taskvisor.TaskStarting && i < 3 {
				t.Errorf("%s starts before all were announced", e.Task)
			}
		}
		if last := events[len(events)-1]; last.Kind != taskvisor.AllStoppedWithinGrace {
			t.Errorf("the last event is %v", last)
		}
		wantTrace(t, rec, "", "V")
		select {
		case <-sup.Done():
		default:
			t.Error("Run has returned and Done is open")
		}
		if st := sup.Snapshot().State; st != taskvisor.SupervisorStopped {
			t.Errorf("state %v", st)
		}
	})
}

func TestRunWithoutWorkEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		begun := time.Now()
		if err := sup.Run(context.Background()); err != nil || time.Since(begun) != 0 {
			t.Errorf("Run: %v after %v", err, time.Since(begun))
		}
		wantTrace(t, rec, "", "V")
	})
}

// An Add before the end prolongs Run, also from the last task itself.
func TestAddProlongsRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		var next func(n int) taskvisor.TaskSpec
		next = func(n int) taskvisor.TaskSpec {
			return taskvisor.Once(fmt.Sprint("t", n), func(ctx context.Context) error {
				time.Sleep(time.Second)
				if n == 5 {
					return nil
				}
				_, err := sup.Add(ctx, next(n+1))
				return err
			})
		}
		begun := time.Now()
		if err := sup.Run(context.Background(), next(1)); err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("Run: %v after %v", err, time.Since(begun))
		}
		wantTrace(t, rec, "t5", "A S ✓ E D")
	})
}

// The natural end is one step: an Add either prolongs Run or is refused, and
// what was accepted is run to its end before Run returns.
func TestNaturalEndConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		refused := 0
		for range 500 {
			sup, _ := newSup(t)
			var ran atomic.Int32
			body := func(context.Context) error { ran.Add(1); return nil }
			var accepted atomic.Int32
			var adders group
			for i := range 2 {
				adders.Go(func() {
					for n := range 1000 {
						_, err := sup.Add(context.Background(), taskvisor.Once(fmt.Sprint(i, n), body))
						switch {
						case err == nil:
							accepted.Add(1)
						case errors.Is(err, taskvisor.ErrShuttingDown):
							return
						default:
							t.Errorf("Add: %v", err)
						}
						if n > 20 && err == nil {
							return
						}
					}
				})
			}
			if err := sup.Run(context.Background(), taskvisor.Once("first", body)); err != nil {
				t.Fatal(err)
			}
			atReturn := ran.Load()
			adders.Wait()
			if atReturn != accepted.Load()+1 {
				t.Fatalf("%d accepted, %d had run when Run returned", accepted.Load()+1, atReturn)
			}
			if _, err := sup.Add(context.Background(), taskvisor.Once("late", body)); errors.Is(err, taskvisor.ErrShuttingDown) {
				refused++
			}
		}
		if refused != 500 {
			t.Errorf("%d of 500 late adds were refused as shutting down", refused)
		}
	})
}

// A second Run or Start is refused, and what it was given is not run.
func TestSecondRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		spec := taskvisor.Once("a", idle)
		wantErr(t, sup.Run(context.Background(), spec), taskvisor.ErrAlreadyRunning)
		wantErr(t, sup.Start(context.Background()), taskvisor.ErrAlreadyRunning)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		wantErr(t, sup.Run(context.Background(), spec), taskvisor.ErrShuttingDown)
		wantErr(t, sup.Run(context.Background()), taskvisor.ErrShuttingDown)
		wantErr(t, sup.Start(context.Background()), taskvisor.ErrShuttingDown)
		wantTrace(t, rec, "a", "")
	})
}

// Of many first calls one wins; no task is run twice or lost.
func TestRunConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		var won atomic.Int32
		var callers group
		for i := range 10 {
			callers.Go(func() {
				err := sup.Run(context.Background(), taskvisor.Once(fmt.Sprint("t", i), taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed()))))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, taskvisor.ErrAlreadyRunning):
					t.Errorf("Run: %v", err)
				}
			})
		}
		callers.Wait()
		if n := kindsOf(rec); won.Load() != 1 || n[taskvisor.TaskAdded] != 1 || n[taskvisor.TaskRemoved] != 1 {
			t.Errorf("%d won, events %v", won.Load(), n)
		}
	})
}

// With an ended ctx nothing is registered and nothing started; the supervisor
// can still be run.
func TestRunWithAnEndedContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		why := errors.New("why")
		ended, end := context.WithCancelCause(context.Background())
		end(why)
		spec := taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))
		wantErr(t, sup.Run(ended, spec), why)
		wantErr(t, sup.Run(ended), why)
		wantErr(t, sup.Start(ended), why)
		if sn := sup.Snapshot(); sn.State != taskvisor.SupervisorNew || len(sn.Tasks) != 0 {
			t.Errorf("state %v, tasks %v", sn.State, sn.Tasks)
		}
		wantTrace(t, rec, "a", "")
		if err := sup.Run(context.Background(), spec); err != nil {
			t.Error(err)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
	})
}

// A batch that is refused leaves the supervisor as it was.
func TestRunConflictLeavesItUnstarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		spec := func(name string) taskvisor.TaskSpec {
			return taskvisor.Once(name, taskvisortest.Script(taskvisortest.Succeed()))
		}
		err := sup.Run(context.Background(), spec("a"), spec("b"), spec("a"), spec("c"))
		wantErr(t, err, taskvisor.ErrTaskExists)
		if st := sup.Snapshot().State; st != taskvisor.SupervisorNew {
			t.Errorf("state %v", st)
		}
		if err := sup.Run(context.Background(), spec("a"), spec("b")); err != nil {
			t.Errorf("second try: %v", err)
		}
		wantTrace(t, rec, "a", "F F A S ✓ E D")
		wantTrace(t, rec, "b", "F A S ✓ E D")
		wantTrace(t, rec, "c", "F")
	})
}

// The end of Run's ctx is a graceful stop, whose cause the attempts learn.
func TestRunStopsWithItsContext(t *testing.T) {
	for _, start := range []bool{false, true} {
		t.Run(fmt.Sprint("start ", start), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t)
				why := errors.New("why")
				ctx, cancel := context.WithCancelCause(context.Background())
				var cause error
				spec := taskvisor.Once("a", func(ctx context.Context) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					time.Sleep(time.Second)
					return nil
				})
				time.AfterFunc(time.Minute, func() { cancel(why) })
				begun := time.Now()
				if start {
					if err := sup.Start(ctx); err != nil {
						t.Fatal(err)
					}
					addTo(t, sup, spec)
					<-sup.Done()
				} else if err := sup.Run(ctx, spec); err != nil {
					t.Errorf("Run: %v", err)
				}
				if got := time.Since(begun); got != time.Minute+time.Second {
					t.Errorf("ended after %v", got)
				}
				for _, want := range []error{why, taskvisor.ErrShutdown, context.Canceled} {
					wantErr(t, cause, want)
				}
				wantTrace(t, rec, "a", "A S ✓ D")
				wantTrace(t, rec, "", "H V")
				if e := rec.Events("")[0]; !errors.Is(e.Err, why) {
					t.Errorf("ShutdownRequested has the cause %v", e.Err)
				}
			})
		})
	}
}

// The deadline of Run's ctx is no deadline of its tasks.
func TestTasksInheritValuesOnly(t *testing.T) {
	type key struct{}
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t)
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), key{}, "v"), time.Hour)
		defer cancel()
		err := sup.Run(ctx, taskvisor.Once("a", func(ctx context.Context) error {
			if d, ok := ctx.Deadline(); ok || ctx.Value(key{}) != "v" {
				t.Errorf("deadline %v, %v; value %v", d, ok, ctx.Value(key{}))
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	})
}

// Start never ends by itself.
func TestStartDoesNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		time.Sleep(24 * time.Hour)
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		wantTrace(t, rec, "", "")
		select {
		case <-sup.Done():
			t.Error("it has ended")
		default:
		}
	})
}

// Shutdown of what was never started closes it.
func TestShutdownBeforeRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		for range 2 {
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			<-sup.Done()
		}
		wantErr(t, sup.Run(context.Background(), taskvisor.Once("a", idle)), taskvisor.ErrShuttingDown)
		_, err := sup.Add(context.Background(), taskvisor.Once("a", idle))
		wantErr(t, err, taskvisor.ErrShuttingDown)
		if len(rec.Events()) != 0 {
			t.Errorf("events %v", rec.Events())
		}
	})
}

// Run drains what waits for a slot before it ends.
func TestRunDrainsQueuedSubmissions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		work := func(ctx context.Context) error { time.Sleep(time.Second); return nil }
		err := sup.Run(context.Background(), taskvisor.Once("first", func(ctx context.Context) error {
			for i := range 5 {
				if _, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("t", i), work), Slot: "slot"}); err != nil {
					return err
				}
			}
			return nil
		}))
		if n := kindsOf(rec); err != nil || n[taskvisor.TaskStopped] != 6 || n[taskvisor.ControllerRejected] != 0 {
			t.Errorf("Run: %v, events %v", err, n)
		}
	})
}
