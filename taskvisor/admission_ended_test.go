package taskvisor

import (
	"context"
	"testing"
)

// An owner that has ended keeps its slot until it has given its permit back. In
// this instant it is joined like one that runs: its outcome is as fresh as can be, and
// every call has one answer. Replace and Queue wait for the slot as usual.
func TestSubmitWhileTheOwnerLeaves(t *testing.T) {
	for _, policy := range []Admission{Queue, Replace, DropIfRunning, Coalesce, Join} {
		t.Run(policy.String(), func(t *testing.T) {
			s := startedSupervisor(t, WithMaxConcurrent(9))
			back := make(chan struct{})
			submit := func(name string, policy Admission) *Handle {
				h, err := s.Submit(context.Background(), Submission{Slot: "s", Admission: policy,
					Task: Once(name, func(context.Context) error { <-back; return nil })})
				if err != nil {
					t.Error(err)
				}
				return h
			}
			owner := submit("owner", Queue)
			eventually(t, func() bool { return owner.phaseNow() == phaseActive })
			var late *Handle
			heldAt(t, &s.permits.mu, func() { close(back) }, func() bool { return owner.phaseNow() == phaseGone },
				func() { late = submit("late", policy) })
			want := OutcomeCompleted
			if policy == DropIfRunning {
				want = OutcomeRejected
			}
			if o, err := late.Wait(context.Background()); o.Kind != want || (late == owner) != (policy == Join) {
				t.Errorf("%v %v, the owner's: %v", o.Kind, err, late == owner)
			}
			if o, err := owner.Wait(context.Background()); o.Kind != OutcomeCompleted || o.Reason != 0 {
				t.Errorf("the owner, which had ended: %v %v %v", o.Kind, o.Reason, err)
			}
		})
	}
}
