package promsub_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestSeriesOfATaskAreZeroWhenItIsAdded(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	want := map[string]float64{"task_backoff_seconds_total{task=a}": 0}
	for _, o := range []string{"success", "failure", "fatal", "timeout", "panic", "canceled"} {
		want["task_attempts_total{outcome="+o+",task=a}"] = 0
		want["task_attempt_duration_seconds{outcome="+o+",task=a}"] = -1
	}
	want["task_attempt_duration_seconds{outcome=success,task=a}"] = 0
	for _, c := range []string{"success", "failure", "requested"} {
		want["task_restarts_total{cause="+c+",task=a}"] = 0
	}
	r.want(want)
}

func TestSeriesOfTheSupervisorAreZeroFromTheStart(t *testing.T) {
	r := newRig(t)
	want := map[string]float64{"admission_wait_seconds{}": 0, "metrics_overflow_tasks{}": 0}
	for _, o := range []string{"completed", "failed", "fatal", "canceled", "abandoned"} {
		want["tasks_finished_total{outcome="+o+"}"] = 0
	}
	for _, c := range []string{"shutdown", "removed", "replaced"} {
		want["attempts_abandoned_total{cause="+c+"}"] = 0
	}
	for _, p := range []string{"queue", "replace", "drop_if_running", "coalesce", "join"} {
		for _, v := range []string{"started", "queued", "joined", "rejected"} {
			want["admission_requests_total{policy="+p+",result="+v+"}"] = 0
		}
	}
	for _, reason := range []string{"already_exists", "slot_busy", "queue_full", "superseded", "removed", "shutting_down"} {
		want["admission_rejections_total{reason="+reason+"}"] = 0
	}
	r.want(want)
}

func TestSeriesOfARemovedTaskStayForTheGrace(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.added(2, "b")
	r.attempt(1, "a", taskvisor.ResultFatal, time.Second)
	r.removed(1, "a", taskvisor.OutcomeFatal)
	fatal, backoff := "task_attempts_total{outcome=fatal,task=a}", "task_backoff_seconds_total{task=a}"

	r.want(map[string]float64{fatal: 1, backoff: 0})
	r.pass(5*time.Minute - time.Nanosecond)
	r.want(map[string]float64{fatal: 1, backoff: 0})
	r.pass(time.Nanosecond)
	r.want(map[string]float64{
		fatal: -1, backoff: -1,
		"task_attempt_duration_seconds{outcome=fatal,task=a}": -1,
		"task_restarts_total{cause=failure,task=a}":           -1,
		"task_attempts_total{outcome=fatal,task=b}":           0,
		"tasks_finished_total{outcome=fatal}":                 1,
	})
	// A later task of that name begins at zero.
	r.added(3, "a")
	r.want(map[string]float64{fatal: 0, "task_attempt_duration_seconds{outcome=fatal,task=a}": -1})
}

func TestSeriesOfARemovedTaskAreScrapedTwiceWhateverTheGrace(t *testing.T) {
	r := newRig(t, promsub.WithSeriesGrace(0))
	r.added(1, "a")
	r.scrape() // of a task that is there: does not count
	r.scrape()
	r.removed(1, "a", taskvisor.OutcomeCompleted)
	r.pass(time.Hour)
	for i, want := range []float64{0, 0, -1} {
		t.Log("scrape", i+1)
		r.want(map[string]float64{"task_attempts_total{outcome=success,task=a}": want})
	}
}

func TestSeriesGoOnWhenATaskOfTheNameIsAddedInTheGrace(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)
	r.removed(1, "a", taskvisor.OutcomeCompleted)
	r.scrape()
	r.scrape()
	r.pass(4 * time.Minute)
	r.added(2, "a")
	r.pass(time.Hour)
	r.attempt(2, "a", taskvisor.ResultSuccess, time.Second)
	success := "task_attempts_total{outcome=success,task=a}"
	r.want(map[string]float64{success: 2})

	// The grace counts from the last removal, and so do the scrapes.
	r.removed(2, "a", taskvisor.OutcomeCompleted)
	r.pass(time.Hour)
	r.want(map[string]float64{success: 2})
}

func TestSeriesOutliveTheFormerTaskOfTheName(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.added(2, "a") // inline calls of different tasks come in any order
	r.removed(1, "a", taskvisor.OutcomeCompleted)
	for range 3 {
		r.pass(time.Hour)
		r.scrape()
	}
	r.attempt(2, "a", taskvisor.ResultPanic, time.Second)
	r.want(map[string]float64{"task_attempts_total{outcome=panic,task=a}": 1})
}

