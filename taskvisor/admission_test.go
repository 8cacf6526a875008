package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

const (
	asQueue    = taskvisor.Queue
	asReplace  = taskvisor.Replace
	asDrop     = taskvisor.DropIfRunning
	asCoalesce = taskvisor.Coalesce
	asJoin     = taskvisor.Join
)

// ownerIn brings the slot "s" into a state and returns its owner; nil if idle.
// Where the owner needs one, all permits of the supervisor are taken.
var ownerIn = map[string]func(r *slotRig) *taskvisor.Handle{
	"idle": func(*slotRig) *taskvisor.Handle { return nil },
	"pending": func(r *slotRig) *taskvisor.Handle {
		if _, err := r.sup.Add(context.Background(), taskvisor.Once("holder", worksFor(time.Hour))); err != nil {
			r.t.Fatal(err)
		}
		return r.submit("owner", asQueue, runsUntilStopped())
	},
	"running": func(r *slotRig) *taskvisor.Handle { return r.submit("owner", asQueue, runsUntilStopped()) },
	"backoff": func(r *slotRig) *taskvisor.Handle {
		return r.submit("owner", asQueue, taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour))
	},
	"waiting": func(r *slotRig) *taskvisor.Handle {
		return r.submit("owner", asQueue, taskvisortest.Script(taskvisortest.Succeed()), taskvisor.RestartAlways(time.Hour))
	},
	"stopping": func(r *slotRig) *taskvisor.Handle {
		h := r.submit("owner", asQueue, ignoresFor(30*time.Second), taskvisor.WithGrace(time.Minute))
		r.settle()
		h.Stop()
		return h
	},
	"abandoned": func(r *slotRig) *taskvisor.Handle {
		h := r.submit("owner", asQueue, ignoresFor(10*time.Minute), taskvisor.WithGrace(time.Second))
		r.settle()
		h.Stop()
		time.Sleep(2 * time.Second)
		return h
	},
}

// The table of section "keyed admission": what each policy makes of a slot in
// each state.
func TestAdmissionTable(t *testing.T) {
	const started, queued, joined, rejected = taskvisor.VerdictStarted, taskvisor.VerdictQueued, taskvisor.VerdictJoined, taskvisor.VerdictRejected
	tests := []struct {
		policy taskvisor.Admission
		want   map[string]taskvisor.Verdict
	}{
		{asQueue, map[string]taskvisor.Verdict{"idle": started, "pending": queued, "running": queued, "backoff": queued, "waiting": queued, "stopping": queued, "abandoned": queued}},
		{asReplace, map[string]taskvisor.Verdict{"idle": started, "pending": queued, "running": queued, "backoff": queued, "waiting": queued, "stopping": queued, "abandoned": queued}},
		{asDrop, map[string]taskvisor.Verdict{"idle": started, "pending": rejected, "running": rejected, "backoff": rejected, "waiting": rejected, "stopping": rejected, "abandoned": rejected}},
		{asCoalesce, map[string]taskvisor.Verdict{"idle": started, "pending": queued, "running": queued, "backoff": queued, "waiting": queued, "stopping": queued, "abandoned": queued}},
		{asJoin, map[string]taskvisor.Verdict{"idle": started, "pending": joined, "running": joined, "backoff": joined, "waiting": joined, "stopping": rejected, "abandoned": rejected}},
	}
	for _, tt := range tests {
		for state, want := range tt.want {
			t.Run(tt.policy.String()+" on "+state, func(t *testing.T) {
				var opts []taskvisor.Option
				if state == "pending" {
					opts = append(opts, taskvisor.WithMaxConcurrent(1))
				}
				inSlotRig(t, func(r *slotRig) { admissionCase(r, state, tt.policy, want) }, opts...)
			})
		}
	}
}

func admissionCase(r *slotRig, state string, policy taskvisor.Admission, want taskvisor.Verdict) {
	t := r.t
	owner := ownerIn[state](r)
	r.settle()
	if owner != nil && owner.Status().State.String() != state {
		t.Fatalf("owner is %v, not %s", owner.Status().State, state)
	}
	h := r.submit("new", policy, runsUntilStopped())
	if v := r.lastVerdict(); v.TaskID != h.ID() || v.Task != h.Name() || v.Verdict != want || v.Slot != "s" || v.Admission != policy {
		t.Errorf("announced as %v, want %v", v, want)
	}
	r.settle()
	switch want {
	case taskvisor.VerdictStarted:
		if h.Status().State != taskvisor.StateRunning {
			t.Errorf("new is %v, want running", h.Status().State)
		}
	case taskvisor.VerdictJoined:
		if h != owner {
			t.Errorf("joined handle is %q, want the owner's", h.Name())
		}
		return
	case taskvisor.VerdictRejected:
		r.rejected(h, taskvisor.ErrSlotBusy)
		return
	case taskvisor.VerdictQueued:
		replaced := policy == asReplace && state != "stopping" && state != "abandoned"
		if o, known := owner.Outcome(); replaced && (!known || o.Reason != taskvisor.ErrReplaced) {
			t.Errorf("the replaced owner's outcome is %v %v, known %v", o.Kind, o.Reason, known)
		} else if known && !replaced && state != "abandoned" {
			t.Errorf("the owner ended, %v %v", o.Kind, o.Reason)
		}
		time.Sleep(2 * time.Hour) // holders and stubborn owners end
		if !replaced {
			owner.Stop()
		}
		r.settle()
		if h.Status().State != taskvisor.StateRunning {
			t.Errorf("new is %v after the owner's end, want running", h.Status().State)
		}
	}
}

