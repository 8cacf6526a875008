package taskvisor_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// room is a started supervisor in a bubble of its own, with everything that it
// announced.
type room struct {
	*testing.T
	sup *taskvisor.Supervisor
	rec *taskvisortest.Recorder
}

// inRoom runs f in a fresh room, which is shut down after it.
func inRoom(t *testing.T, f func(r *room), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, opts...)
		f(&room{T: t, sup: sup, rec: rec})
	})
}

// eachInRoom runs f in a room of its own for every row of a table.
func eachInRoom[Row any](t *testing.T, rows map[string]Row, f func(r *room, row Row)) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { inRoom(t, func(r *room) { f(r, row) }) })
	}
}

func (r *room) add(spec taskvisor.TaskSpec) *taskvisor.Handle {
	r.Helper()
	return addTo(r.T, r.sup, spec)
}

// end waits for the task's end, and for its last event.
func (r *room) end(h *taskvisor.Handle) taskvisor.Outcome {
	r.Helper()
	return outcomeOf(r.T, h)
}

// run is add, then end.
func (r *room) run(spec taskvisor.TaskSpec) taskvisor.Outcome {
	r.Helper()
	return r.end(r.add(spec))
}

// trace demands that the task's events so far are these.
func (r *room) trace(task, want string) {
	r.Helper()
	synctest.Wait()
	if got := r.rec.Trace(task); got != want {
		r.Errorf("events of %q: %s, want %s", task, got, want)
	}
}

// events returns those of the given kinds.
func (r *room) events(kinds ...taskvisor.EventKind) []taskvisor.Event {
	synctest.Wait()
	return slices.DeleteFunc(r.rec.Events(), func(e taskvisor.Event) bool { return !slices.Contains(kinds, e.Kind) })
}

// terminal returns the one terminal attempt event that there is.
func (r *room) terminal() taskvisor.Event {
	r.Helper()
	events := r.events(taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled)
	if len(events) != 1 {
		r.Fatalf("%d terminal attempt events, want one: %v", len(events), events)
	}
	return events[0]
}

// delays returns what BackoffScheduled announced.
func (r *room) delays() []time.Duration {
	var ds []time.Duration
	for _, e := range r.events(taskvisor.BackoffScheduled) {
		ds = append(ds, e.Delay)
	}
	return ds
}

// starts returns when attempts started, counted from the first.
func (r *room) starts() []time.Duration {
	var ds []time.Duration
	events := r.events(taskvisor.TaskStarting)
	for _, e := range events {
		ds = append(ds, e.Time.Sub(events[0].Time))
	}
	return ds
}

// same demands that got and want are equal.
func same[E comparable](t testing.TB, what string, got, want E) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// sameList demands that got and want have equal elements.
func sameList[E comparable](t testing.TB, what string, got, want []E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// isAll demands that err is each of the targets.
func isAll(t testing.TB, what string, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%s: %v is not %v", what, err, target)
		}
	}
}
