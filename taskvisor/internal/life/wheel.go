package life

// What the task's user asks for while it lives: each returns Changed if the call has
// changed something, and the event that says so. Of several callers that ask for the
// same thing one changes it, and gets the event; a claimed stop voids all of them.

// RunNow ends a delay; of an attempt that runs it asks for one more at once. At a gate,
// and in a pause that begins there, the attempt is due already: nothing is changed.
func (m *Machine) RunNow(now Time) Effects {
	switch {
	case m.stop != 0 || m.again: // asked for before, and not begun: one attempt answers all callers
	case m.phase == Delayed:
		return Changed | EventTriggered | m.hasten(now)
	case m.phase == Ended && m.source == 0 && (m.outcome == Died || m.outcome == Stopped):
		return 0 // decided: none follows
	case m.running() || m.phase == Held:
		m.again = true
		return Changed | EventTriggered
	}
	return 0
}

// hasten ends a delay: now, or as soon as the floor allows, which otherwise a caller in
// a loop could undercut. It is for Delayed only.
func (m *Machine) hasten(now Time) Effects {
	if first := m.started.After(Floor); m.attempt > 0 && !m.policy.NoFloor && first > now {
		m.again, m.due = true, first
		return 0
	}
	return m.come(now)
}

// Interrupt cancels the attempt that runs; the next begins at once. It ends a
// delay as RunNow does. An attempt that is being cancelled already, for whatever
// reason, is left to that; so is one whose body is back.
func (m *Machine) Interrupt(now Time) Effects {
	switch {
	case m.stop != 0:
	case m.phase == Delayed && !m.again: // with again set it was ended before
		return Changed | EventInterrupted | m.hasten(now)
	case (m.phase == Begun || m.phase == Active) && m.canceled == ByNothing:
		m.interrupted = true
		m.due = 0 // it disarms the deadline, as a stop does
		m.stuckAt = now.After(m.policy.StuckAfter)
		return Changed | EventInterrupted | m.cancel(ByInterrupt)
	}
	return 0
}

// Pause keeps further attempts from beginning; one that runs goes on, and a delay passes
// meanwhile, until its task is Due. A submission that waits for its slot is no task yet
// and cannot be paused, only begin its life so: see New.
func (m *Machine) Pause(now Time) Effects {
	if m.paused || m.stop != 0 || m.phase == Gone || m.phase == Queued {
		return 0
	}
	m.paused = true
	e := Changed | EventPaused
	switch m.phase {
	case Added: // nothing precedes EventAdded; Announce says it
		return Changed
	case Due: // a paused task keeps no permit and no turn from others
		e |= Quit
		m.since = now
	case Held, Delayed: // from here on others are shown "paused"; with an attempt, when that has ended
		m.since = now
	}
	return e
}

// Resume goes on where the task is due: at its gates, in what is left of its delay, or
// with the attempt that runs.
func (m *Machine) Resume(now Time) Effects {
	if !m.paused || m.stop != 0 {
		return 0
	}
	m.paused = false
	e := Changed | EventResumed
	switch m.phase {
	case Queued, Added: // that it was paused has not been announced
		return Changed
	case Due:
		return e | m.come(now)
	case Held, Delayed:
		m.since = now
	}
	return e
}