func TestAttemptOfAReleasedTaskIsCountedWhenItsBodyReturns(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.event(taskvisor.Event{Kind: taskvisor.TaskAbandoned, TaskID: 1, Task: "a", Reason: taskvisor.ErrReplaced, Outcome: taskvisor.OutcomeAbandoned})
	r.removed(1, "a", taskvisor.OutcomeAbandoned)
	r.snap.Released = 1
	for range 3 {
		r.pass(time.Hour)
		r.want(map[string]float64{
			"abandoned_attempts{}":                         1,
			"attempts_abandoned_total{cause=replaced}":     1,
			"tasks_finished_total{outcome=abandoned}":      1,
			"task_attempts_total{outcome=canceled,task=a}": 0,
		})
	}
	r.attempt(1, "a", taskvisor.ResultCanceled, time.Second)
	r.event(taskvisor.Event{Kind: taskvisor.TaskReturned, TaskID: 1, Task: "a"})
	r.snap.Released = 0
	r.want(map[string]float64{
		"abandoned_attempts{}":                         0,
		"attempts_abandoned_total{cause=replaced}":     1,
		"task_attempts_total{outcome=canceled,task=a}": 1,
	})
	r.scrape()
	r.pass(time.Hour)
	r.want(map[string]float64{"task_attempts_total{outcome=canceled,task=a}": -1})
}

func TestAbandonedTaskThatKeepsItsNameIsRemovedOnce(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.event(taskvisor.Event{Kind: taskvisor.TaskAbandoned, TaskID: 1, Task: "a", Reason: taskvisor.ErrRemoved})
	r.event(taskvisor.Event{Kind: taskvisor.TaskReturned, TaskID: 1, Task: "a"})
	r.removed(1, "a", taskvisor.OutcomeAbandoned)
	r.want(map[string]float64{"tasks_finished_total{outcome=abandoned}": 1, "attempts_abandoned_total{cause=removed}": 1})
	r.scrape()
	r.pass(time.Hour)
	r.want(map[string]float64{"task_attempts_total{outcome=success,task=a}": -1})
}

func TestTasksBeyondTheLimitShareOneLabel(t *testing.T) {
	r := newRig(t, promsub.WithMaxTasks(2), promsub.WithSeriesGrace(0))
	for id := range taskvisor.TaskID(5) {
		name := fmt.Sprintf("t%d", id)
		r.added(id+1, name)
		r.attempt(id+1, name, taskvisor.ResultSuccess, time.Second)
		r.snap.Tasks = append(r.snap.Tasks, taskvisor.TaskStatus{ID: id + 1, Name: name, State: taskvisor.StateRunning, Streak: int(id)})
	}
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=t0}":     1,
		"task_attempts_total{outcome=success,task=t1}":     1,
		"task_attempts_total{outcome=success,task=t2}":     -1,
		"task_attempts_total{outcome=success,task=_other}": 3,
		"task_state{state=running,task=t1}":                1,
		"task_state{state=running,task=_other}":            3,
		"task_consecutive_failures{task=_other}":           4,
		"metrics_overflow_tasks{}":                         3,
	})
	// A label that comes free is used for the next task, not for one that already
	// counts elsewhere.
	r.removed(1, "t0", taskvisor.OutcomeCompleted)
	r.snap.Tasks = r.snap.Tasks[1:]
	r.scrape()
	r.scrape()
	r.want(map[string]float64{"task_attempts_total{outcome=success,task=t0}": -1, "metrics_overflow_tasks{}": 3})
	r.added(9, "t9")
	r.attempt(9, "t9", taskvisor.ResultSuccess, time.Second)
	r.attempt(3, "t2", taskvisor.ResultSuccess, time.Second)
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=t9}":     1,
		"task_attempts_total{outcome=success,task=_other}": 4,
	})
}

func TestTaskNamedLikeTheSharedLabelDoesNotUseTheLimitUp(t *testing.T) {
	r := newRig(t, promsub.WithMaxTasks(1))
	r.added(1, "_other")
	r.added(2, "a")
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=_other}": 0,
		"task_attempts_total{outcome=success,task=a}":      0,
	})
}

func TestWithoutOwnLabelsEveryTaskIsCounted(t *testing.T) {
	r := newRig(t, promsub.WithMaxTasks(0))
	r.added(1, "a")
	r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=_other}": 1,
		"task_attempts_total{outcome=success,task=a}":      -1,
	})
}

func TestTaskLabelGroupsTasks(t *testing.T) {
	r := newRig(t, promsub.WithTaskLabel(func(task string) string {
		kind, _, _ := strings.Cut(task, "-")
		if kind == "none" {
			return ""
		}
		return kind
	}))
	start := r.now
	for id, name := range []string{"import-1", "import-2", "none-1", "import\xff-3"} {
		r.added(taskvisor.TaskID(id), name)
		r.attempt(taskvisor.TaskID(id), name, taskvisor.ResultSuccess, time.Second)
	}
	r.snap.Tasks = []taskvisor.TaskStatus{
		{ID: 0, State: taskvisor.StateBackoff, Streak: 2, Delay: 4 * time.Second, NextStart: start.Add(9 * time.Second), LastSuccess: start.Add(2 * time.Second)},
		{ID: 1, State: taskvisor.StateWaiting, Delay: time.Hour, NextStart: start.Add(8 * time.Second), LastSuccess: start.Add(time.Second)},
	}
	at := float64(start.Unix())
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=import}":       2,
		"task_attempts_total{outcome=success,task=_other}":       1,
		"task_attempts_total{outcome=success,task=import\uFFFD}": 1,
		"task_state{state=backoff,task=import}":                  1,
		"task_state{state=waiting,task=import}":                  1,
		"task_consecutive_failures{task=import}":                 2,
		"task_backoff_delay_seconds{task=import}":                4, // an interval is no backoff
		"task_next_start_timestamp_seconds{task=import}":         at + 8,
		"task_last_success_timestamp_seconds{task=import}":       at + 1,
		"task_attempt_start_timestamp_seconds{task=import}":      -1,
	})
}

