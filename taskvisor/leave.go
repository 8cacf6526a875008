package taskvisor

import (
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// leave takes a task that is gone, or released, out of the supervisor. It is called once
// for each task, without locks. The order is part of the contract:
//
//  1. the name is free before the outcome is known: a caller that has waited for the outcome
//     can add a task of that name
//  2. the slot has its next owner, which is not begun yet
//  3. the outcome is known before TaskRemoved, the task's last event
//  4. the task counts as removed after that event, and after Run was told of its failure: if
//     it is the last, Run ends here
//  5. the next owner of the slot is admitted, whose TaskAdded so follows TaskRemoved; what it
//     asks of the user's code, and what is said of those refused, is carried out later
func (t *task) leave(e *effects) {
	s := t.sup
	if err := t.essentialEnd(); err != nil {
		s.requestStop(err, t, false) // first: the end of the last task would end Run without a word
	}
	s.reg.free(t)
	next := s.slots.release(t)
	t.giveUpTurn()
	t.mu.Lock()
	t.knowLocked()
	t.record(TaskRemoved, 0, nil) // no time is needed: it tells no duration
	t.removed = true
	if t.x != nil && t.x.parted != nil {
		close(t.x.parted)
	}
	running, alive := 0, !t.m.Abandoned() || t.pol.Release // an abandoned one was dropped then
	if t.m.Abandoned() && t.pol.Release {                  // its attempt goes on, or has ended just now: back counts that
		running = t.x.ran
	}
	if !t.m.Running() { // otherwise it was released, and back does it
		t.clearLocked()
	}
	t.mu.Unlock()
	t.blame()
	s.reg.retire(t, running, alive)
	if next.t != nil { // admit needs more stack than a goroutine begins with: mostly there is nobody
		e.next = next.admit()
	}
}

// goneLocked reports whether the task is gone for everybody else: its outcome is decided, or
// it was released while its body runs on.
func (t *task) goneLocked() bool {
	return t.m.Phase() == life.Gone || t.m.Abandoned() && t.pol.Release
}

// leavingLocked reports whether the task is gone, and TaskRemoved is still to be published.
func (t *task) leavingLocked() bool { return !t.removed && t.goneLocked() }

// awaitRemoved waits for the TaskRemoved of a task that is leaving; for others it returns at
// once. It takes no longer than the few steps of leave before that event, in which no code
// of the user's is called. No lock is held. Several may wait, and share parted.
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

// clearLocked lets go of what a task needs while it lives: handles and contexts that are kept
// for ever keep neither the body nor the values that were given to Add. No attempt runs any
// more, since it reads fn without the lock.
func (t *task) clearLocked() {
	t.fn = nil
	t.values.Store(nil)
}

// runningLocked is the number of attempts that were announced and have not ended: 0 or 1.
func (t *task) runningLocked() int {
	if t.run != nil && t.run.start != 0 {
		return 1
	}
	return 0
}

// knowLocked makes the outcome known, which is decided. That of an abandoned task is known
// already when its body is back and it leaves: then it changes nothing.
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

// backLocked closes what Returned has handed out: the body is back for good. Later calls of
// Returned find that out by themselves.
func (t *task) backLocked() {
	if t.x != nil && t.x.returned != nil {
		close(t.x.returned)
		t.x.returned = nil
	}
}

// departed is what the supervisor remembers of a task that is gone. It refers to nothing
// of the user's: the registry keeps it until maxRecent others have ended.
type departed struct {
	id                   TaskID
	name, kind, slot     string
	attempts             int
	outcome              OutcomeKind
	reason               Reason
	text                 string    // of the outcome's error
	added, started, over life.Time // started is 0 if no attempt began
}

// remember fills d in place: it is large, and the stack of an attempt's goroutine small. It
// is called under the registry's lock, so it must not call the user's code: see ownText.
func (t *task) remember(d *departed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.id, d.name, d.kind, d.slot = t.id, t.name, t.pol.kind, ""
	d.attempts, d.outcome, d.reason = t.m.Attempt(), OutcomeKind(t.m.Outcome()), t.outReasonLocked()
	d.added, d.started, d.over = t.added, t.m.First(), t.m.Since()
	if t.m.Abandoned() { // its end was then, however late the body came back
		d.over = t.x.since
	}
	if t.sub != nil {
		d.slot = t.sub.slot
	}
	switch err := t.outErrLocked(); {
	case err == nil:
		d.text = ""
	case t.blamed:
		d.text = t.text // made when the attempt ended
	default:
		d.text = cutText(ownText(err), maxErrorText)
	}
}

// show is d for a snapshot, with its times as the wall clock shows them now.
func (d *departed) show(c calendar) EndedTask {
	return EndedTask{ID: d.id, Name: d.name, Kind: d.kind, Slot: d.slot, Attempts: d.attempts, Outcome: d.outcome,
		Reason: d.reason, Error: d.text, Added: c.wall(d.added), Started: c.wall(d.started), Ended: c.wall(d.over)}
}

// ownText is the text of an error of this package. The text of an error of the user's that
// it carries, a cause for instance, is left out: its method Error may block, or call back
// into the supervisor, whose lock is held.
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

// essentialEnd returns why the supervisor must stop: the task is essential, and ended on its
// own without having completed. nil: it need not.
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

// blame tells the shutdown that a task which was given to Run has failed: Run returns that.
// It comes before retire, which may end Run.
func (t *task) blame() {
	if t.place == 0 {
		return
	}
	t.mu.Lock()
	o := t.m.Outcome()
	err := t.outErrLocked()
	t.mu.Unlock()
	if o == life.Failed || o == life.Died { // to be stopped or abandoned is no failure of the task's own
		t.sup.shutdown.blame(t, &TaskError{Op: "run", Task: t.name, Err: err})
	}
}

// giveUp abandons a body that has outlived the grace of its individual stop. Its outcome
// does not wait for its stacks, which may take a second; they are shown when they are there.
func (t *task) giveUp() {
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		st := t.statusLocked(t.sup.calendar(time.Now()))
		err := &GraceExceededError{Grace: t.pol.Grace, Tasks: []TaskStatus{st}}
		return t.abandonLocked(now, err)
	})
	t.abandoned(e)
	if e.Effects != 0 { // otherwise the body came back just before
		t.sup.stacks.Ask(uint64(t.id), t.keepStack)
	}
}

