package taskvisor

import "time"

// instant is a point on a supervisor's monotonic clock, in nanoseconds since it
// was made. Wall clocks jump; nothing is decided by them.
type instant int64

// phase is where a task's machine is. It is finer than the State that others
// see, which stateOf derives.
//
//	queued → added → announced → pending ─→ begun → active → ended ─→ gone
//	                                ↑                          │
//	                                ├──── backoff ←────────────┤
//	                                └──── waiting ←────────────┘
//
// A goroutine exists in begun, active and ended only. A stop in one of the other
// phases leads to gone at once.
type phase uint8

const (
	phaseQueued    phase = iota // a submission that waits for its slot; not registered
	phaseAdded                  // registered; TaskAdded is not yet announced
	phaseAnnounced              // the rest of its batch is not
	phasePending                // waits for a permit
	phaseBackoff                // waits after a failure
	phaseWaiting                // waits after a success
	phaseBegun                  // has a permit and a goroutine; brackets are being begun
	phaseActive                 // TaskStarting was announced; the body or its children run
	phaseEnded                  // the result is decided; brackets are being ended
	phaseGone                   // the outcome is decided; nothing changes any more
)

// running reports whether a goroutine is at work in this phase.
func (p phase) running() bool { return p >= phaseBegun && p <= phaseEnded }

// canceledBy is what cancelled an attempt's context. The first one stands.
type canceledBy uint8

const (
	byNothing canceledBy = iota
	byDeadline
	byStop
	byChild // a child panicked or exited
	byEnd   // the body returned
)

// machine is the state of one task. Its methods are the only places where that
// state changes: pure transitions, which return what is to be done about them.
// They know no clock, no goroutine and no lock; who owns the machine holds the
// task's lock.
type machine struct {
	policy *policy // in force; never written

	phase     phase
	stop      Reason     // why it was stopped; the first claim stands
	canceled  canceledBy // the current attempt's context
	timedOut  bool       // TimeoutHit was announced for the current attempt
	stuck     bool       // TaskStuck was announced for it
	abandoned bool       // the outcome is OutcomeAbandoned; the body still runs, unless gone
	result    ResultKind // of the last attempt
	outcome   OutcomeKind
	source    BackoffSource // of the planned or current delay; zero: no attempt follows
	streak    int32         // failures in a row
	attempt   int           // attempts begun
	delay     time.Duration // planned, current, or before the current attempt

	since   instant // of the current state
	started instant // of the current attempt
	first   instant // of the first attempt; 0: none yet
	success instant // end of the last success; 0: none yet
	due     instant // backoff, waiting: the next start; running: the deadline or, once stopped, the end of the grace; 0: none
	stuckAt instant // when a body that was told to end counts as stuck; 0: never
}

// actions tell the owner of a machine what to do. Events are published in the
// order of the bits, under the lock; the rest follows after it.
type actions uint32

const (
	doRequested actions = 1 << iota // publish TaskRemoveRequested
	doStarting                      // publish TaskStarting
	doTimeout                       // publish TimeoutHit
	doTerminal                      // publish TaskStopped, TaskFailed or TaskCanceled
	doReturned                      // publish TaskReturned
	doExhausted                     // publish ActorExhausted
	doDead                          // publish ActorDead
	doBackoff                       // publish BackoffScheduled
	doCancel                        // cancel the attempt's context
	doRun                           // call the body
	doAbort                         // do not call it; end the brackets
	doAgain                         // the next attempt is due now
	doWait                          // the next attempt is due later: give the permit up, arm the timer
	doLeave                         // the task is gone: leave the registry, deliver the outcome
	doStuck                         // take the body's stacks and publish TaskStuck
	doAbandon                       // take the body's stacks and abandon it: its grace is over
	claimed                         // this call claimed the stop

	events = doBackoff<<1 - 1
)

// state is what the machine shows to others.
func (m *machine) state() State {
	switch {
	case m.phase == phaseGone:
		return StateFinished
	case m.abandoned:
		return StateAbandoned
	case m.stop != 0:
		return StateStopping
	}
	switch m.phase {
	case phaseBackoff:
		return StateBackoff
	case phaseWaiting:
		return StateWaiting
	case phaseActive, phaseEnded:
		return StateRunning
	default:
		return StatePending
	}
}

