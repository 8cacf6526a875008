package main

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// A stuck body is reported with its stack. Between two captures of stacks passes at least
// ration, and share times as long as the first took.
const (
	ration = time.Second
	share  = 20
)

// interval is a time during which something counts: between may and gone it may, between
// sure and until it does. What has the same key is never counted twice.
type interval struct {
	key                    any
	may, sure, until, gone time.Time
}

// intervals are those of one sum.
type intervals []interval

// bounds returns the least and the most that a scrape may have found: it looks at each at
// some instant, not at all of them at the same.
func (list intervals) bounds(s scrape) (least, most int) {
	certain, possible := map[any]bool{}, map[any]bool{}
	for _, x := range list {
		if !x.may.After(s.Ended) && !x.gone.Before(s.Began) {
			possible[x.key] = true
		}
		if !x.sure.After(s.Began) && !x.until.Before(s.Ended) {
			certain[x.key] = true
		}
	}
	return len(certain), len(possible)
}

// bounded compares the sum over a gauge's labels with what the ledger has around each
// scrape: of several sums, the largest.
func (f *facts) bounded(name string, sums func(supervisor string) []intervals) error {
	shown := map[string]map[time.Time]float64{}
	for _, s := range f.series[name] {
		key := s.Labels["supervisor"]
		if shown[key] == nil {
			shown[key] = map[time.Time]float64{}
		}
		for _, p := range s.Points {
			shown[key][p.At] += p.Value
		}
	}
	var diffs []string
	highest := 0
	for _, s := range f.book.Supervisors {
		all := sums(s.Name)
		for _, scrape := range f.scrapes {
			v, there := shown[s.Name][scrape.at]
			if !there {
				continue
			}
			least, most := 0, 0
			for _, list := range all {
				l, m := list.bounds(scrape)
				least, most = max(least, l), max(most, m)
			}
			if int(v) < least || int(v) > most {
				diffs = append(diffs, fmt.Sprintf("%s at %s: %v, by the ledger %d to %d", s.Name, scrape, v, least, most))
			} else {
				highest = max(highest, least)
			}
		}
	}
	if len(diffs) == 0 && highest == 0 {
		return fmt.Errorf("never more than 0 at a scrape")
	}
	return some("values", diffs)
}

// open ends what has no end with the run.
func (f *facts) open(t time.Time) time.Time {
	if t.IsZero() {
		return f.book.Ended.Add(time.Hour)
	}
	return t
}

// intervalsOf collects an interval for each attempt of a supervisor for which there is one,
// from may and sure until its body ended and the supervisor had been told.
func (f *facts) intervalsOf(supervisor string, of func(t *ledger.Task, a *ledger.Attempt) (may, sure time.Time, counts bool)) []intervals {
	var list intervals
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if may, sure, counts := of(t, a); counts && t.Supervisor == supervisor {
				list = append(list, interval{t, may, sure, f.open(a.Ended), f.settled(a)})
			}
		}
	}
	return []intervals{list}
}

// settled returns when an attempt was over in every respect.
func (f *facts) settled(a *ledger.Attempt) time.Time {
	if a.Closed.IsZero() {
		return f.open(a.Closed)
	}
	return f.by(a.Closed)
}

func (f *facts) bodies(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(_ *ledger.Task, a *ledger.Attempt) (may, sure time.Time, counts bool) {
		return f.since(a.Opened), a.Started, true
	})
}

// slotsInUse are by slot: one owner follows the other.
func (f *facts) slotsInUse(supervisor string) []intervals {
	var list intervals
	for _, t := range f.fromSlots() {
		if last := t.Attempts[len(t.Attempts)-1]; t.Supervisor == supervisor {
			list = append(list, interval{t.Plan.Slot, t.Added, t.Attempts[0].Started, f.open(last.Ended), f.settled(last)})
		}
	}
	return []intervals{list}
}

