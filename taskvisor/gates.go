package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// doors is how far a task has come through its gates, which its policy lists. It is guarded
// by the task's lock.
//
// Enter and Leave are the user's, so they are called without the lock, and one at a time
// for each task: only the goroutine that has set walking calls them, and it unsets walking
// under the lock, in the same step in which it finds that nothing is left to be done. Any
// other goroutine just changes the state, and leaves the rest to it.
type doors struct {
	entered int    // gates[:entered] have let the task in; all of them, once its attempt is let in
	number  int    // of the attempt they were entered for; Leave is told the same
	past    past   // likewise
	walking bool   // a goroutine calls gates; never together with waiting
	asked   bool   // gates[entered] has said no: it is to be left too, if the task gives up
	waiting bool   // for that gate's ready; implies asked
	again   bool   // that gate has called ready before its answer arrived: ask it once more
	anew    bool   // one that was entered may have closed: leave all, and ask them again
	turn    uint32 // number of the last question, so that a ready of an earlier one is ignored
	name    string // of the gate last announced as waited for; "" once the task is let in or has given up
}

// gateRest is how long after a panic or Goexit a gate is asked again.
const gateRest = time.Second

// gates are to be entered in this order before an attempt begins.
func (t *task) gates() []Gate { return *t.pol.passes }

// gatesOf lists the gates of a task with the policy p, in the order in which they are
// entered. The supervisor's own limit is the last, so that a task holds no permit of it
// while it still waits for something else; leaveOwn relies on that.
func (s *Supervisor) gatesOf(p *policy) []Gate {
	if p.more == nil && s.limit == nil && s.budget == nil {
		return nil
	}
	var gates []Gate
	if p.more != nil && len(p.more.after) > 0 {
		gates = append(gates, &s.order)
	}
	if s.budget != nil {
		gates = append(gates, s.budget)
	}
	if p.more != nil {
		gates = append(gates, p.more.gates...)
	}
	if s.limit != nil {
		gates = append(gates, s.limit)
	}
	return gates
}

// leaveDoorsLocked says how many gates the caller is to leave, after unlocking. If that is
// more than 0, walking is set, and the caller must call walk.
func (t *task) leaveDoorsLocked() (n int) {
	if t.doors.walking { // that goroutine finds out in walkOn, and leaves them
		return 0
	}
	return t.turnBackLocked()
}

// turnBackLocked is leaveDoorsLocked for the goroutine that walks. walking stays set until
// the last gate was left, if there is any to leave.
func (t *task) turnBackLocked() (n int) {
	n = t.doors.turnBack()
	t.walkLocked(n > 0)
	return n
}

// turnBack says how many gates are to be left, and begins anew. The task's lock is held.
func (d *doors) turnBack() (n int) {
	n = d.entered
	if d.asked {
		n++
	}
	d.entered, d.asked, d.waiting, d.name = 0, false, false, ""
	return n
}

// walkLocked sets or unsets walking, and counts the tasks that walk. The end of the
// supervisor waits for them, within the drain: what a gate gives back, such as a lease, is
// given back before Run returns.
func (t *task) walkLocked(on bool) {
	f := &t.sup.fan
	switch d := t.doors; {
	case d.walking == on:
		return
	case on:
		f.walkers.Add(1)
	case f.walkers.Add(-1) == 0:
		f.signalQuiet()
	}
	t.doors.walking = on
}

// leaveOwn leaves the supervisor's own limit, if it is the last of the gates to be left. It
// is no code of the user's, so it may be left at any step of carry; the others wait until
// the task has left.
func (e *effects) leaveOwn() {
	t, limit := e.t, e.t.sup.limit
	if e.doors == len(t.gates()) && limit != nil {
		limit.queue.Leave(uint64(t.id))
		e.doors--
	}
}

// enter begins to ask the gates, unless a goroutine does so already, or ready is waited for.
// It comes after the transition that said Enter: the task may have been stopped since.
func (t *task) enter(apart bool) {
	t.mu.Lock()
	begin := !t.doors.walking && !t.doors.waiting && t.m.AtGates()
	if begin {
		t.walkLocked(true)
	}
	t.mu.Unlock()
	if begin {
		t.walk(0, apart)
	}
}

// leaveGates leaves the first n gates, the last first. The caller has set walking, so that
// no question changes number meanwhile.
func (t *task) leaveGates(n int) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	a := t.describeLocked(t.doors.number, t.doors.past)
	t.mu.Unlock()
	for n > 0 {
		n--
		t.leaveGate(n, a) // may not come back: then another goroutine leaves the others
	}
}

// leaveGate calls one gate's Leave, which is the user's. A panic is contained and the caller
// goes on; if it ends the goroutine, another one leaves the i gates before it and walks.
func (t *task) leaveGate(i int, a Attempt) {
	returned := false
	defer func() {
		if returned {
			return
		}
		exiting := true // also if the report does, which calls inline subscribers
		defer func() {
			if exiting { // the caller does not come to the rest
				background(func() { t.walkHere(i) })
			}
		}()
		exiting = t.sup.fan.containGate(t.gates()[i], recover())
	}()
	t.gates()[i].Leave(a)
	returned = true
}

