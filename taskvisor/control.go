package taskvisor

import "github.com/taskvisor/taskvisor-go/taskvisor/internal/life"

// The wheel of a task: the table of [Handle] says what each method does in which state, and
// package life decides it.

// Stop tells the task to end and returns at once: the context of its attempt is
// cancelled with ErrRemoved, a delay or a wait at a gate is cut short, and a
// submission that waits for its slot is rejected. It reports whether this call
// was the one that claimed the stop.
func (h *Handle) Stop() bool { return h.stopFor(ErrRemoved, nil) }

// StopFor is [Handle.Stop] with a cause, to which the context's cause, beside
// ErrRemoved, unwraps, and which stands on TaskRemoveRequested; the error of a submission
// that waits for its slot unwraps to it.
func (h *Handle) StopFor(cause error) bool { return h.stopFor(ErrRemoved, cause) }

// RunNow has the task's next attempt begin now instead of after its delay; gates and a
// pause still hold. If an attempt runs, one more follows it at once, however many call;
// also where the policy would have ended the task, unless the attempt is fatal or ends
// the task itself. It reports false if the task waits at a gate, or has been stopped.
func (h *Handle) RunNow(cause error) bool {
	return h.do(cause, h.m.RunNow)&life.Changed != 0
}

// Interrupt cancels the attempt that runs, and the next begins at once, through the
// gates. The context's cause is ErrInterrupted and cause; the result is
// [ResultCanceled], and counts in no streak. A delay ends as with [Handle.RunNow]. A task
// that waits at a gate leaves those before it, and asks all of them again. It reports false
// then, and if the attempt is being cancelled already or the task has been stopped.
func (h *Handle) Interrupt(cause error) bool { return h.interrupt(cause, false) }

// interrupt is Interrupt on behalf of another task, which leaves delays alone, or of a caller.
func (h *Handle) interrupt(cause error, other bool) bool {
	if h.reconsider() {
		return false
	}
	return h.carryFor(&effects{apart: other}, cause, func(now life.Time) life.Effects {
		if other && h.m.Phase() == life.Delayed {
			return 0
		}
		e := h.m.Interrupt(now)
		if e&life.Cancel != 0 && h.run != nil {
			h.run.why = cause // only by the call that cancels, so that the first cause stands
		}
		return e
	})&life.Changed != 0
}

// Pause keeps further attempts from beginning: the state is [StatePaused] as soon as
// none runs. Delays pass meanwhile. A paused task keeps [Supervisor.Run] from ending.
func (h *Handle) Pause(cause error) bool {
	return h.do(cause, h.m.Pause)&life.Changed != 0
}

// Resume ends a pause: the task goes on where it is due.
func (h *Handle) Resume(cause error) bool {
	return h.do(cause, h.m.Resume)&life.Changed != 0
}

// PauseAll pauses every task that is registered, and returns how many of them were not
// paused before.
func (s *Supervisor) PauseAll(cause error) (n int) {
	// One after the other: a task that is added meanwhile is not paused.
	return s.each(func(h *Handle) bool { return h.Pause(cause) })
}

// ResumeAll resumes every task that is paused, and returns how many.
func (s *Supervisor) ResumeAll(cause error) (n int) {
	return s.each(func(h *Handle) bool { return h.Resume(cause) })
}

// each returns how many tasks are changed.
func (s *Supervisor) each(change func(*Handle) bool) (n int) {
	tasks := s.reg.list()
	inTurn(len(tasks), func(i int) {
		if change(tasks[i].h) {
			n++
		}
	})
	return n
}
