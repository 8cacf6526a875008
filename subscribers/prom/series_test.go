package promsub_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// bubble runs a test in a bubble, with a supervisor in it.
func bubble(t *testing.T, own []promsub.Option, body func(*rig, *taskvisor.Supervisor), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, sup, _ := supervisedWith(t, own, opts...)
		body(r, sup)
	})
}

// later lets time pass, and everything that is due then happen.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// idle is a task that does nothing until it is stopped.
func idle(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.Block()), opts...)
}

func TestSeriesOfATaskAreZeroWhenItIsAdded(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, idle("a"))
		want := map[string]float64{
			"task_backoff_seconds_total{task=a}": 0, "task_restarts_total{cause=triggered,task=a}": -1,
			"task_gave_up_total{outcome=failed,task=a}": -1,
		}
		for _, o := range []string{"success", "failure", "fatal", "timeout", "panic", "canceled"} {
			want["task_attempts_total{result="+o+",task=a}"] = 0
			want["task_attempt_duration_seconds{result="+o+",task=a}"] = -1
		}
		want["task_attempt_duration_seconds{result=success,task=a}"] = 0
		for _, c := range []string{"success", "failure", "requested"} {
			want["task_restarts_total{cause="+c+",task=a}"] = 0
		}
		r.want(want)
	})
}

// What nobody uses has no series: a page is read by people too.
func TestFeaturesBeginWithTheirFirstUse(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		begin := time.Now()
		later(time.Minute)
		unused := []string{"admission_", "slots", "slot_", "gate_", "subscriber_events_dropped"}
		for name := range r.scrape() {
			for _, prefix := range unused {
				if strings.HasPrefix(name, "taskvisor_"+prefix) {
					t.Errorf("%s is there, and nobody uses it", name)
				}
			}
		}
		if n := len(r.scrape()); n > 40 {
			t.Errorf("%d series of a supervisor without tasks", n)
		}
		if _, err := sup.Submit(t.Context(), taskvisor.Submission{Task: idle("a"), Slot: "k"}); err != nil {
			t.Fatal(err)
		}
		door := taskvisor.NewLimit("door", 1)
		add(t, sup, idle("b", taskvisor.WithGate(door)))
		add(t, sup, idle("c", taskvisor.WithGate(door)))
		synctest.Wait()
		r.want(map[string]float64{
			"admission_requests_total{policy=queue,result=started}":  1,
			"admission_requests_total{policy=queue,result=rejected}": 0,
			"admission_requests_total{policy=join,result=joined}":    -1,
			"admission_rejections_total{reason=queue_full}":          0,
			"admission_wait_seconds{}":                               1,
			"slots{state=running}":                                   1,
			"slot_queue_length{}":                                    0,
			"gate_waiting{gate=door}":                                1,
			"gate_wait_seconds{gate=door}":                           0,
		})
		for name, m := range r.scrape() {
			if at := created(t, m); strings.Contains(name, "admission_") && at.After(begin) || strings.Contains(name, "gate_wait_") && at.After(begin) {
				t.Errorf("%s says that it was created %s after counting began", name, at.Sub(begin))
			}
		}
	})
}

func TestSeriesOfTheSupervisorAreZeroFromTheStart(t *testing.T) {
	r := newRig(t)
	want := map[string]float64{"metrics_overflow_tasks{}": 0}
	for _, o := range []string{"completed", "failed", "fatal", "canceled", "abandoned"} {
		want["tasks_finished_total{outcome="+o+"}"] = 0
	}
	for _, c := range []string{"shutdown", "removed", "replaced"} {
		want["attempts_abandoned_total{cause="+c+"}"] = 0
	}
	r.want(want)
}

func TestSeriesOfARemovedTaskStayForTheGrace(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		fatal := taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errWork)))
		add(t, sup, idle("b"))
		add(t, sup, taskvisor.Once("a", fatal))
		synctest.Wait()
		failed, backoff, gaveUp := "task_attempts_total{result=fatal,task=a}", "task_backoff_seconds_total{task=a}", "task_gave_up_total{outcome=fatal,task=a}"
		r.want(map[string]float64{failed: 1, backoff: 0, gaveUp: 1, "task_state{state=running,task=a}": -1})
		later(5*time.Minute - time.Nanosecond)
		r.want(map[string]float64{failed: 1, backoff: 0, gaveUp: 1})
		later(time.Nanosecond)
		r.want(map[string]float64{
			failed: -1, backoff: -1, gaveUp: -1,
			"task_attempt_duration_seconds{result=fatal,task=a}": -1,
			"task_restarts_total{cause=failure,task=a}":          -1,
			"task_attempts_total{result=fatal,task=b}":           0,
			"tasks_finished_total{outcome=fatal}":                1,
		})
		// A later task of that name begins at zero.
		add(t, sup, idle("a"))
		r.want(map[string]float64{failed: 0, gaveUp: -1, "task_attempt_duration_seconds{result=fatal,task=a}": -1})
	})
}

