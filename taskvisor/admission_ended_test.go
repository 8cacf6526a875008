package taskvisor

import (
	"context"
	"testing"
)

// An owner that has ended keeps its slot until it has left the registry. In this
// instant it is joined like one that runs: its outcome is as fresh as can be, and
// every call has one answer. Replace and Queue wait for the slot as usual.
func TestSubmitWhileTheOwnerLeaves(t *testing.T) {
	for _, policy := range []Admission{Queue, Replace, DropIfRunning, Coalesce, Join} {
		t.Run(policy.String(), func(t *testing.T) {
			s := startedSupervisor(t)
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
			done := make(chan struct{})
			heldAt(t, &s.reg.mu, func() { close(back) }, func() bool { return owner.phaseNow() == phaseGone }, func() {
				go func() {
					defer close(done)
					late = submit("late", policy)
				}()
				eventually(t, func() bool { // it decides before the owner can pass its slot on
					free := s.slots.mu.TryLock()
					if free {
						s.slots.mu.Unlock()
					}
					return !free
				})
			})
			<-done
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