// claim stops the task. individual claims have the task's own grace; a shutdown
// keeps its own time.
func (m *machine) claim(why Reason, now instant) actions {
	if m.stop != 0 || m.phase == phaseGone {
		return 0
	}
	m.stop = why
	a := claimed
	individual := why != ErrShutdown
	if individual && m.phase != phaseAdded { // nothing precedes TaskAdded
		a |= doRequested
	}
	switch {
	case m.phase == phaseAdded:
		return a // who announces it sees the stop
	case !m.phase.running():
		return a | m.end(OutcomeCanceled, now)
	}
	m.since = now
	m.due = 0                                                // a stop disarms the deadline; whether it is abandoned is the shutdown's decision
	if m.stuckAt == 0 && !m.stuck && m.phase != phaseBegun { // an attempt that never starts publishes nothing
		m.stuckAt = after(now, m.policy.stuckAfter)
	}
	if individual {
		m.due = after(now, m.policy.grace)
	}
	if m.cancel(byStop) {
		a |= doCancel
	}
	return a
}

// announced follows TaskAdded: a stop that came before it takes effect now.
func (m *machine) announced(now instant) actions {
	m.since = now
	m.phase = phaseAnnounced
	if m.stop == 0 {
		return 0
	}
	a := m.end(OutcomeCanceled, now)
	if m.stop != ErrShutdown {
		a |= doRequested
	}
	return a
}

// begin takes a permit into use.
func (m *machine) begin() {
	m.phase = phaseBegun
	m.canceled = byNothing
	m.timedOut, m.stuck = false, false
	m.due, m.stuckAt = 0, 0
}

// prepare fixes the start of the attempt, once its goroutine runs.
func (m *machine) prepare(now instant) { m.started = now }

// start announces the attempt, unless a stop came first.
func (m *machine) start() actions {
	if m.stop != 0 {
		m.phase = phaseEnded
		return doAbort
	}
	now := m.started
	m.phase = phaseActive
	m.attempt++
	m.since = now
	if m.first == 0 {
		m.first = now
	}
	if m.policy.set&limitTimeout != 0 {
		m.due = after(now, m.policy.timeout)
	}
	return doStarting | doRun
}

// tick is called when a time may have come, by a timer that can be late,
// early, or left over from something else.
func (m *machine) tick(now instant) actions {
	reached := func(at instant) bool { return at != 0 && now >= at }
	switch {
	case m.phase == phaseBackoff || m.phase == phaseWaiting:
		if reached(m.due) {
			m.phase = phasePending
			m.since = now
			return doAgain
		}
	case m.phase == phaseActive && m.stop == 0 && reached(m.due):
		m.due = 0
		m.timedOut = true
		m.stuckAt = after(now, m.policy.stuckAfter)
		a := doTimeout
		if m.cancel(byDeadline) {
			a |= doCancel
		}
		return a
	case m.stop != 0 && m.phase.running() && !m.abandoned && reached(m.due):
		m.due, m.stuckAt = 0, 0
		return doAbandon
	case m.phase.running() && !m.abandoned && reached(m.stuckAt):
		m.stuckAt = 0
		return doStuck
	}
	return 0
}

// next is when tick is to be called; 0: not at all.
func (m *machine) next() instant {
	switch {
	case m.phase == phaseBackoff || m.phase == phaseWaiting:
		return m.due
	case !m.phase.running() || m.abandoned:
		return 0
	case m.phase == phaseActive && m.stop == 0 && m.due != 0:
		return m.due
	case m.stop != 0 && m.due != 0 && (m.stuckAt == 0 || m.due < m.stuckAt):
		return m.due
	default:
		return m.stuckAt
	}
}

// cancel records what cancels the attempt's context and reports whether that was
// the first.
func (m *machine) cancel(by canceledBy) bool {
	if m.canceled != byNothing {
		return false
	}
	m.canceled = by
	return true
}

