package life

// What the task's user asks for while it lives: each returns Changed if the call
// has changed something, and the event that says so.

// RunNow ends a delay; of an attempt that runs it asks for one more at once.
func (m *Machine) RunNow(now Time) Effects {
	switch {
	case m.stop != 0 || m.again:
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

// hasten ends a delay: now, or as soon as the floor allows.
func (m *Machine) hasten(now Time) Effects {
	if first := m.started.After(Floor); m.attempt > 0 && !m.policy.NoFloor && first > now {
		m.again, m.due = true, first
		return 0
	}
	return m.come(now)
}

// Interrupt cancels the attempt that runs; the next begins at once. It ends a
// delay as RunNow does.
func (m *Machine) Interrupt(now Time) Effects {
	switch {
	case m.stop != 0:
	case m.phase == Delayed && !m.again:
		return Changed | EventInterrupted | m.hasten(now)
	case (m.phase == Begun || m.phase == Active) && m.canceled == ByNothing:
		m.interrupted = true
		m.due = 0 // it disarms the deadline, as a stop does
		m.stuckAt = now.After(m.policy.StuckAfter)
		return Changed | EventInterrupted | m.cancel(ByInterrupt)
	}
	return 0
}

// Pause keeps further attempts from beginning.
func (m *Machine) Pause(now Time) Effects {
	if m.paused || m.stop != 0 || m.phase == Gone || m.phase == Queued {
		return 0
	}
	m.paused = true
	e := Changed | EventPaused
	switch m.phase {
	case Added: // nothing precedes EventAdded; it says so
		return Changed
	case Due:
		e |= Quit
		m.since = now
	case Held, Delayed:
		m.since = now
	}
	return e
}

// Resume goes on where the task is due.
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
