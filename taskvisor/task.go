package taskvisor

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// Handle is one registered task, or one submission: its identity, its state, its
// end, and the means to steer it. It is safe for concurrent use and stays valid
// after the task is gone.
//
// What steers takes a cause, who and why, which stands on the event and may be nil,
// and reports whether it changed anything: among several callers that ask for the same
// thing at the same time it is true for one.
//
//	           while an attempt runs             in a delay, at a gate, paused    event
//	RunNow     one more follows it at once,      the delay ends; gates and a      TaskTriggered
//	           however many ask                  pause hold
//	Interrupt  it is canceled, and counts in no  the delay ends, as by RunNow     TaskInterrupted
//	           streak; the next begins at once
//	Pause      it runs on; no other begins       state paused; the delay passes   TaskPaused
//	Resume     others may begin again            goes on where it is due          TaskResumed
//	StopFor    it is canceled, none follows      the task ends                    TaskRemoveRequested
//
// [Handle.Stop] is StopFor without a cause, and [Handle.Cancel] waits for the end as
// well. While the task is being stopped, and after its end, the others report false.
type Handle struct{ task }

// task is what the package knows of one task. Whoever changes its state does so in
// a transition: see do.
type task struct {
	// Fixed before anybody else sees the task.
	sup   *Supervisor
	h     *Handle // that it is part of
	id    TaskID
	name  string
	pol   *policy     // in force
	sub   *submission // nil unless it was submitted to a slot
	from  uintptr     // program counter of the call that registered it
	place int32       // among the tasks given to Run, from 1; 0: it is none of them

	ordered atomic.Bool             // another task depends on it
	values  atomic.Pointer[values]  // given to Add; nil: none, or the task is gone
	locals  atomic.Pointer[[]Local] // of subscribers; made when one asks

	mu      sync.Mutex // guards the fields below
	m       life.Machine
	fn      Func            // nil when the task is gone
	run     *attempt        // while its goroutine exists
	label   context.Context // the values given to Add, and the task's pprof labels; nil while it waits for long
	out     *outbox         // nil where nobody is inline
	seq     uint64          // of the last event
	done    chan struct{}   // closed when it is; made when somebody asks
	timer   *time.Timer     // made when it is needed
	fires   life.Time       // when timer fires; 0: it does not
	added   life.Time       // when it was made
	doors   *doors          // nil: there are no gates
	known   bool            // the outcome is
	blamed  bool            // lastErr is the outcome's error
	removed bool            // TaskRemoved was published
	lastErr error           // of the last attempt that did not succeed
	text    string          // of that error
	x       *extra          // nil for most tasks
}

// extra is what few tasks have.
type extra struct {
	value    any           // returned by a Returning body
	stack    string        // of a stuck or abandoned body
	code     exitCode      // of the last attempt
	err      error         // of the outcome, where it is not an attempt's
	outcome  *Outcome      // of an abandoned task; others derive theirs
	since    life.Time     // when it was abandoned
	ran      int           // 1 if it was in an attempt then
	why      error         // the cause given with the stop
	note     string        // the last one of Beat
	noted    time.Time     // when
	next     time.Time     // start of a scheduled task that waits for it
	returned chan struct{} // closed when an abandoned body is back
	parted   chan struct{} // closed when TaskRemoved was published; made by the verdict, which waits for it
	back     bool          // it is
}

func (t *task) extraLocked() *extra {
	if t.x == nil {
		t.x = &extra{}
	}
	return t.x
}

// safeTask is newTask with what ctx, or a schedule, does wrong as an error.
func (s *Supervisor) safeTask(ctx context.Context, op string, spec TaskSpec, from uintptr, phase life.Phase) (t *task, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &TaskError{Op: op, Task: spec.name, Err: newPanicError(v)}
		}
	}()
	t = s.newTask(ctx, spec, from, phase)
	if t.pol.Scheduled && t.x.next.IsZero() {
		return nil, &TaskError{Op: op, Task: spec.name, Err: errors.New("its schedule has no start")}
	}
	return t, nil
}

