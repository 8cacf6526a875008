package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// slotRig is a supervisor in a bubble whose slots are under test.
type slotRig struct {
	t   *testing.T
	sup *taskvisor.Supervisor
	rec *taskvisortest.Recorder
}

// inSlotRig runs test in a bubble of its own.
func inSlotRig(t *testing.T, test func(r *slotRig), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, opts...)
		r := &slotRig{t: t, sup: sup, rec: rec}
		test(r)
		synctest.Wait()
		r.checkSlots()
		r.checkAnnouncements()
		checkConservation(t, sup.Snapshot())
		time.Sleep(time.Hour) // bodies that ignored their stop come back
	})
}

// submit asks for the slot "s", unless name is "name@slot".
func (r *slotRig) submit(name string, policy taskvisor.Admission, fn taskvisor.Func, opts ...taskvisor.TaskOption) *taskvisor.Handle {
	r.t.Helper()
	slot := "s"
	if i := strings.IndexByte(name, '@'); i >= 0 {
		name, slot = name[:i], name[i+1:]
	}
	h, err := r.sup.Submit(context.Background(), taskvisor.Submission{
		Task: taskvisor.Restartable(name, fn, opts...), Slot: slot, Admission: policy})
	if err != nil {
		r.t.Fatalf("submit %q: %v", name, err)
	}
	return h
}

// settle lets everything happen that needs no time.
func (r *slotRig) settle() { synctest.Wait() }

// rejected checks that h was rejected for the reason, and announced as such.
func (r *slotRig) rejected(h *taskvisor.Handle, why taskvisor.Reason) {
	r.t.Helper()
	o, known := h.Outcome()
	if !known || o.Kind != taskvisor.OutcomeRejected || o.Reason != why || !errors.Is(o.Err, why) || o.Attempts != 0 || !o.Started.IsZero() {
		r.t.Errorf("%s: outcome %v %v (%v), known %v, want rejected %v", h.Name(), o.Kind, o.Reason, o.Err, known, why)
	}
	select {
	case <-h.Done():
	default:
		r.t.Errorf("%s: rejected, but Done is open", h.Name())
	}
	n := 0
	for _, e := range r.rec.Events(h.Name()) {
		if e.Kind == taskvisor.ControllerRejected && e.TaskID == h.ID() {
			n++
			if e.Reason != why || e.Slot == "" {
				r.t.Errorf("%s: announced as %v", h.Name(), e)
			}
		}
	}
	if n != 1 {
		r.t.Errorf("%s: %d ControllerRejected events, want 1", h.Name(), n)
	}
}

// trace checks the events of a task.
func (r *slotRig) trace(name, want string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.rec.Trace(name); got != want {
		r.t.Errorf("%s: events %q, want %q", name, got, want)
	}
}

// order checks in which order tasks were added.
func (r *slotRig) order(want string) {
	r.t.Helper()
	synctest.Wait()
	var names []string
	for _, e := range r.rec.Events() {
		if e.Kind == taskvisor.TaskAdded {
			names = append(names, e.Task)
		}
	}
	if got := strings.Join(names, " "); got != want {
		r.t.Errorf("added %q, want %q", got, want)
	}
}

// slot returns the status of the slot "s"; zero if it is idle.
func (r *slotRig) slot() taskvisor.SlotStatus {
	for _, st := range r.sup.Snapshot().Slots {
		if st.Key == "s" {
			return st
		}
	}
	return taskvisor.SlotStatus{}
}

// moves returns the transitions of the slot "s".
func (r *slotRig) moves() string {
	synctest.Wait()
	return slotMoves(r.t, r.rec.Events())["s"]
}

// checkSlots checks the chain of transitions of every slot against the snapshot.
func (r *slotRig) checkSlots() {
	r.t.Helper()
	last := slotMoves(r.t, r.rec.Events())
	for _, st := range r.sup.Snapshot().Slots {
		if !strings.HasSuffix(last[st.Key], st.State.String()) {
			r.t.Errorf("slot %q is %v after the transitions %q", st.Key, st.State, last[st.Key])
		}
		delete(last, st.Key)
	}
	for key, moves := range last {
		if !strings.HasSuffix(moves, "idle") {
			r.t.Errorf("slot %q is idle after the transitions %q", key, moves)
		}
	}
}

