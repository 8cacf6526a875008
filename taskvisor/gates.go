package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// doors is how far a task has come through its gates. Whoever has set walking is
// the only one who calls the gates' methods, and lets go of it with the lock held,
// so that the calls of one task follow each other.
type doors struct {
	gates   []Gate // to be entered before an attempt begins; fixed
	entered int    // gates entered, the first of the task's
	number  int    // of the attempt they were entered for
	past    past   // as they were shown it
	walking bool   // somebody is calling gates
	asked   bool   // the gate behind those entered has said no, and is to be left too
	waiting bool   // for its ready
	again   bool   // that gate has called ready before it answered
	turn    uint32 // tells ready functions of different questions apart
	name    string // of the gate, while waiting
}

// gateRest is when a gate that panicked is asked again.
const gateRest = time.Second

// gatesOf lists what a task with the policy p has to pass.
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

// leaveDoorsLocked says how many gates are to be left. The caller walks then.
func (t *task) leaveDoorsLocked() (n int) {
	if t.doors.walking { // who walks finds out
		return 0
	}
	return t.turnBackLocked()
}

// turnBackLocked is leaveDoorsLocked for the one who walks: from the first step to the last
// gate that is left the task counts as one that walks.
func (t *task) turnBackLocked() (n int) {
	d := t.doors
	n = d.entered
	if d.asked {
		n++
	}
	d.entered, d.asked, d.waiting, d.name = 0, false, false, ""
	t.walkLocked(n > 0)
	return n
}

// walkLocked says whether somebody calls the task's gates. The end of the supervisor
// waits for that, as long as it waits for subscribers: a gate that gives something back
// is left before Run returns.
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

// leaveOwn leaves the supervisor's own limit, if it is the last of the gates that are to
// be left. Unlike the others that calls nobody's code, so that a task need not have ended
// for it; whoever can enter now is told later, since that may.
func (e *effects) leaveOwn() {
	t, limit := e.t, e.t.sup.limit
	if e.doors == len(t.doors.gates) && limit != nil {
		e.told = append(e.told, limit.queue.Leave(uint64(t.id))...)
		e.doors--
	}
}

// enter begins to ask the gates, unless somebody does or is to.
func (t *task) enter() {
	t.mu.Lock()
	begin := !t.doors.walking && !t.doors.waiting && t.m.AtGates()
	if begin {
		t.walkLocked(true)
	}
	t.mu.Unlock()
	if begin {
		t.walk(0)
	}
}

// leaveGates leaves the first n gates, the last first.
func (t *task) leaveGates(n int) {
	if n == 0 {
		return
	}
	t.mu.Lock()
	a := t.describeLocked(t.doors.number, t.doors.past)
	t.mu.Unlock()
	for n > 0 {
		n--
		t.leaveGate(n, a)
	}
}

// leaveGate calls code of the user's.
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
		exiting = t.sup.fan.containGate(t.doors.gates[i], recover())
	}()
	t.doors.gates[i].Leave(a)
	returned = true
}

// walk leaves the first n gates, and then asks those that the task waits for, one after
// the other. The caller has set walking. While the supervisor ends, a goroutine of its
// own does so: no gate can hold up the shutdown, which waits for walkers only so long.
func (t *task) walk(n int) {
	if t.sup.fan.closing.Load() {
		background(func() { t.walkHere(n) })
		return
	}
	t.walkHere(n)
}

func (t *task) walkHere(n int) {
	t.leaveGates(n)
	for t.walkOn() {
		continue
	}
}

// walkOn takes one step, and reports whether another is to follow.
func (t *task) walkOn() bool {
	t.mu.Lock()
	d := t.doors
	switch {
	case !t.m.AtGates(): // stopped, paused, or failed meanwhile
		n := t.turnBackLocked()
		t.mu.Unlock()
		t.leaveGates(n)
		return n > 0
	case d.entered == len(t.doors.gates):
		t.walkLocked(false)
		d.name = ""
		now := t.sup.now()
		var e effects
		t.transitionLocked(&e, now, nil, t.m.LetIn(now))
		t.mu.Unlock()
		e.carryOut()
		return false
	}
	d.again = false
	d.turn++
	d.number, d.past = t.m.Attempt()+1, t.pastLocked()
	turn, i, a := d.turn, d.entered, t.describeLocked(d.number, d.past)
	t.mu.Unlock()
	return t.ask(i, a, func() { t.called(turn) })
}

// ask calls code of the user's.
func (t *task) ask(i int, a Attempt, ready func()) (on bool) {
	g := t.doors.gates[i]
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
	returned = true
	return t.answered(ok, name)
}

// answered takes the answer of the gate behind those entered, and reports whether
// the walk goes on.
func (t *task) answered(ok bool, name string) (on bool) {
	t.mu.Lock()
	d := t.doors
	switch {
	case ok:
		d.entered++
		d.asked = false
	case !t.m.AtGates() || d.again:
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

// gatedLocked announces what the task waits for.
func (t *task) gatedLocked(name string) (e effects) {
	if t.doors.name != name {
		t.recordGated(name)
	}
	t.doors.name = name
	t.transitionLocked(&e, t.sup.now(), nil, 0)
	return e
}

// called is the ready function of a question: the gate is asked again.
func (t *task) called(turn uint32) {
	t.mu.Lock()
	d := t.doors
	walk := false
	switch {
	case d.turn != turn: // it was called late
	case d.walking:
		d.again = true
	case d.waiting:
		d.waiting, walk = false, true
		t.walkLocked(true)
	}
	t.mu.Unlock()
	if walk {
		t.walk(0)
	}
}

// fail ends a task that waits, because of what it depends on.
func (t *task) fail(err error) {
	t.do(nil, func(now life.Time) life.Effects {
		e := t.m.Fail(now)
		if e != 0 {
			t.extraLocked().err = err
		}
		return e
	})
}
