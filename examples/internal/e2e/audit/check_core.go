package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// coreChecks hold the ledger against the plans alone: what the supervisors did,
// whatever was reported of it.
var coreChecks = []check{
	pure("delays are those of the policies", delays),
	pure("timeouts come when they are due, and none is missed", timeouts),
	pure("a task has as many attempts as its policy allows", allowed),
	pure("attempts of one task never overlap", overlaps),
	pure("the ledger's readings of an attempt are in their order", framed),
	pure("no more attempts run at once than there are permits", permits),
	pure("tasks end as they have to", outcomes),
	pure("slots are handed over only when their owner has ended", handover),
	pure("every result was caused", variety),
}

func delays(f *facts) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			next := t.Next(i)
			d, whole, known := t.Gap(i)
			if next.Cause == "" {
				if i+1 < len(t.Attempts) {
					diffs = append(diffs, fmt.Sprintf("%s/%s: attempt %d follows a %s", t.Supervisor, t.Name, i+2, a.Result()))
				}
				continue
			}
			if !known || !whole {
				continue
			}
			n++
			due := f.by(a.Closed).Add(next.Most)
			if d < next.Least || d > f.by(due).Sub(a.Ended) && !f.limited(t) {
				diffs = append(diffs, fmt.Sprintf("%s/%s: %s after the %s of attempt %d, by the policy %s to %s",
					t.Supervisor, t.Name, d, a.Result(), i+1, next.Least, next.Most))
			}
		}
	}
	if n < 100 {
		return fmt.Errorf("only %d delays to look at", n)
	}
	return some("delays", diffs)
}

func timeouts(f *facts) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			limit := t.Plan.Timeout
			where := fmt.Sprintf("%s/%s, attempt %d", t.Supervisor, t.Name, a.Number)
			switch {
			case a.Cause == ledger.ReasonTimeout:
				n++
				// It counts from before the body began, by how much only the Frame knows.
				if limit == 0 || a.CanceledAt.Sub(a.Opened) < limit-grain || a.CanceledAt.After(f.by(a.Started.Add(limit))) {
					diffs = append(diffs, fmt.Sprintf("%s: cancelled after %s, its timeout is %s", where, a.CanceledAt.Sub(a.Started), limit))
				}
			case limit > 0 && !a.Stopped() && a.Ended.After(f.by(a.Started.Add(limit))):
				diffs = append(diffs, fmt.Sprintf("%s ran for %s, its timeout is %s", where, a.Duration, limit))
			}
		}
	}
	if n < 10 {
		return fmt.Errorf("only %d timeouts to look at", n)
	}
	return some("timeouts", diffs)
}

func allowed(f *facts) error {
	var diffs []string
	for _, t := range f.tasks() {
		last := len(t.Attempts) - 1
		if last < 0 || !t.StopAt.IsZero() {
			continue
		}
		if next := t.Next(last); next.Cause != "" {
			diffs = append(diffs, fmt.Sprintf("%s/%s: nothing follows attempt %d, a %s", t.Supervisor, t.Name, last+1, t.Attempts[last].Result()))
		}
	}
	return some("tasks", diffs)
}

func overlaps(f *facts) error {
	for _, t := range f.tasks() {
		for i := 1; i < len(t.Attempts); i++ {
			if t.Attempts[i].Waited < 0 || t.Attempts[i-1].Ended.IsZero() {
				return fmt.Errorf("%s/%s: attempt %d began before the one before had ended", t.Supervisor, t.Name, i+1)
			}
		}
	}
	return nil
}

// framed: without it nothing that lies between two readings would.
func framed(f *facts) error {
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			order := []time.Time{a.Opened, a.Started}
			if !a.Ended.IsZero() {
				order = append(order, a.Ended, a.Closed)
			}
			if i > 0 {
				order = append([]time.Time{t.Attempts[i-1].Closed}, order...)
			}
			if a.Opened.IsZero() || !slices.IsSortedFunc(order, time.Time.Compare) {
				return fmt.Errorf("%s/%s, attempt %d: %v", t.Supervisor, t.Name, a.Number, order)
			}
		}
	}
	return nil
}

func permits(f *facts) error {
	reached := false
	for _, s := range f.book.Supervisors {
		if s.Limit == 0 {
			continue
		}
		for _, at := range f.changes(s.Name) {
			n := f.running(s.Name, at)
			if n > s.Limit {
				return fmt.Errorf("%d attempts of %s ran at %s, the limit is %d", n, s.Name, at.Format(time.StampMilli), s.Limit)
			}
			reached = reached || n == s.Limit
		}
	}
	if !reached {
		return fmt.Errorf("no limit was reached")
	}
	return nil
}

// changes are the times at which attempts of a supervisor began or ended.
func (f *facts) changes(supervisor string) []time.Time {
	var list []time.Time
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if t.Supervisor == supervisor {
				list = append(list, a.Started)
				if !a.Ended.IsZero() {
					list = append(list, a.Ended)
				}
			}
		}
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}

// running counts the bodies of a supervisor that ran at a time.
func (f *facts) running(supervisor string, at time.Time) int {
	n := 0
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if t.Supervisor == supervisor && !a.Started.After(at) && (a.Ended.IsZero() || a.Ended.After(at)) {
				n++
			}
		}
	}
	return n
}

func outcomes(f *facts) error {
	var diffs []string
	for _, t := range f.book.Tasks {
		if t.Heard != "" && t.Heard != t.Plan.Outcome {
			diffs = append(diffs, fmt.Sprintf("%s/%s ended as %s, not %s", t.Supervisor, t.Name, t.Heard, t.Plan.Outcome))
		}
		if t.Plan.Outcome == "rejected" && len(t.Attempts) > 0 {
			diffs = append(diffs, fmt.Sprintf("%s was refused and ran", t.Name))
		}
	}
	return some("outcomes", diffs)
}

func handover(f *facts) error {
	owners := map[string]*ledger.Task{}
	for _, t := range f.tasks() {
		if t.Plan.Slot == "" || len(t.Attempts) == 0 {
			continue
		}
		if o := owners[t.Plan.Slot]; o != nil {
			if end := o.Attempts[len(o.Attempts)-1].Ended; end.IsZero() || t.Attempts[0].Started.Before(end) {
				return fmt.Errorf("%s began before %s, which had the slot, had ended", t.Name, o.Name)
			}
		}
		owners[t.Plan.Slot] = t
	}
	return nil
}

func variety(f *facts) error {
	seen, next := map[string]int{}, map[string]int{}
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			seen[a.Result()]++
			next[t.Next(i).Cause]++
		}
	}
	for _, r := range results {
		if seen[r] == 0 {
			return fmt.Errorf("no attempt ended as %s: %v", r, seen)
		}
	}
	if next[ledger.TriggeredNext] == 0 {
		return fmt.Errorf("nobody asked for one more attempt: %v", next)
	}
	return nil
}

var results = []string{ledger.Success, ledger.Failure, ledger.Fatal, ledger.Timeout, ledger.Panic, ledger.Canceled}
