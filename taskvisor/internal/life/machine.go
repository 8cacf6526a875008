package life

import "time"

// Phase is where a machine is. It is finer than what others are shown.
//
//	Queued → Added → Held → Due ─→ Begun → Active → Ended ─→ Gone
//	                   │     ↑                        │
//	                   └─→ Delayed ←──────────────────┘
//
// A goroutine exists in Begun, Active and Ended only. A stop in one of the
// other phases leads to Gone at once.
type Phase uint8

// The phases.
const (
	Queued  Phase = iota // a submission that waits for its slot; not registered
	Added                // registered; not yet announced
	Held                 // announced; the rest of its batch, or the supervisor's start, is waited for
	Delayed              // waits for its next start
	Due                  // may begin as soon as its gates and no pause are in the way
	Begun                // let in, with a goroutine; brackets are being begun
	Active               // the start was announced; the body or its children run
	Ended                // the result is decided; brackets are being ended
	Gone                 // the outcome is decided; nothing changes any more
)

// CanceledBy is what cancelled an attempt's context. The first one stands.
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
type Machine struct {
	policy *Policy

	phase       Phase
	gated       bool  // there are gates to enter before an attempt begins
	stop        uint8 // why it was stopped, in the owner's words; 0: it was not. The first claim stands
	shutdown    bool  // that claim was the shutdown's
	paused      bool
	again       bool // one more attempt was asked for
	interrupted bool // the current attempt was
	canceled    CanceledBy
	timedOut    bool // the current attempt's deadline has passed
	idle        bool // by silence
	hangs       bool // the owner was told to have its stacks taken
	stuck       bool // that was announced for it
	ready       bool // it said so
	wasReady    bool // the task was, at any time
	abandoned   bool // the outcome is Abandoned; the body still runs, unless Gone
	result      Result
	outcome     Outcome
	source      Source           // of the planned or current delay; 0: no attempt follows
	streak      int              // failures in a row
	attempt     int              // attempts begun
	delay       time.Duration    // planned, current, or before the current attempt
	waited      time.Duration    // at gates, before the current attempt
	counts      [Canceled]uint64 // attempts by result

	since   Time // of the current state
	started Time // of the current attempt
	over    Time // when its body returned
	first   Time // of the first attempt; 0: none yet
	success Time // end of the last success; 0: none yet
	due     Time // Delayed: the next start; Due: when it came; running: the deadline or, once stopped, the end of the grace; 0: none
	stuckAt Time // when a body that was told to end counts as stuck; 0: never
	healAt  Time // when the running attempt ends the streak; 0: never
	beat    Time // the attempt's last sign of life; with Policy.Idle only
}

// Effects tell the owner what to do about a transition. It announces the events
// among them in the order of their bits, under the lock; the rest follows after.
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
	EventStuck // without its stacks, for which there is no time left
	EventEnded // the attempt
	EventRecovered
	EventReturned // an abandoned body
	EventReleased // a body that was abandoned and released: its task is gone
	EventExhausted
	EventDead
	EventBackoff

	Cancel  // the attempt's context, because of what Canceled says
	Run     // begin an attempt on a new goroutine
	Call    // the body
	Abort   // do not call it; end the brackets
	Enter   // the gates
	Quit    // leave the gates
	Leave   // the task is gone: free its name and deliver its outcome
	Stuck   // have the body's stacks taken, then call GotStuck
	Abandon // the grace is over: call Abandon
	Back    // the body of a task that was given up has returned
	Changed // this call has changed something

	Events = EventBackoff<<1 - 1
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

// Stop ends the task for why. An individual stop has the task's own grace; a
// shutdown keeps its own time, and says how long a body may take before it
// counts as stuck.
func (m *Machine) Stop(why uint8, shutdown bool, stuckAfter time.Duration, now Time) Effects {
	if m.stop != 0 || m.phase == Gone {
		return 0
	}
	m.stop, m.shutdown = why, shutdown
	e := Changed
	if m.phase == Added {
		return e // whoever announces it sees the stop: nothing precedes EventAdded
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
	if m.stuckAt == 0 && !m.hangs && m.phase != Ended {
		m.stuckAt = now.After(stuckAfter)
	}
	return e | m.cancel(ByStop)
}

// Announce follows registration. A stop that came before it takes effect now.
func (m *Machine) Announce(now Time) Effects {
	if m.phase != Added { // a shutdown has announced it
		return 0
	}
	m.phase, m.since = Held, now
	e := EventAdded
	switch {
	case m.stop == 0:
		if m.paused {
			e |= EventPaused
		}
		return e
	case !m.shutdown:
		e |= EventRequested
	}
	return e | m.end(Stopped, now)
}

// Launch lets an announced task begin, after initial; 0: at once.
func (m *Machine) Launch(initial time.Duration, now Time) Effects {
	if m.phase != Held {
		return 0
	}
	if initial > 0 && !m.again {
		if m.phase = Delayed; !m.paused {
			m.since = now
		}
		m.delay, m.due = initial, now.After(initial)
		return 0
	}
	m.again = false
	return m.come(now)
}

// come is when the next attempt is due.
func (m *Machine) come(now Time) Effects {
	if !m.paused || m.running() { // or it goes on being paused
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

// LetIn begins the attempt of a task that has passed its gates. If it was
// stopped or paused meanwhile it leaves them instead.
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
// first.
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

// cancel records what cancels the attempt's context.
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

// Beat is a sign of life of the attempt that runs.
func (m *Machine) Beat(now Time) { m.beat = now }

// SayReady is called by the attempt that runs.
func (m *Machine) SayReady() Effects {
	if m.phase != Active || m.ready || m.abandoned || !m.policy.Readiness {
		return 0
	}
	m.ready, m.wasReady = true, true
	return EventReady | Changed
}

// Abandon gives the body up: the outcome is known, the body is not back.
func (m *Machine) Abandon(now Time) Effects {
	if m.abandoned || m.stop == 0 || !m.running() {
		return 0
	}
	e := Changed
	if m.hangs && !m.stuck && m.phase != Ended {
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

func (m *Machine) end(outcome Outcome, now Time) Effects {
	m.phase, m.outcome, m.since = Gone, outcome, now
	m.source = 0
	m.due, m.stuckAt, m.healAt = 0, 0, 0
	m.paused = false
	m.wasReady = m.wasReady || m.Ready()
	return Leave
}

// Number is that of the attempt that runs, or of the next.
func (m *Machine) Number() int {
	if m.phase == Active || m.phase == Ended {
		return m.attempt
	}
	return m.attempt + 1
}
