package main

import (
	"context"
	"errors"
	"fmt"
)

var admissionChecks = []check{
	{"submissions by policy and result agree exactly", exactly(`taskvisor_admission_requests_total`,
		func(s summary) map[string]uint64 { return s.Requests }, "policy", "result")},
	{"rejections by reason agree exactly", exactly(`taskvisor_admission_rejections_total`,
		func(s summary) map[string]uint64 { return s.Rejections }, "reason")},
	{"checks were started, queued and superseded, notifications started", admissionVariety},
	{"one waiting time was observed per task that came from a slot", admissionWaits},
	{"slots were busy, and had a queue, during the run", holds(
		`max(max_over_time(taskvisor_slots{state="running"}[10m])) >= 1 and on() max(max_over_time(taskvisor_slot_queue_length_max[10m])) >= 1`)},
	{"all slots are free at the end", holds(`sum(taskvisor_slots) == 0 and on() sum(taskvisor_slot_queue_length) == 0`)},
	{"conservation: submitted = rejected + joined + from slots", func(_ context.Context, e *env) error {
		t := e.summary.Totals
		if t["submitted"] == 0 || t["submitted"] != t["rejected"]+t["joined"]+t["from_slots"] {
			return fmt.Errorf("totals: %v", t)
		}
		return nil
	}},
	{"a check's attempt is linked to the request that submitted it", func(ctx context.Context, e *env) error {
		return linked(ctx, e, "check healthy", "submitter", "POST /check")
	}},
	{"a notification is linked to the attempt that it is about", func(ctx context.Context, e *env) error {
		return linked(ctx, e, "notify failing", "submitter", "run failing")
	}},
	{"a check that replaced another is linked to it", func(ctx context.Context, e *env) error {
		return linked(ctx, e, "check hanging", "replaced_task", "run check hanging")
	}},
	{"notifications of a target came in order", notificationsInOrder},
}

func admissionVariety(_ context.Context, e *env) error {
	for _, want := range []string{"coalesce/started", "coalesce/queued", "replace/queued", "queue/started"} {
		if e.summary.Requests[want] == 0 {
			return fmt.Errorf("no submission %s: %v", want, e.summary.Requests)
		}
	}
	if e.summary.Rejections["superseded"] == 0 {
		return fmt.Errorf("no check was superseded: %v", e.summary.Rejections)
	}
	return nil
}

func admissionWaits(ctx context.Context, e *env) error {
	v, err := e.prometheus.Scalar(ctx, `taskvisor_admission_wait_seconds_count`)
	if err == nil && uint64(v) != e.summary.Totals["from_slots"] {
		err = fmt.Errorf("%v observed, %d tasks from slots", v, e.summary.Totals["from_slots"])
	}
	return err
}

// linked looks for a span of the task with a link of that kind to a span of
// that name, in another trace.
func linked(ctx context.Context, e *env, task, kind, to string) error {
	found, err := e.spans(ctx)
	if err != nil {
		return err
	}
	attempts := found.attempts(task)
	for _, s := range attempts {
		for _, l := range s.Links {
			if end, ok := found.byID[l.ID]; ok && l.Attrs[attrLink] == kind && end.Trace == l.Trace && end.Name == to {
				return nil
			}
		}
	}
	return fmt.Errorf("none of %d attempts of %q has a link %s to a span %q", len(attempts), task, kind, to)
}

// notificationsInOrder holds the slots' promise against the spans: no two
// attempts of one target's notifications overlap.
func notificationsInOrder(ctx context.Context, e *env) error {
	found, err := e.spans(ctx)
	if err != nil {
		return err
	}
	attempts := found.attempts("notify flaky")
	if len(attempts) < 2 {
		return errors.New("fewer than two notifications about flaky")
	}
	for i, s := range attempts[1:] {
		if before := attempts[i]; s.Began.Before(before.Ended) {
			return fmt.Errorf("%s began before %s had ended", s.describe(), before.describe())
		}
	}
	return nil
}
