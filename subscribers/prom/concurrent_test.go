package promsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestSubscriberConcurrentSafe runs the lives of many tasks on 64 goroutines,
// with names that meet, series that expire and a limit that is hit, while
// scrapes go on; no attempt may be missing from the counters that stay.
func TestSubscriberConcurrentSafe(t *testing.T) { synctest.Test(t, subscriberConcurrentSafe) }

func subscriberConcurrentSafe(t *testing.T) {
	const workers, lives = 64, 40
	r := newRig(t, promsub.WithMaxTasks(20), promsub.WithSeriesGrace(time.Second), promsub.WithExemplars(fromContext))
	var ids atomic.Uint64
	var workersDone, scrapesDone sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		scrapesDone.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := r.reg.Gather(); err != nil {
					t.Error(err)
					return
				}
				r.pass(time.Second)
			}
		})
	}
	for w := range workers {
		workersDone.Go(func() {
			for range lives {
				life(r, taskvisor.TaskID(ids.Add(1)), fmt.Sprintf("task-%d", rand.IntN(60)), w)
			}
		})
	}
	workersDone.Wait()
	close(stop)
	scrapesDone.Wait()

	r.want(map[string]float64{
		"tasks_finished_total{outcome=failed}":                   workers * lives / 2,
		"tasks_finished_total{outcome=abandoned}":                workers * lives / 2,
		"admission_requests_total{policy=replace,result=queued}": workers * lives,
		"admission_wait_seconds{}":                               workers * lives,
		"admission_rejections_total{reason=superseded}":          workers * lives,
		"attempts_abandoned_total{cause=shutdown}":               workers * lives / 2,
	})
	// With every task gone and scraped twice after its grace, nothing is left.
	for range 3 {
		r.pass(time.Minute)
		r.scrape()
	}
	for series, m := range r.scrape() {
		if m.Counter != nil && len(m.Label) == 3 && m.Label[len(m.Label)-1].GetName() == "task" {
			t.Errorf("%s is left", series)
		}
	}
}

// life is a task that fails twice; every other worker's is abandoned then.
func life(r *rig, id taskvisor.TaskID, name string, worker int) {
	e := func(k taskvisor.EventKind) taskvisor.Event {
		return taskvisor.Event{
			Kind: k, TaskID: id, Task: name, Slot: name, Admission: taskvisor.Replace, Verdict: taskvisor.VerdictQueued,
			Source: taskvisor.BackoffFailure, Delay: time.Millisecond,
		}
	}
	r.event(e(taskvisor.ControllerSubmitted))
	r.event(e(taskvisor.TaskAdded))
	for range 2 {
		r.attemptIn(traced(name), id, name, taskvisor.ResultFailure, 0)
		r.event(e(taskvisor.BackoffScheduled))
	}
	rejected := e(taskvisor.ControllerRejected)
	rejected.Reason = taskvisor.ErrSuperseded
	r.event(rejected)
	if worker%2 == 0 {
		r.removed(id, name, taskvisor.OutcomeFailed)
		return
	}
	abandoned := e(taskvisor.TaskAbandoned)
	abandoned.Reason = taskvisor.ErrShutdown
	r.event(abandoned)
	r.removed(id, name, taskvisor.OutcomeAbandoned)
	r.attemptIn(context.Background(), id, name, taskvisor.ResultCanceled, 0)
	r.event(e(taskvisor.TaskReturned))
}

// TestCountersOfLiveTasksConcurrentSafe counts every attempt of tasks that stay,
// through scrapes.
func TestCountersOfLiveTasksConcurrentSafe(t *testing.T) {
	synctest.Test(t, countersOfLiveTasksConcurrentSafe)
}

func countersOfLiveTasksConcurrentSafe(t *testing.T) {
	const workers, attempts = 64, 200
	r := newRig(t)
	want := make(map[string]float64)
	var all sync.WaitGroup
	for w := range workers {
		name := fmt.Sprintf("task-%d", w%16)
		want["task_attempts_total{result=success,task="+name+"}"] = attempts * workers / 16
		want["task_attempt_duration_seconds{result=timeout,task="+name+"}"] = attempts * workers / 16
		all.Go(func() {
			id := taskvisor.TaskID(w)
			r.added(id, name)
			for i := range attempts {
				r.attempt(id, name, taskvisor.ResultSuccess, time.Millisecond)
				r.attempt(id, name, taskvisor.ResultTimeout, time.Millisecond)
				if i%100 == 0 {
					r.scrape()
				}
			}
		})
	}
	all.Wait()
	r.want(want)
}

// TestScrapeHoldsUpNobody has a scrape whose reader stops in the middle, while
// tasks come, run and go.
func TestScrapeHoldsUpNobody(t *testing.T) { synctest.Test(t, scrapeHoldsUpNobody) }

func scrapeHoldsUpNobody(t *testing.T) {
	r := newRig(t)
	for id := range taskvisor.TaskID(50) {
		r.added(id, fmt.Sprint(id))
	}
	ch, done := make(chan prometheus.Metric), make(chan struct{})
	go func() { // ends when the channel has been read to the end
		defer close(done)
		r.sub.Collect(ch)
	}()
	read := func() bool {
		select {
		case <-ch:
			return true
		case <-done:
			return false
		}
	}
	for read() {
		r.added(1000, "new")
		r.attempt(1000, "new", taskvisor.ResultFailure, time.Second)
		r.removed(1000, "new", taskvisor.OutcomeFailed)
	}
}
