package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// slop is how much longer than its body an attempt may seem to take: the brackets,
// and the wait for a processor.
const slop = 25 * time.Millisecond

var counterChecks = []check{
	pure("attempts by task and result agree", func(f *facts) error {
		return agree("attempts", f.final("task_attempts_total", "supervisor", "task", labelResult), f.attempts(), nil)
	}),
	pure("every result of every task was there at 0 before", zeros),
	pure("durations by task and result: as many as attempts (classic)", func(f *facts) error {
		return agree("counts", f.final("task_attempt_duration_seconds_count", "supervisor", "task", labelResult), f.attempts(), nil)
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
	want, allowed := map[string]float64{}, map[string]float64{}
	f.each(func(key string, a *ledger.Attempt) {
		want[key] += a.Duration.Seconds()
		allowed[key] += .02*a.Duration.Seconds() + slop.Seconds()
	})
	return agree("sums", got, want, func(key string) float64 { return allowed[key] })
}

func native(f *facts) error {
	counts, sums := map[string]float64{}, map[string]float64{}
	for _, s := range f.series["task_attempt_duration_seconds"] {
		key := keyOf(s.Labels, "supervisor", "task", labelResult)
		if last := s.Last(); s.Native && last.Value > 0 {
			counts[key], sums[key] = last.Value, last.Sum
		}
	}
	if err := agree("counts", counts, f.attempts(), nil); err != nil {
		return err
	}
	return f.sums(sums)
}

func buckets(f *facts) error {
	durations := map[string][]time.Duration{}
	f.each(func(key string, a *ledger.Attempt) { durations[key] = append(durations[key], a.Duration) })
	var diffs []string
	n := 0
	for _, s := range f.series["task_attempt_duration_seconds_bucket"] {
		bound, err := strconv.ParseFloat(s.Labels["le"], 64)
		if err != nil {
			return err
		}
		key := keyOf(s.Labels, "supervisor", "task", labelResult)
		least, most := 0.0, 0.0
		for _, d := range durations[key] {
			if (d+slop).Seconds()*1.02 <= bound {
				least++
			}
			if (d - time.Millisecond).Seconds() <= bound {
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
	return agree("restarts", f.final("task_restarts_total", "supervisor", "task", "cause"), want, nil)
}

// backoffs adds up what the bodies waited. Under a limit a wait can be longer than its
// delay, and what comes on top is no backoff.
func backoffs(f *facts) error {
	want, allowed := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		for i := range t.Attempts {
			next := t.Next(i)
			if d, _, known := t.Gap(i); known && next.Cause != "" && next.Cause != ledger.Success {
				key := t.Supervisor + "/" + t.Name
				want[key] += min(max(d, 0), next.Most).Seconds()
				allowed[key] += .02*d.Seconds() + slop.Seconds()
			}
		}
	}
	return agree("backoffs", f.final("task_backoff_seconds_total", "supervisor", "task"), want,
		func(key string) float64 { return allowed[key] })
}

func churn(f *facts) error {
	added, removed := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		added[t.Supervisor]++
		if n := len(t.Attempts); n == 0 || !t.Attempts[n-1].Ended.IsZero() {
			removed[t.Supervisor]++
		}
	}
	if err := agree("added tasks", f.final("tasks_added_total", "supervisor"), added, nil); err != nil {
		return err
	}
	return agree("removed tasks", f.final("tasks_removed_total", "supervisor"), removed, nil)
}

func finished(f *facts) error {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		want[t.Supervisor+"/"+t.Plan.Outcome]++
	}
	return agree("outcomes", f.final("tasks_finished_total", "supervisor", "outcome"), want, nil)
}

func abandoned(f *facts) error {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		if t.Plan.Outcome == "abandoned" {
			want[t.Supervisor+"/"+t.StopBy]++
		}
	}
	return agree("abandoned attempts", f.final("attempts_abandoned_total", "supervisor", "cause"), want, nil)
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

// near reports whether a reported number of seconds is that of d, up to a tolerance.
func near(seconds float64, d, tolerance time.Duration) bool {
	return math.Abs(seconds-d.Seconds()) <= tolerance.Seconds()
}

// at is a time as a metric shows it.
func at(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// pointAt returns the value that a scrape found of a series.
func pointAt(s ask.Series, scrape time.Time) (v float64, ok bool) {
	for _, p := range s.Points {
		if p.At.Equal(scrape) {
			return p.Value, true
		}
	}
	return 0, false
}
