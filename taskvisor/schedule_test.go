package taskvisor_test

import (
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
