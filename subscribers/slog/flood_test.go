package slogsub_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestCrashLoopDoesNotFlood(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	for range 150 { // one a second
		f.fail()
	}
	f.succeed()
	f.succeed()
	expect(t, h.text(), `
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=1 outcome=failure duration=1s error=boom
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=61 outcome=failure duration=1s error=boom suppressed=59
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=121 outcome=failure duration=1s error=boom suppressed=59
		INFO task recovered supervisor=sup task=job task_id=7 attempt=151 suppressed=29
	`)
}

func TestRecoveryIsToldOnce(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	f.succeed()
	f.fail()
	f.succeed()
	f.succeed()
	f.pass(time.Hour)
	f.fail()
	expect(t, h.text(), `
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=2 outcome=failure duration=1s error=boom
		INFO task recovered supervisor=sup task=job task_id=7 attempt=3
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=6 outcome=failure duration=1s error=boom
	`)
}

// TestFlappingDoesNotFlood: a task that fails every other time is no crash
// loop, and would write as much if each streak began anew.
func TestFlappingDoesNotFlood(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	for range 60 {
		f.fail()
		f.succeed()
	}
	expect(t, h.text(), `
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=1 outcome=failure duration=1s error=boom
		INFO task recovered supervisor=sup task=job task_id=7 attempt=2
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=61 outcome=failure duration=1s error=boom suppressed=29
		INFO task recovered supervisor=sup task=job task_id=7 attempt=62
	`)
}

// TestNothingIsLeftUncounted: failures that were left out show up in the
// records of the task's end.
func TestNothingIsLeftUncounted(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	for range 5 {
		f.fail()
	}
	f.send(taskvisor.Event{Kind: taskvisor.ActorExhausted, Outcome: taskvisor.OutcomeFailed, Err: errBoom})
	f.send(taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeFailed})
	f.e.TaskID = 8
	for range 3 {
		f.fail()
	}
	f.send(taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCanceled, Reason: taskvisor.ErrRemoved})
	expect(t, h.text(), `
		WARN attempt failed supervisor=sup task=job task_id=7 attempt=1 outcome=failure duration=1s error=boom
		ERROR task failed for good supervisor=sup task=job task_id=7 attempt=6 outcome=failed error=boom suppressed=4
		INFO task removed supervisor=sup task=job task_id=7 outcome=failed
		WARN attempt failed supervisor=sup task=job task_id=8 attempt=6 outcome=failure duration=1s error=boom
		INFO task removed supervisor=sup task=job task_id=8 outcome=canceled reason=removed suppressed=2
	`)
	expectKnown(t, sub, 0)
}

func TestSuppressionOptions(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		want  int
	}{{0, 10}, {-1, 10}, {time.Second, 10}, {5 * time.Second, 2}, {time.Hour, 1}} {
		sub, h := record(slog.LevelInfo, slogsub.WithSuppression(c.every))
		f := feedTo(sub)
		for range 10 {
			f.fail()
		}
		if n := strings.Count(h.text(), "attempt failed"); n != c.want {
			t.Errorf("every %s: %d records, want %d", c.every, n, c.want)
		}
		f.succeed()
		if n := strings.Count(h.text(), "recovered"); n != 1 {
			t.Errorf("every %s: %d records of recovery", c.every, n)
		}
	}
}

// TestLevelsBelowTheHandlersDoNotCount: what would not be written anyway takes
// no place in an interval, and needs no recovery.
func TestLevelsBelowTheHandlersDoNotCount(t *testing.T) {
	sub, h := record(slog.LevelError)
	f := feedTo(sub)
	f.fail()
	f.failAs(taskvisor.ResultPanic)
	f.failAs(taskvisor.ResultPanic)
	f.succeed()
	expect(t, h.text(), `ERROR attempt panicked supervisor=sup task=job task_id=7 attempt=2 outcome=panic duration=1s error=boom`)

	sub, h = record(slog.LevelInfo, slogsub.WithLevel(func(taskvisor.Event) slog.Level { return slog.LevelDebug }))
	f = feedTo(sub)
	f.fail()
	f.succeed()
	expect(t, h.text(), ``)
	expectKnown(t, sub, 0)
}