func TestSeriesOfARemovedTaskAreScrapedTwiceWhateverTheGrace(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithSeriesGrace(0)}, func(r *rig, sup *taskvisor.Supervisor) {
		h := add(t, sup, idle("a"))
		synctest.Wait()
		r.scrape() // of a task that is there: does not count
		r.scrape()
		h.Stop()
		later(time.Hour)
		for i, want := range []float64{1, 1, -1} {
			t.Log("scrape", i+1)
			r.want(map[string]float64{"task_attempts_total{result=canceled,task=a}": want})
		}
	})
}

func TestSeriesGoOnWhenATaskOfTheNameIsAddedInTheGrace(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		job := func() taskvisor.TaskSpec { return taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed())) }
		success := "task_attempts_total{result=success,task=a}"
		add(t, sup, job())
		synctest.Wait()
		r.scrape()
		r.scrape()
		later(4 * time.Minute)
		r.want(map[string]float64{success: 1})
		add(t, sup, job())
		later(4 * time.Minute) // the grace counts from the last removal
		r.want(map[string]float64{success: 2})
		r.want(map[string]float64{success: 2})
		later(time.Minute)
		r.want(map[string]float64{success: -1})
	})
}

// A body that comes back after its task was removed from under it is counted, whether
// its series are still there or not.
func TestAttemptOfAReleasedTaskIsCountedWhenItsBodyReturns(t *testing.T) {
	for name, wait := range map[string]time.Duration{"within the grace": time.Minute, "long after": time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
				h := add(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(wait)), taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon()))
				synctest.Wait()
				h.Stop()
				later(2 * time.Second)
				r.want(map[string]float64{
					"abandoned_attempts{}": 1, "attempts_abandoned_total{cause=removed}": 1, "tasks_finished_total{outcome=abandoned}": 1,
					"task_attempts_total{result=success,task=a}": 0,
				})
				r.scrape()
				later(6 * time.Minute)
				if wait == time.Hour {
					r.want(map[string]float64{"task_attempts_total{result=success,task=a}": -1})
				}
				later(wait)
				r.want(map[string]float64{
					"abandoned_attempts{}": 0, "attempts_abandoned_total{cause=removed}": 1,
					"task_attempts_total{result=success,task=a}": 1,
				})
				r.scrape()
				later(time.Hour)
				r.want(map[string]float64{"task_attempts_total{result=success,task=a}": -1})
			})
		})
	}
}

func TestTaskNamedLikeTheSharedLabelDoesNotUseTheLimitUp(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(1)}, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, idle("_other"))
		add(t, sup, idle("a"))
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=_other}": 0,
			"task_attempts_total{result=success,task=a}":      0,
		})
	})
}

func TestWithoutOwnLabelsEveryTaskIsCounted(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithMaxTasks(0)}, func(r *rig, sup *taskvisor.Supervisor) {
		for _, name := range []string{"a", "b"} {
			add(t, sup, taskvisor.Periodic(name, time.Minute, taskvisortest.Script(taskvisortest.Succeed())))
		}
		for range 20 {
			later(time.Minute)
			r.scrape()
		}
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=_other}": 42,
			"task_attempts_total{result=success,task=a}":      -1,
			"metrics_overflow_tasks{}":                        2,
		})
	})
}

func TestKindIsTheLabel(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, idle("index for folder 7", taskvisor.WithKind("index")))
		add(t, sup, idle("index for folder 8", taskvisor.WithKind("index")))
		synctest.Wait()
		r.want(map[string]float64{
			"task_state{state=running,task=index}":                 2,
			"task_ready{task=index}":                               2,
			"task_policy{restart=on_failure,task=index}":           2,
			"task_state{state=running,task=index for folder 7}":    -1,
			"task_attempts_total{result=success,task=index}":       0,
			"task_attempts_total{result=success,task=index for 8}": -1,
		})
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
		{ID: 0, Name: "import-1", State: taskvisor.StateBackoff, Streak: 2, Delay: 4 * time.Second, NextStart: start.Add(9 * time.Second), LastSuccess: start.Add(2 * time.Second), Since: start},
		{ID: 1, Name: "import-2", State: taskvisor.StateWaiting, Delay: time.Hour, NextStart: start.Add(8 * time.Second), LastSuccess: start.Add(time.Second), Since: start},
		{ID: 2, Name: "none-1", State: taskvisor.StateRunning},
	}
	at := float64(start.Unix())
	r.want(map[string]float64{
		"task_attempts_total{result=success,task=import}":       2,
		"task_attempts_total{result=success,task=_other}":       1,
		"task_attempts_total{result=success,task=import\uFFFD}": 1,
		"task_state{state=backoff,task=import}":                 1,
		"task_state{state=waiting,task=import}":                 1,
		"task_state{state=running,task=_other}":                 1,
		"task_consecutive_failures{task=import}":                2,
		"task_backoff_delay_seconds{task=import}":               4, // an interval is no backoff
		"task_backoff_seconds_total{task=import}":               4,
		"task_next_start_timestamp_seconds{task=import}":        at + 8,
		"task_last_success_timestamp_seconds{task=import}":      at + 1,
		"task_attempt_start_timestamp_seconds{task=import}":     -1,
	})
}

