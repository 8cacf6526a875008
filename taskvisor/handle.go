package taskvisor

import (
	"context"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// ID returns the task's id.
func (h *Handle) ID() TaskID { return h.id }

// Name returns the task's name.
func (h *Handle) Name() string { return h.name }

// Supervisor returns the supervisor whose task it is: names of supervisors need not differ.
func (h *Handle) Supervisor() *Supervisor { return h.sup }

// Done returns a channel that is closed when the outcome is known.
func (h *Handle) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done == nil { // few ask, so the channel is made for those who do; knowLocked closes it
		h.done = make(chan struct{})
		if h.known {
			close(h.done)
		}
	}
	return h.done
}

// Returned returns a channel that is closed when the body of the task is back for
// good: with the outcome, or later if the task was abandoned.
func (h *Handle) Returned() <-chan struct{} {
	done := h.Done() // takes the lock itself
	h.mu.Lock()
	defer h.mu.Unlock()
	// Back already: done is closed. An abandoned task has an extra, and its body counts.
	if h.m.Abandoned() && h.x.back || !h.m.Abandoned() && h.known {
		return done
	}
	x := h.extraLocked()
	if x.returned == nil {
		x.returned = make(chan struct{})
	}
	return x.returned
}

// Outcome returns how the task ended, and whether it has. A task whose policy
// restarts it without end has an outcome only after it was stopped.
func (h *Handle) Outcome() (o Outcome, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		o = h.outcomeLocked(h.sup.calendar(time.Now()))
	}
	return o, h.known
}

// outcomeLocked is the outcome, which is decided. It is derived anew for each call, so that
// the task keeps no copy; but that of an abandoned task was fixed when it was abandoned: the
// machine moves on when the body returns.
func (t *task) outcomeLocked(c calendar) Outcome {
	if t.x != nil && t.x.outcome != nil {
		o := *t.x.outcome
		if o.Stack == "" {
			o.Stack = t.x.stack // captured since: the outcome did not wait for it
		}
		return o
	}
	o := Outcome{Kind: OutcomeKind(t.m.Outcome()), Err: t.outErrLocked(), Reason: t.outReasonLocked(),
		Attempts: t.m.Attempt(), Started: c.wall(t.m.First()), Ended: c.wall(t.m.Since())}
	if t.x != nil {
		o.exit = t.x.code
		if o.Kind == OutcomeCompleted {
			o.Value = t.x.value
		}
	}
	return o
}

// outReasonLocked is the reason of the outcome, which is decided; 0: there is none.
func (t *task) outReasonLocked() Reason {
	if OutcomeKind(t.m.Outcome()) == OutcomeCanceled {
		return t.cancelReasonLocked()
	}
	return Reason(t.m.StoppedFor())
}

// outErrLocked is the error of the outcome, which is decided: a special one, that of the last
// attempt, or that of the stop; nil for a completed task. It takes shutdown.mu, a leaf.
func (t *task) outErrLocked() error {
	switch {
	case t.x != nil && t.x.err != nil:
		return t.x.err
	case t.m.Outcome() == life.Completed:
		return nil
	case t.blamed:
		return t.lastErr
	default:
		return t.stopErrLocked()
	}
}

// Cancel is Stop followed by Wait.
func (h *Handle) Cancel(ctx context.Context) (Outcome, error) {
	h.Stop()
	return h.wait(ctx, "cancel")
}

// Wait returns the outcome when it is known. The error is about the waiting
// only: the cause of ctx if that ended first, or ErrWouldWaitForSelf if ctx
// comes from an attempt of this task or from an inline subscriber's call. It
// panics if ctx is nil.
func (h *Handle) Wait(ctx context.Context) (Outcome, error) { return h.wait(ctx, "wait") }

func (h *Handle) wait(ctx context.Context, op string) (Outcome, error) {
	mustContext(ctx)
	self := h.waitsForSelf(ctx) // then it only looks whether the outcome is known
	if !self {
		select {
		case <-h.Done():
		case <-ctx.Done():
		}
	}
	o, known := h.Outcome() // an outcome that is known wins over ctx and over self
	switch {
	case known:
		return o, nil
	case self: // without having waited
		return o, &TaskError{Op: op, Task: h.name, Err: ErrWouldWaitForSelf}
	default:
		return o, &TaskError{Op: op, Task: h.name, Err: context.Cause(ctx)}
	}
}

