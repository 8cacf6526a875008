package taskvisor_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A scheduled task looks at the wall clock every minute, and one that was set is noticed
// then: forward, so that it starts earlier, and back, so that it starts later.
func TestScheduleFollowsTheWallClock(t *testing.T) {
	for _, tt := range []struct{ set, begins time.Duration }{
		{0, 5 * time.Hour},
		{3 * time.Hour, 2 * time.Hour},
		{-3 * time.Hour, 8 * time.Hour},
		{9 * time.Hour, 31 * time.Minute}, // overdue: the next look, half a minute after it was set
	} {
		bubble(t, func(t *testing.T) {
			sup, rec := taskvisortest.Start(t)
			begun := time.Now()
			h := addTo(t, sup, taskvisor.Scheduled("a", func(prev time.Time) time.Time { return prev.Add(5 * time.Hour) }, noWork))
			for range 30 {
				synctest.Wait()
				if d := taskvisor.WakesIn(h); d <= 0 || d > time.Minute {
					t.Fatalf("it looks at the clock in %v", d)
				}
				time.Sleep(time.Minute)
			}
			time.Sleep(30 * time.Second)
			taskvisor.SetClock(h, tt.set)
			time.Sleep(8 * time.Hour)
			synctest.Wait()
			for _, e := range rec.Events("a") {
				if e.Kind == taskvisor.TaskStarting {
					if d := e.Time.Sub(begun); d != tt.begins {
						t.Errorf("set by %v: it begins after %v, want %v", tt.set, d, tt.begins)
					}
					return
				}
			}
			t.Errorf("set by %v: it does not begin", tt.set)
		})
	}
}

// While it waits for the calendar it looks at the wall clock every minute, since that may
// be set.
func TestScheduledLooksAtTheClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Scheduled("a", func(prev time.Time) time.Time { return prev.Add(time.Hour) }, noWork))
		for range 3 {
			time.Sleep(time.Hour)
			synctest.Wait()
			if d := taskvisor.WakesIn(h); d <= 0 || d > time.Minute {
				t.Errorf("after attempt %d it wakes in %s", h.Status().Attempt, d)
			}
		}
	})
}

// A schedule that has no start left is an error, and the zero time ends a task.
func TestScheduleWithoutAStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		never := func(time.Time) time.Time { return time.Time{} }
		spec := taskvisor.Scheduled("a", never, noWork)
		if _, err := sup.Add(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "its schedule has no start") {
			t.Errorf("Add: %v", err)
		}
		if _, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: spec}); err == nil {
			t.Error("Submit accepts it")
		}
		if n := len(rec.Events()); n != 0 || sup.Count(taskvisor.StateRunning) != 0 {
			t.Errorf("%d events", n)
		}
	})
}

// A start that is past when it is known is made at once.
func TestScheduleThatIsSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		calls := 0
		h := addTo(t, sup, taskvisor.Scheduled("a", func(prev time.Time) time.Time {
			if calls++; calls == 3 {
				return time.Time{}
			}
			time.Sleep(2 * time.Second)
			return prev.Add(time.Second)
		}, noWork))
		begun := time.Now()
		o := outcomeOf(t, h)
		if o.Attempts != 2 || time.Since(begun) > 3*time.Second {
			t.Errorf("%d attempts within %v", o.Attempts, time.Since(begun))
		}
		for _, e := range rec.Events("a") {
			if e.Delay > time.Second {
				t.Errorf("a delay of %v: %v", e.Delay, e)
			}
		}
	})
}

// A start that falls into the time in which children are waited for is skipped, as one
// that falls into the body is.
func TestScheduleSkipsWhileItJoins(t *testing.T) {
	inRoom(t, func(r *room) {
		r.add(taskvisor.Scheduled("a", func(prev time.Time) time.Time { return prev.Truncate(time.Minute).Add(time.Minute) },
			func(ctx context.Context) error {
				return taskvisor.Go(ctx, func(context.Context) { time.Sleep(90 * time.Second) })
			}))
		time.Sleep(6*time.Minute + 45*time.Second)
		sameList(t, "starts", r.starts(), []time.Duration{0, 2 * time.Minute, 4 * time.Minute})
	})
}

// A schedule that ends its goroutine fails the attempt before it, as one that panics does;
// it is asked after a success only.
func TestScheduleThatDoesNotReturn(t *testing.T) {
	for name, tt := range map[string]struct {
		act    func()
		result taskvisor.ResultKind
		is     error
	}{
		"panic":  {func() { panic(errBoom) }, taskvisor.ResultPanic, errBoom},
		"Goexit": {runtime.Goexit, taskvisor.ResultFailure, taskvisor.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				calls := 0
				h := r.add(taskvisor.Scheduled("a", func(prev time.Time) time.Time {
					if calls++; calls > 1 {
						tt.act()
					}
					return prev.Add(time.Minute)
				}, taskvisortest.Script(taskvisortest.Succeed(), taskvisortest.Fail(taskvisor.Fatal(errBoom))), taskvisor.ConstantBackoff(time.Second)))
				same(t, "outcome", r.end(h).Kind, taskvisor.OutcomeFatal)
				r.trace("a", "A S ✗ B S ✗ X D")
				for _, e := range r.rec.Events("a") {
					if e.Kind == taskvisor.TaskFailed && e.Attempt == 1 {
						same(t, "result", e.Result, tt.result)
						isAll(t, "error", e.Err, tt.is)
					}
				}
				same(t, "calls of the schedule", calls, 2)
			})
		})
	}
}
