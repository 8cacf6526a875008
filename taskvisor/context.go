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
// behavior. One that is first looked at after its attempt has ended reads as ended.
//
// The chain, from what the body holds down to the values: attempt → standard context →
// deadline, where the attempt can time out → pprof labels → taskCtx → values given to Add.

// attemptKey finds the attempt below derived contexts.
type attemptKey struct{}

// The methods of a context take the task's lock when they are the first to look: nobody
// calls them while holding it.

func (a *attempt) Deadline() (time.Time, bool) { return a.look().std.Deadline() }
func (a *attempt) Done() <-chan struct{}       { return a.look().std.Done() }
func (a *attempt) Err() error                  { return a.look().std.Err() }
func (a *attempt) String() string              { return "taskvisor.attempt" }

// Value answers attemptKey by itself: FromContext, Beat and Ready cost no standard context.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.look().std.Value(key)
}

// attemptFrom returns the attempt that ctx comes from; nil if it comes from none. It asks
// ctx, which may be of a type of the user's: no lock may be held.
func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// stdCtx is an attempt's context that was looked at, with the attempt's children. An
// attempt has at most one, which is never replaced.
type stdCtx struct {
	// Fixed before anybody else sees it.
	a       *attempt
	std     context.Context
	cancel  context.CancelCauseFunc // of std
	expired *deadline               // below std; nil where nothing can time the attempt out

	mu      sync.Mutex    // guards the fields below; nothing is called under it
	running int           // children that have not returned
	joined  bool          // no more children: the attempt is over
	idle    chan struct{} // made by join when it has to wait; closed when running drops to 0; nil otherwise
	failure *ending       // of the first child that panicked or exited; nil: none has
}

// look returns the standard context that a delegates to, and makes it at the first look:
// under the task's lock, so that it is made in the state that the attempt is in, and a
// cancellation that comes later finds it.
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
// package asks. So it is safe with the lock held, also the end of a context that was
// just made: nothing hangs on it yet.
func (a *attempt) makeStdLocked() *stdCtx {
	t := a.t
	c := &stdCtx{a: a}
	current := t.run == a // false: the attempt is over, and its context was kept
	c.joined = !current || t.m.Phase() == life.Ended
	base := t.labelLocked()
	// Where no timeout can come any more there is nothing to expire; one that has come
	// must read DeadlineExceeded however late it is looked at.
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

// expires tells a context that was looked at when it expires: the attempt's own
// deadline, whatever the task has come to since. The task's lock is held. Before the
// attempt was announced the deadline is not known: brackets see none, and begin calls
// this again. c may be nil: nobody has looked.
func (a *attempt) expires(c *stdCtx) {
	if c == nil || c.expired == nil || a.start == 0 || a.t.pol.Timeout == 0 {
		return
	}
	now := time.Now()
	due := now.Add(time.Duration(a.start.After(a.t.pol.Timeout) - a.t.sup.instant(now)))
	c.expired.at.Store(&due)
}

// cancelLocked records why the context ends, and returns what is to be ended after
// the lock was released, since that locks all contexts that the user has derived from it;
// nil if nobody has looked at it: makeStdLocked then finds the cause.
func (a *attempt) cancelLocked(cause error) (*stdCtx, error) {
	a.ended = cause // the machine cancels once
	return a.std.Load(), cause
}

// end cancels the context. The task's lock is not held, except where the context was just
// made. A second call changes nothing.
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
	base  context.Context            // values only: it never ends
	at    atomic.Pointer[time.Time]  // nil: not known, or only silence ends the attempt
	after func()                     // cancels the child; set once, while that is being made, before others see it
	fired atomic.Pointer[expiredCtx] // nil: it has not expired. Set before after is called, which asks for it
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

// Err is what the child's Err becomes when after is called.
func (d *deadline) Err() error {
	if d.fired.Load() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// Value lets the context package find, under its own key, the expired context, and in it
// the cause; other keys are answered by base either way.
func (d *deadline) Value(key any) any {
	if e := d.fired.Load(); e != nil {
		return e.Value(key)
	}
	return d.base.Value(key)
}

// AfterFunc is called by the context package, once, instead of a goroutine that waits for
// Done. stop is called when the child is cancelled otherwise; a later fire does no harm.
func (d *deadline) AfterFunc(f func()) (stop func() bool) {
	d.after = f
	return func() bool { return true }
}

// fire expires the child. A second call, or one after the child was cancelled
// otherwise, changes nothing that can be seen.
func (d *deadline) fire() {
	past, cancel := context.WithDeadlineCause(d.base, time.Time{}.Add(1), ErrAttemptTimeout) // any time that has passed
	cancel()                                                                                 // which changes nothing any more
	d.fired.CompareAndSwap(nil, &expiredCtx{past})
	d.after()
}
