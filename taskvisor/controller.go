package taskvisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// submitted is what a task knows of its submission. All but state is fixed
// before anybody else sees the task.
type submitted struct {
	slot      string
	admission Admission
	at        instant       // when it was made
	waited    time.Duration // for the slot
	replaced  TaskID        // the owner that it stopped

	state      State // of the slot, as its owner has announced it; guarded by the task's lock
	bequeathed bool  // its place in the queue for permits was inherited; likewise
	queue      bool  // waits in its slot's queue; guarded by the controller's lock
	prev, next *task // there; likewise
	owns       *slot // likewise
}

// controller decides who owns which slot. Its lock comes before the registry's
// and the tasks'. A slot exists while it has an owner.
type controller struct {
	sup      *Supervisor
	maxQueue int

	mu    sync.Mutex // guards the fields below
	slots table[*slot]

	closed  bool    // refuseWaiting was called: the shutdown has been announced
	orphans []*task // given a slot, but refused by the shutdown before that was announced

	submitted, rejected, joined uint64

	admitted atomic.Uint64 // registered
}

// slot is a key with an owner and the submissions that wait for it. Its phase is
// the owner's to say.
type slot struct {
	key        string
	owner      *task
	head, tail *task // waiting, linked by prev and next
	queued     int
	coalesced  *task // the waiting Coalesce submission, if there is one
}

// occupancy is the phase of a slot as admission sees it: that of its owner.
type occupancy uint8

const (
	slotIdle        occupancy = iota
	slotOwned                 // admitting or running: its owner can be stopped or joined
	slotTerminating           // its owner was stopped
	slotAbandoned             // its owner outlived its grace
)

// admissionInput is all that a verdict depends on.
type admissionInput struct {
	slot      occupancy // of a slot with an owner at least slotOwned; exact where asksPhase
	policy    Admission
	queued    int // submissions that wait
	limit     int
	coalesced bool // one of them is a Coalesce submission
}

// ruling is what becomes of a submission and of others because of it.
type ruling struct {
	verdict   Verdict
	reason    Reason // of a rejection
	stopOwner bool
	atHead    bool // takes the head of the queue, displacing who is there
	displace  bool // takes the place of the waiting Coalesce submission
}

// asksPhase reports whether it matters to the policy what the owner is about.
func (a Admission) asksPhase() bool { return a == Replace || a == Join }

// rule is the table of admission.
func rule(in admissionInput) ruling {
	if in.slot == slotIdle {
		return ruling{verdict: VerdictStarted}
	}
	switch in.policy {
	case Replace:
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
			return ruling{verdict: VerdictQueued, displace: true}
		}
	}
	if in.queued >= in.limit {
		return ruling{verdict: VerdictRejected, reason: ErrQueueFull}
	}
	return ruling{verdict: VerdictQueued}
}

// occupied derives a slot's phase from its owner.
func (sl *slot) occupied() occupancy {
	t := sl.owner
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.m.abandoned:
		return slotAbandoned
	case t.m.stop != 0:
		return slotTerminating
	default:
		return slotOwned
	}
}

// enqueue puts t at the end of the queue, or in the place of old.
func (sl *slot) enqueue(t, old *task) {
	t.sub.queue = true
	sl.queued++
	if old != nil {
		t.sub.prev, t.sub.next = old.sub.prev, old.sub.next
		old.sub.prev, old.sub.next = nil, nil
		old.sub.queue = false
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
	} else if sl.coalesced == old {
		sl.coalesced = nil
	}
}

// dequeue takes t out of the queue.
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
	t.sub.queue = false
	sl.queued--
	if sl.coalesced == t {
		sl.coalesced = nil
	}
}

// release takes a slot from the task that has left it and gives it to the first
// that waits, which is returned for admit. Without one the slot is no more. It
// runs near the end of a small stack: what needs room is called, not inlined.
func (c *controller) release(t *task, now time.Time, at instant) (successor *task) {
	c.mu.Lock()
	sl := t.sub.owns
	t.sub.owns = nil
	next := sl.head
	if next == nil {
		c.slots.delete(sl.key)
	} else {
		sl.dequeue(next)
		sl.owner = next
		next.sub.owns = sl
	}
	t.mu.Lock()
	place, unused := t.bequeath(next)
	if next == nil {
		t.announceSlot(t.sub.state, StateIdle, 0, 0, now)
	} else {
		t.announceSlot(t.sub.state, StateAdmitting, next.id, sl.queued, now)
	}
	t.sub.state = StateIdle
	t.mu.Unlock() // who called leave delivers
	if next != nil {
		next.succeed(at, place)
	}
	c.mu.Unlock()
	if unused {
		c.sup.grant(c.sup.permits.release())
	}
	return next
}

