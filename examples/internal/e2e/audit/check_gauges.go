package main

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var gaugeChecks = []check{
	pure("the start of the attempt that runs", func(f *facts) error { return f.follow("task_attempt_start_timestamp_seconds", attemptStart, 20) }),
	pure("the time of the last success", func(f *facts) error { return f.follow("task_last_success_timestamp_seconds", lastSuccess, 50) }),
	pure("the time of the next start", func(f *facts) error { return f.follow("task_next_start_timestamp_seconds", nextStart, 20) }),
	pure("failures in a row", func(f *facts) error { return f.follow("task_consecutive_failures", streak, 50) }),
	pure("the delay of the backoff", func(f *facts) error { return f.follow("task_backoff_delay_seconds", backoffDelay, 50) }),
	pure("the state of each task", states),
	pure("registered tasks", func(f *facts) error { return f.bounded("tasks", f.registered) }),
	pure("permits in use", func(f *facts) error { return f.bounded("concurrency_in_use", f.bodies) }),
	pure("the limit of permits", limits),
	pure("stuck attempts", func(f *facts) error { return f.bounded("stuck_attempts", f.stuck) }),
	pure("abandoned attempts", func(f *facts) error { return f.bounded("abandoned_attempts", f.givenUp) }),
	pure("the supervisors' states and shutdowns", shutdowns),
}

// expected is what a gauge has to show; absent if nothing.
type expected struct {
	extent
	absent bool
	skip   bool // the ledger cannot tell
}

func exactly(v float64) expected { return expected{extent: extent{v, v}} }

// between is a time that a scrape shows.
func between(from, to time.Time, s scrape) expected {
	return expected{extent: extent{at(from.Add(-s.width())), at(to.Add(s.width()))}}
}

// follow compares what every scrape found of a task with where the task was.
func (f *facts) follow(name string, expect func(f *facts, t *ledger.Task, m moment, s scrape) expected, least int) error {
	series := map[string]ask.Series{}
	for _, s := range f.series[name] {
		series[keyOf(s.Labels, "supervisor", "task")] = s
	}
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for _, scrape := range f.scrapes {
			m, sure := f.momentOf(t, scrape)
			if !sure {
				continue
			}
			want := expect(f, t, m, scrape)
			if want.skip {
				continue
			}
			v, there := pointAt(series[t.Supervisor+"/"+t.Name], scrape.at)
			where := fmt.Sprintf("%s/%s at %s", t.Supervisor, t.Name, scrape)
			switch {
			case want.absent && there:
				diffs = append(diffs, fmt.Sprintf("%s: %.3f, but there is nothing to show", where, v))
			case !want.absent && !there:
				diffs = append(diffs, fmt.Sprintf("%s: absent, not %.3f", where, want.least))
			case !want.absent && !want.holds(v):
				diffs = append(diffs, fmt.Sprintf("%s: %.3f, by the ledger %.3f to %.3f", where, v, want.least, want.most))
			case !want.absent:
				n++
			}
		}
	}
	if len(diffs) == 0 && n < least {
		return fmt.Errorf("only %d values to look at", n)
	}
	return some("values", diffs)
}

func attemptStart(_ *facts, t *ledger.Task, m moment, s scrape) expected {
	switch {
	case m.running < 0:
		return expected{absent: true}
	case m.stopped && t.Plan.Outcome == "abandoned":
		return expected{skip: true}
	}
	a := t.Attempts[m.running]
	return between(a.Opened, a.Started, s)
}

func lastSuccess(_ *facts, t *ledger.Task, m moment, s scrape) expected {
	for i := m.ended; i >= 0; i-- {
		if a := t.Attempts[i]; a.Result() == ledger.Success {
			return between(a.Ended, a.Closed, s)
		}
	}
	return expected{absent: true}
}

func nextStart(f *facts, t *ledger.Task, m moment, s scrape) expected {
	switch {
	case m.running >= 0 || m.stopped || m.ended < 0:
		return expected{absent: true}
	case m.due || t.Next(m.ended).Cause == "":
		return expected{skip: true}
	}
	a, next := t.Attempts[m.ended], t.Next(m.ended)
	from, to := a.Ended.Add(next.Least), f.by(a.Closed).Add(next.Most)
	if i := m.ended + 1; i < len(t.Attempts) {
		if begun := t.Attempts[i].Opened; begun.Before(to) { // a machine begins it late, but never early
			to = begun
		}
		if drawn := f.since(t.Attempts[i].Opened); drawn.After(from) && !f.limited(t) {
			from = drawn
		}
	}
	return between(from, to, s)
}

