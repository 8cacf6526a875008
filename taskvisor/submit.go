package taskvisor

import (
	"context"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// occupancy is the phase of a slot as admission sees it: all that matters of its owner.
type occupancy uint8

const (
	slotIdle        occupancy = iota
	slotOwned                 // admitting or running: its owner can be stopped or joined
	slotTerminating           // its owner was stopped, and has not ended
	slotAbandoned             // its owner outlived its grace
)

// admissionInput is all that a verdict depends on, so that rule is a pure function.
type admissionInput struct {
	slot      occupancy
	policy    Admission
	queued    int  // submissions that wait
	limit     int  // of these; only Queue and Coalesce heed it
	coalesced bool // one of them is a Coalesce submission
}

// ruling is what becomes of a submission, and of others because of it.
type ruling struct {
	verdict   Verdict
	reason    Reason // of a rejection
	stopOwner bool   // with Replace, unless the owner is ending already
	atHead    bool   // it takes the head of the queue, and displaces the submission there
	displace  bool   // it takes the place of the waiting Coalesce submission, which is displaced
}

// rule is the table of admission, as [Admission] documents it.
func rule(in admissionInput) ruling {
	if in.slot == slotIdle {
		return ruling{verdict: VerdictStarted}
	}
	switch in.policy {
	case Replace: // whatever the limit: it displaces the head, so a queue grows only from nothing to one
		return ruling{verdict: VerdictQueued, stopOwner: in.slot == slotOwned, atHead: true}
	case DropIfRunning:
		return ruling{verdict: VerdictRejected, reason: ErrSlotBusy}
	case Join:
		if in.slot == slotOwned {
			return ruling{verdict: VerdictJoined}
		}
		return ruling{verdict: VerdictRejected, reason: ErrSlotBusy}
	case Coalesce:
		if in.coalesced {
			return ruling{verdict: VerdictQueued, displace: true} // the queue does not grow
		}
	}
	// Queue, and Coalesce where no other one waits.
	if in.queued >= in.limit {
		return ruling{verdict: VerdictRejected, reason: ErrQueueFull}
	}
	return ruling{verdict: VerdictQueued}
}

// occupied derives a slot's phase from its owner, whose lock it takes. A slot that exists is
// never idle.
func (sl *slot) occupied() occupancy {
	t := sl.owner
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.m.Abandoned():
		return slotAbandoned
	case t.m.StoppedFor() != 0:
		return slotTerminating
	default:
		return slotOwned
	}
}

// Submit asks for a slot on behalf of a task. It never waits: the handle carries
// the verdict, at once if it is known already, and a rejected submission's
// outcome says why. An error means that the submission was not accepted, and
// then there is no handle: bad input, ErrShuttingDown, or the cause of a ctx that has
// ended, of which no event tells; or ErrTooManyTasks, which is counted and announced as
// other rejections are. The attempts carry the values of ctx, as those
// of [Supervisor.Add] do. A joined handle is the owner's: stopping it stops the work
// for everybody. Submit panics if ctx is nil.
func (s *Supervisor) Submit(ctx context.Context, sub Submission) (*Handle, error) {
	mustContext(ctx)
	if sub.Slot == "" {
		sub.Slot = sub.Task.name
	}
	err := checkSubmission(ctx, sub)
	if err != nil {
		return nil, &TaskError{Op: "submit", Task: sub.Task.name, Err: err}
	}
	t, err := s.safeTask(ctx, "submit", sub.Task, callerOf(1), life.Queued)
	if err != nil {
		return nil, err
	}
	t.sub = &submission{slot: sub.Slot, admission: sub.Admission}
	// It is linked before it is decided on: if it does not become a task, it is unlinked.
	if err := s.order.link([]*task{t}, s.reg.lookup); err != nil {
		return nil, err
	}
	h, err := s.slots.submit(t)
	if err != nil {
		return nil, &TaskError{Op: "submit", Task: sub.Task.name, Err: err}
	}
	return h, nil
}

// checkSubmission reports what is wrong with sub or ctx, before anything is made of them.
func checkSubmission(ctx context.Context, sub Submission) error {
	if err := sub.Task.validate(); err != nil {
		return err
	}
	if err := validName("slot", sub.Slot, maxSlotBytes); err != nil {
		return err
	}
	if int(sub.Admission) >= len(admissionLabels) {
		return fmt.Errorf("unknown admission %d", uint8(sub.Admission))
	}
	return ended(ctx)
}

// submit decides about t, and then carries out what follows. The handle is t's or, if t has
// joined, the owner's.
func (c *controller) submit(t *task) (*Handle, error) {
	c.mu.Lock()
	h, owner, follow, err := c.decide(t)
	c.mu.Unlock()
	if h != t || err != nil { // it has joined, or is refused; one that was rejected is unlinked already
		c.sup.order.unlink([]*task{t})
	}
	defer carryOutAll(follow) // even if an inline subscriber ends this goroutine
	if err != nil {
		return nil, err
	}
	if owner != nil { // it may have ended since: then t has the slot already
		owner.stopFor(ErrReplaced, nil)
	}
	return h.h, nil
}

