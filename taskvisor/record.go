package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// entry is one published event with the context that its readers get. It is what the bus
// and the outboxes carry, by value.
type entry struct {
	view *views // nil: no values
	Event
}

// What the bus must know of an entry. It asks while it is locked.

func (e *entry) Number() uint64 { return e.Seq }
func (e *entry) Label() uint8   { return uint8(e.Kind) }
func (e *entry) Terminal() bool { return e.Kind.Terminal() }

// eventOrder lists the events that a transition may have, in the order in which they
// are published, which is that of the effects' bits. EventStuck is missing: only Abandon
// has it, and abandonLocked publishes it, with stacks, before TaskAbandoned.
var eventOrder = [...]struct {
	effect life.Effects
	kind   EventKind // 0: the kind depends on the result
}{
	{life.EventAdded, TaskAdded},
	{life.EventRequested, TaskRemoveRequested},
	{life.EventTriggered, TaskTriggered},
	{life.EventInterrupted, TaskInterrupted},
	{life.EventPaused, TaskPaused},
	{life.EventResumed, TaskResumed},
	{life.EventReady, TaskReady},
	{life.EventStarting, TaskStarting},
	{life.EventTimeout, TimeoutHit},
	{life.EventEnded, 0},
	{life.EventRecovered, TaskRecovered},
	{life.EventReturned, TaskReturned},
	{life.EventReleased, BodyReturned},
	{life.EventExhausted, ActorExhausted},
	{life.EventDead, ActorDead},
	{life.EventBackoff, BackoffScheduled},
}

// recordAll publishes the events among e, and that the task's slot has changed with
// it. The task's lock is held. The machine has made the transition already, but t.run is
// still the attempt that has ended, if one has: that is where its error and times stand.
func (t *task) recordAll(e life.Effects, at life.Time, why error) {
	if e&life.Events != 0 {
		unheard := uint64(0)
		for i := range eventOrder { // by index: a copy would cost stack under every body
			o := &eventOrder[i]
			if e&o.effect == 0 {
				continue
			}
			kind := o.kind
			if kind == 0 {
				kind = terminalKind(t.m.Result()) // which the next attempt, if it was let in, leaves as it is
			}
			if !t.heard(kind) {
				unheard++
				continue
			}
			t.record(kind, at, why)
		}
		// Last, together: an event that nobody wants may thus get a higher number than one that
		// follows it. Only the reporter wants some events and not others, and it shows none.
		t.count(unheard)
	}
	if t.sub != nil {
		t.slotLocked()
	}
}

// terminalKind is the event that tells of the end of an attempt with the result r.
func terminalKind(r life.Result) EventKind {
	switch r {
	case life.Success:
		return TaskStopped
	case life.Canceled:
		return TaskCanceled
	default:
		return TaskFailed
	}
}

// record publishes one event of the task, whose lock is held. at is the time of the
// transition, why the caller's cause where the kind has one.
func (t *task) record(kind EventKind, at life.Time, why error) {
	if kind == ActorExhausted || kind == ActorDead || kind == TaskRemoved {
		why = t.outErrLocked() // now: it may ask the shutdown, whose lock is taken before the bus's
	}
	if en := t.open(kind); en != nil {
		t.fill(&en.Event, at, why)
		t.close(en)
	}
}

// open begins an event of the task, whose lock is held, in its place on the bus; it
// returns nil, and counts the event, where nobody wants it. Until close the bus is
// locked, so only fields are set. The event is made there, and not in a frame of ours,
// since it is so large that a body's goroutine would have to grow its stack for it: 2
// of the 4 KB of an idle task, a third of a restart's time.
func (t *task) open(kind EventKind) *entry {
	f := &t.sup.fan
	if !t.heard(kind) {
		t.count(1)
		return nil
	}
	now := time.Now() // before the bus is locked, which all tasks wait for
	en, n := f.bus.Next(false)
	if en == nil { // the verdict has been given, and is the last event
		return nil
	}
	*en = entry{} // the place may hold an old event
	t.seq = n
	en.view = t.viewLocked()
	en.Seq, en.Time, en.Kind, en.Supervisor = n, now, kind, t.sup.cfg.name
	en.Task, en.TaskKind, en.TaskID, en.Attempt, en.task = t.name, t.pol.kind, t.id, t.m.Attempt(), t
	return en
}

// heard reports whether anybody wants an event of that kind. The task's lock is held.
func (t *task) heard(kind EventKind) bool {
	f := &t.sup.fan
	return f.wants(kind) && !(f.reports && t.routine(kind))
}

// count numbers n events that nobody wants.
func (t *task) count(n uint64) {
	if n == 0 {
		return
	}
	if last := t.sup.fan.bus.Count(n, false); last != 0 { // 0: the verdict has been given
		t.seq = last
	}
}

// close makes an event that open began available to subscribers, and unlocks the bus. It
// follows each open that did not return nil.
func (t *task) close(en *entry) { t.sup.fan.close(en, t.out) }