// keepStack shows in the status of an abandoned task where its body is. One that has returned
// meanwhile is nowhere; "" says that no stack was found.
func (t *task) keepStack(stack string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stack != "" && t.m.Running() {
		t.extraLocked().stack = stack
	}
}

// abandonLocked makes OutcomeAbandoned known while the body still runs. Name, gates and
// slot stay taken until it returns, unless the task has WithReleaseOnAbandon. It changes
// nothing, and returns 0, if the body came back or was abandoned meanwhile. The caller puts
// what it returns into transitionLocked, and the effects into abandoned.
func (t *task) abandonLocked(now life.Time, err error) life.Effects {
	e := t.m.Abandon(now)
	if e == 0 {
		return 0
	}
	c := t.sup.calendar(time.Now())
	x := t.extraLocked()
	if e&life.EventStuck != 0 {
		t.recordStuck(now, x.stack) // its stacks were asked for and have not come: Stuck precedes Abandoned
	}
	x.err, x.since, x.ran = err, now, t.runningLocked()
	x.outcome = &Outcome{Kind: OutcomeAbandoned, Err: err, Reason: Reason(t.m.StoppedFor()), Attempts: t.m.Attempt(),
		Started: c.wall(t.m.First()), Ended: c.wall(now), Stack: x.stack}
	t.recordAbandoned(now, x.outcome)
	if !t.pol.Release {
		t.knowLocked() // with Release leave does it, after the name is free
	}
	return e
}

// abandoned carries out what abandonLocked has left, without locks. An abandoned task keeps
// Run going no more; a released one is taken off by retire, after its TaskRemoved.
func (t *task) abandoned(e effects) {
	if e.Effects != 0 && !t.pol.Release {
		t.sup.reg.drop(false)
	}
	e.carryOut()
}

// back follows when the body of an abandoned task has returned. A released one left when it
// was abandoned, so what leave could not do then is done here.
func (t *task) back() {
	released := t.pol.Release // others have left in this transition, see leave
	t.mu.Lock()
	x := t.extraLocked()
	x.back = true
	t.backLocked()
	ran := x.ran
	if released {
		t.clearLocked()
	}
	t.mu.Unlock()
	if released && ran > 0 { // an attempt that was never announced is not counted as ended either
		t.sup.reg.returned(t)
	}
}
