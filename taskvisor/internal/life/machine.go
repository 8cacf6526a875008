package life

import "time"

// Phase is where a machine is. It is finer than what others are shown: see
// [Machine.State].
//
//	Queued → Added → Held → Due ─→ Begun → Active → Ended ─→ Gone
//	                   │     ↑                        │
//	                   └─→ Delayed ←──────────────────┘
//
// Without gates and without a pause, Due and Begun are one transition. Begun leads
// straight to Ended if a stop comes before the body was called.
//
// A goroutine exists in Begun, Active and Ended only. A stop in these phases takes
// effect when the attempt has come to its end; in Added it waits for Announce, since
// no event of a task precedes EventAdded; in the others it leads to Gone at once.
type Phase uint8

// The phases, each with the method that ends it. They are compared by their order: those
// with a goroutine follow each other, and a task that was announced is at least Held.
const (
	Queued  Phase = iota // a submission that waits for its slot, not registered: until Register or Reject
	Added                // registered, not yet announced: until Announce
	Held                 // announced; waits for the rest of its batch or the supervisor's start: until Launch
	Delayed              // waits for its next start, at due: until Tick, or RunNow and Interrupt before it
	Due                  // begins as soon as neither a gate nor a pause is in the way: until LetIn
	Begun                // let in, with a goroutine; brackets are being begun: until Start
	Active               // the start was announced; the body or its children run: until Returned
	Ended                // the result is decided; brackets are being ended: until Settle
	Gone                 // the outcome is decided; nothing changes any more
)

// CanceledBy is what cancelled an attempt's context. The first one stands, so that
// the context's cause and the attempt's result agree, whatever comes later.
type CanceledBy uint8

// What cancels an attempt.
const (
	ByNothing CanceledBy = iota
	ByDeadline
	ByStop
	ByInterrupt
	ByChild // a child panicked or exited
	ByEnd   // the body returned
)

// Machine is the state of one task. Its owner holds the task's lock while it
// calls a method; each transition returns the effects that the owner carries out.
// Only methods write its fields, so all rules about them stand in this package.
type Machine struct {
	policy *Policy // in force; fixed

	// Of the task.
	phase    Phase
	gated    bool  // there are gates to enter before an attempt begins; fixed
	stop     uint8 // why it was stopped, in the owner's words; 0: it was not. The first claim stands
	shutdown bool  // that claim was the shutdown's, which keeps the time of its grace itself
	paused   bool  // no further attempt begins; one that runs goes on. False in Gone

	// One more attempt was asked for, and has not begun. In Delayed: the delay was ended
	// by RunNow or Interrupt, and only the rest of the floor is waited for.
	again bool

	// Of the attempt that runs, or of the last one; LetIn resets them. An attempt is
	// never both interrupted and timed out: either disarms the other.
	interrupted bool       // Interrupt has cancelled it. Returned clears it if the body ended for a reason of its own
	canceled    CanceledBy // ByNothing: its context is not cancelled
	timedOut    bool       // its deadline, or the longest silence, has passed
	idle        bool       // it timed out by silence; implies timedOut
	hangs       bool       // the owner was told to have its stacks taken
	stuck       bool       // TaskStuck was announced for it; implies hangs
	ready       bool       // it said so; with Policy.Readiness only

	wasReady  bool             // the task was ready at any time: dependents that are not bound need no more
	abandoned bool             // the outcome is Abandoned, and the body still runs, unless Gone; implies stop
	result    Result           // of the last attempt that ended; 0: none has
	outcome   Outcome          // decided in Gone or when abandoned; in Ended planned, and void unless source is 0
	source    Source           // of the planned or current delay; 0: no attempt follows
	streak    int              // failures in a row
	attempt   int              // attempts begun: those whose start was announced
	delay     time.Duration    // planned, current, or before the current attempt
	waited    time.Duration    // at gates, before the current attempt
	counts    [Canceled]uint64 // attempts by result, from Success; Canceled is the last

	since   Time // of the state that others are shown, not of the phase
	started Time // of the current or last attempt
	over    Time // when its body and its children had returned: delays count from here
	first   Time // of the first attempt; 0: none yet
	success Time // end of the last success; 0: none yet
	due     Time // Delayed: the next start; Due: when it came; running: the deadline or, once stopped, the end of the grace; 0: none
	stuckAt Time // when a body that was told to end counts as stuck; 0: never
	healAt  Time // when the running attempt ends the streak; 0: never
	beat    Time // the attempt's last sign of life; with Policy.Idle only
}

