package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestStopClaimsOnceAndWaitsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Minute))
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(30*time.Second))))
		synctest.Wait()
		before := time.Now()
		first, second := h.Stop(), h.Stop()
		if !first || second || time.Since(before) != 0 {
			t.Errorf("Stop returned %v, then %v, after %v", first, second, time.Since(before))
		}
		if _, known := h.Outcome(); known || h.Status().State != taskvisor.StateStopping {
			t.Errorf("after Stop: state %v, outcome known %v", h.Status().State, known)
		}
		outcomeOf(t, h)
		if h.Stop() {
			t.Error("Stop claimed a task that is gone")
		}
		wantTrace(t, rec, "a", "A S Q K ✓ D")
	})
}

// Exactly one of many callers claims, whatever the task is doing, also when the
// supervisor shuts down at the same time.
func TestStopConcurrentSafe(t *testing.T) {
	specs := []taskvisor.TaskSpec{
		taskvisor.Once("a", idle),
		taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed())),
		taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour)),
		taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()),
		taskvisor.Periodic("a", 0, taskvisortest.Script(taskvisortest.Succeed())),
	}
	for i, spec := range specs {
		for _, shutdown := range []bool{false, true} {
			t.Run(fmt.Sprint(i, shutdown), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					sup, rec := taskvisortest.Start(t)
					h := addTo(t, sup, spec)
					var claims atomic.Int32
					var callers group
					for range 16 {
						callers.Go(func() {
							if h.Stop() {
								claims.Add(1)
							}
						})
					}
					if shutdown {
						callers.Go(func() { sup.Shutdown(context.Background()) })
					}
					callers.Wait()
					o := outcomeOf(t, h)
					requested := kindsOf(rec)[taskvisor.TaskRemoveRequested]
					want := 0
					if o.Kind == taskvisor.OutcomeCanceled && o.Reason == taskvisor.ErrRemoved {
						want = 1
					}
					if int(claims.Load()) != want || requested != want {
						t.Errorf("%d claims, %d requests, outcome %v (%v)", claims.Load(), requested, o.Kind, o.Reason)
					}
				})
			})
		}
	}
}

func TestCancelWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(3*time.Second))))
		synctest.Wait()
		before := time.Now()
		o, err := h.Cancel(context.Background())
		if err != nil || o.Kind != taskvisor.OutcomeCanceled || time.Since(before) != 3*time.Second {
			t.Errorf("Cancel: %v, %v after %v", o.Kind, err, time.Since(before))
		}
	})
}

// A ctx that ends stops the waiting and nothing else.
func TestContextEndsOnlyTheWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		why := errors.New("why")
		limited := func() context.Context {
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, why)
			t.Cleanup(cancel)
			return ctx
		}
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(10*time.Second))))
		synctest.Wait()
		_, err := h.Wait(limited())
		wantErr(t, err, why)
		if st := h.Status().State; st != taskvisor.StateRunning {
			t.Errorf("state %v after a Wait that was given up", st)
		}
		_, err = h.Cancel(limited())
		wantErr(t, err, why)
		if st := h.Status().State; st != taskvisor.StateStopping {
			t.Errorf("state %v after a Cancel that was given up", st)
		}
		ctx := limited()
		wantErr(t, sup.Shutdown(ctx), why)
		if st := sup.Snapshot().State; st != taskvisor.SupervisorDraining {
			t.Errorf("state %v after a Shutdown that was given up", st)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wantTrace(t, rec, "a", "A S Q K ✓ D")
		// What is known is returned, whatever the ctx.
		if o, err := h.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeCanceled {
			t.Errorf("Wait for what is over: %v, %v", o.Kind, err)
		}
		if err := sup.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown of what is over: %v", err)
		}
	})
}

