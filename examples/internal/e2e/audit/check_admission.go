package main

import (
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var admissionChecks = []check{
	pure("submissions by policy and answer agree", func(f *facts) error {
		want := map[string]float64{}
		for _, s := range f.book.Submissions {
			want[s.Supervisor+"/"+s.Policy+"/"+s.Verdict]++
		}
		return agree("submissions", f.final("admission_requests_total", "supervisor", "policy", "result"), want, nil)
	}),
	pure("refusals by reason agree", func(f *facts) error {
		want := map[string]float64{}
		for _, s := range f.book.Submissions {
			if s.Reason != "" {
				want[s.Supervisor+"/"+s.Reason]++
			}
		}
		return agree("refusals", f.final("admission_rejections_total", "supervisor", "reason"), want, nil)
	}),
	pure("one wait was observed for each task from a slot, and they add up", waits),
	pure("the longest queue", func(f *facts) error { return f.bounded("slot_queue_length_max", f.queues) }),
	pure("slots in use", func(f *facts) error { return f.bounded("slots", f.slotsInUse) }),
}

func waits(f *facts) error {
	count, sum := map[string]float64{}, map[string]float64{}
	for _, t := range f.fromSlots() {
		count[t.Supervisor]++
		sum[t.Supervisor] += t.Attempts[0].Started.Sub(t.Added).Seconds()
	}
	if err := agree("counts", f.final("admission_wait_seconds_count", "supervisor"), count, nil); err != nil {
		return err
	}
	return agree("sums", f.final("admission_wait_seconds_sum", "supervisor"), sum, func(key string) float64 { return count[key] * slop.Seconds() })
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