// waitsForSelf reports whether ctx comes from something that the end of t waits for: an
// attempt of t, or of a supervisor that is run inside one, or an inline subscriber's call, on
// whose goroutine t may have to go on. To wait there would be to wait for ever.
func (t *task) waitsForSelf(ctx context.Context) bool {
	if ctx.Value(inlineKey{}) == t.sup { // whichever task the call is about
		return true
	}
	for a := attemptFrom(ctx); a != nil; a = a.t.sup.enclosing.Load() {
		if a.t == t {
			return true
		}
	}
	return false
}

// Status returns the task as it is now. After the end it keeps showing the
// state in which the task was left: finished, or abandoned.
func (h *Handle) Status() TaskStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.statusLocked(h.sup.calendar(time.Now()))
}

// statusLocked calls no code of the user's: the text of the last error was made when the
// attempt ended. Several tasks' locks may be held; see abandonAll.
func (t *task) statusLocked(c calendar) TaskStatus {
	m := &t.m
	st := TaskStatus{
		ID: t.id, Name: t.name, Kind: t.pol.kind, Seq: t.seq, State: State(m.State()), Since: c.wall(m.Since()),
		Added: c.wall(t.added), AddedFrom: t.sup.place(t.from), Attempt: m.Attempt(), Streak: m.Streak(),
		Stuck: m.Stuck(), Ready: m.Ready(), Delay: m.Delay(), StopBy: t.stopByLocked(c),
		LastErr: t.lastErr, LastError: t.text, LastSuccess: c.wall(m.LastSuccess()), Spec: t.shownSpec(), Handle: t.h,
	}
	if m.Since() == 0 { // it was not announced yet
		st.Since = st.Added
	}
	st.Results = ResultCounts{m.Count(life.Success), m.Count(life.Failure), m.Count(life.Fatal), m.Count(life.Timeout),
		m.Count(life.Panic), m.Count(life.Canceled)}
	if m.Attempt() > 0 {
		st.LastResult = ResultKind(m.Result())
	}
	switch m.Phase() {
	case life.Active, life.Ended: // announced: in Begun it has no start yet
		st.AttemptStart = c.wall(m.Started())
	case life.Delayed:
		st.NextStart = c.wall(m.DueAt())
	}
	if t.doors != nil { // "" unless it has had to wait
		st.Gate = t.doors.name
	}
	if t.sub != nil {
		st.Slot = t.sub.slot
	}
	if x := t.x; x != nil {
		st.Stack, st.Note, st.NoteTime = x.stack, x.note, x.noted.Round(0)
	}
	return st
}

// callerOf returns the program counter of the call of the exported function that is
// up frames above the caller.
func callerOf(up int) uintptr {
	var pcs [1]uintptr
	runtime.Callers(up+2, pcs[:]) // 2: Callers itself, and callerOf
	return pcs[0]
}

// Stacks returns the stacks of the task's goroutines as they are after the call, those
// that its earlier attempts have left behind included; "" if there are none. Captures
// stop the whole program for a moment: they are rationed, and those who ask at the same
// time share one, so that the answer may take a second or more. The error is the cause
// of a ctx that ended first.
func (h *Handle) Stacks(ctx context.Context) (string, error) {
	mustContext(ctx)
	got := make(chan string, 1) // with room: the reader of stacks must not wait for a caller that has gone
	h.sup.stacks.Ask(uint64(h.id), func(stack string) { got <- stack })
	select {
	case stack := <-got:
		return stack, nil
	case <-ctx.Done():
		return "", &TaskError{Op: "stacks", Task: h.name, Err: context.Cause(ctx)}
	}
}

// mustContext panics where a nil context would otherwise fail later, on another goroutine.
func mustContext(ctx context.Context) {
	if ctx == nil {
		panic("taskvisor: nil context")
	}
}
