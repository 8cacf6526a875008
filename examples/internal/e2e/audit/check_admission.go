package main

import (
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var admissionChecks = []check{
	pure("submissions by policy and answer agree", func(f *facts) error {
		want := map[string]float64{}
		for _, s := range f.book.Submissions {
			want[s.Supervisor+"/"+s.Policy+"/"+s.Verdict]++
		}
		return agree("submissions", f.final("admission_requests_total", "supervisor", "policy", "result"), want)
	}),
	pure("refusals by reason agree", func(f *facts) error {
		want := map[string]float64{}
		for _, s := range f.book.Submissions {
			if s.Reason != "" {
				want[s.Supervisor+"/"+s.Reason]++
			}
		}
		return agree("refusals", f.final("admission_rejections_total", "supervisor", "reason"), want)
	}),
	pure("one wait was observed for each task from a slot, and they add up", waits),
	pure("the longest queue", func(f *facts) error { return f.bounded("slot_queue_length_max", f.queues) }),
	pure("slots in use", func(f *facts) error { return f.bounded("slots", f.slotsInUse) }),
}

func waits(f *facts) error {
	count, sum := map[string]float64{}, map[string]extent{}
	for _, t := range f.fromSlots() {
		count[t.Supervisor]++
		sum[t.Supervisor] = sum[t.Supervisor].plus(f.waited(t))
	}
	if err := agree("counts", f.final("admission_wait_seconds_count", "supervisor"), count); err != nil {
		return err
	}
	return lie("sums", f.final("admission_wait_seconds_sum", "supervisor"), sum)
}

// waited returns how long a task from a slot waited for it: from within the call that
// submitted it until the owner before had ended and before its own attempt began.
func (f *facts) waited(t *ledger.Task) (least, most time.Duration) {
	if free := f.freed(t); !free.IsZero() {
		least = max(free.Sub(t.Known), 0)
	}
	return least, t.Attempts[0].Opened.Sub(t.Added)
}

// freed returns when the body of the owner before ended, zero if there was none.
func (f *facts) freed(t *ledger.Task) (at time.Time) {
	for _, o := range f.fromSlots() {
		if end := o.Attempts[len(o.Attempts)-1].Ended; o != t && o.Supervisor == t.Supervisor && o.Plan.Slot == t.Plan.Slot &&
			end.After(at) && !end.After(t.Attempts[0].Started) {
			at = end
		}
	}
	return at
}

// fromSlots are the tasks that came from a slot.
func (f *facts) fromSlots() []*ledger.Task {
	var list []*ledger.Task
	for _, t := range f.tasks() {
		if t.Plan.Slot != "" && len(t.Attempts) > 0 {
			list = append(list, t)
		}
	}
	return list
}
