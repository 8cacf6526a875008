package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var counterChecks = []check{
	pure("attempts by task and result agree", func(f *facts) error {
		return agree("attempts", f.final("task_attempts_total", "supervisor", "task", labelResult), f.attempts())
	}),
	pure("every result of every task was there at 0 before", zeros),
	pure("durations by task and result: as many as attempts (classic)", func(f *facts) error {
		return agree("counts", f.final("task_attempt_duration_seconds_count", "supervisor", "task", labelResult), f.attempts())
	}),
	pure("durations by task and result: the sums agree (classic)", func(f *facts) error {
		return f.sums(f.final("task_attempt_duration_seconds_sum", "supervisor", "task", labelResult))
	}),
	pure("durations by task and result: count and sum agree (native)", native),
	pure("every bucket holds the durations that belong to it", buckets),
	pure("restarts by task and cause agree", restarts),
	pure("seconds in backoff agree", backoffs),
	pure("tasks added and removed agree", churn),
	pure("tasks by outcome agree", finished),
	pure("abandoned attempts by cause agree", abandoned),
	pure("no subscriber lost an event or panicked", lossless),
}

// attempts counts the ledger's.
func (f *facts) attempts() map[string]float64 {
	m := map[string]float64{}
	f.each(func(key string, _ *ledger.Attempt) { m[key]++ })
	return m
}

// each calls do with every attempt that ended, and supervisor/task/result.
func (f *facts) each(do func(key string, a *ledger.Attempt)) {
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if r := a.Result(); r != "" {
				do(t.Supervisor+"/"+t.Name+"/"+r, a)
			}
		}
	}
}

func zeros(f *facts) error {
	first := map[string]float64{}
	for _, s := range f.series["task_attempts_total"] {
		first[keyOf(s.Labels, "supervisor", "task", labelResult)] = s.Points[0].Value + 1
	}
	for _, t := range f.tasks() {
		for _, r := range results {
			if _, ok := first[t.Supervisor+"/"+t.Name+"/"+r]; !ok {
				return fmt.Errorf("%s/%s has no series for %s", t.Supervisor, t.Name, r)
			}
		}
	}
	return nil
}

func (f *facts) sums(got map[string]float64) error {
	want := map[string]extent{}
	f.each(func(key string, a *ledger.Attempt) { want[key] = want[key].plus(a.Duration, a.Framed) })
	return lie("sums", got, want)
}

func native(f *facts) error {
	counts, sums := map[string]float64{}, map[string]float64{}
	for _, s := range f.series["task_attempt_duration_seconds"] {
		key := keyOf(s.Labels, "supervisor", "task", labelResult)
		if last := s.Last(); s.Native && last.Value > 0 {
			counts[key], sums[key] = last.Value, last.Sum
		}
	}
	if err := agree("counts", counts, f.attempts()); err != nil {
		return err
	}
	return f.sums(sums)
}

func buckets(f *facts) error {
	attempts := map[string][]*ledger.Attempt{}
	f.each(func(key string, a *ledger.Attempt) { attempts[key] = append(attempts[key], a) })
	var diffs []string
	n := 0
	for _, s := range f.series["task_attempt_duration_seconds_bucket"] {
		bound, err := strconv.ParseFloat(s.Labels["le"], 64)
		if err != nil {
			return err
		}
		key := keyOf(s.Labels, "supervisor", "task", labelResult)
		least, most := 0.0, 0.0
		for _, a := range attempts[key] {
			if a.Framed.Seconds() <= bound {
				least++
			}
			if a.Duration.Seconds() <= bound {
				most++
			}
		}
		n++
		if v := s.Last().Value; v < least || v > most {
			diffs = append(diffs, fmt.Sprintf("%s up to %s: reported %v, by the ledger %v to %v", key, s.Labels["le"], v, least, most))
		}
	}
	if n < 100 {
		return fmt.Errorf("only %d buckets", n)
	}
	return some("buckets", diffs)
}

func restarts(f *facts) error {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		for i := range t.Attempts {
			if next := t.Next(i); next.Cause != "" {
				want[t.Supervisor+"/"+t.Name+"/"+next.Cause]++
			}
		}
	}
	return agree("restarts", f.final("task_restarts_total", "supervisor", "task", "cause"), want)
}

// backoffs adds up what was waited. What comes on top of a delay, at a gate or for a
// processor, is no backoff.
func backoffs(f *facts) error {
	want := map[string]extent{}
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			next := t.Next(i)
			d, whole, known := t.Gap(i)
			if !known || next.Cause == "" || next.Cause == ledger.Success {
				continue
			}
			// It was told when the attempt had settled, and over when the next one was due.
			told, drawn, most := f.by(a.Closed), next.Least, min(max(d, 0), next.Most)
			over := t.StopAt
			if whole {
				over = t.Attempts[i+1].Opened
				if !f.limited(t) {
					drawn = max(drawn, f.since(over).Sub(told))
				}
			} else { // between the call that stopped it and the answer
				most = min(next.Most, f.open(t.Gone).Sub(a.Ended))
			}
			least := max(min(drawn, over.Sub(told)), 0)
			key := t.Supervisor + "/" + t.Name
			want[key] = want[key].plus(least, most)
		}
	}
	return lie("backoffs", f.final("task_backoff_seconds_total", "supervisor", "task"), want)
}

func churn(f *facts) error {
	added, removed := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		added[t.Supervisor]++
		if n := len(t.Attempts); n == 0 || !t.Attempts[n-1].Ended.IsZero() {
			removed[t.Supervisor]++
		}
	}
	if err := agree("added tasks", f.final("tasks_added_total", "supervisor"), added); err != nil {
		return err
	}
	return agree("removed tasks", f.final("tasks_removed_total", "supervisor"), removed)
}

func finished(f *facts) error {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		want[t.Supervisor+"/"+t.Plan.Outcome]++
	}
	return agree("outcomes", f.final("tasks_finished_total", "supervisor", "outcome"), want)
}

func abandoned(f *facts) error {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		if t.Plan.Outcome == "abandoned" {
			want[t.Supervisor+"/"+t.StopBy]++
		}
	}
	return agree("abandoned attempts", f.final("attempts_abandoned_total", "supervisor", "cause"), want)
}

func lossless(f *facts) error {
	delivered := 0.0
	for _, s := range f.series["subscriber_events_total"] {
		delivered += s.Last().Value
	}
	if delivered < 1000 {
		return fmt.Errorf("only %v events were delivered", delivered)
	}
	for _, name := range []string{"subscriber_events_dropped_total", "subscriber_panics_total"} {
		if lost := f.final(name, "supervisor", "subscriber"); len(lost) > 0 {
			return fmt.Errorf("%s: %v", name, lost)
		}
	}
	return nil
}

// at is a time as a metric shows it.
func at(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// pointAt returns the value that a scrape found of a series.
func pointAt(s ask.Series, at time.Time) (v float64, ok bool) {
	for _, p := range s.Points {
		if p.At.Equal(at) {
			return p.Value, true
		}
	}
	return 0, false
}