// Only the owner's real end frees a slot: a stopped body keeps it until it is
// back, and an abandoned one too.
func TestSlotIsFreedByTheRealEnd(t *testing.T) {
	for state, wait := range map[string]time.Duration{"stopping": 30 * time.Second, "abandoned": 10*time.Minute - 2*time.Second} {
		t.Run(state, func(t *testing.T) {
			inSlotRig(t, func(r *slotRig) {
				ownerIn[state](r)
				h := r.submit("new", asReplace, runsUntilStopped())
				time.Sleep(wait - 1)
				r.settle()
				if st := h.Status(); st.State != taskvisor.StatePending || st.Slot != "s" || st.Attempt != 0 {
					t.Errorf("new is %v before the owner's end", st.State)
				}
				if _, found := r.sup.Lookup("new"); found {
					t.Error("a waiting submission is registered")
				}
				time.Sleep(time.Nanosecond)
				r.settle()
				if got := h.Status().State; got != taskvisor.StateRunning {
					t.Errorf("new is %v after the owner's end", got)
				}
			})
		})
	}
}

func TestSlotMoves(t *testing.T) {
	want := map[string]string{
		"pending":   "idle admitting idle",
		"running":   "idle admitting running terminating idle",
		"backoff":   "idle admitting running idle",
		"waiting":   "idle admitting running idle",
		"stopping":  "idle admitting running terminating idle",
		"abandoned": "idle admitting running terminating abandoned idle",
	}
	for state, moves := range want {
		t.Run(state, func(t *testing.T) {
			inSlotRig(t, func(r *slotRig) {
				owner := ownerIn[state](r)
				r.settle()
				owner.Stop()
				time.Sleep(2 * time.Hour)
				if got := r.moves(); got != moves {
					t.Errorf("slot went %q, want %q", got, moves)
				}
			}, taskvisor.WithMaxConcurrent(1))
		})
	}
}

func TestQueueIsFIFO(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		for i := range 5 {
			r.submit(nth("q", i), asQueue, worksFor(time.Second))
		}
		r.settle()
		if st := r.slot(); st.Queued != 4 || st.State != taskvisor.SlotRunning || !st.Oldest.Equal(time.Now()) {
			t.Errorf("slot %+v", st)
		}
		time.Sleep(time.Minute)
		r.order("q0 q1 q2 q3 q4")
		for i := range 5 {
			for _, e := range r.rec.Events(nth("q", i)) {
				if wait := time.Duration(i) * time.Second; e.Kind == taskvisor.TaskAdded && (e.Duration != wait || e.Slot != "s") {
					t.Errorf("%v waited %v, announced %v", e, wait, e.Duration)
				}
			}
			r.trace(nth("q", i), "U A S ✓ E D")
		}
		if got, want := r.moves(), "idle admitting running admitting running admitting running admitting running admitting running idle"; got != want {
			t.Errorf("slot went %q, want %q", got, want)
		}
	})
}

func TestQueueFull(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		r.submit("owner", asQueue, runsUntilStopped())
		a, b := r.submit("a", asQueue, runsUntilStopped()), r.submit("b", asCoalesce, runsUntilStopped())
		r.rejected(r.submit("c", asQueue, runsUntilStopped()), taskvisor.ErrQueueFull)
		r.submit("d", asCoalesce, runsUntilStopped()) // takes b's place: a full queue is no obstacle
		r.rejected(b, taskvisor.ErrSuperseded)
		if v := r.submit("f@other", asQueue, runsUntilStopped()).Status().State; v == taskvisor.StateFinished {
			t.Error("the queue of one slot is full, and another rejects")
		}
		r.submit("e", asReplace, runsUntilStopped()) // takes a's place
		r.rejected(a, taskvisor.ErrSuperseded)
		r.order("owner f e")
	}, taskvisor.WithMaxQueue(2))
}

// The default bound is a hundred waiting submissions per slot.
func TestDefaultMaxQueue(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		for i := range 101 {
			if v := r.submit(nth("q", i), asQueue, runsUntilStopped()); v.Status().State == taskvisor.StateFinished {
				t.Fatalf("submission %d was rejected", i)
			}
		}
		r.rejected(r.submit("q101", asQueue, runsUntilStopped()), taskvisor.ErrQueueFull)
		r.sup.StopSlot("s", true)
	})
}

