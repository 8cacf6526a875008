package taskvisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// submission is what a task knows of its submission. All but state is written before
// anybody else sees the task, or under the controller's lock.
type submission struct {
	slot      string
	admission Admission
	at        life.Time     // when it was made
	waited    time.Duration // for the slot; set when it gets it
	replaced  TaskID        // with Replace: the owner that it found; 0: it had not to wait

	state      SlotState // of the slot, as this task has last announced it; 0: it has not owned it. Guarded by the task's lock
	queued     bool      // it waits in its slot's queue, and then owns is nil; guarded by the controller's lock
	prev, next *task     // its neighbours there; nil: none, or not queued. Likewise
	owns       *slot     // from the admission until it leaves; nil: it owns none. Likewise
}

// controller decides which task owns which slot. A slot exists while it has an owner, and
// only the owner's real end frees it. The lock comes before the order's, the registry's
// and the tasks'. Decisions and their events are made while it is held, so that they
// are in one order; what follows from them is carried out after it.
type controller struct {
	sup      *Supervisor
	maxQueue int // submissions that may wait for one slot

	mu    sync.Mutex   // guards the fields below
	slots table[*slot] // by key; each has an owner

	closed  bool    // refuseWaiting was called: the shutdown has been announced, and queues are empty
	orphans []*task // given a slot, but refused by the shutdown before that was announced; they own and wait for nothing

	submitted, rejected, joined uint64 // ever; for the snapshot

	admitted atomic.Uint64 // submissions that became tasks; not under mu, since the registry decides
}

// slot is a key with an owner and the submissions that wait for it. It has no phase of its
// own: that is derived from the owner's state. Guarded by the controller's lock.
type slot struct {
	key        string
	owner      *task // never nil
	head, tail *task // of the queue, linked by prev and next; nil: nothing waits
	queued     int   // length of the queue
	coalesced  *task // the waiting Coalesce submission; nil: none. There is never a second one
}

// slotLocked announces that the slot which t owns has changed with t's transition. t's lock
// is held, and the controller's perhaps not: the event tells no length of the queue.
// An idle slot is announced by release.
func (t *task) slotLocked() {
	from := t.sub.state
	if to := t.slotState(); from > SlotIdle && to != from && to != 0 {
		t.sub.state = to
		t.recordSlot(from, to, t.id, 0)
	}
}

// slotState derives the state of the slot from its owner; 0: t is gone, and release says
// what becomes of the slot. t's lock is held.
func (t *task) slotState() SlotState {
	switch {
	case t.m.Phase() == life.Gone:
		return 0
	case t.m.Abandoned():
		return SlotAbandoned
	case t.m.StoppedFor() != 0:
		return SlotTerminating
	case t.m.Attempt() == 0:
		return SlotAdmitting
	default:
		return SlotRunning
	}
}

// enqueue puts t at the end of the queue or, if old is not nil, in the place of old, which
// waits in it and is taken out. The caller refuses old.
func (sl *slot) enqueue(t, old *task) {
	t.sub.queued = true
	sl.queued++
	if old != nil {
		t.sub.prev, t.sub.next = old.sub.prev, old.sub.next
		old.sub.prev, old.sub.next = nil, nil
		old.sub.queued = false
		sl.queued--
	} else {
		t.sub.prev = sl.tail
	}
	if t.sub.prev == nil {
		sl.head = t
	} else {
		t.sub.prev.sub.next = t
	}
	if t.sub.next == nil {
		sl.tail = t
	} else {
		t.sub.next.sub.prev = t
	}
	if t.sub.admission == Coalesce {
		sl.coalesced = t
	} else if sl.coalesced == old { // a Replace has taken the head; also where both are nil
		sl.coalesced = nil
	}
}

// dequeue takes t, which is in it, out of the queue.
func (sl *slot) dequeue(t *task) {
	if t.sub.prev == nil {
		sl.head = t.sub.next
	} else {
		t.sub.prev.sub.next = t.sub.next
	}
	if t.sub.next == nil {
		sl.tail = t.sub.prev
	} else {
		t.sub.next.sub.prev = t.sub.prev
	}
	t.sub.prev, t.sub.next = nil, nil
	t.sub.queued = false
	sl.queued--
	if sl.coalesced == t {
		sl.coalesced = nil
	}
}

