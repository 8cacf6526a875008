package taskvisor

import (
	"context"
	"testing"
)

// A permit that comes at the very moment in which its waiter is replaced goes to
// the one that replaces it, and not to who waits behind; without an heir it goes
// to the next, and none is lost or given twice.
func TestPermitComesWhileItsWaiterIsReplaced(t *testing.T) {
	type race struct {
		*Supervisor
		owner, heir *Handle
		replace     func() // what Submit does last
	}
	tests := []struct {
		name string
		do   func(t *testing.T, r race)
		want string // who starts
	}{
		{"granted, replaced, told", func(_ *testing.T, r race) {
			granted := r.permits.release()
			r.replace()
			r.grant(granted)
		}, "heir"},
		{"granted, stopped, told, slot passed on", func(t *testing.T, r race) {
			granted := r.permits.release()
			heldAt(t, &r.reg.mu, r.replace, func() bool { return r.owner.phaseNow() == phaseGone }, func() { r.grant(granted) })
		}, "heir"},
		{"stopped, granted, told, slot passed on", func(t *testing.T, r race) {
			heldAt(t, &r.reg.mu, r.replace, func() bool { return r.owner.phaseNow() == phaseGone }, func() { r.grant(r.permits.release()) })
		}, "heir"},
		{"stopped, granted, slot passed on, told", func(t *testing.T, r race) {
			var granted *Handle
			heldAt(t, &r.reg.mu, r.replace, func() bool { return r.owner.phaseNow() == phaseGone }, func() { granted = r.permits.release() })
			r.grant(granted)
		}, "heir"},
		{"replaced, granted", func(_ *testing.T, r race) {
			r.replace()
			r.grant(r.permits.release())
		}, "heir"},
		{"the heir withdraws: granted, stopped, told, slot passed on", func(t *testing.T, r race) {
			r.heir.Stop()
			granted := r.permits.release()
			heldAt(t, &r.reg.mu, r.replace, func() bool { return r.owner.phaseNow() == phaseGone }, func() { r.grant(granted) })
		}, "behind"},
		{"the heir withdraws: granted, replaced, told", func(_ *testing.T, r race) {
			r.heir.Stop()
			granted := r.permits.release()
			r.replace()
			r.grant(granted)
		}, "behind"},
		{"removed: granted, stopped, told", func(_ *testing.T, r race) {
			granted := r.permits.release()
			r.owner.Stop()
			r.grant(granted)
		}, "behind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startedSupervisor(t, WithMaxConcurrent(1))
			s.permits.inUse = 1 // as if somebody ran, who is about to end
			untilStopped := func(ctx context.Context) error { <-ctx.Done(); return nil }
			submit := func(name, slot string, policy Admission) *Handle {
				h, err := s.Submit(context.Background(), Submission{Task: Once(name, untilStopped), Slot: slot, Admission: policy})
				if err != nil {
					t.Fatal(err)
				}
				return h
			}
			r := race{Supervisor: s, owner: submit("owner", "s", Queue)}
			behind := submit("behind", "other", Queue)
			r.heir = submit("heir", "s", Queue)
			r.heir.sub.replaced = r.owner.id
			r.replace = func() { r.owner.stopFor(ErrReplaced) }
			tt.do(t, r)
			first, second := r.heir, behind
			if tt.want == "behind" {
				first, second = behind, r.heir
			}
			eventually(t, func() bool { return first.phaseNow() == phaseActive })
			if p := second.phaseNow(); p != phasePending && p != phaseGone || s.permits.used() != 1 {
				t.Errorf("%s is in phase %d, %d permits in use", second.Name(), p, s.permits.used())
			}
			first.Cancel(context.Background())
			if second.phaseNow() != phaseGone {
				eventually(t, func() bool { return second.phaseNow() == phaseActive })
				second.Cancel(context.Background())
			}
			eventually(t, func() bool { return s.permits.used() == 0 })
		})
	}
}
