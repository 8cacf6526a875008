package taskvisor

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// leave takes a task that is gone out of the supervisor: its name is freed, then its
// slot; its outcome is made known; TaskRemoved follows, and last what waited for its
// slot. No code of the user's is called.
func (t *task) leave(e *effects) {
	s := t.sup
	if err := t.essentialEnd(); err != nil {
		s.requestStop(err, t, false) // first: the end of the last task ends Run
	}
	s.reg.free(t)
	next := s.slots.release(t)
	e.told = append(e.told, t.giveUpTurn()...)
	t.mu.Lock()
	t.knowLocked()
	t.record(TaskRemoved, 0, nil) // which tells no duration
	t.removed = true
	if t.x != nil && t.x.parted != nil {
		close(t.x.parted)
	}
	running, alive := 0, !t.m.Abandoned() || t.pol.Release
	if t.m.Abandoned() && t.pol.Release {
		running = t.x.ran
	}
	if !t.m.Running() {
		t.clearLocked()
	}
	t.mu.Unlock()
	t.blame()
	s.reg.retire(t, running, alive)
	next.carryOut()
}

// goneLocked reports whether the task is gone, or was released.
func (t *task) goneLocked() bool {
	return t.m.Phase() == life.Gone || t.m.Abandoned() && t.pol.Release
}

// leavingLocked reports whether it is, and TaskRemoved is still to be published.
func (t *task) leavingLocked() bool { return !t.removed && t.goneLocked() }

// awaitRemoved waits for the TaskRemoved of a task that is leaving: no code of the
// user's is in its way.
func (t *task) awaitRemoved() {
	t.mu.Lock()
	if !t.leavingLocked() {
		t.mu.Unlock()
		return
	}
	x := t.extraLocked()
	if x.parted == nil {
		x.parted = make(chan struct{})
	}
	t.mu.Unlock()
	<-x.parted
}

// clearLocked lets go of what a task needs while it lives: a handle, and a context
// that was kept, keep neither the work nor the values that were given to Add.
func (t *task) clearLocked() {
	t.fn = nil
	t.values.Store(nil)
}

// runningLocked is the number of attempts that have begun and not ended: 0 or 1.
func (t *task) runningLocked() int {
	if t.run != nil && t.run.start != 0 {
		return 1
	}
	return 0
}

// knowLocked makes the outcome known.
func (t *task) knowLocked() {
	if t.known {
		return
	}
	t.known = true
	if t.done != nil {
		close(t.done)
	}
	if !t.m.Abandoned() {
		t.backLocked()
	}
}

// backLocked tells who waits for the body that it is back.
func (t *task) backLocked() {
	if t.x != nil && t.x.returned != nil {
		close(t.x.returned)
		t.x.returned = nil
	}
}

// departed is what the supervisor remembers of a task that is gone: nothing of the
// user's but names.
type departed struct {
	id                   TaskID
	name, kind, slot     string
	attempts             int
	outcome              OutcomeKind
	reason               Reason
	text                 string // of the outcome's error
	added, started, over life.Time
}

// remember fills d in place: it is large, and the stack of an attempt's goroutine small.
func (t *task) remember(d *departed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.id, d.name, d.kind, d.slot = t.id, t.name, t.pol.kind, ""
	d.attempts, d.outcome, d.reason = t.m.Attempt(), OutcomeKind(t.m.Outcome()), t.outReasonLocked()
	d.added, d.started, d.over = t.added, t.m.First(), t.m.Since()
	if t.m.Abandoned() {
		d.over = t.x.since
	}
	if t.sub != nil {
		d.slot = t.sub.slot
	}
	switch err := t.outErrLocked(); {
	case err == nil:
		d.text = ""
	case t.blamed:
		d.text = t.text
	default:
		d.text = cutText(ownText(err), maxErrorText)
	}
}