// fill adds what the kind of e is about. The task's lock is held and the bus is locked: it
// copies fields and calls nobody, also no method of an error.
func (t *task) fill(e *Event, at life.Time, why error) {
	m := &t.m
	switch e.Kind {
	case TaskAdded:
		if x := t.sub; x != nil {
			e.Slot, e.Admission, e.Duration = x.slot, x.admission, x.waited
		}
	case TaskStarting:
		e.Timeout, e.Duration = t.pol.Timeout, t.run.waited
	case TaskReady, TaskRecovered:
		e.Duration = time.Duration(at - m.Started())
	case TimeoutHit:
		e.Timeout, e.Duration = t.limitLocked(), time.Duration(at-m.Started())
	case TaskStopped, TaskFailed, TaskCanceled, BodyReturned:
		t.fillEnd(e)
	case TaskReturned:
		e.Duration = time.Duration(at - t.x.since)
	case BackoffScheduled: // t.run is the attempt that ended, also where the next was let in
		e.Delay, e.Source, e.Err = m.Delay(), BackoffSource(m.Source()), t.run.end.err
	case TaskInterrupted:
		e.Err = why
		e.Attempt = 0 // it ended a delay: the attempt before is over
		if t.run != nil {
			e.Attempt = m.Number()
		}
	case TaskTriggered, TaskPaused, TaskResumed:
		e.Err = why
	case TaskRemoveRequested: // perhaps of a stop that came before TaskAdded
		if e.Reason = Reason(m.StoppedFor()); t.x != nil {
			e.Err = t.x.why
		}
	case ActorExhausted, ActorDead:
		e.Outcome, e.Err = OutcomeKind(m.Outcome()), why
	case TaskRemoved:
		e.Outcome, e.Reason, e.Err = OutcomeKind(m.Outcome()), t.outReasonLocked(), why
	}
}

// limitLocked is what an attempt that timed out has exceeded: the timeout, or the longest
// silence.
func (t *task) limitLocked() time.Duration {
	if t.m.Silent() {
		return t.pol.Idle
	}
	return t.pol.Timeout
}

// fillEnd is about how an attempt ended: t.run, which resultLocked has completed.
func (t *task) fillEnd(e *Event) {
	end := &t.run.end
	e.Result = ResultKind(t.m.Result())
	e.Duration, e.Err, e.exit = end.duration, end.err, end.code
	if end.stack != nil {
		e.Stack = *end.stack
	}
	if e.Result == ResultCanceled {
		e.Reason = t.cancelReasonLocked()
		if end.stirred && t.m.StoppedFor() == 0 { // the machine may be at the next attempt, which was not interrupted
			e.Reason = ErrInterrupted
		}
	}
}

// cancelReasonLocked is why the attempt, or the task, was canceled: the claimed stop, or an
// interruption, or else the body's own wish. It asks the machine, so it is right only
// until the next attempt is let in.
func (t *task) cancelReasonLocked() Reason {
	switch {
	case t.m.StoppedFor() != 0:
		return Reason(t.m.StoppedFor())
	case t.m.Interrupted():
		return ErrInterrupted
	default:
		return ErrCanceled
	}
}

// viewLocked is the context of an event of the task: that of the attempt that runs, with
// what brackets have added, or else that of the values given to Add; nil if there are none.
func (t *task) viewLocked() *views {
	if t.run != nil && t.run.brackets != nil && t.run.brackets.view != nil {
		return t.run.brackets.view
	}
	if v := t.values.Load(); v != nil {
		return v.view
	}
	return nil
}

// recordGated announces what the next attempt waits for. The task's lock is held, here and
// in what follows.
func (t *task) recordGated(gate string) {
	if e := t.open(TaskGated); e != nil {
		e.Attempt++ // it has not begun, so it is not counted
		e.Gate = gate
		t.close(e)
	}
}

// recordStuck announces a body that does not end. Without a stop or an interruption there
// is no reason: it is past its deadline.
func (t *task) recordStuck(now life.Time, stack string) {
	if e := t.open(TaskStuck); e != nil {
		e.Duration = t.ranLocked(now)
		e.Reason = Reason(t.m.StoppedFor())
		if e.Reason == 0 && t.m.Interrupted() {
			e.Reason = ErrInterrupted
		}
		e.Stack = stack
		t.close(e)
	}
}

// recordAbandoned announces that the body was given up.
func (t *task) recordAbandoned(now life.Time, o *Outcome) {
	if e := t.open(TaskAbandoned); e != nil {
		e.Outcome, e.Reason, e.Err, e.Stack = OutcomeAbandoned, o.Reason, o.Err, o.Stack
		e.Duration = t.ranLocked(now)
		t.close(e)
	}
}

// ranLocked is for how long the attempt has been running; 0 if it was not announced, or
// if there is none.
func (t *task) ranLocked(now life.Time) time.Duration {
	if t.run == nil || t.run.start == 0 {
		return 0
	}
	return time.Duration(now - t.run.start)
}