func TestTaskLabelThatPanicsLosesNothing(t *testing.T) {
	bubble(t, []promsub.Option{promsub.WithTaskLabel(func(string) string { panic("no label") })}, func(r *rig, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Periodic("a", time.Hour, taskvisortest.Script(taskvisortest.Succeed())))
		synctest.Wait()
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=_other}": 1,
			"task_state{state=waiting,task=_other}":           1,
			"metrics_overflow_tasks{}":                        1,
			"subscriber_panics_total{subscriber=metrics}":     1,
		})
	})
}

func TestBackoffSecondsFollowTheDelayAndNeverExceedIt(t *testing.T) {
	fail := taskvisortest.Fail(errWork)
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		h := add(t, sup, taskvisor.Periodic("a", time.Hour, taskvisortest.Script(fail, taskvisortest.Succeed(),
			taskvisortest.Fail(taskvisor.RetryAfter(time.Minute, errWork))), taskvisor.ConstantBackoff(10*time.Second)))
		seconds := "task_backoff_seconds_total{task=a}"
		later(4 * time.Second)
		r.want(map[string]float64{seconds: 4})
		r.want(map[string]float64{seconds: 4}) // the same instant twice
		later(3 * time.Second)
		r.want(map[string]float64{seconds: 7})
		h.Pause(nil)
		later(30 * time.Second) // it waits for something else now
		r.want(map[string]float64{seconds: 7})
		h.Resume(nil)
		synctest.Wait()
		r.want(map[string]float64{seconds: 10})
		later(time.Hour) // an interval is no backoff
		r.want(map[string]float64{seconds: 10})
		later(2 * time.Second)
		h.Stop() // cut short
		later(time.Minute)
		r.want(map[string]float64{
			seconds: 12,
			"task_restarts_total{cause=success,task=a}":   1,
			"task_restarts_total{cause=failure,task=a}":   1,
			"task_restarts_total{cause=requested,task=a}": 1,
		})
	})
}

func TestEventsOfUnknownTasksAreCounted(t *testing.T) {
	r := newRig(t)
	r.attempt(7, "late", taskvisor.ResultFailure, time.Second)
	r.backoff(7, "late", taskvisor.BackoffFailure, time.Second)
	r.removed(7, "late", taskvisor.OutcomeFailed)
	r.want(map[string]float64{
		"task_attempts_total{result=failure,task=late}": 1,
		"task_restarts_total{cause=failure,task=late}":  1,
		"task_gave_up_total{outcome=failed,task=late}":  1,
		"tasks_finished_total{outcome=failed}":          1,
	})
	r.scrape()
	r.pass(time.Hour)
	r.want(map[string]float64{"task_attempts_total{result=failure,task=late}": -1})
	r.sub.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskStopped, Supervisor: "another", TaskID: 1, Task: "late"})
	r.want(map[string]float64{"task_attempts_total{result=success,task=late}": -1})
}

func TestEventsOfNewerCoresAreIgnored(t *testing.T) {
	r := newRig(t)
	r.added(1, "a")
	before := r.scrape()
	for kind := range 256 {
		switch k := taskvisor.EventKind(kind); k {
		case taskvisor.TaskAdded, taskvisor.TaskAbandoned, taskvisor.TaskGated:
		default:
			r.event(taskvisor.Event{
				Kind: k, TaskID: 99, Task: "a", Result: 255, Outcome: 255, Reason: 255, Source: 255,
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

func TestPolicyIsShown(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		begin := float64(time.Now().UnixMicro()) / 1e6
		later(time.Minute)
		body := taskvisortest.Script(taskvisortest.Block())
		add(t, sup, taskvisor.Once("once", body))
		add(t, sup, taskvisor.Periodic("poll", 90*time.Second, body))
		add(t, sup, taskvisor.Scheduled("cron", func(prev time.Time) time.Time { return prev.Add(time.Hour) }, body))
		add(t, sup, idle("gate", taskvisor.WithReadiness()))
		synctest.Wait()
		want := map[string]float64{
			"task_policy{restart=never,task=once}": 1, "task_policy{restart=always,task=poll}": 1, "task_policy{restart=scheduled,task=cron}": 1,
			"task_policy{restart=on_failure,task=gate}": 1, "task_policy{restart=never,task=poll}": -1,
			"task_interval_seconds{task=poll}": 90, "task_interval_seconds{task=cron}": -1, "task_interval_seconds{task=gate}": -1,
			"task_ready{task=poll}": 1, "task_ready{task=gate}": 0,
			"supervisor_start_timestamp_seconds{}": begin,
		}
		for _, name := range []string{"once", "poll", "cron", "gate"} {
			want[fmt.Sprintf("task_added_timestamp_seconds{task=%s}", name)] = begin + 60
		}
		r.want(want)
	})
}
