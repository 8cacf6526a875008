package taskvisor

import (
	"context"
	"fmt"
	"time"
)

// Submit asks for a slot on behalf of a task. It never waits: the handle carries
// the verdict, at once if it is known already, and a rejected submission's
// outcome says why. An error means that the submission was not accepted, and
// then there is no handle and no event: bad input, ErrNotStarted,
// ErrShuttingDown, or the cause of a ctx that has ended. The attempts carry the
// values of ctx. A joined handle is the owner's: stopping it stops the work for
// everybody. Submit panics if ctx is nil.
func (s *Supervisor) Submit(ctx context.Context, sub Submission) (*Handle, error) {
	mustContext(ctx)
	if sub.Slot == "" {
		sub.Slot = sub.Task.name
	}
	err := sub.Task.validate()
	if err == nil {
		err = validName("slot", sub.Slot)
	}
	if err == nil && int(sub.Admission) >= len(admissionLabels) {
		err = fmt.Errorf("unknown admission %d", uint8(sub.Admission))
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, &TaskError{Op: "submit", Task: sub.Task.name, Err: err}
	}
	s.fan.stepAside()
	t := s.newTask(ctx, sub.Task)
	t.m.phase = phaseQueued
	t.sub = &submitted{slot: sub.Slot, admission: sub.Admission}
	h, err := s.slots.submit(t)
	if err != nil {
		return nil, &TaskError{Op: "submit", Task: sub.Task.name, Err: err}
	}
	return h, nil
}

// StopSlot stops the owner of the slot and, if purge is set, rejects what waits
// for it, in one step: nothing of it starts in between. It reports whether there
// was anything to stop or to reject.
func (s *Supervisor) StopSlot(key string, purge bool) bool {
	c := &s.slots
	c.mu.Lock()
	sl := c.slots.m[key]
	if sl == nil {
		c.mu.Unlock()
		return false
	}
	owner := sl.owner
	var waiting []*task
	if purge {
		waiting = c.purge(sl, ErrRemoved)
	}
	c.mu.Unlock()
	defer s.announceRefused(waiting) // even if an inline subscriber ends this goroutine
	return owner.stopFor(ErrRemoved) || len(waiting) > 0
}

// followUp is what is left to do about a submission when the controller's lock
// has been released.
type followUp struct {
	handle   *task
	buf      *outbuf // of its events
	begun    bool    // its attempt
	refused  bool
	leave    bool  // it was stopped before it was announced
	owner    *task // of the slot
	stop     bool  // the owner is to be stopped
	displace *task // superseded
}

func (c *controller) submit(t *task) (*Handle, error) {
	now, at := c.sup.clock.now()
	t.sub.at = at
	c.mu.Lock()
	do, err := c.decide(t, now, at)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if do.begun {
		c.sup.spawn(t)
	}
	if do.refused {
		do.buf = t.rejected()
	}
	switch {
	case do.leave:
		t.leave(now, at, account{alive: true}, do.buf)
	case do.stop || do.displace != nil:
		c.consequences(&do)
	default:
		c.sup.fan.deliverAfter(&do.handle.mu, &do.handle.out, do.buf)
	}
	return do.handle, nil
}

// consequences does what follows for others, and delivers. That is deferred
// because an inline subscriber which ends this goroutine must not keep the rest
// from happening.
func (c *controller) consequences(do *followUp) {
	h := do.handle
	defer c.sup.fan.deliverAfter(&h.mu, &h.out, do.buf)
	if do.displace != nil {
		defer do.displace.refused()
	}
	if do.stop {
		do.owner.stopFor(ErrReplaced)
	}
}

