package life

import "time"

// State is what others are shown. The numbers are those of the public type.
type State uint8

// The states.
const (
	StatePending State = iota + 1
	StateRunning
	StateBackoff
	StateWaiting
	StatePaused
	StateStopping
	StateAbandoned
	StateFinished
)

// State derives what others are shown. What ends a task hides what it does, and a pause
// hides a delay; since moves with the state that is shown, not with the phase.
func (m *Machine) State() State {
	switch {
	case m.phase == Gone:
		return StateFinished
	case m.abandoned:
		return StateAbandoned
	case m.stop != 0:
		return StateStopping
	case m.phase == Active || m.phase == Ended:
		return StateRunning
	case m.paused && m.phase != Begun: // in Begun the pause came too late for this attempt
		return StatePaused
	case m.phase != Delayed:
		return StatePending
	case m.attempt > 0 && m.result.failed():
		return StateBackoff
	default:
		return StateWaiting
	}
}

// Ready reports whether the task is ready now: what its attempt says, for one
// that says; else completed, for one that runs once; else that an attempt runs or
// the last one succeeded.
func (m *Machine) Ready() bool {
	switch {
	case m.policy.Readiness:
		return m.ready
	case m.policy.Restart == Never:
		return m.phase == Gone && m.outcome == Completed
	case m.phase == Active:
		return m.stop == 0 // one that is told to end serves nobody any more
	default:
		return m.attempt > 0 && m.result == Success
	}
}

// AtGates reports whether the task may enter its gates. The owner asks before each of
// them: a stop or a pause may come while it asks one.
func (m *Machine) AtGates() bool { return m.phase == Due && !m.paused }

// Policy is what is in force.
func (m *Machine) Policy() *Policy { return m.policy }

// Phase is where the machine is.
func (m *Machine) Phase() Phase { return m.phase }

// Running reports whether a goroutine is at work.
func (m *Machine) Running() bool { return m.running() }

// StoppedFor is why the task was stopped, in the owner's words; 0: it was not.
func (m *Machine) StoppedFor() uint8 { return m.stop }

// ByShutdown reports whether that was the shutdown.
func (m *Machine) ByShutdown() bool { return m.shutdown }

// Paused reports whether no further attempt begins.
func (m *Machine) Paused() bool { return m.paused }

// Interrupted reports whether the current or last attempt was canceled by an
// interruption. LetIn, which may come in the transition that ends it, resets it.
func (m *Machine) Interrupted() bool { return m.interrupted }

// CanceledBy is what cancelled the current attempt.
func (m *Machine) CanceledBy() CanceledBy { return m.canceled }

// TimedOut reports whether the current attempt has timed out.
func (m *Machine) TimedOut() bool { return m.timedOut }

// Silent reports whether it did so because it was silent.
func (m *Machine) Silent() bool { return m.idle }

// Stuck reports whether the body that runs is, announced or about to be.
func (m *Machine) Stuck() bool { return m.hangs && m.running() }

// WasReady reports whether the task was ready at any time.
func (m *Machine) WasReady() bool { return m.wasReady }

// Abandoned reports whether the body was given up.
func (m *Machine) Abandoned() bool { return m.abandoned }

// Result is how the last attempt ended; 0: none has.
func (m *Machine) Result() Result { return m.result }

// Outcome is how the task ended; it means something in Gone, or when abandoned. Before
// that it is a plan, or what is left of one.
func (m *Machine) Outcome() Outcome { return m.outcome }

// Source is what decided the delay that Delay returns; 0 if none is planned.
func (m *Machine) Source() Source { return m.source }

// Streak is the number of failures in a row.
func (m *Machine) Streak() int { return m.streak }

// Attempt is the number of attempts begun.
func (m *Machine) Attempt() int { return m.attempt }

// Delay is the delay that is planned, waited, or was before the current attempt.
func (m *Machine) Delay() time.Duration { return m.delay }

// Waited is how long the current attempt waited at gates.
func (m *Machine) Waited() time.Duration { return m.waited }

// Count is the number of attempts that ended so.
func (m *Machine) Count(r Result) uint64 { return m.counts[r-1] }

// Since is when the current state began.
func (m *Machine) Since() Time { return m.since }

// Started is when the current or last attempt began.
func (m *Machine) Started() Time { return m.started }

// First is when the first attempt began; 0: none has.
func (m *Machine) First() Time { return m.first }

// LastSuccess is when an attempt last succeeded; 0: none has.
func (m *Machine) LastSuccess() Time { return m.success }

// DueAt is the next start, the deadline or the end of the grace, by phase; 0: none.
func (m *Machine) DueAt() Time { return m.due }

// LastBeat is the last sign of life of the attempt.
func (m *Machine) LastBeat() Time { return m.beat }

// Planned is what decided the delay before the next attempt, and whether there is to be
// one. It means something in Ended, where brackets are told what follows.
func (m *Machine) Planned() (Source, bool) { return m.source, m.source != 0 && m.stop == 0 }

// Running reports whether a goroutine is at work in this phase.
func (p Phase) Running() bool { return p >= Begun && p <= Ended }