// release takes a slot from a task that is leaving and gives it to the first that waits.
// That one owns the slot at once, so that nobody else gets it; the caller admits it when
// TaskRemoved of t was published (see leave). If nothing waits, the slot ceases to exist. A
// task that owns no slot changes nothing.
func (c *controller) release(t *task) (next successor) {
	if t.sub == nil {
		return next
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sl := t.sub.owns
	if sl == nil {
		return next
	}
	t.sub.owns = nil
	next.t = sl.head
	to, owner := SlotIdle, TaskID(0)
	if next.t == nil {
		c.slots.delete(sl.key)
	} else {
		sl.dequeue(next.t)
		sl.owner = next.t
		next.t.sub.owns = sl
		to, owner = SlotAdmitting, next.t.id
		c.inherit(t, next.t)
	}
	t.mu.Lock()
	t.recordSlot(t.sub.state, to, owner, sl.queued)
	t.sub.state = SlotIdle // t says no more of the slot
	t.mu.Unlock()          // the last step of carry, behind leave, delivers the event
	if next.t != nil {
		next.t.succeed(c.sup.now())
	}
	return next
}

// inherit gives the turn that the owner of a slot still had in the queue for permits to the
// task that has replaced it: replacing a task again and again must not send the slot to
// the end of that queue each time. Until the heir asks, others go before it: it may be paused,
// or wait for something else first. The controller's lock is held, and the owner has not
// left the queue.
func (c *controller) inherit(owner, heir *task) {
	if limit := c.sup.limit; limit != nil && heir.sub.replaced == owner.id {
		limit.queue.Pass(uint64(owner.id), uint64(heir.id))
	}
}

// giveUpTurn gives up the turn for a permit that t has inherited and not come to use; without
// one it changes nothing.
func (t *task) giveUpTurn() {
	if limit := t.sup.limit; limit != nil && t.sub != nil {
		limit.queue.Leave(uint64(t.id))
	}
}

// succeed turns t, which waited, into a task that owns its slot. The controller's lock is
// held. It is in no registry yet: admit may still refuse it.
func (t *task) succeed(at life.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m.Register()
	t.sub.state = SlotAdmitting
	t.sub.waited = time.Duration(at - t.sub.at)
}

// successor is the submission that a slot was given to; without a task there is none.
type successor struct{ t *task }

// admit registers the submission and lets it begin, and returns what is left to do for it. If
// the registry refuses it, the slot goes to the next one at once. No lock is held, and no code
// of the user's is called.
func (n successor) admit() (list []effects) {
	for n.t != nil {
		s := n.t.sup
		err := s.reg.admit(n.t)
		if err == nil {
			s.slots.admitted.Add(1)
			e := n.t.announced(true)
			e.apart = true
			if e.Effects&life.Run != 0 { // nothing that the rest waits for may hold up an attempt that was let in
				e.begun.spawn()
				e.Effects &^= life.Run
			}
			return append(list, e)
		}
		after := s.slots.release(n.t)
		n.t.giveUpTurn() // after release, which may have passed it on
		if e, now := s.slots.turnAway(n.t, err); now {
			list = append(list, e)
		}
		n = after
	}
	return list
}

// carryOutAll carries out what several transitions have left.
func carryOutAll(list []effects) { inTurn(len(list), func(i int) { list[i].carryOut() }) }

// turnAway refuses t, which the registry did not admit. If the reason is a shutdown that has
// not been announced yet, it leaves that to refuseWaiting: no rejection precedes
// ShutdownRequested. now says that e is to be carried out.
func (c *controller) turnAway(t *task, err error) (e effects, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != error(ErrShuttingDown):
		reason, _ := err.(Reason)
		return c.refuseLocked(t, reason, true), true
	case c.closed:
		return c.refuseLocked(t, ErrShuttingDown, true), true
	}
	c.orphans = append(c.orphans, t)
	return e, false
}

