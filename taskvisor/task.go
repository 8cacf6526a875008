package taskvisor

import (
	"context"
	"time"
)

// newTask makes a task that nobody knows of yet.
func (s *Supervisor) newTask(ctx context.Context, spec TaskSpec) *task {
	t := &task{sup: s, name: spec.name, fn: spec.fn}
	t.id = newID()
	t.m.policy = s.policyOf(spec.policy)
	t.m.phase = phaseAdded
	t.fresh.t = t
	if ctx != context.Background() && ctx != context.TODO() {
		t.given = &given{Context: context.WithoutCancel(ctx)}
		t.given.view = s.fan.view(t.given)
	}
	return t
}

// given are the values of the context that was given to Add. What it knows of the
// attempt or the callback that called Add does not concern the new task.
type given struct {
	context.Context
	view *views // what subscribers get as context
}

func (c *given) Value(key any) any {
	switch key.(type) {
	case attemptKey, callbackKey, inlineKey:
		return nil
	}
	return c.Context.Value(key)
}

// unlock releases t's lock and delivers what was published under it.
func (t *task) unlock() { t.sup.fan.unlock(&t.mu, &t.out) }

// announce publishes TaskAdded. A stop that came in between takes effect; if
// none did and the task may begin at once, it does.
func (t *task) announce(launch bool) {
	s := t.sup
	gated := s.fan.enter()
	var now time.Time
	var at instant
	t.mu.Lock()
	if !s.fan.silent || t.m.stop != 0 { // who is told nothing can learn when it began: 3 % of a one-shot
		now, at = s.clock.now()
	}
	var a actions
	if t.m.phase == phaseAdded { // or a shutdown whose grace is over has announced it
		a = t.announceLocked(now, at)
	}
	begun := launch && t.m.phase == phaseAnnounced && t.requestLocked()
	acct := t.accountLocked()
	buf := s.fan.detach(&t.out)
	t.mu.Unlock()
	s.fan.exit(gated)
	if begun {
		s.spawn(t)
	}
	if a&doLeave != 0 {
		t.leave(now, at, acct, buf)
		return
	}
	s.fan.deliverAfter(&t.mu, &t.out, buf)
}

func (t *task) announceLocked(now time.Time, at instant) actions {
	t.publish(TaskAdded, now, at)
	a := t.m.announced(at)
	t.emit(a, now, at, nil)
	return a
}

// launch lets a task that was announced begin its first attempt. It reports
// whether the caller is to start its goroutine.
func (t *task) launch() (begun bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.phase == phaseAnnounced && t.requestLocked()
}

// requestLocked asks for a permit. It reports whether the attempt has begun; the
// caller then starts its goroutine.
func (t *task) requestLocked() bool {
	t.m.phase = phasePending
	if !t.sup.permits.acquire(t) {
		t.queued = true
		_, t.m.since = t.sup.clock.now()
		return false
	}
	t.permit = true
	t.m.begin()
	return true
}

// grant gives t, which waited, a permit. If it was stopped meanwhile the permit
// goes to the task that replaces it, or else to the next.
func (s *Supervisor) grant(t *task) {
	for t != nil {
		t.mu.Lock()
		if t.m.phase == phasePending {
			t.ticket = nil
			t.permit = true
			t.m.begin()
			t.mu.Unlock()
			s.spawn(t)
			return
		}
		kept := t.bequeathed()
		t.mu.Unlock()
		if kept {
			return
		}
		t = s.permits.release()
	}
}

// spawn starts the goroutine of an attempt that has begun.
func (s *Supervisor) spawn(t *task) {
	r := s.runner(t)
	// Started by whoever made the attempt due; ends when the task waits or is gone,
	// or by runtime.Goexit, and is then replaced; nobody waits for it: what it did
	// is in the machine before it ends, and a shutdown waits for that.
	go r.entry()
}

// stopFor claims the stop of the task for why.
func (t *task) stopFor(why Reason) bool {
	s := t.sup
	now, at := s.clock.now()
	t.mu.Lock()
	if t.m.phase == phaseQueued {
		t.mu.Unlock()
		return s.slots.withdraw(t)
	}
	a := t.stopLocked(why, now, at)
	if why != ErrShutdown {
		t.armLocked(at)
	}
	var live *liveCtx
	var cause error
	if a&doCancel != 0 {
		live, cause = t.cancelLocked()
	}
	acct := t.accountLocked()
	buf := s.fan.detach(&t.out)
	t.mu.Unlock()
	if live != nil {
		live.end(cause)
	}
	if a&doLeave != 0 {
		t.leave(now, at, acct, buf)
	} else {
		s.fan.deliverAfter(&t.mu, &t.out, buf)
	}
	return a&claimed != 0
}

func (t *task) stopLocked(why Reason, now time.Time, at instant) actions {
	a := t.m.claim(why, at)
	t.emit(a, now, at, nil)
	t.out.release()
	if a&doLeave != 0 {
		if k := t.ticket; k != nil && why != ErrReplaced { // a replaced task's place is its successor's
			t.ticket = nil
			t.sup.permits.withdraw(k)
		}
	}
	if a&claimed != 0 && t.sub != nil && t.m.phase.running() {
		t.slotMoved(StateTerminating, now)
	}
	return a
}

// armLocked sets the timer for the machine's next time. A timer that fires
// earlier than that is left alone: it costs one idle call instead of a reset for
// every attempt.
func (t *task) armLocked(at instant) {
	next := t.m.next()
	if next == 0 || t.alarm != nil && t.alarm.at != 0 && t.alarm.at <= next {
		return
	}
	d := max(time.Duration(next-at), 0)
	if t.alarm == nil {
		t.alarm = &alarm{time.AfterFunc(d, t.tick), next}
		return
	}
	t.alarm.at = next
	t.alarm.Reset(d)
}

// tick is the timer's function.
func (t *task) tick() {
	s := t.sup
	now, at := s.clock.now()
	t.mu.Lock()
	if t.alarm != nil {
		t.alarm.at = 0
	}
	a := t.m.tick(at)
	t.emit(a, now, at, nil)
	begun := a&doAgain != 0 && t.requestLocked()
	t.armLocked(at)
	var live *liveCtx
	var cause error
	if a&doCancel != 0 {
		live, cause = t.cancelLocked()
	}
	attempt := t.m.attempt
	buf := s.fan.detach(&t.out)
	t.mu.Unlock()
	if live != nil {
		live.end(cause)
	}
	if begun {
		s.spawn(t)
	}
	s.fan.deliverAfter(&t.mu, &t.out, buf)
	switch {
	case a&doAbandon != 0:
		t.giveUp()
	case a&doStuck != 0:
		t.reportStuck(attempt, at)
	}
}

// reportStuck publishes TaskStuck, unless the body came back while its stacks
// were being read.
func (t *task) reportStuck(attempt int, since instant) {
	s := t.sup
	stack := s.stacks.of(t.id, since, false)
	now, at := s.clock.now()
	t.mu.Lock()
	m := &t.m
	if m.phase.running() && m.phase != phaseBegun && m.attempt == attempt && !m.stuck && !m.abandoned {
		m.stuck = true
		if stack != "" {
			t.extraLocked().stack = stack
		}
		t.send(&Event{Time: now, Kind: TaskStuck, Task: t.name, TaskID: t.id, Attempt: m.attempt,
			Duration: time.Duration(at - m.started), Reason: m.stop, Stack: stack})
	}
	t.unlock()
}