func TestStuckAttemptsDoNotFlood(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	for range 30 {
		f.send(taskvisor.Event{Kind: taskvisor.TaskStuck, Duration: 9 * time.Second})
		f.pass(9 * time.Second)
		f.failAs(taskvisor.ResultTimeout)
	}
	if stuck, failed := strings.Count(h.text(), "stuck"), strings.Count(h.text(), "timed out"); stuck != 5 || failed != 5 {
		t.Errorf("%d and %d records in 5 minutes:\n%s", stuck, failed, h.text())
	}
}

// TestDropsAreAddedUp: a log that is too slow for its supervisor must not be
// made slower by records about that.
func TestDropsAreAddedUp(t *testing.T) {
	sub, h := record(slog.LevelInfo)
	f := feedTo(sub)
	f.e = taskvisor.Event{Supervisor: "sup"}
	for range 70 {
		f.send(taskvisor.Event{Kind: taskvisor.SubscriberOverflow, Subscriber: "logs", Dropped: 10})
		f.now = f.now.Add(time.Second)
	}
	f.send(taskvisor.Event{Kind: taskvisor.AllStoppedWithinGrace, Duration: time.Second})
	expect(t, h.text(), `
		WARN events dropped supervisor=sup subscriber=logs dropped=10
		WARN events dropped supervisor=sup subscriber=logs dropped=600
		WARN events dropped supervisor=sup subscriber=logs dropped=90
		INFO shutdown complete supervisor=sup duration=1s
	`)
}

func expectKnown(t *testing.T, sub *slogsub.Subscriber, want int) {
	t.Helper()
	if n := sub.Known(); n != want {
		t.Errorf("%d tasks are remembered, want %d", n, want)
	}
}

// TestForgets: at the task's last event, which for a released body comes after
// its removal, or at the supervisor's.
func TestForgets(t *testing.T) {
	sub, _ := record(slog.LevelInfo)
	f := feedTo(sub)
	f.fail()
	expectKnown(t, sub, 1)
	f.send(taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeAbandoned})
	f.fail()
	f.send(taskvisor.Event{Kind: taskvisor.TaskReturned})
	expectKnown(t, sub, 0)

	f.fail()
	other := feedTo(sub)
	other.e.Supervisor, other.e.TaskID = "other", 8
	other.fail()
	f.send(taskvisor.Event{Kind: taskvisor.GraceExceeded})
	expectKnown(t, sub, 1)
}

// TestForgetsWhatOverflowHid: the removal of a task can get lost in a queue.
func TestForgetsWhatOverflowHid(t *testing.T) {
	sub, _ := record(slog.LevelInfo)
	f := feedTo(sub)
	for id := range taskvisor.TaskID(50_000) {
		f.e.TaskID = id + 1
		f.fail()
	}
	if n := sub.Known(); n > 4096 {
		t.Errorf("%d tasks are remembered", n)
	}
}

func TestConcurrentSafe(t *testing.T) {
	sub, h := record(slog.LevelDebug)
	var tasks sync.WaitGroup
	for id := range taskvisor.TaskID(64) {
		tasks.Go(func() {
			f := feedTo(sub)
			f.e.TaskID, f.e.Task = id+1, fmt.Sprint("job-", id)
			for range 20 {
				f.fail()
				f.succeed()
				f.send(taskvisor.Event{Kind: taskvisor.SubscriberOverflow, Dropped: 1})
			}
			f.send(taskvisor.Event{Kind: taskvisor.TaskRemoved})
		})
	}
	tasks.Wait()
	expectKnown(t, sub, 0)
	if n := strings.Count(h.text(), "attempt succeeded"); n != 64*20 {
		t.Errorf("%d records of success", n)
	}
	sub.OnEvent(context.Background(), taskvisor.Event{})
}
