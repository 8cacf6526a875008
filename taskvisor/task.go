package taskvisor

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// Handle refers to one task: what Add, AddAll or Submit returned. It tells the task's
// identity, state and end, and steers it. A submission that still waits for its slot has
// one too: it can be stopped and waited for, and RunNow, Interrupt and Pause report false
// until it owns the slot. A Handle is safe for concurrent use and stays valid after the
// task is gone.
//
// What steers takes a cause, which may be nil and stands on the event, and reports
// whether it changed anything: among several callers that ask for the same thing at the
// same time it is true for one.
//
//	           while an attempt runs             in a delay, or paused            event
//	RunNow     one more follows it at once,      the delay ends; gates and a      TaskTriggered
//	           however many ask                  pause hold
//	Interrupt  it is canceled, and counts in no  the delay ends, as by RunNow     TaskInterrupted
//	           streak; the next begins at once
//	Pause      it runs on; no other begins       state paused; the delay passes   TaskPaused
//	Resume     others may begin again            goes on where it is due          TaskResumed
//	StopFor    it is canceled, none follows      the task ends                    TaskRemoveRequested
//
// At a gate, RunNow and Interrupt report false; Pause and Resume leave the gates and enter
// them again. An attempt that is interrupted before its body was called counts as none. [Handle.Stop] is StopFor without a cause, and [Handle.Cancel] waits for the
// end as well. Once a stop was claimed, and after the end, every call of the table reports
// false.
type Handle struct{ task }

// task is all that the package knows of one task. Its state changes in transitions
// only: see do.
type task struct {
	// Fixed before anybody else sees the task.
	sup   *Supervisor
	h     *Handle // that embeds this task: h.task is *t
	id    TaskID
	name  string
	pol   *policy     // in force; shared with tasks of equal policies, so never written
	sub   *submission // nil unless it was submitted to a slot
	from  uintptr     // program counter of the call that registered it
	place int32       // position among the specs given to Run, from 1; 0: it is none of them. Run's errors come in this order

	ordered atomic.Bool             // it depends on another task, or one on it; set by ordering.link, never unset
	values  atomic.Pointer[values]  // of the context given to Add; nil: none, or the task is gone
	locals  atomic.Pointer[[]Local] // what subscribers keep about it, one for each; made when one asks

	mu      sync.Mutex // guards the fields below
	m       life.Machine
	fn      Func            // the body; nil when the task is gone. An attempt calls it without the lock: see clearLocked
	run     *attempt        // the current one, from LetIn until it has settled; nil: no goroutine exists
	label   context.Context // the values given to Add, with the task's pprof labels; nil: not made yet, or dropped for a long wait
	out     *outbox         // events on their way to inline subscribers; nil: there are none
	seq     uint64          // number of its last event
	done    chan struct{}   // closed when the outcome is known; nil: nobody has asked for it
	timer   *time.Timer     // for the machine's next time; nil: none was needed yet
	fires   life.Time       // when timer fires, perhaps earlier than is needed; 0: it does not
	added   life.Time       // when the task was made
	doors   *doors          // nil: there are no gates
	known   bool            // the outcome is known: Done is closed, Outcome answers
	blamed  bool            // lastErr is the outcome's error
	removed bool            // TaskRemoved was published
	batch   bool            // it came with others, not all of which have been announced
	lastErr error           // of the last attempt that did not succeed; a later success keeps it
	text    string          // of lastErr, made once, where the user's Error may be called
	x       *extra          // nil for most tasks: see extraLocked
}