// newTask makes a task that nobody knows of yet. It asks ctx, which may be the
// user's own, for all that is ever wanted of it but its values.
func (s *Supervisor) newTask(ctx context.Context, spec TaskSpec, from uintptr, phase life.Phase) *task {
	h := &Handle{task{sup: s, name: spec.name, fn: spec.fn, from: from}}
	t := &h.task
	t.h = h
	t.id = TaskID(lastID.Add(1))
	t.pol = s.policyOf(spec.policy)
	if gates := s.gatesOf(t.pol); len(gates) > 0 {
		t.doors = &doors{gates: gates}
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

// schedule is the calendar of a scheduled task; nil for others.
func (t *task) schedule() func(time.Time) time.Time {
	if t.pol.more == nil {
		return nil
	}
	return t.pol.more.next
}

// longWait is for how long a task waits without its pprof labels, a fifth of what it
// takes then. They are made again in half a microsecond.
const longWait = 10 * time.Millisecond

// effects is what a transition leaves to be done when the task's lock has been
// released. It is carried out in one place.
type effects struct {
	life.Effects
	t      *task
	begun  *attempt // with Run
	std    *stdCtx  // with Cancel; nil: nobody has looked at the context
	cause  error    // likewise
	doors  int      // with Quit: how many gates are to be left, by us
	waits  bool     // at the last of these
	walks  bool     // we have set doors.walking
	told   []func() // ready functions of others that wait for the supervisor's own limit
	turned bool     // those that depend on the task are to look again
	buf    *outbuf  // events for inline subscribers
	step   int      // of carryOut
}

// do changes the task: step makes the transition, under the task's lock, at the
// time that it is given, and the rest follows from what it returns. why is the
// caller's cause, for the events.
func (t *task) do(why error, step func(now life.Time) life.Effects) life.Effects {
	var e effects
	t.transition(&e, why, step)
	e.carryOut()
	return e.Effects
}

// transition is the part of do under the lock: whoever holds another lock carries
// e out later. It fills e in place, since an attempt's goroutine has a small stack.
func (t *task) transition(e *effects, why error, step func(now life.Time) life.Effects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.sup.now()
	t.transitionLocked(e, now, why, step(now))
}

// transitionLocked records what has just changed.
func (t *task) transitionLocked(e *effects, now life.Time, why error, changed life.Effects) {
	e.t, e.Effects = t, changed
	if changed&life.Cancel != 0 && t.run != nil {
		e.std, e.cause = t.run.cancelLocked(t.causeLocked())
	}
	t.recordAll(changed, now, why)
	if changed&life.Quit != 0 && t.doors != nil {
		e.waits = t.doors.asked
		e.doors = t.leaveDoorsLocked()
		e.walks = e.doors > 0
	}
	switch {
	case changed&life.Run != 0:
		t.run = t.newAttempt()
		e.begun = t.run
	case t.run != nil && !t.m.Running():
		t.run = nil
		if t.m.Phase() == life.Delayed && t.m.Wake() > now.After(longWait) && t.values.Load() == nil {
			t.label = nil
		}
	}
	t.armLocked(now)
	if t.m.StoppedFor() != 0 {
		t.out.roomLocked()
	}
	e.turned = t.ordered.Load() && changed&(life.EventReady|life.EventStarting|life.EventEnded|life.Leave) != 0
	e.buf = t.out.detachLocked()
}

// carryOut does what a transition has left. No lock is held. Gates and inline
// subscribers, which are the user's, may end the goroutine: another then goes on.
func (e *effects) carryOut() {
	defer e.goOn()
	for e.step < lastStep {
		e.step++
		e.carry(e.step)
	}
}

// goOn has what is left done elsewhere.
func (e *effects) goOn() {
	if e.step < lastStep {
		rest := *e
		background(rest.carryOut)
	}
}

// The last of the steps of carry.
const lastStep = 12

func (e *effects) carry(step int) {
	t, s := e.t, e.t.sup
	has := func(x life.Effects) bool { return e.Effects&x != 0 }
	switch {
	case step == 1 && e.std != nil:
		e.std.end(e.cause)
	case step == 2 && e.doors > 0 && !e.waits:
		e.leaveOwn()
	case step == 3 && has(life.Leave):
		t.leave(e)
	case step == 4 && e.doors > 0 && e.waits: // if it was replaced, its turn has been passed on
		e.leaveOwn()
	case step == 5 && has(life.Run):
		e.begun.spawn()
	case step == 6 && has(life.Stuck):
		t.takeStack()
	case step == 7 && has(life.Abandon):
		t.giveUp()
	case step == 8 && has(life.Back):
		t.back()
	case step == 9: // from here on, code of the user's
		callAll(e.told)
	case step == 10 && e.turned:
		s.order.turned(t, has(life.EventEnded), has(life.Leave))
	case step == 11 && e.walks:
		t.walk(e.doors)
	case step == 11 && has(life.Enter):
		t.enter()
	case step == 12:
		s.fan.bus.Wake()
		t.deliver(e.buf)
	}
}

// deliver calls inline subscribers, for buf or for what was published since.
func (t *task) deliver(buf *outbuf) {
	f := &t.sup.fan
	if buf == nil && len(f.inline) > 0 {
		t.mu.Lock()
		buf = t.out.detachLocked()
		t.mu.Unlock()
	}
	f.deliver(&t.mu, t.out, buf)
}

// armLocked sets the timer for the machine's next time. One that fires earlier is
// left alone: it costs an idle call instead of a reset for every attempt.
func (t *task) armLocked(at life.Time) {
	wake := t.m.Wake()
	if t.x != nil && !t.x.next.IsZero() && wake != 0 {
		wake = min(wake, at.After(time.Minute)) // the wall clock may be set meanwhile
	}
	switch {
	case wake == 0 && t.m.Phase() == life.Gone && t.timer != nil:
		t.timer.Stop() // it would keep the task and the supervisor until it fires
		t.timer, t.fires = nil, 0
		return
	case wake == 0 || t.fires != 0 && t.fires <= wake:
		return
	}
	d := max(time.Duration(wake-at), 0)
	t.fires = wake
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.tick)
		return
	}
	t.timer.Reset(d)
}

