package main

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// grain is how far apart a body and its attempt may begin or end, and how far apart
// the instants are at which a snapshot looks at different tasks.
const grain = 3 * time.Millisecond

// ration is how much later than that it is due a stuck body may be reported: with its
// stack, and stacks are captured about once a second at most.
const ration = time.Second + late

// interval is a time during which something counts; until sure it may.
type interval struct{ from, sure, to time.Time }

// intervals are those of one sum.
type intervals []interval

// most counts those that may hold at a time, a grain earlier or later.
func (list intervals) most(t time.Time) int {
	n := 0
	for _, x := range list {
		if !x.from.Add(-grain).After(t) && x.to.Add(grain).After(t) {
			n++
		}
	}
	return n
}

// least counts those that hold at a time, and a grain earlier and later.
func (list intervals) least(t time.Time) int {
	n := 0
	for _, x := range list {
		if !x.sure.Add(grain).After(t) && x.to.Add(-grain).After(t) {
			n++
		}
	}
	return n
}

// bounds returns the least and the most that a scrape may have found.
func (list intervals) bounds(scrape time.Time) (least, most int) {
	from, to := scrape.Add(-scrapeEarly), scrape.Add(scrapeLate)
	least, most = list.least(from), list.most(from)
	// The sums change only where one begins or ends.
	for _, x := range list {
		if t := x.from.Add(-grain); t.After(from) && t.Before(to) {
			most = max(most, list.most(t))
		}
		if t := x.to.Add(-grain); t.After(from) && t.Before(to) {
			least = min(least, list.least(t))
		}
	}
	return min(least, list.least(to)), most
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
		for scrape, v := range shown[s.Name] {
			least, most := 0, 0
			for _, list := range all {
				l, m := list.bounds(scrape)
				least, most = max(least, l), max(most, m)
			}
			if int(v) < least || int(v) > most {
				diffs = append(diffs, fmt.Sprintf("%s at %s: %v, by the ledger %d to %d", s.Name, scrape.Format("15:04:05.000"), v, least, most))
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

// intervalsOf collects an interval for each attempt of a supervisor for which there is one.
func (f *facts) intervalsOf(supervisor string, of func(t *ledger.Task, a *ledger.Attempt) (from time.Time, slack time.Duration, counts bool)) []intervals {
	var list intervals
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if from, slack, counts := of(t, a); counts && t.Supervisor == supervisor {
				list = append(list, interval{from, from.Add(slack), f.open(a.Ended)})
			}
		}
	}
	return []intervals{list}
}

func (f *facts) bodies(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(_ *ledger.Task, a *ledger.Attempt) (time.Time, time.Duration, bool) { return a.Started, 0, true })
}

func (f *facts) slotsInUse(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(t *ledger.Task, a *ledger.Attempt) (time.Time, time.Duration, bool) {
		return a.Started, 0, t.Plan.Slot != ""
	})
}

// stuck are bodies that ran on for longer than StuckAfter when they had been told to
// end.
func (f *facts) stuck(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(t *ledger.Task, a *ledger.Attempt) (time.Time, time.Duration, bool) {
		from := a.CanceledAt.Add(t.Plan.StuckAfter)
		return from, ration, !a.CanceledAt.IsZero() && t.Plan.StuckAfter > 0 && f.open(a.Ended).After(from)
	})
}

func (f *facts) givenUp(supervisor string) []intervals {
	return f.intervalsOf(supervisor, func(t *ledger.Task, a *ledger.Attempt) (time.Time, time.Duration, bool) {
		return t.StopAt.Add(f.grace(t)), 0, given(t, a.Number-1)
	})
}

func (f *facts) registered(supervisor string) []intervals {
	var list intervals
	for _, t := range f.tasks() {
		if added, removed := registration(t); t.Supervisor == supervisor {
			list = append(list, interval{added, added, removed})
		}
	}
	return []intervals{list}
}

// queues are the submissions that wait, slot by slot.
func (f *facts) queues(supervisor string) []intervals {
	bySlot := map[string]intervals{}
	for i, s := range f.book.Submissions {
		if s.Verdict == "queued" && s.Supervisor == supervisor {
			bySlot[s.Slot] = append(bySlot[s.Slot], interval{s.At, s.At, f.waitsUntil(i)})
		}
	}
	var all []intervals
	for _, list := range bySlot {
		all = append(all, list)
	}
	return all
}

// waitsUntil returns when submission i was let in or refused.
func (f *facts) waitsUntil(i int) time.Time {
	s := f.book.Submissions[i]
	for _, t := range f.book.Tasks {
		if t.Supervisor == s.Supervisor && t.Name == s.Task && t.Plan.Slot == s.Slot {
			if len(t.Attempts) > 0 {
				return t.Attempts[0].Started
			}
			return t.Gone
		}
	}
	panic(fmt.Sprintf("submission %d has no task", i)) // the script makes both
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
