package taskvisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// submission is what a task knows of its submission. All but state is fixed before
// anybody else sees the task, or under the controller's lock.
type submission struct {
	slot      string
	admission Admission
	at        life.Time     // when it was made
	waited    time.Duration // for the slot
	replaced  TaskID        // the owner that it stopped

	state      SlotState // of the slot, as its owner has announced it; guarded by the task's lock
	queued     bool      // waits in its slot's queue; guarded by the controller's lock
	prev, next *task     // there; likewise
	owns       *slot     // likewise
}

// controller decides who owns which slot. Its lock comes before the registry's, the
// order's and the tasks'. A slot exists while it has an owner.
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

// slotLocked announces that the slot, of which t is the owner, has changed with it.
// t's lock is held.
func (t *task) slotLocked() {
	from := t.sub.state
	if to := t.slotState(); from > SlotIdle && to != from && to != 0 {
		t.sub.state = to
		t.recordSlot(from, to, t.id, 0)
	}
}

// slotState derives the state of the slot from its owner; 0: it is not for t to say.
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

// enqueue puts t at the end of the queue, or in the place of old.
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
	t.sub.queued = false
	sl.queued--
	if sl.coalesced == t {
		sl.coalesced = nil
	}
}

// release takes a slot from the task that has left it and gives it to the first that
// waits, which is to be admitted when the task is gone. Without one the slot is no
// more.
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
	t.sub.state = SlotIdle
	t.mu.Unlock() // whoever called leave delivers
	if next.t != nil {
		next.t.succeed(c.sup.now())
	}
	return next
}

// inherit gives the turn that the owner of a slot had in the queue for permits to the
// task that has replaced it, unless that is paused: its permit would be nobody's.
func (c *controller) inherit(owner, heir *task) {
	heir.mu.Lock()
	defer heir.mu.Unlock()
	if limit := c.sup.limit; limit != nil && heir.sub.replaced == owner.id && !heir.m.Paused() {
		limit.queue.Pass(uint64(owner.id), uint64(heir.id))
	}
}

// giveUpTurn gives up the turn for a permit that t has inherited, if it has; told are the
// ready functions of those that can enter now.
func (t *task) giveUpTurn() (told []func()) {
	if limit := t.sup.limit; limit != nil && t.sub != nil {
		return limit.queue.Leave(uint64(t.id))
	}
	return nil
}

// succeed makes t, which waited, the owner of its slot.
func (t *task) succeed(at life.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m.Register()
	t.sub.state = SlotAdmitting
	t.sub.waited = time.Duration(at - t.sub.at)
}

// successor is the submission that a slot was given to; without a task there is none.
type successor struct{ t *task }

// carryOut registers the submission and lets it begin. If the registry refuses it the
// slot is free at once, for the next; those refused are announced last, when nothing
// depends on what inline subscribers do.
func (n successor) carryOut() {
	if n.t == nil {
		return
	}
	s := n.t.sup
	var refused []effects
	var told []func()
	for n.t != nil {
		err := s.reg.admit(n.t)
		if err == nil {
			s.slots.admitted.Add(1)
			break
		}
		after := s.slots.release(n.t)
		told = append(told, n.t.giveUpTurn()...)
		if e, now := s.slots.turnAway(n.t, err); now {
			refused = append(refused, e)
		}
		n = after
	}
	if n.t != nil {
		refused = append(refused, n.t.announced(true))
	}
	inTurn(len(refused)+len(told), func(i int) {
		if i < len(refused) {
			refused[i].carryOut()
		} else {
			told[i-len(refused)]()
		}
	})
}

func carryOutAll(list []effects) { inTurn(len(list), func(i int) { list[i].carryOut() }) }

// turnAway refuses t, or leaves that to refuseWaiting if the shutdown that is the
// reason has not been announced yet.
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

// withdraw rejects a waiting submission that was stopped through its handle. It
// reports false for one that waits no more.
func (c *controller) withdraw(t *task) bool {
	c.mu.Lock()
	waits := t.sub.queued
	var e effects
	if waits {
		c.slots.m[t.sub.slot].dequeue(t)
		e = c.refuseLocked(t, ErrRemoved, true)
	}
	c.mu.Unlock()
	if waits {
		e.carryOut()
	}
	return waits
}

// refuseLocked decides that t, which is in no queue any more, never becomes a task,
// makes that known and announces it. waited says that it waited for its slot. The
// controller's lock is held.
func (c *controller) refuseLocked(t *task, why Reason, waited bool) (e effects) {
	c.rejected++
	c.sup.order.unlink([]*task{t})
	t.mu.Lock()
	now := c.sup.now()
	t.m.Reject(uint8(why), now)
	t.extraLocked().err = &TaskError{Op: "submit", Task: t.name, Err: why}
	t.knowLocked()
	t.recordRefusal(now)
	t.clearLocked()
	t.transitionLocked(&e, now, nil, 0)
	t.mu.Unlock()
	c.sup.reg.drop(waited) // no verdict came before
	return e
}

// purge refuses all submissions that wait for sl.
func (c *controller) purge(sl *slot, why Reason) (refused []effects) {
	for sl.head != nil {
		t := sl.head
		sl.dequeue(t)
		refused = append(refused, c.refuseLocked(t, why, true))
	}
	return refused
}

// refuseWaiting rejects everything that waits, because of a shutdown, in the order of
// submission.
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
	defer carryOutAll(refused)
	return owner.stopFor(ErrRemoved, nil) || len(refused) > 0
}

// snapshot adds the controller's part.
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
