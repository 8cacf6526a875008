package ledger

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func (a *Attempt) note(f func()) {
	a.t.l.mu.Lock()
	defer a.t.l.mu.Unlock()
	f()
}

// Panic panics with v, in the name of the calling function.
func (a *Attempt) Panic(v any) {
	a.note(func() { a.How, a.Error, a.Func = Panicked, fmt.Sprint(v), caller() })
	panic(v)
}

// ChildPanics notes that a child of the attempt is about to panic with v, in the
// calling function, which then does so itself.
func (a *Attempt) ChildPanics(v any) {
	a.note(func() { a.How, a.Error, a.Func = Panicked, fmt.Sprint(v), caller() })
}

func caller() string {
	pc, _, _, _ := runtime.Caller(4) // behind the closure, note and Panic
	return runtime.FuncForPC(pc).Name()
}

// Exit calls runtime.Goexit.
func (a *Attempt) Exit() {
	a.note(func() { a.How = Exited })
	runtime.Goexit()
}

// Dead returns err as a fatal error, for the body to return.
func (a *Attempt) Dead(err error) error {
	a.note(func() { a.Fatal = true })
	return taskvisor.Fatal(err)
}

// Quit returns an error for a body that ends its task itself, for the reason err.
func (a *Attempt) Quit(err error) error {
	a.note(func() { a.Canceled = true })
	return fmt.Errorf("%w: %w", taskvisor.ErrCanceled, err)
}

// Later returns err with the wish that the next attempt begins after d.
func (a *Attempt) Later(d time.Duration, err error) error {
	a.note(func() { a.Requested, a.After = true, d })
	return taskvisor.RetryAfter(d, err)
}

// Triggers notes that the program is about to ask, by run, for one more attempt to follow
// this one at once, and takes the note back if that was refused: the task has been stopped.
func (a *Attempt) Triggers(run func() bool) {
	a.note(func() { a.Triggered = true })
	if !run() {
		a.note(func() { a.Triggered = false })
	}
}

// Works notes the span that the body has made for its own work, active in ctx.
func (a *Attempt) Works(ctx context.Context) {
	s := a.t.l.span(ctx)
	a.note(func() { a.Work = s })
}