func TestTaskLabelThatPanicsLosesNothing(t *testing.T) {
	r := newRig(t, promsub.WithTaskLabel(func(string) string { panic("no label") }))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not reach the supervisor")
			}
		}()
		r.added(1, "a")
	}()
	r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)
	r.snap.Tasks = []taskvisor.TaskStatus{
		{ID: 1, Name: "a", State: taskvisor.StateRunning},
		{ID: 2, Name: "unknown yet", State: taskvisor.StateRunning},
	}
	r.want(map[string]float64{
		"task_attempts_total{outcome=success,task=_other}": 1,
		"task_state{state=running,task=_other}":            2,
		"metrics_overflow_tasks{}":                         2,
	})
}

func TestBackoffSecondsFollowTheDelayAndNeverExceedIt(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	r.attempt(1, "a", taskvisor.ResultFailure, time.Second)
	seconds := "task_backoff_seconds_total{task=a}"
	r.backoff(1, "a", taskvisor.BackoffFailure, 10*time.Second)
	r.pass(4 * time.Second)
	r.want(map[string]float64{seconds: 4})
	r.want(map[string]float64{seconds: 4}) // the same instant twice
	r.pass(3 * time.Second)
	r.want(map[string]float64{seconds: 7})
	r.pass(30 * time.Second) // it waits for a permit now
	r.want(map[string]float64{seconds: 10})
	r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)

	r.backoff(1, "a", taskvisor.BackoffSuccess, time.Hour) // an interval is no backoff
	r.pass(time.Hour)
	r.attempt(1, "a", taskvisor.ResultFailure, time.Second)
	r.want(map[string]float64{seconds: 10})

	r.backoff(1, "a", taskvisor.BackoffRequested, time.Minute)
	r.pass(2 * time.Second)
	r.removed(1, "a", taskvisor.OutcomeCanceled) // cut short
	r.pass(time.Minute)
	r.want(map[string]float64{
		seconds: 12,
		"task_restarts_total{cause=success,task=a}":   1,
		"task_restarts_total{cause=failure,task=a}":   1,
		"task_restarts_total{cause=requested,task=a}": 1,
	})
}

func TestEventsOfUnknownTasksAreCounted(t *testing.T) {
	r := newRig(t)
	r.attempt(7, "late", taskvisor.ResultFailure, time.Second)
	r.backoff(7, "late", taskvisor.BackoffFailure, time.Second)
	r.removed(7, "late", taskvisor.OutcomeFailed)
	r.want(map[string]float64{
		"task_attempts_total{outcome=failure,task=late}": 1,
		"task_restarts_total{cause=failure,task=late}":   1,
		"tasks_finished_total{outcome=failed}":           1,
	})
	r.scrape()
	r.pass(time.Hour)
	r.want(map[string]float64{"task_attempts_total{outcome=failure,task=late}": -1})
}

func TestTaskAddedTwiceHoldsItsSeriesOnce(t *testing.T) {
	r := newRig(t, promsub.WithSeriesGrace(0))
	r.added(1, "a")
	r.added(1, "a")
	r.removed(1, "a", taskvisor.OutcomeCompleted)
	r.scrape()
	r.scrape()
	r.want(map[string]float64{"task_attempts_total{outcome=success,task=a}": -1})
}

func TestEventsOfNewerCoresAreIgnored(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	before := r.scrape()
	for kind := range 256 {
		if k := taskvisor.EventKind(kind); k != taskvisor.TaskAdded && k != taskvisor.TaskAbandoned {
			r.event(taskvisor.Event{
				Kind: k, TaskID: 99, Task: "b", Result: 255, Outcome: 255, Reason: 255, Source: 255,
				Admission: 255, Verdict: 255, Duration: math.MaxInt64, Delay: math.MaxInt64,
			})
		}
	}
	after := r.scrape()
	for name, m := range after {
		if b, ok := before[name]; !ok || number(b) != number(m) {
			t.Errorf("%s changed to %v", name, number(m))
		}
	}
	r.snap.State = 255
	r.snap.Tasks = []taskvisor.TaskStatus{{ID: 1, Name: "a", State: 255}}
	r.snap.Slots = []taskvisor.SlotStatus{{Key: "k", State: 255}}
	r.want(map[string]float64{"task_state{state=running,task=a}": 0, "supervisor_state{state=running}": 0})
}
