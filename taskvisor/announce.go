package taskvisor

import (
	"math/bits"
	"time"
)

// emit publishes the machine's events in a, in their order; e is the attempt's
// end where there is one. t's lock is held.
func (t *task) emit(a actions, now time.Time, at instant, e *ending) {
	first := a&doStarting != 0 && t.sub != nil && t.sub.state == StateAdmitting
	if t.sup.fan.silent {
		if t.seq = t.sup.fan.seq.Add(uint64(bits.OnesCount32(uint32(a & events)))); first {
			t.slotMoved(StateRunning, now)
		}
		return
	}
	if a&doRequested != 0 {
		t.publish(TaskRemoveRequested, now, at, nil)
	}
	if a&doStarting != 0 {
		t.publish(TaskStarting, now, at, nil)
	}
	if first {
		t.slotMoved(StateRunning, now)
	}
	if a&doTimeout != 0 {
		t.publish(TimeoutHit, now, at, nil)
	}
	if a&doTerminal != 0 {
		t.publish(terminalKind(t.m.result), now, at, e)
	}
	if a&doReturned != 0 {
		t.publish(TaskReturned, now, at, nil)
	}
	if a&doExhausted != 0 {
		t.publish(ActorExhausted, now, at, e)
	}
	if a&doDead != 0 {
		t.publish(ActorDead, now, at, e)
	}
	if a&doBackoff != 0 {
		t.publish(BackoffScheduled, now, at, e)
	}
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

// publish builds one event of the task and hands it on. It is not inlined: the
// event would take its 240 bytes on the stack of the goroutine that calls the
// body, for as long as that runs.
//
//go:noinline
func (t *task) publish(kind EventKind, now time.Time, at instant, e *ending) {
	f := &t.sup.fan
	if f.silent {
		t.seq = f.seq.Add(1)
		return
	}
	m := &t.m
	var ev Event
	ev.Time, ev.Kind, ev.Task, ev.TaskID, ev.Attempt = now, kind, t.name, t.id, m.attempt
	switch kind {
	case TaskAdded:
		ev.Attempt = 0
		if x := t.sub; x != nil {
			ev.Slot, ev.Admission, ev.Duration = x.slot, x.admission, x.waited
		}
	case TaskStarting, TimeoutHit:
		ev.Timeout = m.policy.timeout
		if kind == TimeoutHit {
			ev.Duration = time.Duration(at - m.started)
		}
	case TaskStopped, TaskFailed, TaskCanceled:
		ev.Result = m.result
		ev.Duration = time.Duration(at - m.started)
		ev.Err, ev.exit = e.err, e.exit
		if kind == TaskCanceled {
			ev.Reason = t.cancelReason()
		}
	case TaskReturned:
		ev.Duration = time.Duration(at - t.sup.clock.at(t.x.outcome.Ended))
	case BackoffScheduled:
		ev.Delay, ev.Source = m.delay, m.source
		if m.result != ResultSuccess {
			ev.Err = e.err
		}
	case TaskRemoveRequested:
		ev.Reason = m.stop
	case ActorExhausted, ActorDead:
		ev.Outcome, ev.Err = m.outcome, t.outErr
	case TaskRemoved:
		ev.Outcome, ev.Reason, ev.Err = m.outcome, m.stop, t.outErr
		if ev.Outcome == OutcomeCanceled {
			ev.Reason = t.cancelReason()
		}
	}
	t.send(&ev)
}

// send publishes ev as the task's next event.
func (t *task) send(ev *Event) {
	v := t.view
	if t.run != nil && t.run.view != nil {
		v = t.run.view
	}
	t.sup.fan.publish(&t.out, v, ev)
	t.seq = ev.Seq
}

// cancelReason is the claimed stop, or else the body's own wish.
func (t *task) cancelReason() Reason {
	if t.m.stop != 0 {
		return t.m.stop
	}
	return ErrCanceled
}
