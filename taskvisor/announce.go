package taskvisor

import (
	"math/bits"
	"time"
)

// emit publishes the machine's events in a, in their order; e is the attempt's
// end where there is one. t's lock is held.
func (t *task) emit(a actions, now time.Time, at instant, e *ending) {
	first := a&doStarting != 0 && t.sub != nil && t.sub.state == StateAdmitting
	f := &t.sup.fan
	if f.silent {
		if n := bits.OnesCount32(uint32(a & events)); n > 0 {
			t.seq = f.seq.Add(uint64(n))
		}
		if first {
			t.slotMoved(StateRunning, now)
		}
		return
	}
	if a&events == 0 {
		return
	}
	f.ring.mu.Lock()
	if a&doRequested != 0 {
		t.record(TaskRemoveRequested, now, at, nil)
	}
	if a&doStarting != 0 {
		t.record(TaskStarting, now, at, nil)
	}
	if first {
		t.sub.state = StateRunning
		t.recordSlot(StateAdmitting, StateRunning, t.id, 0, now)
	}
	if a&doTimeout != 0 {
		t.record(TimeoutHit, now, at, nil)
	}
	if a&doTerminal != 0 {
		t.record(terminalKind(t.m.result), now, at, e)
	}
	if a&doReturned != 0 {
		t.record(TaskReturned, now, at, nil)
	}
	if a&doExhausted != 0 {
		t.record(ActorExhausted, now, at, e)
	}
	if a&doDead != 0 {
		t.record(ActorDead, now, at, e)
	}
	if a&doBackoff != 0 {
		t.record(BackoffScheduled, now, at, e)
	}
	f.ring.mu.Unlock()
}

func terminalKind(r ResultKind) EventKind {
	switch r {
	case ResultSuccess:
		return TaskStopped
	case ResultCanceled:
		return TaskCanceled
	default:
		return TaskFailed
	}
}

// open takes the ring's lock for one event that is no action of the machine. It
// reports false where nobody listens, and the event is only counted.
func (t *task) open() bool {
	f := &t.sup.fan
	if f.silent {
		t.seq = f.seq.Add(1)
		return false
	}
	f.ring.mu.Lock()
	return true
}

func (t *task) close() { t.sup.fan.ring.mu.Unlock() }

// publish announces TaskAdded or TaskRemoved.
func (t *task) publish(kind EventKind, now time.Time, at instant) {
	if t.open() {
		t.record(kind, now, at, nil)
		t.close()
	}
}

// record writes one event of the task into the ring, whose lock is held.
func (t *task) record(kind EventKind, now time.Time, at instant, e *ending) {
	r := t.place(kind, now)
	if r == nil {
		return
	}
	m := &t.m
	r.Attempt = m.attempt
	switch kind {
	case TaskAdded:
		r.Attempt = 0
		if x := t.sub; x != nil {
			r.Slot, r.Admission, r.Duration = x.slot, x.admission, x.waited
		}
	case TaskStarting:
		r.Timeout = m.policy.timeout
	case TimeoutHit:
		r.Timeout = m.policy.timeout
		r.Duration = time.Duration(at - m.started)
	case TaskStopped, TaskFailed, TaskCanceled:
		r.Result = m.result
		r.Duration = time.Duration(at - m.started)
		r.Err, r.exit = e.err, e.exit()
		if kind == TaskCanceled {
			r.Reason = t.cancelReason()
		}
	case TaskReturned:
		r.Duration = time.Duration(at - t.sup.clock.at(t.x.outcome.Ended))
	case BackoffScheduled:
		r.Delay, r.Source = m.delay, m.source
		if m.result != ResultSuccess {
			r.Err = e.err
		}
	case TaskRemoveRequested:
		r.Reason = m.stop
	case ActorExhausted, ActorDead:
		r.Outcome, r.Err = m.outcome, t.outErrLocked()
	case TaskRemoved:
		r.Outcome, r.Reason, r.Err = m.outcome, m.stop, t.outErrLocked()
		if r.Outcome == OutcomeCanceled {
			r.Reason = t.cancelReason()
		}
	}
	t.keep(r)
}

// place is where the next event of the task goes; nil after the verdict. It is
// built there: a copy less.
func (t *task) place(kind EventKind, now time.Time) *entry {
	r := t.sup.fan.ring.next(kind)
	if r == nil {
		return nil
	}
	r.view = nil
	if t.given != nil {
		r.view = t.given.view
	}
	if t.run != nil && t.run.brackets != nil && t.run.brackets.view != nil {
		r.view = t.run.brackets.view
	}
	t.seq = r.Seq
	r.Time, r.Task, r.TaskID = now, t.name, t.id
	return r
}

// send announces an event that was built elsewhere.
func (t *task) send(e *Event) {
	if t.open() {
		if r := t.place(e.Kind, e.Time); r != nil {
			e.Seq = r.Seq
			r.Event = *e
			t.keep(r)
		}
		t.close()
	}
}

// announceSlot announces that the slot of which t is, or was, the owner changed.
func (t *task) announceSlot(from, to State, owner TaskID, queued int, now time.Time) {
	if t.open() {
		t.recordSlot(from, to, owner, queued, now)
		t.close()
	}
}

func (t *task) recordSlot(from, to State, owner TaskID, queued int, now time.Time) {
	if r := t.place(ControllerSlotTransition, now); r != nil {
		r.Task, r.TaskID = "", 0 // it is about the slot
		r.Slot, r.From, r.To, r.Owner, r.Queued = t.sub.slot, from, to, owner, queued
		t.keep(r)
	}
}

// announceSubmission announces the submission sub as an event of the task t,
// which is sub or the owner that it joined.
func (t *task) announceSubmission(sub *task, v Verdict, owner TaskID, queued int, now time.Time) {
	if t.open() {
		if r := t.place(ControllerSubmitted, now); r != nil {
			r.Slot, r.Admission = sub.sub.slot, sub.sub.admission
			r.Verdict, r.Owner, r.Queued = v, owner, queued
			t.keep(r)
		}
		t.close()
	}
}

// announceRefusal announces that the submission t was rejected.
func (t *task) announceRefusal(now time.Time, at instant) {
	if t.open() {
		if r := t.place(ControllerRejected, now); r != nil {
			r.Slot, r.Admission, r.Reason, r.Err = t.sub.slot, t.sub.admission, t.m.stop, t.outErrLocked()
			r.Duration = time.Duration(at - t.sub.at)
			t.keep(r)
		}
		t.close()
	}
}

// keep has a finished event delivered to inline subscribers too.
func (t *task) keep(r *entry) { t.sup.fan.box(&t.out, r) }

// cancelReason is the claimed stop, or else the body's own wish.
func (t *task) cancelReason() Reason {
	if t.m.stop != 0 {
		return t.m.stop
	}
	return ErrCanceled
}
