package taskvisor_test

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// settle waits until what bodies and subscribers left behind is over.
func (r *soakRound) settle(t *testing.T, audit *auditor, tallies []*tally) {
	t.Helper()
	r.helpers.Wait()
	busy := func() bool {
		sn := r.sup.Snapshot()
		for _, s := range tallies {
			if s.inside.Load() > 0 {
				return true
			}
		}
		return r.bodies.Load() > 0 || len(sn.Tasks) > 0 || sn.Released > 0 || sn.Started != sn.Ended || audit.sum() != sn.Seq || r.wheel.gate.kept() > 0
	}
	for deadline := time.Now().Add(20 * time.Second); busy(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			sn := r.sup.Snapshot()
			t.Fatalf("after the end: %d bodies, %d tasks, %d released, started %d, ended %d, %d of %d events delivered inline, %d at a gate",
				r.bodies.Load(), len(sn.Tasks), sn.Released, sn.Started, sn.Ended, audit.sum(), sn.Seq, r.wheel.gate.kept())
		}
	}
}

// check is made when nothing of the round is left.
func (r *soakRound) check(t *testing.T, audit *auditor, tallies []*tally) {
	t.Helper()
	for _, f := range append(audit.faults, r.faults...) {
		t.Error(f)
	}
	sn := r.sup.Snapshot()
	checkConservation(t, sn)
	if sn.Started != sn.Ended || sn.InUse != 0 || len(sn.Slots)+len(sn.Tasks) != 0 || int64(sn.Started) != r.begun.Load() {
		t.Errorf("at the end: started %d, ended %d, bodies called %d, %d permits, %d slots, %d tasks",
			sn.Started, sn.Ended, r.begun.Load(), sn.InUse, len(sn.Slots), len(sn.Tasks))
	}
	if published := audit.sum(); published != sn.Seq {
		t.Errorf("inline subscribers got %d of %d events", published, sn.Seq)
	}
	if audit.kinds[taskvisor.ControllerSubmitted] != sn.Submitted || audit.kinds[taskvisor.ControllerRejected] != sn.Rejected {
		t.Errorf("announced %d submissions and %d rejections of %d and %d", audit.kinds[taskvisor.ControllerSubmitted],
			audit.kinds[taskvisor.ControllerRejected], sn.Submitted, sn.Rejected)
	}
	r.checkOutcomes(t, audit)
	r.wheel.check(t)
	for _, s := range tallies {
		for _, st := range sn.Subscribers {
			if st.Name == s.name {
				s.check(t, &audit.kinds, st)
			}
		}
	}
	if panics := sn.Subscribers[len(sn.Subscribers)-3]; panics.Name == "panicky" && panics.Panics == 0 && panics.Delivered > 3000 {
		t.Errorf("no panic in %d deliveries to a subscriber that panics", panics.Delivered)
	}
}

// sum is the number of events that were delivered.
func (s *auditor) sum() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kinds {
		n += k
	}
	return n
}

// checkOutcomes holds every handle to the outcome that its events told of.
func (r *soakRound) checkOutcomes(t *testing.T, audit *auditor) {
	for _, h := range r.handles {
		o, known := h.Outcome()
		a := audit.tasks[h.ID()]
		if !known || a == nil || o.Kind != a.outcome || (o.Err == nil) != (o.Kind == taskvisor.OutcomeCompleted) {
			t.Errorf("%s (%d): outcome %v (%v), known %v; events: %+v", h.Name(), h.ID(), o.Kind, o.Err, known, a)
		}
	}
	for id, a := range audit.tasks {
		if a.phase != auditGone && !a.abandoned {
			t.Errorf("task %d is left as %+v", id, *a)
		}
	}
}