// decide applies the table to t. The lock is held.
func (c *controller) decide(t *task, now time.Time, at instant) (do followUp, err error) {
	reg := &c.sup.reg
	do.handle = t
	sl := c.slots.m[t.sub.slot]
	in := admissionInput{policy: t.sub.admission, limit: c.maxQueue}
	if sl != nil {
		in.slot, in.queued, in.coalesced = slotOwned, sl.queued, sl.coalesced != nil
		if in.policy.asksPhase() {
			in.slot = sl.occupied()
		}
		do.owner = sl.owner
	}
	r := rule(in)
	switch r.verdict {
	case VerdictStarted:
		t.m.phase = phaseAdded
		if err = reg.add1(t); err == ErrTaskExists {
			r.verdict, r.reason, err = VerdictRejected, ErrTaskExists, nil
		}
	default: // queued; or to be announced, which is before the verdict or not at all
		err = reg.hold()
	}
	if err != nil {
		return do, err
	}
	c.submitted++
	switch r.verdict {
	case VerdictStarted:
		c.own(t, now, at, &do)
	case VerdictQueued:
		c.wait(sl, t, r, now, &do)
	case VerdictJoined:
		c.joined++
		do.handle = do.owner
		c.tell(&do, t, sl, r.verdict, now)
		reg.drop()
	case VerdictRejected:
		do.refused = true
		c.refuse(t, r.reason)
		c.tell(&do, t, sl, r.verdict, now)
	}
	return do, nil
}

// tell publishes the verdict on t.
func (c *controller) tell(do *followUp, t *task, sl *slot, v Verdict, now time.Time) {
	h := do.handle
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sendVerdict(t, sl, v, now)
	if !do.refused { // which is one more event
		do.buf = c.sup.fan.detach(&h.out)
	}
}

// own makes t the owner of a slot that was idle.
func (c *controller) own(t *task, now time.Time, at instant, do *followUp) {
	sl := &slot{key: t.sub.slot, owner: t}
	c.slots.put(sl.key, sl)
	t.sub.owns = sl
	c.admitted.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sendVerdict(t, sl, VerdictStarted, now)
	t.sub.state = StateIdle
	t.slotMoved(StateAdmitting, now)
	do.leave = t.announceLocked(now, at)&doLeave != 0
	do.begun = !do.leave && t.requestLocked()
	do.buf = c.sup.fan.detach(&t.out)
}

// wait puts t into the queue of sl.
func (c *controller) wait(sl *slot, t *task, r ruling, now time.Time, do *followUp) {
	if t.sub.admission == Replace {
		t.sub.replaced = sl.owner.id
	}
	do.stop = r.stopOwner
	switch {
	case r.displace:
		do.displace = sl.coalesced
	case r.atHead:
		do.displace = sl.head
	}
	sl.enqueue(t, do.displace)
	if do.displace != nil {
		c.refuse(do.displace, ErrSuperseded)
	}
	c.tell(do, t, sl, VerdictQueued, now)
}

// sendVerdict publishes ControllerSubmitted for the submission t as an event of
// h, which is t or the task that it joined: a joined one is nobody of its own, and
// name and id belong together. h's lock is held.
func (h *task) sendVerdict(t *task, sl *slot, v Verdict, now time.Time) {
	var owner TaskID
	queued := 0
	if sl != nil {
		owner, queued = sl.owner.id, sl.queued
	}
	h.announceSubmission(t, v, owner, queued, now)
}

// admit registers the submission that a slot was given to and lets it begin.
func (s *Supervisor) admit(t *task) {
	if t == nil {
		return
	}
	if err := s.reg.admit(t); err != nil {
		s.admitNext(t, err)
		return
	}
	s.slots.admitted.Add(1)
	t.announce(true)
}

// admitNext follows when the registry has refused t: the slot is free at once,
// for the next. Those refused are announced last, when nothing depends on what
// inline subscribers do.
func (s *Supervisor) admitNext(t *task, err error) {
	var refused []*task
	for err != nil {
		now, at := s.clock.now()
		next := s.slots.release(t, now, at)
		if s.slots.turnAway(t, err) {
			refused = append(refused, t)
		}
		if t = next; t == nil {
			break
		}
		err = s.reg.admit(t)
	}
	defer s.announceRefused(refused)
	if t != nil {
		s.slots.admitted.Add(1)
		t.announce(true)
	}
}

// turnAway refuses t, or leaves that to refuseWaiting if the shutdown that is the
// reason has not been announced yet.
func (c *controller) turnAway(t *task, err error) (refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == ErrTaskExists:
		c.refuse(t, ErrTaskExists)
	case c.closed:
		c.refuse(t, ErrShuttingDown)
	default:
		c.orphans = append(c.orphans, t)
		return false
	}
	return true
}
