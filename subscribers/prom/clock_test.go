package promsub_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// stepped returns t as it would be had the wall clock been set forth by d, or back: its
// monotonic reading stays. There is no other way to have such a time but to set the
// clock of the machine.
func stepped(t time.Time, d time.Duration) time.Time {
	const hasMonotonic, nsecShift = 1 << 63, 30
	wall := (*uint64)(unsafe.Pointer(&t))
	if *wall&hasMonotonic == 0 {
		return t.Add(d)
	}
	*wall += uint64(int64(d/time.Second)) << nsecShift
	return t
}

var steps = []time.Duration{-8 * time.Hour, 8 * time.Hour}

func TestExemplarsGoOnWhenTheClockIsSet(t *testing.T) {
	for _, step := range steps {
		t.Run(step.String(), func(t *testing.T) {
			r := newRig(t, promsub.WithExemplars(fromContext))
			r.now = time.Now()
			r.added(1, "a")
			r.attemptIn(traced("before"), 1, "a", taskvisor.ResultSuccess, time.Millisecond)
			r.now = stepped(r.now, step)
			r.attemptIn(traced("too soon"), 1, "a", taskvisor.ResultSuccess, 20*time.Millisecond)
			r.wantExemplars("success", "before")
			r.pass(time.Second)
			r.attemptIn(traced("after"), 1, "a", taskvisor.ResultSuccess, 20*time.Millisecond)
			r.wantExemplars("success", "before", "after")
		})
	}
}

func TestSeriesHaveTheirGraceWhenTheClockIsSet(t *testing.T) {
	for _, step := range steps {
		t.Run(step.String(), func(t *testing.T) {
			r := newRig(t)
			r.now = time.Now()
			r.attempt(1, "a", taskvisor.ResultSuccess, time.Second)
			r.now = stepped(r.now, step)
			success := "task_attempts_total{result=success,task=a}"
			for range 19 {
				r.want(map[string]float64{success: 1})
				r.pass(15 * time.Second)
			}
			r.pass(30 * time.Second)
			r.want(map[string]float64{success: -1})
		})
	}
}

// onSteppedClock passes on events as if the clock had been set while the task was in its
// first backoff.
type onSteppedClock struct {
	*promsub.Subscriber
	by   time.Duration
	step atomic.Bool // calls for the task and for the supervisor may coincide
}

func (s *onSteppedClock) OnEvent(ctx context.Context, e taskvisor.Event) {
	if s.step.Load() {
		e.Time = stepped(e.Time, s.by)
	}
	if e.Kind == taskvisor.BackoffScheduled {
		s.step.Store(true)
	}
	s.Subscriber.OnEvent(ctx, e)
}

// This one is in real time: in a bubble, times have no monotonic reading.
func TestBackoffIsMeteredWhenTheClockIsSet(t *testing.T) {
	for _, step := range steps {
		t.Run(step.String(), func(t *testing.T) {
			reg := prometheus.NewPedanticRegistry()
			sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(&onSteppedClock{Subscriber: promsub.New(reg), by: step}))
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Run(t.Context(), taskvisor.Restartable("flaky",
				taskvisortest.Script(taskvisortest.Fail(errWork), taskvisortest.Succeed()), taskvisor.ConstantBackoff(50*time.Millisecond))); err != nil {
				t.Fatal(err)
			}
			on(t, reg).want(map[string]float64{"task_backoff_seconds_total{task=flaky}": .05, "task_attempts_total{result=success,task=flaky}": 1})
		})
	}
}

// A resident that has recovered is well: its streak is what the supervisor says, and not
// what the last event that had one said.
func TestResidentThatRecoveredFailsNoMore(t *testing.T) {
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		fail := taskvisortest.Fail(errWork)
		add(t, sup, taskvisor.Restartable("resident", taskvisortest.Script(fail, fail, fail, taskvisortest.Block()), taskvisor.ConstantBackoff(time.Second)))
		later(10 * time.Second)
		failures, delay := "task_consecutive_failures{task=resident}", "task_backoff_delay_seconds{task=resident}"
		r.want(map[string]float64{failures: 3, delay: 1})
		later(2 * time.Minute)
		r.want(map[string]float64{failures: 0, delay: 0, "task_state{state=running,task=resident}": 1})
	})
}

// A subscriber that panics and a log handler that fails are seen here, whatever becomes
// of the logs.
func TestBrokenSubscribersAreShown(t *testing.T) {
	calls := 0
	broken := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		calls++
		switch {
		case calls <= 3:
			panic("broken")
		case calls <= 8:
			e.ReportFailure(errWork)
		}
	})
	bubble(t, nil, func(r *rig, sup *taskvisor.Supervisor) {
		r.want(map[string]float64{"subscriber_panics_total{subscriber=log}": 0, "subscriber_failures_total{subscriber=log}": 0})
		add(t, sup, every("poll", time.Second))
		later(20 * time.Second)
		r.want(map[string]float64{
			"subscriber_panics_total{subscriber=log}": 3, "subscriber_failures_total{subscriber=log}": 5,
			"subscriber_failures_total{subscriber=metrics}": 0,
		})
	}, taskvisor.WithSubscriber(broken, taskvisor.WithName("log")))
}

// TestStartDoesNotMove: a snapshot says when the supervisor was made by the wall clock of
// its own time, which differs by microseconds from one to the next, and by more when the
// clock is set. It is the changes of the metric that tell of restarts.
func TestStartDoesNotMove(t *testing.T) {
	r := newRig(t)
	show := func() float64 {
		gathered, err := r.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range gathered {
			if f.GetName() == "taskvisor_supervisor_start_timestamp_seconds" {
				return f.Metric[0].GetGauge().GetValue()
			}
		}
		return 0
	}
	made := r.snap.Created
	for range 3 {
		if got := show(); got != 1_699_999_990 {
			t.Errorf("made at %v, shown is %v", made, got)
		}
		r.mu.Lock()
		r.snap.Created = r.snap.Created.Add(3 * time.Microsecond)
		r.mu.Unlock()
	}
}
