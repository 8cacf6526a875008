package main

import (
	"fmt"
	"math"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// A scrape's timestamp is that of its plan; what it found is of some instant around.
const (
	scrapeEarly = 30 * time.Millisecond
	scrapeLate  = 150 * time.Millisecond
)

// clockTolerance is how far apart two clock readings of one moment may be.
const clockTolerance = 50 * time.Millisecond

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

// moment is where a task is.
type moment struct {
	running int // index of the attempt that runs; -1: none
	ended   int // of the last that ended; -1: none
	stopped bool
	due     bool // the delay is over
}

func momentOf(t *ledger.Task, at time.Time) moment {
	m := moment{running: -1, ended: -1, stopped: !t.StopAt.IsZero() && !t.StopAt.After(at)}
	for i, a := range t.Attempts {
		if a.Started.After(at) {
			break
		}
		if a.Ended.IsZero() || a.Ended.After(at) {
			m.running = i
			break
		}
		m.ended = i
	}
	if m.running < 0 && m.ended >= 0 {
		m.due = at.Sub(t.Attempts[m.ended].Ended) >= t.Next(m.ended).Least
	}
	return m
}

// window returns where a task was all the time around a scrape; sure is false if it
// moved, or was not yet, or no more, registered.
func window(t *ledger.Task, scrape time.Time) (m moment, sure bool) {
	from, to := scrape.Add(-scrapeEarly), scrape.Add(scrapeLate)
	m = momentOf(t, from)
	added, removed := registration(t)
	return m, m == momentOf(t, to) && from.After(added.Add(clockTolerance)) && to.Before(removed)
}

// registration returns when a task was registered, as the program could see it: what
// comes from a slot is when it is let in, and a body that was given up keeps its name
// until it is back.
func registration(t *ledger.Task) (added, removed time.Time) {
	added, removed = t.Added, t.Gone
	if n := len(t.Attempts); n > 0 {
		if t.Plan.Slot != "" {
			added = t.Attempts[0].Started
		}
		if last := t.Attempts[n-1].Ended; last.IsZero() {
			removed = t.Added.Add(24 * time.Hour)
		} else if last.After(removed) {
			removed = last
		}
	}
	return added, removed
}

// expected is what a gauge has to show; absent if nothing.
type expected struct {
	least, most float64
	absent      bool
	skip        bool // the ledger cannot tell
}

func exactly(v, tolerance float64) expected {
	return expected{least: v - tolerance, most: v + tolerance}
}

func timestamp(t time.Time) expected { return exactly(at(t), clockTolerance.Seconds()) }

// follow compares what every scrape found of a task with where the task was.
func (f *facts) follow(name string, expect func(f *facts, t *ledger.Task, m moment) expected, least int) error {
	series := map[string]ask.Series{}
	for _, s := range f.series[name] {
		series[keyOf(s.Labels, "supervisor", "task")] = s
	}
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for _, scrape := range f.scrapes {
			m, sure := window(t, scrape)
			if !sure {
				continue
			}
			want := expect(f, t, m)
			if want.skip {
				continue
			}
			v, there := pointAt(series[t.Supervisor+"/"+t.Name], scrape)
			where := fmt.Sprintf("%s/%s at %s", t.Supervisor, t.Name, scrape.Format("15:04:05.000"))
			switch {
			case want.absent && there:
				diffs = append(diffs, fmt.Sprintf("%s: %.3f, but there is nothing to show", where, v))
			case !want.absent && !there:
				diffs = append(diffs, fmt.Sprintf("%s: absent, not %.3f", where, want.least))
			case !want.absent && (v < want.least || v > want.most):
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

func attemptStart(_ *facts, t *ledger.Task, m moment) expected {
	switch {
	case m.running < 0:
		return expected{absent: true}
	case m.stopped && t.Plan.Outcome == "abandoned":
		return expected{skip: true}
	}
	return timestamp(t.Attempts[m.running].Started)
}

func lastSuccess(_ *facts, t *ledger.Task, m moment) expected {
	for i := m.ended; i >= 0; i-- {
		if t.Attempts[i].Result() == ledger.Success {
			return timestamp(t.Attempts[i].Ended)
		}
	}
	return expected{absent: true}
}

func nextStart(f *facts, t *ledger.Task, m moment) expected {
	switch {
	case m.running >= 0 || m.stopped || m.ended < 0:
		return expected{absent: true}
	case m.due || t.Next(m.ended).Cause == "":
		return expected{skip: true}
	}
	next := t.Next(m.ended)
	from := at(t.Attempts[m.ended].Ended)
	want := expected{least: from + next.Least.Seconds() - clockTolerance.Seconds(), most: from + next.Most.Seconds() + clockTolerance.Seconds()}
	if i := m.ended + 1; i < len(t.Attempts) && !f.limited(t) { // a busy machine begins it late, but never early
		began := at(t.Attempts[i].Started)
		want.least = max(want.least, began-(late+clockTolerance).Seconds())
		want.most = min(want.most, began+clockTolerance.Seconds())
	}
	return want
}

// streak counts the failures up to the moment.
func streak(_ *facts, t *ledger.Task, m moment) expected {
	if m.stopped {
		return expected{skip: true}
	}
	return exactly(float64(t.Streak(m.ended+1)), 0)
}

// backoffDelay is shown during the backoff and the attempt behind it.
func backoffDelay(_ *facts, t *ledger.Task, m moment) expected {
	switch {
	case m.stopped:
		return expected{skip: true}
	case m.ended < 0 || !t.Attempts[m.ended].Failed():
		return exactly(0, 0)
	}
	next := t.Next(m.ended)
	return expected{least: next.Least.Seconds() - early.Seconds(), most: next.Most.Seconds()}
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
				if v, _ := pointAt(s, scrape); v == 1 {
					got += s.Labels["state"]
				}
			}
			seen[want]++
			if got != want {
				diffs = append(diffs, fmt.Sprintf("%s/%s at %s: %q, by the ledger %s", t.Supervisor, t.Name, scrape.Format("15:04:05.000"), got, want))
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
func (f *facts) stateOf(t *ledger.Task, scrape time.Time) string {
	m, sure := window(t, scrape)
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
	return agree("limits", f.final("concurrency_limit", "supervisor"), want, nil)
}

func shutdowns(f *facts) error {
	began, took := f.final("shutdown_start_timestamp_seconds", "supervisor"), f.final("shutdown_duration_seconds", "supervisor")
	state := f.final("supervisor_state", "supervisor", "state")
	for _, s := range f.book.Supervisors {
		if d := began[s.Name] - at(s.StopAt); math.Abs(d) > clockTolerance.Seconds() {
			return fmt.Errorf("the shutdown of %s began %.3f s off", s.Name, d)
		}
		if d := s.StoppedAt.Sub(s.StopAt); !near(took[s.Name], d, slop+d/20) {
			return fmt.Errorf("the shutdown of %s took %.3f s, by the ledger %s", s.Name, took[s.Name], d)
		}
		if state[s.Name+"/stopped"] != 1 || state[s.Name+"/running"]+state[s.Name+"/draining"] != 0 {
			return fmt.Errorf("%s is not stopped: %v", s.Name, state)
		}
	}
	return nil
}