// stuck are bodies that ran on for longer than StuckAfter when they had been told to
// end.
func (f *facts) stuck(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(t *ledger.Task, a *ledger.Attempt) (may, sure time.Time, counts bool) {
		may, sure = f.overdue(t, a)
		return may, sure, !a.CanceledAt.IsZero() && t.Plan.StuckAfter > 0 && f.settled(a).After(may)
	})
}

// overdue returns from when on a body that was told to end may be called stuck, and when it
// must be. It was told before it heard of it.
func (f *facts) overdue(t *ledger.Task, a *ledger.Attempt) (may, must time.Time) {
	told := t.StopAt
	if a.Cause == ledger.ReasonTimeout || told.IsZero() {
		told = a.Opened.Add(t.Plan.Timeout)
	}
	due := a.CanceledAt.Add(t.Plan.StuckAfter)
	must = due.Add(ration)
	for _, other := range f.tasks() {
		for _, o := range other.Attempts {
			before := o.CanceledAt.Add(other.Plan.StuckAfter)
			if o == a || o.CanceledAt.IsZero() || other.Plan.StuckAfter == 0 || before.After(f.by(due)) || before.Before(due.Add(-time.Minute)) {
				continue
			}
			captured := f.by(before)
			if rests := captured.Add(share * captured.Sub(before)); rests.After(must) {
				must = rests
			}
		}
	}
	return told.Add(t.Plan.StuckAfter - grain), f.by(must)
}

func (f *facts) givenUp(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(t *ledger.Task, a *ledger.Attempt) (may, sure time.Time, counts bool) {
		grace := f.grace(t)
		return t.StopAt.Add(grace), f.by(a.CanceledAt.Add(grace)), given(t, a.Number-1)
	})
}

func (f *facts) registered(supervisor string) []intervals {
	var list intervals
	for _, t := range f.tasks() {
		if t.Supervisor == supervisor {
			list = append(list, f.registration(t))
		}
	}
	return []intervals{list}
}

// registration is when a task was registered: what comes from a slot is when it is let in,
// and a body that was given up keeps its name until it is back.
func (f *facts) registration(t *ledger.Task) interval {
	x := interval{t, t.Added, t.Known, t.StopAt, f.open(t.Gone)}
	if len(t.Attempts) == 0 {
		return x
	}
	first, last := t.Attempts[0], t.Attempts[len(t.Attempts)-1]
	if t.Plan.Slot != "" {
		x.may = f.since(first.Opened)
	}
	if t.Plan.Slot != "" || t.Known.IsZero() {
		x.sure = first.Started
	}
	if end := f.open(last.Ended); end.After(x.until) {
		x.until = end
	}
	if given(t, last.Number-1) {
		x.gone = f.settled(last)
	}
	return x
}

// queues are the submissions that wait, slot by slot.
func (f *facts) queues(supervisor string) []intervals {
	bySlot := map[string]intervals{}
	for i, s := range f.book.Submissions {
		if s.Verdict == "queued" && s.Supervisor == supervisor {
			t := f.submitted(s)
			x := interval{i, s.At, t.Known, t.StopAt, t.Gone}
			if len(t.Attempts) > 0 {
				x.until, x.gone = f.freed(t), t.Attempts[0].Started
			}
			bySlot[s.Slot] = append(bySlot[s.Slot], x)
		}
	}
	var all []intervals
	for _, list := range bySlot {
		all = append(all, list)
	}
	return all
}

// submitted finds the task of a submission.
func (f *facts) submitted(s ledger.Submission) *ledger.Task {
	for _, t := range f.book.Tasks {
		if t.Supervisor == s.Supervisor && t.Name == s.Task && t.Plan.Slot == s.Slot {
			return t
		}
	}
	panic(fmt.Sprintf("the submission of %s has no task", s.Task)) // the script makes both
}

// grace is what a stopped task was given: its own, or else the supervisor's.
func (f *facts) grace(t *ledger.Task) time.Duration {
	for _, s := range f.book.Supervisors {
		if s.Name == t.Supervisor && t.Plan.Grace == 0 {
			return s.Grace
		}
	}
	return t.Plan.Grace
}
