package taskvisor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A submission has its id when it is accepted and keeps it; what it waited is on
// its TaskAdded and on its attempts.
func TestSubmissionKeepsItsIdentity(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		r.submit("owner", asQueue, worksFor(3*time.Second))
		var seen taskvisor.Attempt
		h := r.submit("next", asCoalesce, func(ctx context.Context) error {
			seen, _ = taskvisor.FromContext(ctx)
			return nil
		})
		id := h.ID()
		if st := h.Status(); id == 0 || st.ID != id || st.Slot != "s" || st.State != taskvisor.StatePending || st.Name != "next" {
			t.Errorf("waiting: %+v", st)
		}
		if _, known := h.Outcome(); known {
			t.Error("a waiting submission has an outcome")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range r.rec.Events("next") {
			if e.TaskID != id || e.Kind == taskvisor.TaskAdded && (e.Duration != 3*time.Second || e.Admission != asCoalesce) {
				t.Errorf("%v", e)
			}
		}
		if seen.TaskID != id || seen.SlotWait != 3*time.Second || seen.Slot != "s" || seen.Admission != asCoalesce || seen.Replaced != 0 {
			t.Errorf("attempt: %+v", seen)
		}
	})
}

// Oldest is the submission that waits longest, wherever in the queue it is.
func TestOldestWaitingSubmission(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		begin := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if got := r.slot().Oldest.Sub(begin); got != want {
				t.Errorf("oldest of %d waits since %v, want %v", r.slot().Queued, got, want)
			}
		}
		r.submit("owner", asQueue, ignoresFor(time.Minute))
		time.Sleep(time.Second)
		r.submit("c1", asCoalesce, runsUntilStopped())
		at(1 * time.Second)
		time.Sleep(time.Second)
		r.submit("q", asQueue, runsUntilStopped())
		at(1 * time.Second)
		time.Sleep(time.Second)
		r.submit("c2", asCoalesce, runsUntilStopped()) // in front of q, and younger
		at(2 * time.Second)
		time.Sleep(time.Second)
		r.submit("r", asReplace, runsUntilStopped()) // likewise
		at(2 * time.Second)
	})
}

// WithReleaseOnAbandon frees a slot although the body still runs: the next one
// overlaps with it, as documented.
func TestReleasedSlot(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		owner := r.submit("owner", asQueue, ignoresFor(time.Minute), taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon())
		r.settle()
		next := r.submit("next", asReplace, runsUntilStopped())
		time.Sleep(time.Second)
		r.settle()
		if o, known := owner.Outcome(); !known || o.Kind != taskvisor.OutcomeAbandoned || o.Reason != taskvisor.ErrReplaced {
			t.Errorf("owner: %v %v", o.Kind, o.Reason)
		}
		if got := next.Status().State; got != taskvisor.StateRunning {
			t.Errorf("next is %v", got)
		}
		time.Sleep(time.Minute)
		r.trace("owner", "U A S Q N D Y")
		if got, want := r.moves(), "idle admitting running terminating abandoned admitting running"; got != want {
			t.Errorf("slot went %q, want %q", got, want)
		}
	})
}

// An inline subscriber may submit, also to the slot whose owner it hears of.
func TestSubmitFromInlineSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chain = 1000
		var sup *taskvisor.Supervisor
		var n atomic.Int32
		next := func() {
			spec := taskvisor.Once(nth("link", int(n.Add(1))), func(context.Context) error { return nil })
			if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: "s", Admission: asDrop}); err != nil {
				t.Error(err)
			}
		}
		var rec *taskvisortest.Recorder
		sup, rec = taskvisortest.Start(t, taskvisor.WithSubscriber(onEvent(func(e taskvisor.Event) {
			if e.Kind == taskvisor.TaskRemoved && n.Load() < chain {
				next()
			}
		})))
		next()
		synctest.Wait()
		sn := sup.Snapshot()
		if sn.Submitted != chain || sn.FromSlots != chain || sn.Rejected != 0 {
			t.Errorf("submitted %d, started %d, rejected %d: the slot is free when TaskRemoved is delivered", sn.Submitted, sn.FromSlots, sn.Rejected)
		}
		slotMoves(t, rec.Events())
		checkConservation(t, sn)
	})
}

// The owner that a replacement names is the one that it found, also if that had been
// stopped already: by the replacement whose place it takes, say.
func TestReplacedIsTheOwner(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		var replaced taskvisor.TaskID
		owner := r.submit("owner", asQueue, func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return nil })
		r.settle()
		displaced := r.submit("displaced", asReplace, worksFor(time.Second))
		r.submit("last", asReplace, func(ctx context.Context) error {
			a, _ := taskvisor.FromContext(ctx)
			replaced = a.Replaced
			return nil
		})
		r.rejected(displaced, taskvisor.ErrSuperseded)
		time.Sleep(time.Minute)
		r.settle()
		if replaced != owner.ID() {
			t.Errorf("it replaced %d, want %d", replaced, owner.ID())
		}
	})
}
