package promsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(t *testing.T) taskvisor.Subscribe {
		sub := promsub.New(prometheus.NewPedanticRegistry(), promsub.WithExemplars(fromContext), promsub.WithMaxTasks(3))
		t.Cleanup(sub.Close)
		return sub
	})
}

var errWork = errors.New("work failed")

// supervised is a rig without events of its own: a real supervisor makes them,
// in a bubble. It is shut down when the test ends.
func supervised(t *testing.T, opts ...taskvisor.Option) (*rig, *taskvisor.Supervisor, *taskvisortest.Recorder) {
	t.Helper()
	return supervisedWith(t, nil, opts...)
}

// supervisedWith is supervised with options of the subscriber.
func supervisedWith(t *testing.T, own []promsub.Option, opts ...taskvisor.Option) (*rig, *taskvisor.Supervisor, *taskvisortest.Recorder) {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewRegistry()}
	if own == nil {
		r.reg = prometheus.NewPedanticRegistry()
	}
	r.sub = promsub.New(r.reg, own...)
	opts = append([]taskvisor.Option{taskvisor.WithName("sup"), taskvisor.WithSubscriber(r.sub, taskvisor.WithName("metrics"))}, opts...)
	sup, rec := taskvisortest.Start(t, opts...)
	return r, sup, rec
}

func add(t *testing.T, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) *taskvisor.Handle {
	t.Helper()
	h, err := sup.Add(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCountersAgreeWithTheEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sup, rec := supervised(t, taskvisor.WithMaxConcurrent(5))
		fail := taskvisortest.Fail(errWork)
		once := taskvisor.ConstantBackoff(time.Second)
		add(t, sup, taskvisor.Once("completed", taskvisortest.Script(taskvisortest.Succeed())))
		add(t, sup, taskvisor.Restartable("failed", taskvisortest.Script(fail), once, taskvisor.WithMaxRetries(4)))
		add(t, sup, taskvisor.Once("fatal", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errWork)))))
		add(t, sup, taskvisor.Restartable("mixed", taskvisortest.Script(
			taskvisortest.Panic("no"), taskvisortest.Goexit(), taskvisortest.Block(),
			taskvisortest.Fail(taskvisor.RetryAfter(7*time.Second, errWork)), taskvisortest.Succeed(),
		), once, taskvisor.WithTimeout(3*time.Second)))
		add(t, sup, taskvisor.Once("canceled", taskvisortest.Script(taskvisortest.Fail(taskvisor.ErrCanceled))))
		poll := add(t, sup, taskvisor.Periodic("poll", time.Minute, taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed()))))
		add(t, sup, taskvisor.Restartable("resident", taskvisortest.Script(taskvisortest.Block())))
		time.Sleep(10 * time.Minute)
		synctest.Wait()

		want := map[string]float64{
			"tasks{state=running}": 1, "tasks{state=waiting}": 1, "tasks_added_total{}": 7, "tasks_removed_total{}": 5,
			"concurrency_limit{}": 5, "concurrency_in_use{}": 1, "supervisor_state{state=running}": 1,
			"task_backoff_seconds_total{task=failed}":         4,
			"task_backoff_seconds_total{task=mixed}":          3 + 7,
			"task_backoff_seconds_total{task=poll}":           0,
			"task_state{state=running,task=resident}":         1,
			"task_state{state=waiting,task=poll}":             1,
			"task_attempts_total{result=timeout,task=mixed}":  1,
			"task_attempts_total{result=panic,task=mixed}":    1,
			"task_attempts_total{result=failure,task=failed}": 5,
			"task_last_success_timestamp_seconds{task=poll}":  float64(poll.Status().LastSuccess.Unix()),
			"task_next_start_timestamp_seconds{task=poll}":    float64(poll.Status().NextStart.Unix()),
			"subscriber_events_total{subscriber=metrics}":     float64(len(rec.Events())),
		}
		for _, e := range rec.Events() {
			switch e.Kind {
			case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
				want[fmt.Sprintf("task_attempts_total{result=%s,task=%s}", e.Result, e.Task)] = 0
			case taskvisor.BackoffScheduled:
				want[fmt.Sprintf("task_restarts_total{cause=%s,task=%s}", e.Source, e.Task)] = 0
			case taskvisor.TaskRemoved:
				want[fmt.Sprintf("tasks_finished_total{outcome=%s}", e.Outcome)] = 0
			}
		}
		for _, e := range rec.Events() {
			switch e.Kind {
			case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
				want[fmt.Sprintf("task_attempts_total{result=%s,task=%s}", e.Result, e.Task)]++
				want[fmt.Sprintf("task_attempt_duration_seconds{result=%s,task=%s}", e.Result, e.Task)]++
			case taskvisor.BackoffScheduled:
				want[fmt.Sprintf("task_restarts_total{cause=%s,task=%s}", e.Source, e.Task)]++
			case taskvisor.TaskRemoved:
				want[fmt.Sprintf("tasks_finished_total{outcome=%s}", e.Outcome)]++
			}
		}
		r.want(want)
	})
}

func TestSeriesLeaveAfterTheGraceOfARealTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sup, _ := supervised(t)
		add(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Fail(errWork))))
		add(t, sup, taskvisor.Restartable("b", taskvisortest.Script(taskvisortest.Block())))
		failures := "task_attempts_total{result=failure,task=a}"
		for range 20 { // a scrape each 15 s
			synctest.Wait()
			r.want(map[string]float64{failures: 1, "task_state{state=running,task=a}": -1})
			time.Sleep(15 * time.Second)
		}
		r.want(map[string]float64{failures: -1, "task_attempts_total{result=failure,task=b}": 0})
	})
}

func TestAbandonedBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sup, _ := supervised(t, taskvisor.WithGrace(time.Second))
		kept := add(t, sup, taskvisor.Once("kept", taskvisortest.Script(taskvisortest.Ignore(time.Hour))))
		released := add(t, sup, taskvisor.Once("released", taskvisortest.Script(taskvisortest.Ignore(time.Hour)), taskvisor.WithReleaseOnAbandon()))
		synctest.Wait()
		kept.Stop()
		released.Stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		r.want(map[string]float64{
			"abandoned_attempts{}": 2, "tasks{state=abandoned}": 1,
			"attempts_abandoned_total{cause=removed}": 2, "tasks_finished_total{outcome=abandoned}": 2,
			"tasks_added_total{}": 2, "tasks_removed_total{}": 1,
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		r.want(map[string]float64{
			"abandoned_attempts{}": 0, "tasks{state=abandoned}": 0, "tasks_finished_total{outcome=abandoned}": 2,
			"task_attempts_total{result=success,task=released}": 1,
			"task_attempts_total{result=success,task=kept}":     1,
			"tasks_removed_total{}":                             2,
		})
	})
}

func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sup, rec := supervised(t, taskvisor.WithMaxQueue(1))
		submit := func(name string, a taskvisor.Admission) {
			t.Helper()
			if _, err := sup.Submit(t.Context(), taskvisor.Submission{
				Task: taskvisor.Once(name, taskvisortest.Script(taskvisortest.After(10*time.Second, taskvisortest.Succeed()))),
				Slot: "key", Admission: a,
			}); err != nil {
				t.Fatal(err)
			}
		}
		submit("first", taskvisor.Queue)
		time.Sleep(time.Second)
		queuedAt := time.Now()
		submit("second", taskvisor.Queue)
		submit("third", taskvisor.Queue) // the queue is full
		submit("busy", taskvisor.DropIfRunning)
		submit("joined", taskvisor.Join)
		synctest.Wait()
		r.want(map[string]float64{
			"admission_requests_total{policy=queue,result=started}":            1,
			"admission_requests_total{policy=queue,result=queued}":             1,
			"admission_requests_total{policy=queue,result=rejected}":           1,
			"admission_requests_total{policy=drop_if_running,result=rejected}": 1,
			"admission_requests_total{policy=join,result=joined}":              1,
			"admission_rejections_total{reason=queue_full}":                    1,
			"admission_rejections_total{reason=slot_busy}":                     1,
			"slots{state=running}":                                             1,
			"slot_queue_length{}":                                              1,
			"slot_queue_length_max{}":                                          1,
			"slot_queue_oldest_timestamp_seconds{}":                            float64(queuedAt.Unix()),
			"admission_wait_seconds{}":                                         1,
		})
		time.Sleep(9 * time.Second)
		synctest.Wait()
		got := r.scrape()["taskvisor_admission_wait_seconds{}"].GetHistogram()
		if got.GetSampleCount() != 2 || got.GetSampleSum() != 9 {
			t.Errorf("waits: %d with a sum of %v s, want 2 and 9 s\n%s", got.GetSampleCount(), got.GetSampleSum(), rec.Trace("second"))
		}
		time.Sleep(time.Minute)
		r.want(map[string]float64{"slots{state=running}": 0, "slot_queue_length{}": 0, "slot_queue_oldest_timestamp_seconds{}": -1})
	})
}

func TestShutdownIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sup, _ := supervised(t, taskvisor.WithGrace(5*time.Second))
		add(t, sup, taskvisor.Restartable("resident", taskvisortest.Script(taskvisortest.Block())))
		add(t, sup, taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Hour))))
		synctest.Wait()
		begin := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- sup.Shutdown(context.Background()) }() // ends with the shutdown
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.want(map[string]float64{
			"supervisor_state{state=draining}":                   1,
			"shutdown_start_timestamp_seconds{}":                 float64(begin.Unix()),
			"shutdown_duration_seconds{}":                        2,
			"task_attempts_total{result=canceled,task=resident}": 1,
			"task_attempts_total{result=failure,task=resident}":  0,
			"tasks{state=stopping}":                              1,
		})
		var late *taskvisor.GraceExceededError
		if err := <-ended; !errors.As(err, &late) {
			t.Fatalf("Shutdown: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r.want(map[string]float64{
			"supervisor_state{state=stopped}":          1,
			"shutdown_duration_seconds{}":              5,
			"tasks_finished_total{outcome=abandoned}":  1,
			"attempts_abandoned_total{cause=shutdown}": 1,
			"abandoned_attempts{}":                     1,
		})
		time.Sleep(time.Hour) // the body returns after its supervisor
		synctest.Wait()
		r.want(map[string]float64{"abandoned_attempts{}": 0})
	})
}

func TestSecondSupervisorOfANameIsRefused(t *testing.T) {
	reg := prometheus.NewRegistry()
	for i, name := range []string{"a", "b", "a"} {
		_, err := taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(promsub.New(reg)))
		if refused := errors.As(err, new(prometheus.AlreadyRegisteredError)); refused != (i == 2) {
			t.Errorf("supervisor %d, %q: %v", i, name, err)
		}
	}
}
