package promsub_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// wait returns number and sum of the waits at a gate.
func (r *rig) wait(gate string) (n uint64, sum time.Duration) {
	r.t.Helper()
	h := r.scrape()["taskvisor_gate_wait_seconds{gate="+gate+"}"].GetHistogram()
	return h.GetSampleCount(), time.Duration(h.GetSampleSum() * float64(time.Second))
}

func (r *rig) wantWait(gate string, n uint64, sum time.Duration) {
	r.t.Helper()
	if gotN, got := r.wait(gate); gotN != n || got.Round(time.Millisecond) != sum {
		r.t.Errorf("%d waits at %s, %s in all; want %d, %s", gotN, gate, got, n, sum)
	}
}

// ten is a task whose attempt takes ten seconds.
func ten(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.After(10*time.Second, taskvisortest.Succeed())), opts...)
}

func TestGateWaits(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		door, hall := taskvisor.NewLimit("door", 1), taskvisor.NewLimit("hall", 1)
		add(t, sup, ten("a", taskvisor.WithGate(door)))
		add(t, sup, ten("b", taskvisor.WithGate(hall)))
		synctest.Wait()
		add(t, sup, ten("c", taskvisor.WithGate(door, hall))) // waits at one after the other
		stopped := add(t, sup, ten("d", taskvisor.WithGate(door)))
		later(4 * time.Second)
		add(t, sup, ten("e", taskvisor.WithGate(hall)))
		synctest.Wait()
		r.want(map[string]float64{"gate_waiting{gate=door}": 2, "gate_waiting{gate=hall}": 1, "tasks{state=pending}": 3})
		r.wantWait("door", 0, 0)
		later(7 * time.Second)
		r.want(map[string]float64{"gate_waiting{gate=door}": 1, "gate_waiting{gate=hall}": 1, "task_state{state=pending,task=c}": 1})
		r.wantWait("door", 1, 10*time.Second) // c, which waits on
		r.wantWait("hall", 1, 6*time.Second)  // e
		stopped.Stop()
		later(time.Minute)
		r.want(map[string]float64{"gate_waiting{gate=door}": 0, "gate_waiting{gate=hall}": 0})
		r.wantWait("door", 1, 10*time.Second) // a wait that led to nothing is none
		r.wantWait("hall", 2, 16*time.Second)
	})
}

func TestConcurrencyLimitIsAGate(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		for i := range 3 {
			add(t, sup, ten(fmt.Sprint(i)))
		}
		synctest.Wait()
		r.want(map[string]float64{"gate_waiting{gate=max_concurrent}": 2, "concurrency_in_use{}": 1})
		later(time.Minute)
		r.want(map[string]float64{"gate_waiting{gate=max_concurrent}": 0})
		r.wantWait("max_concurrent", 2, 30*time.Second)
	}, taskvisor.WithMaxConcurrent(1))
}

func TestRestartBudgetIsAGate(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		for _, name := range []string{"a", "b", "c"} {
			add(t, sup, failing(name, time.Second))
		}
		later(10 * time.Second)
		r.want(map[string]float64{"gate_waiting{gate=restart_budget}": 3, "task_state{state=pending,task=a}": 1})
		later(time.Minute)
		if n, sum := r.wait("restart_budget"); n == 0 || sum < 10*time.Second {
			t.Errorf("%d waits, %s in all", n, sum)
		}
	}, taskvisor.WithRestartBudget(1, 30*time.Second))
}

func TestPausedTasksAreShown(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		door := taskvisor.NewLimit("door", 1)
		add(t, sup, ten("a", taskvisor.WithGate(door)))
		synctest.Wait()
		h := add(t, sup, ten("b", taskvisor.WithGate(door)))
		later(time.Second)
		h.Pause(errWork)
		later(time.Hour)
		r.want(map[string]float64{
			"tasks{state=paused}": 1, "task_state{state=paused,task=b}": 1, "gate_waiting{gate=door}": 0,
			"task_ready{task=b}": 0,
		})
		h.Resume(nil)
		later(time.Minute)
		r.wantWait("door", 0, 0) // a pause is no wait
		r.want(map[string]float64{"task_attempts_total{result=success,task=b}": 1})
	})
}

func TestWheelIsCounted(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		poll := add(t, sup, every("poll", time.Hour))
		resident := add(t, sup, idle("resident"))
		synctest.Wait()
		poll.RunNow(nil)
		resident.Interrupt(errWork)
		later(time.Second)
		r.want(map[string]float64{
			"task_attempts_total{result=success,task=poll}":      2,
			"task_attempts_total{result=canceled,task=resident}": 1,
			"task_restarts_total{cause=triggered,task=resident}": 1,
			"task_consecutive_failures{task=resident}":           0,
			"task_restarts_total{cause=failure,task=resident}":   0,
			"task_backoff_seconds_total{task=resident}":          0,
			"task_state{state=running,task=resident}":            1,
		})
	})
}

func TestGatesOfUnboundedNamesAreBounded(t *testing.T) {
	r := newRig(t)
	for i := range 1000 {
		r.event(taskvisor.Event{Kind: taskvisor.TaskGated, TaskID: 1, Task: "a", Gate: fmt.Sprint("\xff", i)})
	}
	n := 0
	for _, m := range r.scrape() {
		for _, l := range m.Label {
			if l.GetName() == "gate" && m.Gauge != nil {
				n++
			}
		}
	}
	if n != 201 {
		t.Errorf("%d gates, want 200 and _other", n)
	}
}