// show is d with its times as the wall clock shows them now.
func (d *departed) show(c calendar) EndedTask {
	return EndedTask{ID: d.id, Name: d.name, Kind: d.kind, Slot: d.slot, Attempts: d.attempts, Outcome: d.outcome,
		Reason: d.reason, Error: d.text, Added: c.wall(d.added), Started: c.wall(d.started), Ended: c.wall(d.over)}
}

// ownText is the text of an error of this package; where it carries somebody else's,
// that is left out: no code of the user's is called.
func ownText(err error) string {
	switch err := err.(type) {
	case *causeError:
		if inner, ok := err.cause.(*dependencyError); ok {
			return err.reason.Error() + ": " + inner.Error()
		}
		return err.reason.Error()
	case *TaskError:
		return err.text(ownText(err.Err))
	case Reason:
		return err.Error()
	case *GraceExceededError:
		return err.Error()
	default:
		return fmt.Sprintf("%T", err)
	}
}

// essentialEnd returns why the supervisor must stop, if it lives for this task
// and the task ended on its own.
func (t *task) essentialEnd() error {
	if t.pol.set&essential == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m.StoppedFor() != 0 || t.m.Outcome() == life.Completed {
		return nil
	}
	return &TaskError{Op: "run", Task: t.name, Err: t.outErrLocked()}
}

// blame tells the supervisor that a task which was given to Run has failed.
func (t *task) blame() {
	if t.place == 0 {
		return
	}
	t.mu.Lock()
	o := t.m.Outcome()
	err := t.outErrLocked()
	t.mu.Unlock()
	if o == life.Failed || o == life.Died {
		t.sup.shutdown.blame(t, &TaskError{Op: "run", Task: t.name, Err: err})
	}
}

// giveUp abandons a body that has outlived the grace of its individual stop. Its
// outcome does not wait for its stacks.
func (t *task) giveUp() {
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		st := t.statusLocked(t.sup.calendar(time.Now()))
		err := &GraceExceededError{Grace: t.pol.Grace, Tasks: []TaskStatus{st}}
		return t.abandonLocked(now, err)
	})
	t.abandoned(e)
	if e.Effects != 0 {
		t.sup.stacks.Ask(uint64(t.id), t.keepStack)
	}
}

// keepStack shows in the status of an abandoned task where its body is.
func (t *task) keepStack(stack string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stack != "" && t.m.Running() {
		t.extraLocked().stack = stack
	}
}

// abandonLocked makes OutcomeAbandoned known while the body still runs. Name, gates
// and slot stay taken until it returns, unless the task says otherwise. It changes
// nothing if the body came back meanwhile.
func (t *task) abandonLocked(now life.Time, err error) life.Effects {
	e := t.m.Abandon(now)
	if e == 0 {
		return 0
	}
	c := t.sup.calendar(time.Now())
	x := t.extraLocked()
	if e&life.EventStuck != 0 {
		t.recordStuck(now, x.stack)
	}
	x.err, x.since, x.ran = err, now, t.runningLocked()
	x.outcome = &Outcome{Kind: OutcomeAbandoned, Err: err, Reason: Reason(t.m.StoppedFor()), Attempts: t.m.Attempt(),
		Started: c.wall(t.m.First()), Ended: c.wall(now), Stack: x.stack}
	t.recordAbandoned(now, x.outcome)
	if !t.pol.Release {
		t.knowLocked() // otherwise after the name is free
	}
	return e
}

// abandoned is what follows, without the lock.
func (t *task) abandoned(e effects) {
	if e.Effects != 0 && !t.pol.Release {
		t.sup.reg.drop(false)
	}
	e.carryOut()
}

// back follows when the body of an abandoned task has returned.
func (t *task) back() {
	released := t.pol.Release
	t.mu.Lock()
	x := t.extraLocked()
	x.back = true
	t.backLocked()
	ran := x.ran
	if released {
		t.clearLocked()
	}
	t.mu.Unlock()
	if released && ran > 0 {
		t.sup.reg.returned(t)
	}
}