// decide applies the table to t. h is the task whose handle the caller gets, stop the owner
// that is to be stopped, if any. With an error nothing was counted or announced, but for
// ErrTooManyTasks, which is a rejection as well. The lock is held from the look at the slot to
// the last event, so that no other decision comes between.
func (c *controller) decide(t *task) (h, stop *task, follow []effects, err error) {
	reg := &c.sup.reg
	sl := c.slots.m[t.sub.slot]
	in := admissionInput{policy: t.sub.admission, limit: c.maxQueue}
	if sl != nil {
		in.slot, in.queued, in.coalesced = sl.occupied(), sl.queued, sl.coalesced != nil
	}
	r := rule(in)
	displaced := sl.displaced(r)
	// The registry has the last word: it may be closed, which is the caller's error, or be full
	// or have a task of that name, which are rejections like those of the table.
	if r.verdict == VerdictStarted {
		_, err = reg.add(t)
	} else { // so that no verdict of the supervisor comes before the events
		err = reg.hold(r.verdict == VerdictQueued && displaced == nil) // otherwise it takes a place that is counted
	}
	switch why, _ := err.(Reason); why {
	case 0:
	case ErrTaskExists, ErrTooManyTasks: // counted as live until refuseLocked drops it
		r.verdict, r.reason = VerdictRejected, why
	default:
		return nil, nil, nil, err
	}
	c.submitted++
	t.sub.at = c.sup.now()
	switch r.verdict {
	case VerdictStarted:
		return t, nil, []effects{c.own(t)}, nil
	case VerdictQueued:
		if r.stopOwner {
			stop = sl.owner
		}
		return t, stop, c.wait(sl, t, displaced), nil
	case VerdictJoined:
		// The owner may have ended a moment ago, but not have left: it releases its slot under
		// this lock before its TaskRemoved, which therefore follows the verdict.
		c.joined++
		e := sl.owner.tell(t, sl, r.verdict)
		reg.drop(false)
		return sl.owner, nil, []effects{e}, nil
	default: // rejected: the verdict is announced like any other, and then the refusal
		told := t.tell(t, sl, r.verdict)
		if r.reason != ErrTooManyTasks {
			err = nil
		}
		return t, nil, []effects{told, c.refuseLocked(t, r.reason, false)}, err
	}
}

// tell publishes the verdict on the submission sub as an event of t, which is sub or the
// owner that it has joined: one that has joined never becomes a task, and has no events. The
// machine does not change; the empty transition collects the event for inline subscribers.
func (t *task) tell(sub *task, sl *slot, v Verdict) (e effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recordVerdict(sub, sl, v)
	t.transitionLocked(&e, t.sup.now(), nil, 0)
	return e
}

// own makes t, which is registered, the owner of a slot that was idle, and announces both in
// one transition: the verdict, the slot, then TaskAdded. The lock is held.
func (c *controller) own(t *task) (e effects) {
	sl := &slot{key: t.sub.slot, owner: t}
	c.slots.put(sl.key, sl)
	t.sub.owns = sl // Lookup finds t since reg.add: a Stop that comes by waits for the lock, in withdraw
	c.admitted.Add(1)
	t.transition(&e, nil, func(now life.Time) life.Effects {
		t.recordVerdict(t, sl, VerdictStarted)
		t.sub.state = SlotAdmitting
		t.recordSlot(SlotIdle, SlotAdmitting, t.id, 0)
		t.m.Register()
		changed := t.m.Announce(now)
		if c.sup.reg.started.Load() {
			changed |= t.launchLocked(now)
		}
		return changed
	})
	return e
}

// displaced is the submission of the queue whose place a new one takes; nil: none.
func (sl *slot) displaced(r ruling) *task {
	switch {
	case r.displace:
		return sl.coalesced
	case r.atHead:
		return sl.head
	default: // perhaps without a slot
		return nil
	}
}

// wait puts t into the queue of sl, and refuses the submission that it displaces, if any,
// before its own verdict is announced. The lock is held.
func (c *controller) wait(sl *slot, t, displaced *task) []effects {
	if t.sub.admission == Replace {
		t.sub.replaced = sl.owner.id
	}
	sl.enqueue(t, displaced) // first, so that the events tell the length of the queue with it
	var follow []effects
	if displaced != nil {
		follow = append(follow, c.refuseLocked(displaced, ErrSuperseded, false)) // t is counted as waiting in its place
	}
	return append(follow, t.tell(t, sl, VerdictQueued))
}

// recordVerdict announces what became of the submission sub, as an event of t: see tell. t's
// lock is held, as in the functions below. sl is nil if the slot has no owner.
func (t *task) recordVerdict(sub *task, sl *slot, v Verdict) {
	if e := t.open(ControllerSubmitted); e != nil {
		e.Attempt = 0
		e.Slot, e.Admission, e.Verdict = sub.sub.slot, sub.sub.admission, v
		if sl != nil {
			e.Owner, e.Queued = sl.owner.id, sl.queued
		}
		t.close(e)
	}
}

// recordRefusal announces that the submission t was rejected. Its outcome is decided.
func (t *task) recordRefusal(now life.Time) {
	why := t.outErrLocked() // before open, which locks the bus
	if e := t.open(ControllerRejected); e != nil {
		e.Slot, e.Admission, e.Reason, e.Err = t.sub.slot, t.sub.admission, Reason(t.m.StoppedFor()), why
		e.Duration = time.Duration(now - t.sub.at)
		t.close(e)
	}
}

// recordSlot announces that the slot which t owns, or has owned, has changed. It is an event
// of t, whose lock is held, so that it keeps its place among t's others.
func (t *task) recordSlot(from, to SlotState, owner TaskID, queued int) {
	if e := t.open(ControllerSlotTransition); e != nil {
		e.Task, e.TaskKind, e.TaskID, e.Attempt, e.task = "", "", 0, 0, nil // it is about the slot
		e.Slot, e.From, e.To, e.Owner, e.Queued = t.sub.slot, from, to, owner, queued
		t.close(e)
	}
}
