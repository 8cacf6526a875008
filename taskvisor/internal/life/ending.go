package life

import "time"

// Ending is what became of a body and its children: what the owner has read from them,
// before the machine decides the result.
type Ending struct {
	Kind   Result        // as if nobody had stopped the task and no deadline had passed
	Exited bool          // by runtime.Goexit
	Asked  bool          // it named the time until the next attempt
	After  time.Duration // that time; never negative
	Next   Time          // the next start of a scheduled task; 0: there is none
}

// Returned decides the result and plans what follows; draw is asked for a
// uniform number in [0, 1) if there is something to draw. It is the table of
// results, in its order. A body that comes back after its deadline, before the
// timer did, has timed out all the same; one that ran for long enough has recovered.
func (m *Machine) Returned(end Ending, now Time, draw func() float64) Effects {
	// The timer may be late. What it would have found is found here, so that the result
	// depends on the time of the return and not on which goroutine came first.
	e := m.expire(now) | m.heal(now)
	kind := end.Kind
	switch {
	case kind == Panic || end.Exited: // a bug shows, whatever else went on
	case m.timedOut: // also if the body returned nil: its work came too late
		kind = Timeout
	case m.interrupted && m.stop == 0 && (kind == Success || kind == Failure):
		kind = Canceled // another attempt follows, which a success need not let follow
	case kind == Failure && m.stop != 0:
		kind = Canceled // most bodies return an error when they are told to stop
	default: // it ended for a reason of its own
		m.interrupted = false
	}
	m.phase, m.over = Ended, now
	m.result = kind
	m.counts[kind-1]++
	m.ready = false
	m.stuckAt, m.healAt = 0, 0
	if m.stop == 0 {
		m.due = 0 // the deadline; the grace of a stop goes on, for the brackets
	}
	m.cancel(ByEnd) // the effect is dropped: for a context that was looked at, CancelEnd came before, with it
	return e | m.plan(end, now, draw)
}

// plan sets source and delay, if another attempt follows, or else the outcome. A stop
// voids the plan, in Settle: it may still come while brackets are being ended, and
// until then a bracket is told what is planned.
func (m *Machine) plan(end Ending, now Time, draw func() float64) (e Effects) {
	p := m.policy
	m.source = 0
	switch m.result {
	case Success:
		if m.streak > 0 && !m.abandoned { // the task of an abandoned body may be gone
			e = EventRecovered
		}
		m.streak = 0
		m.success = now
		switch {
		case p.Restart != Always || p.Scheduled && end.Next == 0:
			m.outcome = Completed
		case end.Asked:
			m.source, m.delay = Requested, end.After
		case p.Scheduled:
			m.source, m.delay = AfterSuccess, max(time.Duration(end.Next-now), 0)
		default:
			m.source, m.delay = AfterSuccess, p.Interval
		}
	case Fatal:
		m.streak++
		m.outcome = Died
	case Canceled: // no failure: the streak stays as it is
		m.outcome = Stopped
		if m.interrupted {
			m.source, m.delay = Triggered, 0
		}
	default: // Failure, Timeout, Panic
		// heal has said so already, unless a timeout has disarmed it.
		if p.ResetAfter > 0 && time.Duration(now-m.started) > p.ResetAfter {
			m.streak = 0
		}
		n := m.streak // retries made in this streak
		m.streak++
		switch {
		case p.Restart == Never || p.Retries != Unlimited && n >= p.Retries:
			m.outcome = Failed
		case end.Asked && m.result != Timeout: // what a body says after its deadline comes too late
			m.source, m.delay = Requested, end.After
		case p.Backoff.Jitter == NoJitter:
			m.source, m.delay = AfterFailure, p.Backoff.base(n)
		default:
			m.source, m.delay = AfterFailure, p.Backoff.Delay(n, draw())
		}
	}
	m.override()
	if m.abandoned {
		m.outcome = Abandoned // others know it already
	}
	return e
}

// override lets one more attempt that was asked for follow, and keeps to the floor: the
// delay counts from the return of the body, the floor from the start before. A body
// that was fatal, or ended the task itself, is not overridden.
func (m *Machine) override() {
	if m.again && (m.source != 0 || m.outcome == Completed || m.outcome == Failed) {
		m.source, m.delay = Triggered, 0
	}
	if m.source != 0 && !m.policy.NoFloor {
		m.delay = max(m.delay, Floor-time.Duration(m.over-m.started))
	}
}