// tick is the timer's function.
func (t *task) tick() {
	t.do(nil, func(now life.Time) life.Effects {
		t.fires = 0
		t.recalendar(now)
		return t.m.Tick(now)
	})
}

// recalendar corrects the start of a scheduled task that waits for it.
func (t *task) recalendar(now life.Time) {
	if t.x != nil && !t.x.next.IsZero() && t.m.Phase() == life.Delayed {
		t.m.Postpone(now.After(max(time.Until(t.x.next), 0)))
	}
}

// announce publishes TaskAdded and, if the supervisor has started, lets the task
// begin, unless launch waits for others.
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

// launch lets a task that was announced begin.
func (t *task) launch() { t.do(nil, t.launchLocked) }

func (t *task) launchLocked(now life.Time) life.Effects {
	initial := t.pol.least
	if t.pol.most > t.pol.least {
		initial += rand.N(t.pol.most - t.pol.least + 1)
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
	if queued && t.sup.slots.withdraw(t) {
		return true
	}
	return t.do(cause, func(now life.Time) life.Effects { return t.stopLocked(reason, cause, 0, now) })&life.Changed != 0
}

func (t *task) stopLocked(reason Reason, cause error, more time.Duration, now life.Time) life.Effects {
	if t.m.Phase() == life.Queued || t.m.StoppedFor() != 0 {
		return 0
	}
	if cause != nil {
		t.extraLocked().why = cause
	}
	return t.m.Stop(uint8(reason), reason == ErrShutdown, t.pol.StuckAfter+more, now)
}

// causeLocked is what has cancelled the attempt that runs.
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

// stopErrLocked is the error of the claimed stop.
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