// extra is what few tasks have: apart, it costs the others one pointer. It is guarded
// by the task's lock.
type extra struct {
	value    any           // returned by a Returning body
	stack    string        // of a stuck or abandoned body
	code     exitCode      // of the last attempt
	err      error         // of the outcome, where it is neither an attempt's nor the stop's: refused, failed dependency, grace exceeded
	outcome  *Outcome      // of an abandoned task, as it was known then; others derive theirs from the machine
	since    life.Time     // when it was abandoned
	ran      int           // 1: an attempt had been announced when it was abandoned; else 0
	why      error         // the cause given with the stop; nil: none
	note     string        // the last note given to Beat in the current attempt
	noted    time.Time     // when that was
	next     time.Time     // the start that a scheduled task waits for, by the wall clock; zero: it waits for none
	returned chan struct{} // closed when the body is back for good; nil: nobody waits, or it was closed
	parted   chan struct{} // closed when TaskRemoved is published; nil: nobody waits, see awaitRemoved
	back     bool          // the abandoned body has returned
}

func (t *task) extraLocked() *extra {
	if t.x == nil {
		t.x = &extra{}
	}
	return t.x
}

// safeTask is newTask; a panic of ctx's methods, or of a schedule, becomes an error.
func (s *Supervisor) safeTask(ctx context.Context, op string, spec TaskSpec, from uintptr, phase life.Phase) (t *task, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &TaskError{Op: op, Task: spec.name, Err: newPanicError(v)}
		}
	}()
	t = s.newTask(ctx, spec, from, phase)
	err = t.pol.err // of its options together with the defaults
	if err == nil && t.pol.Scheduled && t.x.next.IsZero() {
		err = errors.New("its schedule has no start")
	}
	if err != nil {
		return nil, &TaskError{Op: op, Task: spec.name, Err: err}
	}
	return t, nil
}

// newTask makes a task that nobody else knows of yet, hence without locks. ctx may be of
// the user's own type: what is wanted of it beside Value is asked here, and never again.
func (s *Supervisor) newTask(ctx context.Context, spec TaskSpec, from uintptr, phase life.Phase) *task {
	h := &Handle{task{sup: s, name: spec.name, fn: spec.fn, from: from}}
	t := &h.task
	t.h = h
	t.id = TaskID(lastID.Add(1))
	t.pol = s.policyOf(spec.policy)
	if t.pol.passes != nil {
		t.doors = &doors{}
	}
	if len(s.fan.inline) > 0 {
		t.out = &outbox{}
	}
	t.m = life.New(&t.pol.Policy, phase, t.doors != nil, t.pol.set&startPaused != 0)
	if v := valuesOf(ctx); v != nil {
		v.view = s.fan.view(v)
		t.values.Store(v)
		t.label = t.labelled() // now: it asks the user's context
	}
	t.added = s.now()
	if next := t.schedule(); next != nil {
		t.extraLocked().next = next(time.Now().Round(0))
	}
	return t
}

// longWait is the delay beyond which a task drops its pprof labels, a fifth of the memory
// that it takes while it waits. To make them again takes half a microsecond.
const longWait = 10 * time.Millisecond

// effects is what a transition leaves to be done when the task's lock has been released,
// because it may block, take other locks or call the user's code. See carryOut.
type effects struct {
	life.Effects
	t      *task
	begun  *attempt  // with Run: to be spawned; with Stuck: whose body hangs
	std    *stdCtx   // with Cancel: to be cancelled; nil: nobody has looked at the context
	cause  error     // why, with std
	doors  int       // with Quit: how many gates this goroutine is to leave; 0: none, or the goroutine that walks does
	waits  bool      // with doors: the last of them was asked and has not let the task in
	walks  bool      // this transition has set doors.walking: carry must end in walk, which unsets it
	apart  bool      // this goroutine is another task's: the gates, which may hang, are walked on one of their own
	next   []effects // of what waited for the task's slot
	turned bool      // tasks that depend on this one are to look again
	buf    *outbuf   // events for inline subscribers; nil: none, or another goroutine delivers them
	step   int       // the last one of carry that has been begun
}

// do changes the task: step makes the transition, under the task's lock, at the time
// that it is given, and the rest follows from what it returns. why is the caller's
// cause, for the events. The caller holds no lock: carryOut may call the user's code.
func (t *task) do(why error, step func(now life.Time) life.Effects) life.Effects {
	return t.carryFor(&effects{}, why, step)
}

