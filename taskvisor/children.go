package taskvisor

import (
	"context"
	"errors"
	"runtime/pprof"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// What Go returns, in a TaskError.
var (
	errNoAttempt   = errors.New("context does not belong to an attempt")
	errAttemptOver = errors.New("attempt has ended")
)

// FromContext returns the description of the attempt that ctx belongs to, also
// after it has ended, and whether there is one. It panics if ctx is nil.
func FromContext(ctx context.Context) (Attempt, bool) {
	mustContext(ctx)
	a := attemptFrom(ctx)
	if a == nil {
		return Attempt{}, false
	}
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	return a.describeLocked(), true
}

// Beat says that the attempt which ctx belongs to is alive, and what it is at: a
// short note, which its status and the live page show, and which its span ends with;
// it may be empty. With [WithIdleTimeout] an attempt that is silent for too long is
// timed out. A ctx of no attempt, or of one that has ended, changes nothing. It is
// safe for concurrent use, and panics if ctx is nil.
func Beat(ctx context.Context, note string) {
	mustContext(ctx)
	a := attemptFrom(ctx)
	if a == nil {
		return
	}
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != a { // a is over: the task may be in another attempt
		return
	}
	now := time.Now()
	t.m.Beat(t.sup.instant(now))
	x := t.extraLocked()
	x.note, x.noted = cutText(note, maxErrorText), now
}

// Ready says that the task which ctx belongs to is ready, until its attempt ends: see
// [WithReadiness], without which it changes nothing. It is safe for concurrent use,
// and panics if ctx is nil.
func Ready(ctx context.Context) {
	mustContext(ctx)
	if a := attemptFrom(ctx); a != nil {
		a.t.do(nil, func(life.Time) life.Effects {
			if a.t.run != a { // a late word of an attempt that is over says nothing of the task
				return 0
			}
			return a.t.m.SayReady()
		})
	}
}

// StopDeadline returns when the grace of the stop ends that cancelled the attempt of
// ctx, and whether there is one: a body may use what is left of it to finish. It
// panics if ctx is nil.
func StopDeadline(ctx context.Context) (time.Time, bool) {
	mustContext(ctx)
	a := attemptFrom(ctx)
	if a == nil {
		return time.Time{}, false
	}
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	if a.t.run != a {
		return time.Time{}, false
	}
	by := a.t.stopByLocked(a.t.sup.calendar(time.Now()))
	return by, !by.IsZero()
}

// stopByLocked is when the grace of the claimed stop ends: the shutdown's, where that is
// earlier. It is zero where no body is waited for: no stop was claimed, none runs, or it
// was given up already.
func (t *task) stopByLocked(c calendar) (by time.Time) {
	if t.m.StoppedFor() == 0 || !t.m.Running() || t.m.Abandoned() {
		return by
	}
	if !t.m.ByShutdown() { // a stop by the shutdown has no grace of its own
		by = c.wall(t.m.DueAt())
	}
	if all := t.sup.shutdown.by(); !all.IsZero() && (by.IsZero() || all.Before(by)) {
		by = all
	}
	return by
}

// Go calls fn on a new goroutine that belongs to the attempt that ctx comes
// from: it wears the task's pprof labels, its panic and its runtime.Goexit
// cancel the attempt and count like the body's, and the attempt does not end
// before it has returned. When the body returns, the attempt's context is
// cancelled and the children are joined; a body that wants their work finished
// waits for it itself.
//
// A child may call Go too. After the join, or with a ctx that belongs to no
// attempt, Go returns an error and starts nothing. It panics if ctx or
// fn is nil.
func Go(ctx context.Context, fn func(context.Context)) error {
	mustContext(ctx)
	if fn == nil {
		panic("taskvisor: nil function for Go")
	}
	a := attemptFrom(ctx)
	if a == nil {
		return &TaskError{Op: "go", Err: errNoAttempt}
	}
	c := a.look() // from here on join finds that there may be children
	if !c.adopt() {
		return &TaskError{Op: "go", Task: a.t.name, Err: errAttemptOver}
	}
	// Started by the attempt's body or another child; ends with fn; the
	// attempt's goroutine waits for it in join.
	go c.child(ctx, fn)
	return nil
}

// adopt counts a child before its goroutine is started, so that join cannot miss it. It
// reports false if the children have been joined: then none may begin.
func (c *stdCtx) adopt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined {
		return false
	}
	c.running++
	return true
}

// child is the goroutine of a child. Whatever fn does, by the end the child is counted off
// and, if fn has not returned, the attempt is cancelled.
func (c *stdCtx) child(ctx context.Context, fn func(context.Context)) {
	returned := false
	defer c.leave() // runs last, and also if a method of the error that fn panicked with calls Goexit
	defer func() {
		if returned {
			return
		}
		e := exited()                     // unless there is a panic to recover, it was runtime.Goexit
		if c.a.t.pol.set&noRecover == 0 { // otherwise a panic ends the process
			if v := recover(); v != nil {
				p := newPanicError(v)
				e = ending{Ending: life.Ending{Kind: life.Panic}, err: p, text: "panic"}
				// After fail: it calls methods of v, the user's, which may block; the attempt
				// is to be cancelled before. join reads e after leave.
				defer e.carries(v, p)
			}
		}
		c.fail(&e)
	}()
	pprof.SetGoroutineLabels(ctx) // those of the task, and what the body has added
	fn(ctx)
	returned = true
}

// fail records a child's end, if it is the first to fail, and cancels the attempt. The caller
// is still counted in running.
func (c *stdCtx) fail(e *ending) {
	c.mu.Lock()
	if c.failure == nil {
		c.failure = e
	}
	c.mu.Unlock()
	t := c.a.t // in the attempt c.a still: that cannot end before its children
	t.do(nil, func(life.Time) life.Effects { return t.m.CancelChild() })
}

// childErr is the error of the first child that failed; there is one. The task's lock is held:
// stdCtx.mu is taken under it, never the other way round.
func (a *attempt) childErr() error {
	c := a.std.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure.err
}

// leave counts a child off, and wakes join after the last one.
func (c *stdCtx) leave() {
	c.mu.Lock()
	c.running--
	idle := c.idle
	if c.running > 0 {
		idle = nil
	}
	if idle != nil {
		c.idle = nil
	}
	c.mu.Unlock()
	if idle != nil {
		close(idle)
	}
}

// over reports whether the children have been joined.
func (c *stdCtx) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// join waits until there are no children, and from then on allows none: both in one step
// under the lock. It returns the end of the first child that failed; nil: none has. Only
// the attempt's goroutine calls it; a second call returns at once.
func (c *stdCtx) join() *ending {
	c.mu.Lock()
	for c.running > 0 { // a child may have called Go before it left
		idle := make(chan struct{})
		c.idle = idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	c.joined = true
	failure := c.failure
	c.mu.Unlock()
	return failure
}
