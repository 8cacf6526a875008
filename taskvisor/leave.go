package taskvisor

import "time"

// leave takes a task whose machine is gone out of the supervisor: its name is
// freed, then its slot; its outcome is delivered; TaskRemoved follows, and last
// what waited for its slot. No lock is held, and the user is called only when
// all is done.
func (t *task) leave() {
	s := t.sup
	s.reg.free(t)
	successor := s.slots.release(t)
	buf := t.deliver()
	s.reg.retire(t.account())
	s.admit(successor)
	if err := t.essentialEnd(); err != nil {
		s.requestStop(err, err)
	}
	s.fan.deliverAfter(&t.mu, &t.out, buf)
}

// deliver makes the outcome known, then publishes TaskRemoved.
func (t *task) deliver() *outbuf {
	t.mu.Lock()
	if done := t.knowLocked(); done != nil {
		t.mu.Unlock()
		close(done)
		t.mu.Lock()
	}
	now, at := t.sup.clock.now()
	t.publish(TaskRemoved, now, at, nil)
	if t.timer != nil && !t.m.phase.running() {
		t.timer.Stop()
	}
	buf := t.sup.fan.detach(&t.out)
	t.mu.Unlock()
	return buf
}

// knowLocked makes the outcome known and returns the channel to close, if there
// is one that is still open.
func (t *task) knowLocked() chan struct{} {
	if t.known {
		return nil
	}
	t.known = true
	return t.done
}

// account returns what the registry sums up of a removed task.
func (t *task) account() (attempts, running int, alive bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.attempt, t.runningLocked(), !t.m.abandoned
}

// runningLocked is the number of attempts that were begun and have not ended.
func (t *task) runningLocked() int {
	if t.m.phase == phaseActive || t.m.phase == phaseEnded && t.cur != nil && t.cur.number == t.m.attempt {
		return 1
	}
	return 0
}

// essentialEnd returns why the supervisor must stop, if it lives for this task
// and the task ended on its own.
func (t *task) essentialEnd() error {
	if t.spec.policy.set&essential == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m.stop != 0 || t.m.outcome == OutcomeCompleted {
		return nil
	}
	return &TaskError{Op: "run", Task: t.spec.name, Err: t.outErr}
}

// giveUp abandons a body that outlived the grace of its individual stop.
func (t *task) giveUp() {
	st := t.Status()
	st.Stack = t.sup.stacks.of(t.id, t.sup.clock.at(st.Since))
	t.abandon(st.Stack, &GraceExceededError{Grace: t.spec.policy.grace, Tasks: []TaskStatus{st}})
}

// abandon makes OutcomeAbandoned known while the body still runs. Name, permit
// and slot stay taken until it returns, unless the task says otherwise. It
// reports false if the body came back meanwhile.
func (t *task) abandon(stack string, err error) bool {
	s := t.sup
	now, at := s.clock.now()
	t.mu.Lock()
	if !t.m.abandon(at) {
		t.mu.Unlock()
		return false
	}
	t.abandonedLocked(now, at, stack, err)
	held := t.released && t.permit
	if held {
		t.permit = false
	}
	var done chan struct{}
	if !t.released {
		done = t.knowLocked() // otherwise after the name is free
	}
	buf := s.fan.detach(&t.out)
	t.mu.Unlock()
	if done != nil {
		close(done)
	}
	if held {
		s.grant(s.permits.release())
	}
	if t.spec.policy.set&releaseOnAbandon != 0 {
		t.leave()
	}
	s.reg.drop()
	s.fan.deliverAfter(&t.mu, &t.out, buf)
	return true
}

// abandonedLocked records and announces that the body was given up.
func (t *task) abandonedLocked(now time.Time, at instant, stack string, err error) {
	m := &t.m
	t.outErr = err
	t.released = t.spec.policy.set&releaseOnAbandon != 0
	x := t.extraLocked()
	x.stack = stack
	x.outcome = &Outcome{Kind: OutcomeAbandoned, Err: err, Reason: m.stop, Attempts: m.attempt,
		Started: t.sup.clock.wall(now)(m.first), Ended: now, Stack: stack}
	t.send(&Event{Time: now, Kind: TaskAbandoned, Task: t.spec.name, TaskID: t.id, Attempt: m.attempt,
		Outcome: OutcomeAbandoned, Reason: m.stop, Duration: time.Duration(at - m.started), Err: err, Stack: stack})
	if t.sub != nil {
		t.slotMoved(StateAbandoned, now)
	}
}
