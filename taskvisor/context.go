package taskvisor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// Most bodies in a tight loop never look at their context, so an attempt costs one
// allocation until one does; then a standard context is made and everything is
// delegated to it, which gives children, Cause and AfterFunc exactly the standard
// behaviour. One that is first looked at after its attempt has ended reads as ended.

// attemptKey finds the attempt below derived contexts.
type attemptKey struct{}

func (a *attempt) Deadline() (time.Time, bool) { return a.look().std.Deadline() }
func (a *attempt) Done() <-chan struct{}       { return a.look().std.Done() }
func (a *attempt) Err() error                  { return a.look().std.Err() }
func (a *attempt) String() string              { return "taskvisor.attempt" }

func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.look().std.Value(key)
}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// stdCtx is an attempt's context that somebody has looked at, with the attempt's
// children.
type stdCtx struct {
	a       *attempt
	std     context.Context
	cancel  context.CancelCauseFunc
	expired *deadline // nil where nothing can time the attempt out

	mu      sync.Mutex    // guards the fields below; nothing is called under it
	running int           // children
	joined  bool          // no more children: the attempt is over
	idle    chan struct{} // made by the one who joins; closed when running drops to 0
	failure *ending       // of the first child that panicked or exited
}

// look returns the standard context behind a.
func (a *attempt) look() *stdCtx {
	if std := a.std.Load(); std != nil {
		return std
	}
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	std := a.std.Load()
	if std == nil {
		std = a.makeStdLocked()
		a.std.Store(std)
	}
	return std
}

// makeStdLocked makes the standard context in the state that the attempt is in. None
// of the contexts below calls into the user's: WithoutCancel answers what the context
// package asks.
func (a *attempt) makeStdLocked() *stdCtx {
	t := a.t
	c := &stdCtx{a: a}
	current := t.run == a
	c.joined = !current || t.m.Phase() == life.Ended
	base := t.labelLocked()
	if current && (t.pol.Timeout > 0 || t.pol.Idle > 0) || a.ended == error(ErrAttemptTimeout) {
		c.expired = &deadline{base: base}
		a.expires(c)
		base = c.expired
	}
	c.std, c.cancel = context.WithCancelCause(base)
	if a.ended != nil {
		c.end(a.ended)
	}
	return c
}

// expires tells a context that somebody has looked at when it expires: the attempt's own
// deadline, whatever the task has come to since. The task's lock is held.
func (a *attempt) expires(c *stdCtx) {
	if c == nil || c.expired == nil || a.start == 0 || a.t.pol.Timeout == 0 {
		return
	}
	now := time.Now()
	due := now.Add(time.Duration(a.start.After(a.t.pol.Timeout) - a.t.sup.instant(now)))
	c.expired.at.Store(&due)
}

// cancelLocked records why the context ends, and returns what is to be ended after
// the lock was released; nil if nobody has looked at it.
func (a *attempt) cancelLocked(cause error) (*stdCtx, error) {
	a.ended = cause // the machine cancels once
	return a.std.Load(), cause
}

// end cancels the context.
func (c *stdCtx) end(cause error) {
	if cause == error(ErrAttemptTimeout) && c.expired != nil {
		c.expired.fire()
		return
	}
	c.cancel(cause)
}

// deadline is the parent of an attempt's standard context. It is what makes a
// context expire when the supervisor says so, not when a second timer does: the
// cancellation of a WithCancelCause context always reads Canceled, but one that it
// inherits keeps the parent's Err and cause. The context package asks a foreign
// parent for AfterFunc, and asks for the cause through Value: once fired, a context
// that the package itself expired answers.
type deadline struct {
	base  context.Context           // values only
	at    atomic.Pointer[time.Time] // nil: not known, or only silence ends the attempt
	after func()                    // set once, while the child is being made
	fired atomic.Pointer[expiredCtx]
}

// expiredCtx is a standard context past its deadline.
type expiredCtx struct{ context.Context }

// never is the Done of a deadline, which is asked only whether it can be done at
// all. It is never closed and nobody waits for it.
var never = make(chan struct{})

func (d *deadline) Deadline() (time.Time, bool) {
	if at := d.at.Load(); at != nil {
		return *at, true
	}
	return time.Time{}, false
}

func (d *deadline) Done() <-chan struct{} { return never }
func (d *deadline) String() string        { return "taskvisor.deadline" }

func (d *deadline) Err() error {
	if d.fired.Load() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

func (d *deadline) Value(key any) any {
	if e := d.fired.Load(); e != nil {
		return e.Value(key)
	}
	return d.base.Value(key)
}

// AfterFunc is called by the context package, once.
func (d *deadline) AfterFunc(f func()) (stop func() bool) {
	d.after = f
	return func() bool { return true }
}

// fire expires the child. A second call, or one after the child was cancelled
// otherwise, changes nothing that can be seen.
func (d *deadline) fire() {
	past, cancel := context.WithDeadlineCause(d.base, time.Time{}.Add(1), ErrAttemptTimeout)
	cancel()
	d.fired.CompareAndSwap(nil, &expiredCtx{past})
	d.after()
}