// Anyone may wait, any number of times, also when the task is long gone.
func TestWaitAnyNumberOfTimesConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)))))
		var callers group
		for range 20 {
			callers.Go(func() {
				for range 2 {
					if o, err := h.Wait(context.Background()); err != nil || o.Err != errBoom {
						t.Errorf("Wait: %v, %v", o, err)
					}
					<-h.Done()
				}
			})
		}
		callers.Wait()
		if o, known := h.Outcome(); !known || o.Err != errBoom {
			t.Errorf("outcome %v, %v", o, known)
		}
	})
}

// exitError is an error with an exit code, as *exec.ExitError is.
type exitError int

func (e exitError) Error() string { return fmt.Sprint("exit status ", int(e)) }
func (e exitError) ExitCode() int { return int(e) }

// Each registered task has exactly one outcome, whatever its path.
func TestOutcomeOfEveryPath(t *testing.T) {
	script, fail := taskvisortest.Script, taskvisortest.Fail
	later := func(s taskvisortest.Step) taskvisor.Func { return script(taskvisortest.After(time.Second, s)) }
	for _, tt := range []struct {
		name     string
		spec     taskvisor.TaskSpec
		kind     taskvisor.OutcomeKind
		err      error
		reason   taskvisor.Reason
		attempts int
		took     time.Duration
		exit     int // −1: none
	}{
		{"completed", taskvisor.Once("a", later(taskvisortest.Succeed())), taskvisor.OutcomeCompleted, nil, 0, 1, time.Second, -1},
		{"completed after a failure", taskvisor.Restartable("a", script(taskvisortest.After(time.Second, fail(exitError(3))), taskvisortest.Succeed()), taskvisor.ConstantBackoff(time.Minute)),
			taskvisor.OutcomeCompleted, nil, 0, 2, time.Second + time.Minute, -1},
		{"failed", taskvisor.Once("a", later(fail(errBoom))), taskvisor.OutcomeFailed, errBoom, 0, 1, time.Second, -1},
		{"failed with an exit code", taskvisor.Once("a", later(fail(fmt.Errorf("run: %w", exitError(3))))), taskvisor.OutcomeFailed, exitError(3), 0, 1, time.Second, 3},
		{"exhausted", taskvisor.Restartable("a", later(fail(errBoom)), taskvisor.WithMaxRetries(2), taskvisor.ConstantBackoff(time.Minute)),
			taskvisor.OutcomeFailed, errBoom, 0, 3, 2*time.Minute + 3*time.Second, -1},
		{"panic", taskvisor.Once("a", later(taskvisortest.Panic(errBoom))), taskvisor.OutcomeFailed, errBoom, 0, 1, time.Second, -1},
		{"Goexit", taskvisor.Once("a", later(taskvisortest.Goexit())), taskvisor.OutcomeFailed, taskvisor.ErrGoexit, 0, 1, time.Second, -1},
		{"timeout", taskvisor.Once("a", script(taskvisortest.Block()), taskvisor.WithTimeout(time.Minute)), taskvisor.OutcomeFailed, context.DeadlineExceeded, 0, 1, time.Minute, -1},
		{"fatal", taskvisor.Restartable("a", later(fail(taskvisor.Fatal(exitError(4))))), taskvisor.OutcomeFatal, exitError(4), 0, 1, time.Second, 4},
		{"canceled by itself", taskvisor.Restartable("a", later(fail(fmt.Errorf("no more: %w", taskvisor.ErrCanceled)))), taskvisor.OutcomeCanceled, taskvisor.ErrCanceled, taskvisor.ErrCanceled, 1, time.Second, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				time.Sleep(time.Second)
				begun := time.Now()
				h := addTo(t, sup, tt.spec)
				if o, known := h.Outcome(); known {
					t.Errorf("outcome %v before the end", o)
				}
				o := outcomeOf(t, h)
				if o.Kind != tt.kind || !errors.Is(o.Err, tt.err) || (tt.err == nil) != (o.Err == nil) || o.Reason != tt.reason || o.Attempts != tt.attempts {
					t.Errorf("outcome %v, error %v, reason %v, %d attempts", o.Kind, o.Err, o.Reason, o.Attempts)
				}
				if !o.Started.Equal(begun) || o.Ended.Sub(o.Started) != tt.took || o.Stack != "" {
					t.Errorf("started %v late, ended after %v, stack %q", o.Started.Sub(begun), o.Ended.Sub(o.Started), o.Stack)
				}
				if code, ok := o.ExitCode(); ok != (tt.exit >= 0) || ok && code != tt.exit {
					t.Errorf("exit code %d, %v, want %d", code, ok, tt.exit)
				}
				last := rec.Events("a")[len(rec.Events("a"))-1]
				if last.Kind != taskvisor.TaskRemoved || last.Outcome != o.Kind || last.Err != o.Err || last.Reason != o.Reason || last.Attempt != o.Attempts {
					t.Errorf("TaskRemoved says %v, the outcome is %+v", last, o)
				}
			})
		})
	}
}