// Effects tell the owner what to do about a transition. It announces the events
// among them in the order of their bits, under the lock, since two goroutines could
// otherwise announce one task's transitions in the wrong order. The rest follows when
// the lock has been released, because it calls the user's code or takes other locks.
type Effects uint32

// The effects.
const (
	EventAdded Effects = 1 << iota
	EventRequested
	EventTriggered
	EventInterrupted
	EventPaused
	EventResumed
	EventReady
	EventStarting
	EventTimeout
	EventStuck // without its stacks, for which there is no time left; only from Abandon
	EventEnded // the attempt: which event that is depends on Result
	EventRecovered
	EventReturned // an abandoned body
	EventReleased // a body that was abandoned and released: its task is gone
	EventExhausted
	EventDead
	EventBackoff

	Cancel  // end the attempt's context, with the cause that CanceledBy says
	Run     // begin an attempt on a new goroutine, which calls Start when its brackets have begun
	Call    // call the body, then Returned
	Abort   // do not call the body; end the brackets, then call Settle(true)
	Enter   // ask the gates, then call LetIn
	Quit    // leave the gates that were entered, and the one that is waited at; before Enter, if both are set
	Leave   // the task is gone: free its name and slot, deliver its outcome. Exactly once in a life
	Stuck   // have the body's stacks taken, then call GotStuck
	Abandon // the grace is over: call Abandon. Nothing reminds the owner again
	Back    // the body of a task that was given up has returned: tell those who wait for that
	Changed // nothing to be done: this call, among several, is the one that changed something

	Events = EventBackoff<<1 - 1 // all events
)

// New returns the machine of a task that is not yet registered: in the phase
// Added, or Queued for a submission. gated says that there are gates to enter.
func New(p *Policy, phase Phase, gated, paused bool) Machine {
	return Machine{policy: p, phase: phase, gated: gated, paused: paused}
}

// running reports whether a goroutine is at work.
func (m *Machine) running() bool { return m.phase.Running() }

// Register turns a submission that was queued into a task.
func (m *Machine) Register() { m.phase = Added }

// Reject ends a submission that never becomes a task.
func (m *Machine) Reject(why uint8, now Time) {
	m.stop = why
	m.end(Rejected, now)
}

// Stop ends the task for why, which is not 0. An individual stop has the task's own
// grace; a shutdown keeps its own time. A body that still runs after stuckAfter counts
// as stuck. It is not for Queued: a submission that waits is rejected instead.
func (m *Machine) Stop(why uint8, shutdown bool, stuckAfter time.Duration, now Time) Effects {
	if m.stop != 0 || m.phase == Gone {
		return 0
	}
	m.stop, m.shutdown = why, shutdown
	e := Changed
	if m.phase == Added {
		return e // Announce carries it out: nothing precedes EventAdded
	}
	if !shutdown {
		e |= EventRequested
	}
	if !m.running() {
		if m.phase == Due {
			e |= Quit
		}
		return e | m.end(Stopped, now)
	}
	m.since = now
	m.due, m.healAt = 0, 0 // a stop disarms the deadline
	if !shutdown {
		m.due = now.After(m.policy.Grace)
	}
	// A body that was told to end before, by its deadline or an interruption, has its
	// time running, or used up. In Ended it is back, and only brackets are waited for.
	if m.stuckAt == 0 && !m.hangs && m.phase != Ended {
		m.stuckAt = now.After(stuckAfter)
	}
	return e | m.cancel(ByStop)
}

// Announce follows registration. A stop that came before it takes effect now.
func (m *Machine) Announce(now Time) Effects {
	if m.phase != Added { // a shutdown that had no time to wait has announced it already
		return 0
	}
	m.phase, m.since = Held, now
	e := EventAdded
	switch {
	case m.stop == 0:
		if m.paused { // from the start, or since it was registered
			e |= EventPaused
		}
		return e
	case !m.shutdown: // a shutdown announces itself, not the stop of each task
		e |= EventRequested
	}
	return e | m.end(Stopped, now)
}

// Launch lets an announced task begin, after initial; 0: at once. It does nothing to
// a task that was launched, or stopped, before.
func (m *Machine) Launch(initial time.Duration, now Time) Effects {
	if m.phase != Held {
		return 0
	}
	if initial > 0 && !m.again {
		if m.phase = Delayed; !m.paused { // others are shown "paused" before and after
			m.since = now
		}
		m.delay, m.due = initial, now.After(initial)
		return 0
	}
	m.again = false
	return m.come(now)
}

// come makes the next attempt due, and begins it if nothing is in the way: the phase
// may then go from Ended to Begun in one transition.
func (m *Machine) come(now Time) Effects {
	if !m.paused || m.running() { // otherwise others are shown "paused" before and after
		m.since = now
	}
	m.phase, m.due = Due, now
	switch {
	case m.paused:
		return 0
	case m.gated:
		return Enter
	default:
		return m.LetIn(now)
	}
}