// carryFor is do with an e that says something already.
func (t *task) carryFor(e *effects, why error, step func(now life.Time) life.Effects) life.Effects {
	t.transition(e, why, step)
	e.carryOut()
	return e.Effects
}

// transition is the part of do under the task's lock. A caller that holds another lock
// carries e out after releasing it. An attempt's stack is small: e is filled in place.
func (t *task) transition(e *effects, why error, step func(now life.Time) life.Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.sup.now()
	t.transitionLocked(e, now, why, step(now))
}

// transitionLocked publishes what has just changed, and collects in e what is to follow.
// Events come before run is replaced: they tell of the attempt that has ended.
func (t *task) transitionLocked(e *effects, now life.Time, why error, changed life.Effects) {
	e.t, e.Effects = t, changed
	if changed&life.Cancel != 0 && t.run != nil {
		e.std, e.cause = t.run.cancelLocked(t.causeLocked())
	}
	t.recordAll(changed, now, why)
	if changed&life.Quit != 0 && t.doors != nil {
		e.waits = t.doors.asked // before leaveDoorsLocked resets it
		e.doors = t.leaveDoorsLocked()
		e.walks = e.doors > 0
	}
	switch {
	case changed&life.Run != 0:
		t.run = t.newAttempt()
		e.begun = t.run
	case changed&life.Stuck != 0:
		e.begun = t.run
	case t.run != nil && !t.m.Running():
		t.run = nil
		if t.m.Phase() == life.Delayed && t.m.Wake() > now.After(longWait) && t.values.Load() == nil {
			t.label = nil
		}
	}
	t.armLocked(now)
	if t.m.StoppedFor() != 0 {
		t.out.roomLocked() // a stop waits for no subscriber: see awaitRoom
	}
	if t.ordered.Load() {
		told := changed&life.Cancel != 0 && t.m.StoppedFor() != 0 // to end: it is ready no more
		e.turned = told || changed&(life.EventReady|life.EventStarting|life.EventEnded|life.Leave) != 0
	}
	e.buf = t.out.detachLocked()
}

// carryOut does what a transition has left. No lock is held. Gates and inline subscribers
// are the user's: one that calls runtime.Goexit ends the goroutine, and another goes on.
func (e *effects) carryOut() {
	defer e.goOn()
	for e.step < lastStep {
		e.step++
		e.carry(e.step)
	}
}

// goOn has the steps that were not begun done elsewhere, if this goroutine is being ended.
func (e *effects) goOn() {
	if e.step < lastStep {
		rest := *e
		background(rest.carryOut)
	}
}

// lastStep is the last of the steps of carry.
const lastStep = 12

// carry takes one step. What others wait for comes before code of the user's, which may
// take its time; so subscribers, who may do anything, come last.
func (e *effects) carry(step int) {
	t, s := e.t, e.t.sup
	has := func(x life.Effects) bool { return e.Effects&x != 0 }
	switch {
	case step == 1 && e.std != nil: // the body hears of it first, whatever the rest takes
		e.std.end(e.cause)
	case step == 2 && e.doors > 0 && !e.waits: // a permit in use is free before leave admits a successor, which needs one
		e.leaveOwn()
	case step == 3 && has(life.Leave):
		t.leave(e)
	case step == 4 && e.doors > 0 && e.waits: // a turn is given up after leave, which passes it on to a replacement
		e.leaveOwn()
	case step == 5 && has(life.Run):
		e.begun.spawn()
	case step == 6 && has(life.Stuck):
		t.takeStack(e.begun.number)
	case step == 7 && has(life.Abandon):
		t.giveUp()
	case step == 8 && has(life.Back):
		t.back()
	case step == 9 && e.turned: // from here on, code of the user's
		s.order.turned(t, has(life.EventEnded), has(life.Leave))
	case step == 10 && e.walks:
		t.walk(e.doors, e.apart)
	case step == 10 && has(life.Enter):
		t.enter(e.apart)
	case step == 11 && e.next != nil: // after the gates: a successor may wait for the same
		carryOutAll(e.next)
	case step == 12:
		s.fan.bus.Wake()
		t.deliver(e.buf)
	}
}