// withdraw rejects a waiting submission that was stopped through its handle, for cause. It
// reports false for one that waits no more: under this lock it either waits or has the slot.
func (c *controller) withdraw(t *task, cause error) bool {
	c.mu.Lock()
	waits := t.sub.queued
	var e effects
	if waits {
		c.slots.m[t.sub.slot].dequeue(t)
		t.mu.Lock()
		t.extraLocked().why = cause
		t.mu.Unlock()
		e = c.refuseLocked(t, ErrRemoved, true)
	}
	c.mu.Unlock()
	if waits {
		e.carryOut()
	}
	return waits
}

// refuseLocked decides that t, which is in no queue any more, never becomes a task, makes
// that known and announces it: the outcome comes before the event, as for tasks. waited
// says that the registry counts it as waiting. The controller's lock is held; the caller
// carries e out after releasing it.
func (c *controller) refuseLocked(t *task, why Reason, waited bool) (e effects) {
	c.rejected++
	c.sup.order.unlink([]*task{t})
	t.mu.Lock()
	now := c.sup.now()
	t.m.Reject(uint8(why), now)
	x := t.extraLocked()
	x.err = &TaskError{Op: "submit", Task: t.name, Err: because(why, x.why)}
	t.knowLocked()
	t.recordRefusal(now)
	t.clearLocked()
	t.transitionLocked(&e, now, nil, 0)
	t.mu.Unlock()
	c.sup.reg.drop(waited) // last: until here no verdict can be given
	return e
}

// purge refuses all submissions that wait for sl, in their order. The lock is held.
func (c *controller) purge(sl *slot, why Reason) (refused []effects) {
	for sl.head != nil {
		t := sl.head
		sl.dequeue(t)
		refused = append(refused, c.refuseLocked(t, why, true))
	}
	return refused
}

// refuseWaiting rejects everything that waits, because of a shutdown that was just announced,
// in the order of submission. Nothing can come to wait after it: the registry is closed.
func (c *controller) refuseWaiting() {
	c.mu.Lock()
	c.closed = true
	waiting := c.orphans
	c.orphans = nil
	for _, sl := range c.slots.m {
		for sl.head != nil {
			waiting = append(waiting, sl.head)
			sl.dequeue(sl.head)
		}
	}
	refused := make([]effects, 0, len(waiting))
	for _, t := range byID(waiting) {
		refused = append(refused, c.refuseLocked(t, ErrShuttingDown, true))
	}
	c.mu.Unlock()
	carryOutAll(refused)
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
	var refused []effects
	if purge {
		refused = c.purge(sl, ErrRemoved)
	}
	c.mu.Unlock()
	defer carryOutAll(refused) // deferred: stopFor may end this goroutine. It takes the lock, hence after unlocking
	return owner.stopFor(ErrRemoved, nil) || len(refused) > 0
}

// snapshot adds the controller's part. It takes the owners' locks under its own.
func (c *controller) snapshot(sn *Snapshot, on calendar) {
	c.mu.Lock()
	sn.Submitted, sn.Rejected, sn.Joined, sn.FromSlots = c.submitted, c.rejected, c.joined, c.admitted.Load()
	for _, sl := range c.slots.m {
		st := SlotStatus{Key: sl.key, Owner: sl.owner.id, Queued: sl.queued}
		for t := sl.head; t != nil; t = t.sub.next {
			// The head need not be the oldest: Replace takes the head.
			if at := on.wall(t.sub.at); st.Oldest.IsZero() || at.Before(st.Oldest) {
				st.Oldest = at
			}
			if t.sub.admission == Queue {
				break // those behind it came later
			}
		}
		sl.owner.mu.Lock()
		st.State = sl.owner.sub.state
		sl.owner.mu.Unlock()
		sn.Slots = append(sn.Slots, st)
	}
	c.mu.Unlock()
	slices.SortFunc(sn.Slots, func(a, b SlotStatus) int { return cmp.Compare(a.Key, b.Key) })
}