// Not waiting costs nothing: no goroutine stays for an outcome that nobody asks
// for (the bubble would say so), and the outcome is there later.
func TestOutcomeWithoutWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed())))
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, known := h.Outcome(); !known {
			t.Error("no outcome after the end of everything")
		}
		if _, err := h.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// An individual stop has the task's grace, counted from the claim.
func TestGraceOfAnIndividualStop(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []taskvisor.TaskOption
		want time.Duration
	}{
		{"inherited", nil, 10 * time.Second},
		{"own", []taskvisor.TaskOption{taskvisor.WithGrace(3 * time.Second)}, 3 * time.Second},
		{"longer", []taskvisor.TaskOption{taskvisor.WithGrace(30 * time.Second)}, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(10*time.Second))
				release := make(chan struct{})
				h := addTo(t, sup, taskvisor.Once("a", stubborn(release), append(tt.opts, taskvisor.WithStuckAfter(time.Hour))...))
				time.Sleep(time.Minute) // the claim counts, not the start
				before := time.Now()
				o, err := h.Cancel(context.Background())
				var late *taskvisor.GraceExceededError
				if err != nil || o.Kind != taskvisor.OutcomeAbandoned || !errors.As(o.Err, &late) || late.Grace != tt.want {
					t.Errorf("Cancel: %v, %v, %v", o.Kind, o.Err, err)
				}
				if got := time.Since(before); got != tt.want {
					t.Errorf("abandoned after %v, want %v", got, tt.want)
				}
				close(release)
				wantTrace(t, rec, "a", "A S Q N ✓ R D")
			})
		})
	}
}

// A later shutdown takes the earlier deadline.
func TestOwnGraceNeverLengthensAShutdown(t *testing.T) {
	for _, tt := range []struct {
		own, stopFirst, want time.Duration
	}{
		{time.Hour, 0, 10 * time.Second},                // not stopped individually
		{time.Hour, time.Second, 10 * time.Second},      // the shutdown's is earlier
		{3 * time.Second, time.Second, 2 * time.Second}, // the task's is earlier
	} {
		t.Run(fmt.Sprint(tt.own, tt.stopFirst), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(10*time.Second))
				release := make(chan struct{})
				h := addTo(t, sup, taskvisor.Once("a", stubborn(release), taskvisor.WithGrace(tt.own), taskvisor.WithStuckAfter(time.Hour)))
				synctest.Wait()
				if tt.stopFirst > 0 {
					h.Stop()
					time.Sleep(tt.stopFirst)
				}
				before := time.Now()
				var late *taskvisor.GraceExceededError
				if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != 1 {
					t.Errorf("Shutdown: %v", err)
				}
				if o, known := h.Outcome(); !known || o.Kind != taskvisor.OutcomeAbandoned {
					t.Errorf("outcome %v, %v", o.Kind, known)
				} else if got := o.Ended.Sub(before); got != tt.want {
					t.Errorf("abandoned after %v, want %v", got, tt.want)
				}
				if got := time.Since(before); got > 10*time.Second {
					t.Errorf("the shutdown took %v", got)
				}
				wantTrace(t, rec, "", "H G")
				close(release)
			})
		})
	}
}