// Settle follows the brackets: the attempt is over, and what was planned begins
// unless a stop voids it. aborted says that Start has returned Abort: no event has told
// of the attempt, so none tells of its end.
func (m *Machine) Settle(aborted bool, now Time) Effects {
	if aborted {
		return m.settled(0, Stopped, now)
	}
	if m.again { // RunNow may have come since Returned; if it came before, this changes nothing
		m.override()
	}
	due := m.over.After(m.delay) // however long the brackets took
	switch {
	case m.stop != 0:
		return m.settled(EventEnded, Stopped, now)
	case m.source != 0 && due > now:
		m.phase, m.since, m.due = Delayed, now, due
		return EventEnded | EventBackoff | Quit
	case m.source != 0: // no delay, or the brackets took as long; the gates are left and asked again
		return EventEnded | EventBackoff | Quit | m.come(now)
	case m.outcome == Died:
		return m.settled(EventEnded|EventDead, Died, now)
	case m.outcome == Stopped:
		return m.settled(EventEnded, Stopped, now)
	default:
		return m.settled(EventEnded|EventExhausted, m.outcome, now)
	}
}

// settled ends the task, with outcome, or what is left of one that was given up, whose
// outcome has been known since. e is what tells of the attempt's end; 0: nothing.
func (m *Machine) settled(e Effects, outcome Outcome, now Time) Effects {
	switch {
	case !m.abandoned:
		return e | Quit | m.end(outcome, now)
	case m.policy.Release: // its task is gone since: Abandon has returned Quit and Leave
		m.end(Abandoned, now)
		if e == 0 { // it was never announced
			return Back
		}
		return EventReleased | Back // one event without a task's life around it, in place of all others
	default:
		return e | EventReturned | Back | Quit | m.end(Abandoned, now)
	}
}

// Fail ends a task that waits to begin, because what it depends on has ended. One that
// runs goes on, and one that was not announced asks the order when it comes to its gates.
func (m *Machine) Fail(now Time) Effects {
	if m.stop != 0 || m.running() || m.phase == Gone || m.phase < Held {
		return 0
	}
	var e Effects
	if m.phase == Due {
		e = Quit
	}
	return e | EventExhausted | m.end(Failed, now)
}

// Tick is called when a time may have come, by a timer that can be late, early,
// or left over from something else. It does one thing at a time, the most urgent first;
// if more is due, Wake names a time that has passed, and the owner comes again.
func (m *Machine) Tick(now Time) Effects {
	switch {
	case m.phase == Delayed:
		if m.due.reached(now) {
			return m.come(now)
		}
		return 0
	case !m.running() || m.abandoned: // no time is left that means anything
		return 0
	case m.stop != 0 && m.due.reached(now):
		m.due, m.stuckAt = 0, 0 // both are over: the owner is to do one last thing
		return Abandon
	case m.stuckAt.reached(now):
		m.stuckAt = 0
		if m.phase == Ended { // a bracket holds it, not the body
			return 0
		}
		m.hangs = true
		return Stuck
	}
	if e := m.expire(now); e != 0 {
		return e
	}
	return m.heal(now)
}

// heal ends a streak of failures while the attempt still runs, if it has run for long
// enough: a task that works again is to be seen as such at once, not when it next ends.
func (m *Machine) heal(now Time) Effects {
	if !m.healAt.reached(now) {
		return 0
	}
	m.healAt, m.streak = 0, 0
	return EventRecovered
}

// expire times the attempt out if its deadline, or the longest silence, has passed. A
// stop and an interruption have disarmed both: due is then another time, or none.
func (m *Machine) expire(now Time) Effects {
	if m.phase != Active || m.stop != 0 || m.timedOut || m.interrupted {
		return 0
	}
	switch {
	case m.due.reached(now):
	case m.silence().reached(now):
		m.idle = true
	default:
		return 0
	}
	m.due, m.healAt = 0, 0 // no recovery is announced after a timeout
	m.timedOut = true
	m.stuckAt = now.After(m.policy.StuckAfter)
	return EventTimeout | m.cancel(ByDeadline)
}

// silence is when the attempt that runs has been silent for too long; 0: never. Once its
// body is back there is no limit: children that are waited for need not call Beat.
func (m *Machine) silence() Time {
	if m.policy.Idle == 0 || m.canceled == ByEnd {
		return 0
	}
	return m.beat.After(m.policy.Idle)
}

// Wake is when Tick is to be called; 0: not at all. The owner asks after each
// transition. An abandoned body is waited for without a time.
func (m *Machine) Wake() Time {
	if m.phase == Delayed {
		return m.due
	}
	if !m.running() || m.abandoned {
		return 0
	}
	next := earliest(m.stuckAt, m.healAt)
	if m.phase == Active && m.stop == 0 && !m.timedOut && !m.interrupted {
		next = earliest(next, m.silence())
	}
	return earliest(next, m.due)
}

// earliest is the earlier of two times, of which either may be "never".
func earliest(a, b Time) Time {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Postpone moves the start of a delayed task, to an earlier or a later time: the wall
// clock was set. One that was told to begin at once keeps to that.
func (m *Machine) Postpone(due Time) {
	if m.phase == Delayed && !m.again {
		m.due = due
	}
}