// streak counts the failures up to the moment.
func streak(_ *facts, t *ledger.Task, m moment, s scrape) expected {
	if m.stopped {
		return expected{skip: true}
	}
	return exactly(float64(t.Streak(m.ended + 1)))
}

// backoffDelay is shown during the backoff and the attempt behind it.
func backoffDelay(_ *facts, t *ledger.Task, m moment, s scrape) expected {
	switch {
	case m.stopped:
		return expected{skip: true}
	case m.ended < 0 || !t.Attempts[m.ended].Failed():
		return exactly(0)
	}
	next := t.Next(m.ended)
	return expected{extent: extent{next.Least.Seconds(), next.Most.Seconds()}}
}

// states looks at the one state that is 1.
func states(f *facts) error {
	series := map[string][]ask.Series{}
	for _, s := range f.series["task_state"] {
		key := keyOf(s.Labels, "supervisor", "task")
		series[key] = append(series[key], s)
	}
	var diffs []string
	seen := map[string]int{}
	for _, t := range f.tasks() {
		for _, scrape := range f.scrapes {
			want := f.stateOf(t, scrape)
			if want == "" {
				continue
			}
			got := ""
			for _, s := range series[t.Supervisor+"/"+t.Name] {
				if v, _ := pointAt(s, scrape.at); v == 1 {
					got += s.Labels["state"]
				}
			}
			seen[want]++
			if got != want {
				diffs = append(diffs, fmt.Sprintf("%s/%s at %s: %q, by the ledger %s", t.Supervisor, t.Name, scrape, got, want))
			}
		}
	}
	for _, want := range []string{"running", "backoff", "waiting"} {
		if seen[want] < 10 {
			return fmt.Errorf("only %d moments of %s to look at", seen[want], want)
		}
	}
	return some("states", diffs)
}

// stateOf returns the state of a task around a scrape; "" if the ledger cannot tell.
func (f *facts) stateOf(t *ledger.Task, s scrape) string {
	m, sure := f.momentOf(t, s)
	switch {
	case !sure, m.stopped && t.Plan.Outcome == "abandoned":
		return ""
	case m.running >= 0 && m.stopped:
		return "stopping"
	case m.running >= 0:
		return "running"
	case m.ended < 0 || m.due || m.stopped || t.Next(m.ended).Cause == "":
		return "" // pending, or going
	case t.Next(m.ended).Cause == ledger.Success:
		return "waiting"
	default:
		return "backoff"
	}
}

func limits(f *facts) error {
	want := map[string]float64{}
	for _, s := range f.book.Supervisors {
		if s.Limit > 0 {
			want[s.Name] = float64(s.Limit)
		}
	}
	return agree("limits", f.final("concurrency_limit", "supervisor"), want)
}

func shutdowns(f *facts) error {
	began, took := f.final("shutdown_start_timestamp_seconds", "supervisor"), f.final("shutdown_duration_seconds", "supervisor")
	state := f.final("supervisor_state", "supervisor", "state")
	for _, s := range f.book.Supervisors {
		if err := f.shutdown(s, began[s.Name], took[s.Name]); err != nil {
			return err
		}
		if state[s.Name+"/stopped"] != 1 || state[s.Name+"/running"]+state[s.Name+"/draining"] != 0 {
			return fmt.Errorf("%s is not stopped: %v", s.Name, state)
		}
	}
	return nil
}

// shutdown holds a shutdown between what the program and the bodies saw of it.
func (f *facts) shutdown(s *ledger.Supervisor, began, took float64) error {
	from, to := s.StopAt, s.StoppedAt // of its begin
	end := s.StopAt
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if t.Supervisor != s.Name || a.Cause != ledger.ReasonShutdown && !(a.Ended.IsZero() && t.StopBy == ledger.ReasonShutdown) {
				continue
			}
			if a.CanceledAt.Before(to) {
				to = a.CanceledAt
			}
			if given(t, a.Number-1) {
				end = s.StopAt.Add(s.Grace)
			} else if a.Ended.After(end) {
				end = a.Ended
			}
		}
	}
	off := f.scrapes[len(f.scrapes)-1].width()
	if want := (extent{at(from.Add(-off)), at(to.Add(off))}); !want.holds(began) {
		return fmt.Errorf("the shutdown of %s began at %.3f, by the ledger %.3f to %.3f", s.Name, began, want.least, want.most)
	}
	if want := (extent{end.Sub(to).Seconds(), s.StoppedAt.Sub(s.StopAt).Seconds()}).plus(-grain, grain); !want.holds(took) {
		return fmt.Errorf("the shutdown of %s took %.3f s, by the ledger %s", s.Name, took, want)
	}
	return nil
}