// walk leaves the first n gates, and then asks those that the task waits for, one after the
// other, until it is let in, has to wait, or has turned back. The caller has set walking;
// when the walk is over it is unset. A goroutine of its own walks where this one is another
// task's, and while the supervisor ends: no gate holds up other tasks, nor the shutdown, which
// waits for walkers only so long.
func (t *task) walk(n int, apart bool) {
	if apart || t.sup.fan.closing.Load() {
		background(func() { t.walkHere(n) })
		return
	}
	t.walkHere(n)
}

// walkHere is walk on this goroutine.
func (t *task) walkHere(n int) {
	t.leaveGates(n)
	for t.walkOn() {
		continue
	}
}

// walkOn takes one step, and reports whether another is to follow. Each step looks at the
// task anew: it may have been stopped or paused while a gate was asked.
func (t *task) walkOn() bool {
	t.mu.Lock()
	d := t.doors
	switch {
	case !t.m.AtGates(): // stopped, paused or failed meanwhile; or gates were left and no attempt is due
		n := t.turnBackLocked()
		t.mu.Unlock()
		t.leaveGates(n)
		return n > 0 // it may have been resumed meanwhile; with n == 0 walking is unset
	case d.anew:
		d.anew = false
		n := d.turnBack()
		t.mu.Unlock()
		t.leaveGates(n)
		return true
	case d.entered == len(t.gates()):
		t.walkLocked(false) // from here on, a Quit leaves the gates itself
		d.name = ""
		now := t.sup.now()
		var e effects
		t.transitionLocked(&e, now, nil, t.m.LetIn(now))
		t.mu.Unlock()
		e.carryOut()
		return false
	}
	d.again = false // whatever an earlier ready has said: the gate is asked now
	d.turn++
	d.number, d.past = t.m.Attempt()+1, t.pastLocked()
	turn, i, a := d.turn, d.entered, t.describeLocked(d.number, d.past)
	t.mu.Unlock()
	return t.ask(i, a, func() { t.called(turn) })
}

// ask asks gate i, which is the user's code, and reports whether the walk goes on. A gate
// that does not answer has said no, and is asked again after gateRest. If it has ended this
// goroutine, another one goes on with the walk.
func (t *task) ask(i int, a Attempt, ready func()) (on bool) {
	g := t.gates()[i]
	returned := false
	defer func() {
		if returned {
			return
		}
		exiting := true // also if the report does, which calls inline subscribers
		defer func() {
			time.AfterFunc(gateRest, ready)
			if on = t.answered(false, "panicked"); on && exiting {
				background(func() { t.walkHere(0) })
			}
		}()
		exiting = t.sup.fan.containGate(g, recover())
	}()
	ok := g.Enter(a, ready)
	name := ""
	if !ok {
		name = g.String()
	}
	returned = true // before answered: a Goexit of an inline subscriber in there is not the gate's
	return t.answered(ok, name)
}

// answered takes the answer of gates[entered], and reports whether the walk goes on. Where
// it does not, walking is unset, and the gate's ready sets it again.
func (t *task) answered(ok bool, name string) (on bool) {
	t.mu.Lock()
	d := t.doors
	switch {
	case ok: // also if the task was stopped meanwhile: what was entered is left
		d.entered++
		d.asked = false
	case !t.m.AtGates() || d.again || d.anew: // walkOn turns back, or asks this gate again, or all
		d.asked = true
	default:
		d.asked, d.waiting = true, true
		t.walkLocked(false)
		e := t.gatedLocked(name)
		t.mu.Unlock()
		e.carryOut()
		return false
	}
	t.mu.Unlock()
	return true
}

// gatedLocked announces what the task waits for, once for each gate: one that is asked again
// in vain is not announced again.
func (t *task) gatedLocked(name string) (e effects) {
	if t.doors.name != name {
		t.recordGated(name)
	}
	t.doors.name = name
	// The machine does not change: Due is both at gates and before them.
	t.transitionLocked(&e, t.sup.now(), nil, 0)
	return e
}

// called is the ready function of question turn: the gate is asked again, on a goroutine of
// its own, since the next gate may hang, and whatever called ready may have others to tell. A
// gate may call it at any time, and more than once.
func (t *task) called(turn uint32) {
	t.mu.Lock()
	d := t.doors
	walk := false
	switch {
	case d.turn != turn: // late: that question was given up, and another has been asked
	case d.walking: // before the answer arrived: answered sees it
		d.again = true
	case d.waiting:
		d.waiting, walk = false, true
		t.walkLocked(true)
	}
	t.mu.Unlock()
	if walk {
		t.walk(0, true)
	}
}

// reconsider has a task that was let in by a gate, and waits at another, leave them and ask
// all of them again: the one that let it in may have closed. It reports whether the task is
// at its gates.
func (t *task) reconsider() bool {
	t.mu.Lock()
	d, n := t.doors, 0
	at := d != nil && t.m.AtGates()
	switch {
	case !at || d.entered == 0 && !d.walking:
	case d.walking: // walkOn turns back
		d.anew = true
	default:
		n = t.turnBackLocked()
	}
	t.mu.Unlock()
	if n > 0 {
		t.walk(n, true)
	}
	return at
}

// fail ends a task that waits to begin, because what it depends on has ended. It leaves
// alone a task that runs or has ended.
func (t *task) fail(err error) {
	t.carryFor(&effects{apart: true}, nil, func(now life.Time) life.Effects {
		e := t.m.Fail(now)
		if e != 0 { // before the events are made, which tell it
			t.extraLocked().err = err
		}
		return e
	})
}