func TestMaxQueueZero(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		owner := r.submit("owner", asQueue, ignoresFor(time.Minute))
		r.settle()
		r.rejected(r.submit("a", asQueue, runsUntilStopped()), taskvisor.ErrQueueFull)
		r.rejected(r.submit("b", asCoalesce, runsUntilStopped()), taskvisor.ErrQueueFull)
		first := r.submit("first", asReplace, runsUntilStopped())
		second := r.submit("second", asReplace, runsUntilStopped())
		r.rejected(first, taskvisor.ErrSuperseded)
		time.Sleep(2 * time.Minute)
		r.settle()
		if o, _ := owner.Outcome(); o.Reason != taskvisor.ErrReplaced {
			t.Errorf("owner ended as %v for %v", o.Kind, o.Reason)
		}
		if got := second.Status().State; got != taskvisor.StateRunning {
			t.Errorf("the last replacement is %v", got)
		}
	}, taskvisor.WithMaxQueue(0))
}

// Replace takes the head of the queue; who waits behind it keeps the place.
func TestReplaceTakesTheHead(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		owner := r.submit("owner", asQueue, ignoresFor(time.Second))
		r.settle()
		a, b, c := r.submit("a", asQueue, worksFor(time.Second)), r.submit("b", asQueue, worksFor(time.Second)), r.submit("c", asQueue, worksFor(time.Second))
		x := r.submit("x", asReplace, worksFor(time.Second))
		r.rejected(a, taskvisor.ErrSuperseded)
		time.Sleep(time.Minute)
		r.order("owner x b c")
		for _, h := range []*taskvisor.Handle{x, b, c} {
			if o, known := h.Outcome(); !known || o.Kind != taskvisor.OutcomeCompleted {
				t.Errorf("%s: %v", h.Name(), o.Kind)
			}
		}
		r.trace("owner", "U A S Q ✓ D")
		r.trace("a", "U J")
		if o, _ := owner.Outcome(); o.Kind != taskvisor.OutcomeCanceled || o.Err != error(taskvisor.ErrReplaced) {
			t.Errorf("owner: %v %v", o.Kind, o.Err)
		}
	})
}

func TestReplaceCause(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		var cause error
		r.submit("rev1", asQueue, func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		})
		r.settle()
		var a taskvisor.Attempt
		r.submit("rev2", asReplace, func(ctx context.Context) error {
			a, _ = taskvisor.FromContext(ctx)
			return nil
		})
		r.settle()
		if cause != error(taskvisor.ErrReplaced) || !errors.Is(cause, context.Canceled) {
			t.Errorf("cause %v, want ErrReplaced", cause)
		}
		rev1 := r.rec.Events("rev1")[0].TaskID
		if a.Slot != "s" || a.Admission != asReplace || a.Replaced != rev1 {
			t.Errorf("attempt of the replacement: slot %q, %v, replaced %d, want %d", a.Slot, a.Admission, a.Replaced, rev1)
		}
		r.trace("rev1", "U A S Q C D")
		r.trace("rev2", "U A S ✓ E D")
	})
}

// A replacement may have the name of what it replaces: the name is free before
// the slot is.
func TestReplaceBySameName(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		for range 3 {
			h := r.submit("tenant", asReplace, runsUntilStopped())
			r.settle()
			if h.Status().State != taskvisor.StateRunning {
				t.Errorf("%v", h.Status().State)
			}
		}
		r.trace("tenant", "U A S U Q C D A S U Q C D A S")
	})
}

func TestCoalesce(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		owner := r.submit("owner", asCoalesce, worksFor(time.Second))
		r.settle()
		first := r.submit("c1", asCoalesce, worksFor(time.Second))
		r.submit("q", asQueue, worksFor(time.Second))
		r.submit("c2", asCoalesce, worksFor(time.Second))
		r.rejected(first, taskvisor.ErrSuperseded)
		time.Sleep(time.Minute)
		r.order("owner c2 q") // c2 has the place of c1, before q
		if o, _ := owner.Outcome(); o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("owner: %v: a coalesced submission must not stop it", o.Kind)
		}
	})
}

// Stopping a joined handle stops the work for everybody who joined.
func TestJoinIsTheOwners(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		owner := r.submit("owner", asQueue, runsUntilStopped())
		a, b := r.submit("a", asJoin, runsUntilStopped()), r.submit("b", asJoin, runsUntilStopped())
		r.settle()
		if v := r.lastVerdict(); v.Task != "owner" || v.TaskID != owner.ID() || v.Owner != owner.ID() ||
			v.Admission != asJoin || v.Verdict != taskvisor.VerdictJoined {
			t.Errorf("announced as %v: a joined submission is no task of its own", v)
		}
		if !b.Stop() || a.Stop() {
			t.Error("one stop, one claim")
		}
		if o, err := a.Wait(context.Background()); err != nil || o.Reason != taskvisor.ErrRemoved {
			t.Errorf("%v %v", o.Reason, err)
		}
		if n := r.sup.Snapshot().Joined; n != 2 {
			t.Errorf("joined %d, want 2", n)
		}
	})
}

// A Join that finds its slot free starts the work, as every policy does.
func TestJoinStartsAnIdleSlot(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		h := r.submit("work", asJoin, taskvisor.Returning(func(context.Context) (int, error) { return 42, nil }))
		synctest.Wait()
		if v, err := taskvisor.Await[int](context.Background(), h); v != 42 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
	})
}