// bequeath returns the place in the queue for permits that t leaves to the
// successor, if that has replaced it. A place that nobody inherits is given up,
// and unused says that a permit came with it. t's lock is held.
func (t *task) bequeath(successor *task) (place *ticket, unused bool) {
	k := t.ticket
	if k == nil {
		return nil, false
	}
	t.ticket = nil
	if successor == nil || successor.sub.replaced != t.id {
		return nil, t.sup.permits.withdraw(k)
	}
	t.sub.bequeathed = true
	t.sup.permits.reserve(k)
	return k, false
}

// succeed makes t, which waited, the owner of its slot.
func (t *task) succeed(at instant, place *ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m.phase = phaseAdded
	t.sub.state = StateAdmitting
	t.sub.waited = time.Duration(at - t.sub.at)
	t.ticket = place
}

// slotMoved announces that t's slot changed with t. t's lock is held.
func (t *task) slotMoved(to State, now time.Time) {
	from := t.sub.state
	t.sub.state = to
	t.announceSlot(from, to, t.id, 0, now)
}

// withdraw rejects a waiting submission that was stopped through its handle. One
// that waits no more is stopped as the task that it has become.
func (c *controller) withdraw(t *task) bool {
	c.mu.Lock()
	waits := t.sub.queue
	if waits {
		c.slots.m[t.sub.slot].dequeue(t)
		c.refuse(t, ErrRemoved)
	}
	c.mu.Unlock()
	if waits {
		t.refused()
		return true
	}
	return t.stopFor(ErrRemoved)
}

// refuse decides that t, which is in no queue any more, never becomes a task.
// The controller's lock is held; refused follows.
func (c *controller) refuse(t *task, why Reason) {
	_, at := c.sup.clock.now()
	c.rejected++
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m.stop = why
	t.m.end(OutcomeRejected, at)
	t.extraLocked().outErr = &TaskError{Op: "submit", Task: t.name, Err: why}
}

// refused makes the rejection of a submission that waited known and announces it.
func (t *task) refused() {
	buf := t.rejected()
	t.sup.fan.deliverAfter(&t.mu, &t.out, buf)
}

// rejected is refused without the delivery: the caller owes a deliverAfter. The
// submission counted as live until here, so that no verdict came before.
func (t *task) rejected() *outbuf {
	now, at := t.sup.clock.now()
	t.mu.Lock()
	who := t.knowLocked()
	t.mu.Unlock()
	who.tell()
	t.mu.Lock()
	t.announceRefusal(now, at)
	buf := t.sup.fan.detach(&t.out)
	t.mu.Unlock()
	t.sup.reg.drop() // before the user is called, who may end this goroutine
	return buf
}

// purge refuses all submissions that wait for sl.
func (c *controller) purge(sl *slot, why Reason) (waiting []*task) {
	for sl.head != nil {
		t := sl.head
		sl.dequeue(t)
		c.refuse(t, why)
		waiting = append(waiting, t)
	}
	return waiting
}

// refuseWaiting rejects everything that waits, because of a shutdown, in the
// order of submission.
func (c *controller) refuseWaiting() {
	c.mu.Lock()
	c.closed = true
	waiting := c.orphans
	c.orphans = nil
	for _, t := range waiting {
		c.refuse(t, ErrShuttingDown)
	}
	for _, sl := range c.slots.m {
		waiting = append(waiting, c.purge(sl, ErrShuttingDown)...)
	}
	c.mu.Unlock()
	slices.SortFunc(waiting, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	c.sup.announceRefused(waiting)
}

// announceRefused announces what purge has refused, all of it: an inline
// subscriber that ends this goroutine loses the caller only.
func (s *Supervisor) announceRefused(waiting []*task) {
	defer func() {
		if len(waiting) > 0 {
			s.announceRefused(waiting)
		}
	}()
	for len(waiting) > 0 {
		t := waiting[0]
		waiting = waiting[1:]
		s.fan.stepAside()
		t.refused()
	}
}

// snapshot adds the controller's part.
func (c *controller) snapshot(sn *Snapshot, w wall) {
	c.mu.Lock()
	sn.Submitted, sn.Rejected, sn.Joined, sn.FromSlots = c.submitted, c.rejected, c.joined, c.admitted.Load()
	for _, sl := range c.slots.m {
		st := SlotStatus{Key: sl.key, Owner: sl.owner.id, Queued: sl.queued}
		for t := sl.head; t != nil; t = t.sub.next {
			// The head need not be the oldest: Replace takes the head.
			if at := w.time(t.sub.at); st.Oldest.IsZero() || at.Before(st.Oldest) {
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
