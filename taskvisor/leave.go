package taskvisor

import "time"

// leave takes a task whose machine is gone out of the supervisor: its name is
// freed, then its slot; its outcome is delivered; TaskRemoved follows, and last
// what waited for its slot. No lock is held, and the user is called only when
// all is done. buf is what was detached from the outbox before.
func (t *task) leave(now time.Time, at instant, a account, buf *outbuf) {
	d := t.depart(now, at, a)
	if buf != nil { // and then depart found the outbox attended
		d.buf = buf
	}
	t.follow(d)
}

// departed is what is left to do when a task is gone.
type departed struct {
	successor *task   // in its slot
	buf       *outbuf // of events to be delivered
}

func (t *task) depart(now time.Time, at instant, a account) (d departed) {
	s := t.sup
	if err := t.essentialEnd(); err != nil {
		s.requestStop(err, err) // first: the end of the last task ends Run
	}
	t.departed.Store(true)
	if t.sub != nil {
		d.successor = s.slots.release(t, now, at)
	}
	d.buf = t.deliver(now, at)
	s.reg.retire(t, a)
	return d
}

func (t *task) follow(d departed) {
	// Deferred: an inline subscriber that hears of the successor may end this
	// goroutine.
	defer t.sup.fan.deliverAfter(&t.mu, &t.out, d.buf)
	t.sup.admit(d.successor)
}

// deliver makes the outcome known, then publishes TaskRemoved.
func (t *task) deliver(now time.Time, at instant) *outbuf {
	var who audience
	t.mu.Lock()
	if !t.known {
		who = t.knowLocked()
		if !t.sup.fan.silent { // who listens must not be ahead of who waits
			t.mu.Unlock()
			who.tell()
			who = audience{}
			t.mu.Lock()
		}
	}
	t.publish(TaskRemoved, now, at)
	if t.alarm != nil && !t.m.phase.running() {
		t.alarm.Stop()
	}
	buf := t.sup.fan.detach(&t.out)
	t.mu.Unlock()
	who.tell()
	return buf
}

// accountLocked is for the registry, when t is leaving.
func (t *task) accountLocked() account {
	return account{t.m.attempt, t.runningLocked(), !t.m.abandoned}
}

// audience is who waits for an outcome.
type audience struct{ waiters *waiter }

// waiter is one Wait that nothing cuts short, or, first in its list, all those who
// have what Done returns. A Wait needs a channel, but not one of its own:
// supervisors keep them.
type waiter struct {
	told chan struct{} // capacity 1: told once for each time that it is queued
	all  bool          // told is closed instead
	next *waiter
}

// knowLocked makes the outcome known. Those who wait for it are told after the
// lock was released.
func (t *task) knowLocked() audience {
	t.known = true
	a := audience{t.waiters}
	t.waiters = nil
	return a
}

func (a audience) tell() {
	for w := a.waiters; w != nil; {
		next := w.next // w is somebody else's once it was told
		if w.all {
			close(w.told)
		} else {
			w.told <- struct{}{}
		}
		w = next
	}
}

// await waits until the outcome is known.
func (t *task) await() {
	s := t.sup
	w, _ := s.waiters.Get().(*waiter)
	if w == nil {
		w = &waiter{told: make(chan struct{}, 1)}
	}
	t.mu.Lock()
	known := t.known
	if !known {
		at := &t.waiters
		if *at != nil && (*at).all {
			at = &(*at).next
		}
		w.next, *at = *at, w
	}
	t.mu.Unlock()
	if !known {
		<-w.told
	}
	w.next = nil
	s.waiters.Put(w)
}

// runningLocked is the number of attempts that were begun and have not ended.
func (t *task) runningLocked() int {
	if t.m.phase == phaseActive || t.m.phase == phaseEnded && t.run != nil && t.run.c.number == t.m.attempt {
		return 1
	}
	return 0
}

// essentialEnd returns why the supervisor must stop, if it lives for this task
// and the task ended on its own.
func (t *task) essentialEnd() error {
	if t.m.policy.set&essential == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m.stop != 0 || t.m.outcome == OutcomeCompleted {
		return nil
	}
	return &TaskError{Op: "run", Task: t.name, Err: t.outErrLocked()}
}

// giveUp abandons a body that outlived the grace of its individual stop.
func (t *task) giveUp() {
	st := t.Status()
	st.Stack = t.sup.stacks.of(t.id, t.sup.clock.at(st.Since), true)
	t.abandon(st.Stack, &GraceExceededError{Grace: t.m.policy.grace, Tasks: []TaskStatus{st}})
}

// abandon makes OutcomeAbandoned known while the body still runs. Name, permit
// and slot stay taken until it returns, unless the task says otherwise. It
// changes nothing if the body came back meanwhile.
func (t *task) abandon(stack string, err error) {
	now, at := t.sup.clock.both() // for the outcome
	t.mu.Lock()
	gone := t.abandonLocked(now, at, stack, err)
	t.mu.Unlock()
	t.abandonRest(now, at, gone)
}

// givenUp is what is left to do about an abandoned task without its lock.
type givenUp struct {
	done    bool // it was abandoned
	who     audience
	held    bool // it gives a permit back
	account account
	buf     *outbuf
}

func (t *task) abandonLocked(now time.Time, at instant, stack string, err error) (g givenUp) {
	if !t.m.abandon(at) {
		return g
	}
	g.done = true
	t.abandonedLocked(now, at, stack, err)
	if t.releasedLocked() {
		g.held, t.permit = t.permit, false
		g.account = t.accountLocked()
	} else {
		g.who = t.knowLocked() // otherwise after the name is free
	}
	g.buf = t.sup.fan.detach(&t.out)
	return g
}

func (t *task) abandonRest(now time.Time, at instant, g givenUp) {
	s := t.sup
	if !g.done {
		return
	}
	if t.m.policy.set&releaseOnAbandon == 0 {
		g.who.tell()
		s.reg.drop()
		s.fan.deliverAfter(&t.mu, &t.out, g.buf)
		return
	}
	if g.held {
		s.grant(s.permits.release())
	}
	s.reg.stray(t)
	if !t.outlives() { // back already
		s.reg.returned(t, 0)
	}
	g.account.alive = true // it keeps Run alive until it leaves
	t.leave(now, at, g.account, g.buf)
}

// releasedLocked reports whether t is removed before its body comes back.
func (t *task) releasedLocked() bool {
	return t.m.abandoned && t.m.policy.set&releaseOnAbandon != 0
}

// abandonedLocked records and announces that the body was given up.
func (t *task) abandonedLocked(now time.Time, at instant, stack string, err error) {
	m := &t.m
	x := t.extraLocked()
	x.stack, x.outErr = stack, err
	x.outcome = &Outcome{Kind: OutcomeAbandoned, Err: err, Reason: m.stop, Attempts: m.attempt,
		Started: t.sup.clock.wall(now).time(m.first), Ended: now, Stack: stack}
	t.send(&Event{Time: now, Kind: TaskAbandoned, Task: t.name, TaskID: t.id, Attempt: m.attempt,
		Outcome: OutcomeAbandoned, Reason: m.stop, Duration: time.Duration(at - m.started), Err: err, Stack: stack})
	if t.sub != nil {
		t.slotMoved(StateAbandoned, now)
	}
}