// slotMoves joins the states that each slot went through. Each transition must
// begin where the one before has ended, and name the owner that it leaves.
func slotMoves(t *testing.T, events []taskvisor.Event) map[string]string {
	t.Helper()
	moves := map[string]string{}
	at := map[string]taskvisor.Event{}
	for _, e := range events {
		if e.Kind != taskvisor.ControllerSlotTransition {
			continue
		}
		before, seen := at[e.Slot]
		if !seen {
			before.To = taskvisor.SlotIdle
			moves[e.Slot] = "idle"
		}
		if e.From != before.To {
			t.Errorf("slot %q: from %v after it went to %v: %v", e.Slot, e.From, before.To, e)
		}
		if (e.To == taskvisor.SlotIdle) != (e.Owner == 0) {
			t.Errorf("slot %q: owner %d in state %v", e.Slot, e.Owner, e.To)
		}
		if e.To != taskvisor.SlotAdmitting && e.To != taskvisor.SlotIdle && e.Owner != before.Owner {
			t.Errorf("slot %q: owner %d became %d by %v", e.Slot, before.Owner, e.Owner, e)
		}
		moves[e.Slot] += " " + e.To.String()
		at[e.Slot] = e
	}
	return moves
}

// checkAnnouncements counts the events about submissions: one ControllerSubmitted
// for each that the snapshot counts, one ControllerRejected for each rejection.
func (r *slotRig) checkAnnouncements() {
	r.t.Helper()
	checkAnnouncements(r.t, r.rec.Events(), r.sup.Snapshot())
}

func checkAnnouncements(t *testing.T, events []taskvisor.Event, sn taskvisor.Snapshot) {
	t.Helper()
	var submitted, rejected, joined uint64
	for _, e := range events {
		switch e.Kind {
		case taskvisor.ControllerSubmitted:
			submitted++
			if e.Verdict == taskvisor.VerdictJoined {
				joined++
			}
		case taskvisor.ControllerRejected:
			rejected++
		}
	}
	if submitted != sn.Submitted || rejected != sn.Rejected || joined != sn.Joined {
		t.Errorf("announced %d submitted, %d rejected, %d joined; counted %d, %d, %d",
			submitted, rejected, joined, sn.Submitted, sn.Rejected, sn.Joined)
	}
}

// checkConservation checks the laws that hold at every quiet moment.
func checkConservation(t *testing.T, sn taskvisor.Snapshot) {
	t.Helper()
	if sn.Added != sn.Removed+uint64(len(sn.Tasks)) {
		t.Errorf("added %d, removed %d, registered %d", sn.Added, sn.Removed, len(sn.Tasks))
	}
	var running, queued uint64
	for _, st := range sn.Tasks {
		if !st.AttemptStart.IsZero() {
			running++
		}
	}
	for _, st := range sn.Slots {
		queued += uint64(st.Queued)
	}
	if sn.Released < 0 || sn.Started != sn.Ended+running+uint64(sn.Released) {
		t.Errorf("attempts: started %d, ended %d, running %d and %d released", sn.Started, sn.Ended, running, sn.Released)
	}
	if sn.Submitted != sn.Rejected+queued+sn.Joined+sn.FromSlots {
		t.Errorf("submitted %d, rejected %d, queued %d, joined %d, from slots %d",
			sn.Submitted, sn.Rejected, queued, sn.Joined, sn.FromSlots)
	}
}

// lastVerdict returns the latest ControllerSubmitted event.
func (r *slotRig) lastVerdict() (last taskvisor.Event) {
	for _, e := range r.rec.Events() {
		if e.Kind == taskvisor.ControllerSubmitted {
			last = e
		}
	}
	return last
}

// nth returns prefix and n as a name.
func nth(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, n) }

// ignoresFor is a body that ends after d, whatever its context says.
func ignoresFor(d time.Duration) taskvisor.Func { return taskvisortest.Script(taskvisortest.Ignore(d)) }

// runsUntilStopped is a body that runs until it is stopped.
func runsUntilStopped() taskvisor.Func { return taskvisortest.Script(taskvisortest.Block()) }

// worksFor is a body that succeeds after d.
func worksFor(d time.Duration) taskvisor.Func {
	return taskvisortest.Script(taskvisortest.After(d, taskvisortest.Succeed()))
}
