package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var errWhy = errors.New("operator: because")

// counted is a body that counts its attempts and then does what fn does.
func counted(n *int, fn taskvisor.Func) taskvisor.Func {
	return func(ctx context.Context) error { *n++; return fn(ctx) }
}

// RunNow ends a delay; while an attempt runs it asks for one more, once.
func TestRunNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		n := 0
		h := addTo(t, sup, taskvisor.Periodic("a", time.Hour, counted(&n, taskvisortest.Script(
			taskvisortest.Succeed(), taskvisortest.After(time.Minute, taskvisortest.Succeed()), taskvisortest.Succeed()))))
		synctest.Wait()
		if !h.RunNow(errWhy) {
			t.Error("RunNow changed nothing during a delay")
		}
		time.Sleep(time.Second)
		if first, second := h.RunNow(errWhy), h.RunNow(errWhy); !first || second {
			t.Errorf("RunNow while an attempt runs: %v, then %v", first, second)
		}
		time.Sleep(2 * time.Minute)
		wantTrace(t, rec, "a", "A S ✓ B ! S ! ✓ B S ✓ B")
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskTriggered && !errors.Is(e.Err, errWhy) {
				t.Errorf("cause %v", e.Err)
			}
		}
		if n != 3 {
			t.Errorf("%d attempts", n)
		}
		h.Stop()
		if h.RunNow(nil) {
			t.Error("RunNow changed a task that was stopped")
		}
	})
}

// Interrupt cancels with the caller's cause, counts in no streak, and the next
// attempt begins at once; a body that returns nil is not completed by it.
func TestInterrupt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var causes []error
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Millisecond) // or the second call may already mean the next attempt
			causes = append(causes, context.Cause(ctx))
			if len(causes) == 1 {
				return nil
			}
			return ctx.Err()
		}, taskvisor.WithMaxRetries(0)))
		for range 2 {
			time.Sleep(time.Second)
			if !h.Interrupt(errWhy) || h.Interrupt(errWhy) {
				t.Error("not exactly one Interrupt changed something")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		st := h.Status()
		if st.State != taskvisor.StateRunning || st.Streak != 0 || st.Attempt != 3 || st.Results.Canceled != 2 {
			t.Errorf("status %+v", st)
		}
		for _, c := range causes {
			isAll(t, "cause", c, errWhy, taskvisor.ErrInterrupted, context.Canceled)
		}
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskCanceled && e.Reason != taskvisor.ErrInterrupted || e.Kind == taskvisor.BackoffScheduled && e.Source != taskvisor.BackoffTriggered {
				t.Errorf("event %v", e)
			}
		}
		wantTrace(t, rec, "a", "A S I C B S I C B S")
	})
}

// An interruption names the attempt that it ends; one that ends a delay names none, since
// the attempt before is over.
func TestInterruptNamesItsAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block()),
			taskvisor.ConstantBackoff(time.Hour)))
		time.Sleep(time.Minute)
		h.Interrupt(nil)
		time.Sleep(time.Minute)
		h.Interrupt(nil)
		time.Sleep(time.Minute)
		wantTrace(t, rec, "a", "A S ✗ B I S I C B S")
		var attempts []int
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskInterrupted {
				attempts = append(attempts, e.Attempt)
			}
		}
		sameList(t, "attempts", attempts, []int{0, 2})
	})
}

// Pause keeps further attempts from beginning, delays pass meanwhile, and Resume goes
// on where the task is due.
func TestPauseAndResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		n := 0
		h := addTo(t, sup, taskvisor.Periodic("a", time.Minute, counted(&n, taskvisortest.Script(taskvisortest.Succeed()))))
		synctest.Wait()
		if !h.Pause(errWhy) || h.Pause(errWhy) || h.Status().State != taskvisor.StatePaused {
			t.Errorf("state %v", h.Status().State)
		}
		time.Sleep(time.Hour)
		if n != 1 || sup.Count(taskvisor.StatePaused) != 1 || !sup.Alive("a") {
			t.Errorf("%d attempts, state %v", n, h.Status().State)
		}
		if !h.Resume(errWhy) || h.Resume(errWhy) {
			t.Error("not exactly one Resume changed something")
		}
		synctest.Wait()
		h.Pause(nil) // before the next is due
		h.Resume(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantTrace(t, rec, "a", "A S ✓ B ‖ ▶ S ✓ B ‖ ▶ S ✓ B")
		h.Pause(nil)
		h.Stop()
		if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeCanceled {
			t.Errorf("a paused task that is stopped: %v", o.Kind)
		}
	})
}

// A paused task keeps Run alive, and PauseAll reaches everybody.
func TestPauseAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t)
		n := 0
		done := make(chan error, 1)
		go func() {
			done <- sup.Run(context.Background(), taskvisor.Once("a", counted(&n, noWork), taskvisor.WithStartPaused()))
		}()
		time.Sleep(time.Hour)
		if n != 0 || sup.PauseAll(nil) != 0 || sup.ResumeAll(errWhy) != 1 {
			t.Errorf("%d attempts of a paused task", n)
		}
		if err := <-done; err != nil || n != 1 {
			t.Errorf("Run: %v after %d attempts", err, n)
		}
	})
}

// StopFor's cause is heard by the body and stands on the event.
func TestStopFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Block())))
		synctest.Wait()
		if !h.StopFor(errWhy) || h.StopFor(nil) || h.Stop() {
			t.Error("not exactly one caller claimed the stop")
		}
		o := outcomeOf(t, h)
		isAll(t, "outcome", o.Err, errWhy, taskvisor.ErrRemoved)
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskRemoveRequested && !errors.Is(e.Err, errWhy) {
				t.Errorf("event %v", e)
			}
		}
	})
}

