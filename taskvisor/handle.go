package taskvisor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Handle is one registered task, or one submission: its identity, its state,
// its end. It is safe for concurrent use and stays valid after the task is gone.
//
// A task in backoff is little more than this: what few tasks have is in structs
// of its own, so that it fits the allocator's class of 288 bytes; the next is 320.
type Handle struct {
	sup   *Supervisor
	id    TaskID
	name  string
	fn    Func
	given *given     // with Add; nil: a context without values
	sub   *submitted // nil unless it was submitted to a slot

	mu       sync.Mutex // guards the fields below, to alarm
	m        machine
	permit   bool        // holds one
	queued   bool        // waited for it, since m.since
	known    bool        // the outcome was delivered
	blamed   bool        // lastErr is the outcome's error
	departed atomic.Bool // its name is free, although it may still be in the table; for all to read
	out      outbox
	seq      uint64  // number of the last event
	run      *runner // while a goroutine runs
	waiters  *waiter // for the outcome
	x        *extra  // nil for most tasks
	lastErr  error   // of the last attempt that did not succeed
	ticket   *ticket // while it waits for a permit
	alarm    *alarm  // made when it is needed

	same, prior *task // in its chain of names; guarded by the registry's lock

	fresh ctxNode    // what attempt contexts point to until somebody looks
	first attemptCtx // of the first attempt, so that a task that runs once allocates none
}

// task is what the package calls a Handle inside.
type task = Handle

// alarm is a task's timer.
type alarm struct {
	*time.Timer
	at instant // when it fires; 0: it does not
}

// extra holds what few tasks have.
type extra struct {
	value   any      // returned by a Returning body
	stack   string   // of a stuck or abandoned body
	code    exitCode // of the last attempt
	outErr  error    // of the outcome, where it is not an attempt's or its stop
	outcome *Outcome // of an abandoned task; others derive theirs
}

// spec returns the task's spec with the policy in force.
func (t *task) spec() TaskSpec { return TaskSpec{name: t.name, fn: t.fn, policy: t.m.policy} }

func (t *task) extraLocked() *extra {
	if t.x == nil {
		t.x = &extra{}
	}
	return t.x
}

// values returns the context that carries the values given to Add.
func (t *task) values() context.Context {
	if t.given == nil {
		return context.Background()
	}
	return t.given
}

// ID returns the task's id.
func (h *Handle) ID() TaskID { return h.id }

// Name returns the task's name.
func (h *Handle) Name() string { return h.name }

// Done returns a channel that is closed when the outcome is known.
func (h *Handle) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch w := h.waiters; {
	case h.known:
		return h.sup.past
	case w == nil || !w.all:
		h.waiters = &waiter{told: make(chan struct{}), all: true, next: w}
	}
	return h.waiters.told
}

// Outcome returns how the task ended, and whether it has. A task whose policy
// restarts it without end has an outcome only after it was stopped.
func (h *Handle) Outcome() (o Outcome, known bool) {
	known = h.outcome(&o)
	return o, known
}

// outcome fills in o if the outcome is known. It is 136 bytes, which a Wait would
// otherwise move three times.
func (t *task) outcome(o *Outcome) (known bool) {
	t.mu.Lock()
	if known = t.known; known {
		t.outcomeLocked(o)
	}
	t.mu.Unlock()
	return known
}

func (t *task) outcomeLocked(o *Outcome) {
	if t.x != nil && t.x.outcome != nil {
		*o = *t.x.outcome
		return
	}
	wall := t.sup.clock.time
	o.Kind, o.Err, o.Reason, o.Attempts = t.m.outcome, t.outErrLocked(), t.m.stop, t.m.attempt
	o.Ended = wall(t.m.since)
	if o.Kind == OutcomeCanceled && o.Reason == 0 {
		o.Reason = ErrCanceled
	}
	if t.m.first != 0 {
		o.Started = wall(t.m.first)
	}
	if t.x != nil {
		o.exit = t.x.code
		if o.Kind == OutcomeCompleted {
			o.Value = t.x.value
		}
	}
}

// outErrLocked is the error of the outcome, which is decided.
func (t *task) outErrLocked() error {
	switch {
	case t.x != nil && t.x.outErr != nil:
		return t.x.outErr
	case t.m.outcome == OutcomeCompleted:
		return nil
	case t.blamed:
		return t.lastErr
	default:
		return t.stopErr()
	}
}

// Stop tells the task to end and returns at once: the context of its attempt is
// cancelled with ErrRemoved, a delay or a wait for a permit is cut short, and a
// submission that waits for its slot is rejected. It reports whether this call
// was the one that claimed the stop.
func (h *Handle) Stop() bool { return h.stopFor(ErrRemoved) }

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

func (t *task) wait(ctx context.Context, op string) (o Outcome, err error) {
	mustContext(ctx)
	if t.waitsForSelf(ctx) {
		if !t.outcome(&o) {
			err = &TaskError{Op: op, Task: t.name, Err: ErrWouldWaitForSelf}
		}
		return o, err
	}
	if ctx.Done() == nil {
		t.await()
		t.outcomeLocked(&o) // without the lock: it has been told, and changes no more
		return o, nil
	}
	select {
	case <-t.Done():
	case <-ctx.Done():
	}
	if !t.outcome(&o) {
		err = &TaskError{Op: op, Task: t.name, Err: context.Cause(ctx)}
	}
	return o, err
}

// waitsForSelf reports whether ctx comes from something that the end of t waits
// for: an attempt of t, or of a supervisor that is run inside one, or an inline
// callback, on whose goroutine t may have to go on.
func (t *task) waitsForSelf(ctx context.Context) bool {
	if ctx.Value(inlineKey{}) == t.sup {
		return true
	}
	for c := attemptFrom(ctx); c != nil; c = c.node.Load().t.sup.enclosing {
		if c.node.Load().t == t {
			return true
		}
	}
	return false
}

// Status returns the task as it is now. After the end it keeps showing the
// state in which the task was left: finished, or abandoned.
func (h *Handle) Status() TaskStatus {
	now := time.Now()
	return h.status(h.sup.clock.wall(now))
}

func (t *task) status(w wall) TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.statusLocked(w)
}

func (t *task) statusLocked(w wall) TaskStatus {
	m := &t.m
	st := TaskStatus{
		ID: t.id, Name: t.name, Seq: t.seq, State: m.state(), Since: w.time(m.since),
		Attempt: m.attempt, Streak: int(m.streak), Stuck: m.stuck && m.phase.running(), Delay: m.delay,
		LastErr: t.lastErr, LastSuccess: w.time(m.success), Spec: t.spec(),
	}
	switch m.phase {
	case phaseActive, phaseEnded:
		st.AttemptStart = w.time(m.started)
	case phaseBackoff, phaseWaiting:
		st.NextStart = w.time(m.due)
	}
	if m.since == 0 { // registered this instant
		st.Since = w.now
	}
	if t.sub != nil {
		st.Slot = t.sub.slot
	}
	if t.x != nil {
		st.Stack = t.x.stack
	}
	return st
}

func mustContext(ctx context.Context) {
	if ctx == nil {
		panic("taskvisor: nil context")
	}
}