// deliver calls inline subscribers for buf or, without one, for what was published since
// the transition: leave and the slots publish without detaching.
func (t *task) deliver(buf *outbuf) {
	f := &t.sup.fan
	if buf == nil && len(f.inline) > 0 {
		t.mu.Lock()
		buf = t.out.detachLocked()
		t.mu.Unlock()
	}
	f.deliver(&t.mu, t.out, buf)
}

// announce publishes TaskAdded and, with launch, lets the task begin if the supervisor
// has started. Without, the caller launches it later: after the rest of its batch.
func (t *task) announce(launch bool) { e := t.announced(launch); e.carryOut() }

func (t *task) announced(launch bool) (e effects) {
	t.transition(&e, nil, func(now life.Time) life.Effects {
		changed := t.m.Announce(now)
		if launch && t.sup.reg.started.Load() {
			changed |= t.launchLocked(now)
		}
		return changed
	})
	return e
}

// launch lets a task that was announced begin, unless the rest of its batch is still to be
// announced; whole says that it is. Otherwise whoever does that launches it.
func (t *task) launch(whole bool) {
	t.do(nil, func(now life.Time) life.Effects {
		t.batch = t.batch && !whole
		if t.batch || !t.sup.reg.started.Load() {
			return 0
		}
		return t.launchLocked(now)
	})
}

func (t *task) launchLocked(now life.Time) life.Effects {
	initial := t.pol.least
	if t.pol.most > t.pol.least {
		initial += rand.N(min(t.pol.most-t.pol.least, math.MaxInt64-1) + 1) // min: the sum must not wrap
	}
	if t.x != nil && !t.x.next.IsZero() {
		initial = max(time.Until(t.x.next), 1)
	}
	return t.m.Launch(initial, now)
}

// stopFor claims the stop of the task. A submission that waits for its slot is
// rejected instead.
func (t *task) stopFor(reason Reason, cause error) bool {
	t.mu.Lock()
	queued := t.m.Phase() == life.Queued
	t.mu.Unlock()
	if queued && t.sup.slots.withdraw(t, cause) { // false: it was admitted meanwhile, and is a task
		return true
	}
	return t.do(cause, func(now life.Time) life.Effects { return t.stopLocked(reason, cause, 0, now) })&life.Changed != 0
}

// more comes on top of the policy's StuckAfter. A queued submission is its slot's to reject.
func (t *task) stopLocked(reason Reason, cause error, more time.Duration, now life.Time) life.Effects {
	if t.m.Phase() == life.Queued || t.m.StoppedFor() != 0 {
		return 0
	}
	if cause != nil {
		t.extraLocked().why = cause
	}
	return t.m.Stop(uint8(reason), reason == ErrShutdown, t.pol.StuckAfter+more, now)
}

// causeLocked is what has cancelled the attempt that runs: t.run is not nil.
func (t *task) causeLocked() error {
	switch t.m.CanceledBy() {
	case life.ByDeadline:
		return ErrAttemptTimeout
	case life.ByStop:
		return t.stopErrLocked()
	case life.ByInterrupt:
		return because(ErrInterrupted, t.run.why)
	case life.ByChild:
		return t.run.childErr()
	default:
		return context.Canceled
	}
}

// stopErrLocked is the error of the claimed stop. It takes shutdown.mu, a leaf.
func (t *task) stopErrLocked() error {
	reason := Reason(t.m.StoppedFor())
	switch {
	case reason == ErrShutdown:
		return t.sup.shutdown.cause()
	case t.x != nil:
		return because(reason, t.x.why)
	default:
		return reason
	}
}