// LetIn begins the attempt of a task that has passed its gates. If it was stopped or
// paused while they were asked, it leaves them instead: Stop and Pause could not.
func (m *Machine) LetIn(now Time) Effects {
	if m.phase != Due || m.paused {
		return Quit
	}
	m.phase, m.since = Begun, now
	m.waited = time.Duration(now - m.due)
	m.again, m.interrupted, m.timedOut, m.idle, m.hangs, m.stuck, m.ready = false, false, false, false, false, false, false
	m.canceled = ByNothing
	m.due, m.stuckAt, m.healAt = 0, 0, 0
	return Run
}

// Start announces the attempt, once its brackets have begun, unless a stop came
// first: then the body is not called, no event tells of the attempt, and it is not
// counted. An interruption that came first does not keep the body from being called,
// with a context that is cancelled, and without a deadline, which it has disarmed.
func (m *Machine) Start(now Time) Effects {
	if m.stop != 0 {
		m.phase = Ended
		return Abort
	}
	m.phase, m.since, m.started, m.beat = Active, now, now, now
	m.attempt++
	if m.first == 0 {
		m.first = now
	}
	if m.policy.Timeout > 0 && m.canceled == ByNothing {
		m.due = now.After(m.policy.Timeout)
	}
	if m.streak > 0 && m.policy.ResetAfter > 0 {
		m.healAt = now.After(m.policy.ResetAfter).After(1) // longer than that
	}
	m.wasReady = m.wasReady || m.Ready()
	return EventStarting | Call
}

// cancel records what cancels the attempt's context; a second cause changes nothing.
func (m *Machine) cancel(by CanceledBy) Effects {
	if m.canceled != ByNothing {
		return 0
	}
	m.canceled = by
	return Cancel
}

// CancelChild cancels the attempt because a child has failed.
func (m *Machine) CancelChild() Effects { return m.cancel(ByChild) }

// CancelEnd cancels the attempt because its body has returned.
func (m *Machine) CancelEnd() Effects { return m.cancel(ByEnd) }

// Beat is a sign of life of the attempt that runs. It moves the end of the longest
// silence, for which Wake need not be asked again: a Tick that comes early does nothing.
func (m *Machine) Beat(now Time) { m.beat = now }

// SayReady is called by the attempt that runs.
func (m *Machine) SayReady() Effects {
	if m.phase != Active || m.ready || m.abandoned || !m.policy.Readiness {
		return 0
	}
	m.ready, m.wasReady = true, true
	return EventReady | Changed
}

// Abandon gives the body up: the outcome is known, the body is not back. It changes
// nothing if the body came back since the effect Abandon was returned. Name, slot and
// gates stay taken until Settle, unless the policy releases them now.
func (m *Machine) Abandon(now Time) Effects {
	if m.abandoned || m.stop == 0 || !m.running() {
		return 0
	}
	e := Changed
	if m.hangs && !m.stuck && m.phase != Ended { // its stacks are being read, and come too late
		m.stuck = true
		e |= EventStuck
	}
	m.abandoned = true
	m.outcome = Abandoned
	m.since = now
	m.due = 0
	if m.policy.Release {
		e |= Quit | Leave
	}
	return e
}

// GotStuck follows Stuck, with the stacks. It reports whether the body is to be
// announced as stuck; not if it is back, or was announced when it was given up.
func (m *Machine) GotStuck(attempt int) bool {
	if !m.Out(attempt) || m.stuck || m.abandoned {
		return false
	}
	m.stuck = true
	return true
}

// Out reports whether that attempt's body has not returned.
func (m *Machine) Out(attempt int) bool {
	return (m.phase == Begun || m.phase == Active) && m.Number() == attempt
}

// end is the one way to Gone. It disarms all times, so that Wake asks for no Tick. For a
// task that was abandoned and released, the caller drops the Leave: it has left already.
func (m *Machine) end(outcome Outcome, now Time) Effects {
	m.phase, m.outcome, m.since = Gone, outcome, now
	m.source = 0
	m.due, m.stuckAt, m.healAt = 0, 0, 0
	m.paused = false
	m.wasReady = m.wasReady || m.Ready() // a task that runs once is ready when it has completed
	return Leave
}

// Number is that of the attempt that runs, or of the next. In Begun it is not counted
// yet: Start counts it.
func (m *Machine) Number() int {
	if m.phase == Active || m.phase == Ended {
		return m.attempt
	}
	return m.attempt + 1
}