// An attempt that is silent for too long is timed out; one that beats is not.
func TestIdleTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			for range 5 {
				time.Sleep(8 * time.Second)
				taskvisor.Beat(ctx, "working")
			}
			<-ctx.Done()
			return ctx.Err()
		}, taskvisor.WithIdleTimeout(10*time.Second), taskvisor.WithMaxRetries(0)))
		time.Sleep(49 * time.Second)
		if st := h.Status(); st.Note != "working" || st.State != taskvisor.StateRunning {
			t.Errorf("status %v, note %q", st.State, st.Note)
		}
		o := outcomeOf(t, h)
		var late *taskvisor.TimeoutError
		if !errors.As(o.Err, &late) || !late.Idle || late.Timeout != 10*time.Second || o.Ended.Sub(o.Started) != 50*time.Second {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S T ✗ E D")
	})
}

// A resident that has run for long enough has recovered while it runs.
func TestRecoveredWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block()),
			taskvisor.ConstantBackoff(time.Second), taskvisor.WithResetAfter(time.Minute)))
		time.Sleep(time.Minute)
		if st := h.Status(); st.Streak != 1 {
			t.Errorf("streak %d before the time", st.Streak)
		}
		time.Sleep(2 * time.Second)
		if st := h.Status(); st.Streak != 0 || st.State != taskvisor.StateRunning {
			t.Errorf("streak %d after it", st.Streak)
		}
		recovered := 0
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskRecovered {
				recovered++
			}
		}
		if recovered != 1 {
			t.Errorf("recovered %d times", recovered)
		}
	})
}

// A schedule starts by the wall clock, and its end ends the task.
func TestScheduled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t)
		begun := time.Now()
		var starts []time.Duration
		next := func(prev time.Time) time.Time {
			if len(starts) == 3 {
				return time.Time{}
			}
			return prev.Truncate(time.Hour).Add(time.Hour)
		}
		err := sup.Run(context.Background(), taskvisor.Scheduled("a", next, func(context.Context) error {
			starts = append(starts, time.Since(begun))
			time.Sleep(90 * time.Minute) // the next start falls into it, and is skipped
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		sameList(t, "starts", starts, []time.Duration{time.Hour, 3 * time.Hour, 5 * time.Hour})
	})
}

// Between two starts by the calendar other delays are what was announced: a backoff, a
// retry that was asked for, a RunAfter, a RunNow within the floor.
func TestScheduledKeepsOtherDelays(t *testing.T) {
	midnight := func(prev time.Time) time.Time { return prev.Truncate(24 * time.Hour).Add(24 * time.Hour) }
	for name, tt := range map[string]struct {
		ends  []error
		delay time.Duration
	}{
		"backoff":     {[]error{errBoom}, 10 * time.Minute},
		"retry after": {[]error{taskvisor.RetryAfter(2*time.Hour, errBoom)}, 2 * time.Hour},
		"run after":   {[]error{taskvisor.RunAfter(3 * time.Hour)}, 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				var starts []time.Time
				h := addTo(t, sup, taskvisor.Scheduled("a", midnight, func(context.Context) error {
					starts = append(starts, time.Now())
					if n := len(starts); n <= len(tt.ends) {
						return tt.ends[n-1]
					}
					return nil
				}, taskvisor.ConstantBackoff(10*time.Minute)))
				time.Sleep(60 * time.Hour)
				synctest.Wait()
				h.Stop()
				if len(starts) != 3 {
					t.Fatalf("%d starts: %v", len(starts), starts)
				}
				same(t, "second start", starts[1].Sub(starts[0]), tt.delay)
				same(t, "third start", starts[2], midnight(starts[0]))
				for _, e := range rec.Events("a") {
					if e.Kind == taskvisor.BackoffScheduled && e.Attempt == 1 {
						same(t, "announced", e.Delay, tt.delay)
					}
				}
			})
		})
	}
}

// RunNow of a scheduled task within the restart floor is not put off to the calendar.
func TestScheduledRunNowWithinTheFloor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		var starts []time.Time
		h := addTo(t, sup, taskvisor.Scheduled("a", func(prev time.Time) time.Time { return prev.Add(time.Hour) },
			func(context.Context) error { starts = append(starts, time.Now()); return nil }))
		h.RunNow(nil)
		synctest.Wait()
		if !h.RunNow(nil) {
			t.Error("RunNow changed nothing")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(starts) != 2 || starts[1].Sub(starts[0]) != time.Millisecond {
			t.Errorf("starts %v", starts)
		}
	})
}

// The first attempts of tasks with an initial delay are drawn from the range.
func TestInitialDelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithInitialDelay(time.Minute, 2*time.Minute)))
		begun := time.Now()
		if st := h.Status(); st.State != taskvisor.StateWaiting || st.NextStart.Sub(begun) < time.Minute || st.NextStart.Sub(begun) > 2*time.Minute {
			t.Errorf("status %v, next start in %v", st.State, st.NextStart.Sub(begun))
		}
		outcomeOf(t, h)
		if d := time.Since(begun); d < time.Minute || d > 2*time.Minute {
			t.Errorf("it began after %v", d)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
	})
}

// RunAfter is a success that says when to go on; Canceled ends with a reason.
func TestRunAfterAndCanceled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Periodic("a", time.Hour, taskvisortest.Script(
			taskvisortest.Fail(taskvisor.RunAfter(time.Minute)), taskvisortest.Fail(taskvisor.Canceled(errBoom)))))
		o := outcomeOf(t, h)
		if o.Kind != taskvisor.OutcomeCanceled || !errors.Is(o.Err, errBoom) || o.Ended.Sub(o.Started) != time.Minute {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S ✓ B S C D")
	})
}