// returned decides the result and plans what follows; draw is asked for a
// uniform number in [0, 1) if there is something to draw. It is the table of
// results, in its order.
func (m *machine) returned(e *ending, now instant, draw func() float64) {
	kind := e.kind
	switch {
	case kind == ResultPanic || e.goexit:
	case m.timedOut:
		kind = ResultTimeout
		e.err = &TimeoutError{Timeout: m.policy.timeout, Err: e.err}
	case kind == ResultFailure && m.stop != 0:
		kind = ResultCanceled
	}
	m.phase = phaseEnded
	m.result = kind
	if m.stop == 0 {
		m.due = 0
	}
	m.cancel(byEnd)
	m.plan(e, now, draw)
}

// plan sets outcome, or source and delay.
func (m *machine) plan(e *ending, now instant, draw func() float64) {
	m.source = 0
	switch m.result {
	case ResultSuccess:
		m.streak = 0
		m.success = now
		if m.policy.restart.kind != restartAlways {
			m.outcome = OutcomeCompleted
			return
		}
		m.source = BackoffSuccess
		m.delay = m.policy.restart.interval
	case ResultFatal:
		m.streak++
		m.outcome = OutcomeFatal
		return
	case ResultCanceled:
		m.outcome = OutcomeCanceled
		return
	default:
		if m.outlived(now) {
			m.streak = 0
		}
		n := int(m.streak) // retries made in this streak
		m.streak++
		if m.policy.restart.kind == restartNever || m.policy.set&limitRetries != 0 && n >= m.policy.retries {
			m.outcome = OutcomeFailed
			return
		}
		if e.requested && m.result == ResultFailure {
			m.source = BackoffRequested
			m.delay = e.after
		} else {
			m.source = BackoffFailure
			m.delay = m.policy.backoff.delay(n, draw)
		}
	}
	if m.policy.set&noFloor == 0 {
		m.delay = max(m.delay, restartFloor-time.Duration(now-m.started))
	}
	if m.stop == 0 { // otherwise it is the end of the grace, and the plan is void
		m.due = after(now, m.delay)
	}
}

// after is now + d, saturating: delays may be as long as a duration can be.
func after(now instant, d time.Duration) instant {
	if at := now + instant(d); at >= now {
		return at
	}
	return 1<<63 - 1
}

// outlived reports whether the attempt ran for so long that its failure starts
// a new streak.
func (m *machine) outlived(now instant) bool {
	byTime := m.policy.set&limitTimeout == 0 || m.policy.set&setReset != 0
	return byTime && time.Duration(now-m.started) > m.policy.resetAfter
}

// settle follows the brackets: the attempt is over, and what was planned begins
// unless a stop voids it.
func (m *machine) settle(now instant) actions {
	a := doTerminal
	switch {
	case m.abandoned:
		a |= doReturned | m.end(OutcomeAbandoned, now)
	case m.stop != 0:
		a |= m.end(OutcomeCanceled, now)
	case m.source == 0:
		switch m.outcome {
		case OutcomeFatal:
			a |= doDead
		case OutcomeCompleted, OutcomeFailed:
			a |= doExhausted
		}
		a |= m.end(m.outcome, now)
	case m.delay > 0:
		m.phase = phaseBackoff
		if m.source == BackoffSuccess {
			m.phase = phaseWaiting
		}
		m.since = now
		a |= doBackoff | doWait
	default:
		m.phase = phasePending
		m.since = now
		a |= doBackoff | doAgain
	}
	return a
}

// aborted follows the brackets of an attempt whose body was not called.
func (m *machine) aborted(now instant) actions {
	if m.abandoned {
		return doReturned | m.end(OutcomeAbandoned, now)
	}
	return m.end(OutcomeCanceled, now)
}

// abandon gives the body up: the outcome is known, the body is not back.
func (m *machine) abandon(now instant) bool {
	if m.abandoned || m.stop == 0 || !m.phase.running() {
		return false
	}
	m.abandoned = true
	m.outcome = OutcomeAbandoned
	m.since = now
	return true
}

func (m *machine) end(outcome OutcomeKind, now instant) actions {
	m.phase = phaseGone
	m.outcome = outcome
	m.since = now
	m.source = 0
	m.due, m.stuckAt = 0, 0
	return doLeave
}
