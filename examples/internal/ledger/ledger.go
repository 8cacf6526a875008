// Package ledger lets the bodies of tasks keep their own account of what they did,
// on clocks of their own and on no event and no snapshot. What a supervisor and its
// subscribers report can then be compared with somebody who was there.
//
// A body is wrapped by [Task.Func]; what only the body can know, such as that it is
// about to panic, it says through its [Attempt]. What the program does to a task from
// outside, such as stopping it, it notes on the [Task] itself, just before. A [Frame] reads
// the clock around attempts, and [Ledger.Watch] how busy the machine is, so that whoever
// compares times knows between what they must lie.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Ledger is the account of a whole program. Make one with [New]. It is safe for
// concurrent use.
type Ledger struct {
	span func(context.Context) Span

	mu       sync.Mutex // guards the fields below, and those of every task and attempt
	began    time.Time
	tasks    []*Task
	subs     []Submission
	sups     []*Supervisor
	readings []Reading
	stalls   []Stall
}

// New returns an empty ledger. span says which span is active in a context; the zero
// Span if none is.
func New(span func(context.Context) Span) *Ledger {
	return &Ledger{span: span, began: time.Now()}
}

// Supervisor notes a supervisor by its name. Limit is the number of attempts that may
// may run at once; 0: no limit. Grace is that of its shutdown.
func (l *Ledger) Supervisor(name string, limit int, grace time.Duration) *Supervisor {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &Supervisor{l: l, Name: name, Limit: limit, Grace: grace}
	l.sups = append(l.sups, s)
	return s
}

// Stopping notes that the supervisor is about to be told to shut down. Every task of
// it that is still there is stopped by that.
//
// It waits for a moment at which none of its attempts is coming to its end: whether the stop
// was before or behind that, nobody but the supervisor would know.
func (s *Supervisor) Stopping() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for range patience / time.Millisecond {
		if !s.endingLocked() {
			break
		}
		s.l.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.l.mu.Lock()
	}
	s.StopAt = time.Now()
	for _, t := range s.l.tasks {
		if t.Supervisor == s.Name && t.StopAt.IsZero() && t.Gone.IsZero() {
			t.StopAt, t.StopBy = s.StopAt, ReasonShutdown
		}
	}
}

// endingLocked reports whether an attempt is coming to its end: from when its body has
// looked for the last time until a little after the Frame has, when it is settled.
func (s *Supervisor) endingLocked() bool {
	for _, t := range s.l.tasks {
		if n := len(t.Attempts); n > 0 && t.Supervisor == s.Name && t.Gone.IsZero() {
			if a := t.Attempts[n-1]; a.ending && !a.Opened.IsZero() && (a.Closed.IsZero() || time.Since(a.Closed) < settles) {
				return true
			}
		}
	}
	return false
}

// Stopped notes that the shutdown is over.
func (s *Supervisor) Stopped() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.StoppedAt = time.Now()
}

// Task notes a task that is about to be added, or submitted if the plan has a slot.
// ctx is what it is added with.
func (l *Ledger) Task(ctx context.Context, s *Supervisor, name string, p Plan) *Task {
	caller := l.span(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &Task{l: l, Supervisor: s.Name, Name: name, Plan: p, Caller: caller, Added: time.Now()}
	l.tasks = append(l.tasks, t)
	return t
}

// Submit notes a submission and how it has to be answered: the verdict at once, and
// where it is refused then or later, the reason.
func (l *Ledger) Submit(sub Submission) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs = append(l.subs, sub)
}

// Taken notes that the call that added or submitted the task has returned.
func (t *Task) Taken() {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.Known = time.Now()
}

// Stopping notes that this task is about to be stopped, and by what.
func (t *Task) Stopping(by string) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if t.StopAt.IsZero() {
		t.StopAt, t.StopBy = time.Now(), by
	}
}

// Ended notes that the program was told that the task has ended, and how.
func (t *Task) Ended(outcome string) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.Gone, t.Heard = time.Now(), outcome
}

// Body is the work of a task that keeps the ledger.
type Body func(ctx context.Context, a *Attempt) error

// Func wraps a body.
func (t *Task) Func(body Body) taskvisor.Func {
	return func(ctx context.Context) (err error) {
		a := t.begin(ctx)
		noted := make(chan struct{})
		unwatch := context.AfterFunc(ctx, func() {
			a.note(func() { a.CanceledAt = time.Now() })
			close(noted)
		})
		returned := false
		// No recover: it would hide from the supervisor where a panic began.
		defer func() {
			a.await(ctx)
			if !unwatch() {
				<-noted
			}
			a.end(ctx, returned, err)
		}()
		err = body(ctx, a)
		returned = true
		return err
	}
}

func (t *Task) begin(ctx context.Context) *Attempt {
	seen := t.l.span(ctx)
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	a := &Attempt{t: t, Number: len(t.Attempts) + 1, Span: seen, Started: time.Now()}
	if o, ok := ctx.Value(openedKey{}).(*opened); ok {
		a.Opened, o.a = o.at, a
	}
	if n := len(t.Attempts); n > 0 {
		a.Waited = a.Started.Sub(t.Attempts[n-1].Ended) // monotonic, unlike what is read back
	}
	t.Attempts = append(t.Attempts, a)
	return a
}

const (
	// near is how close to its deadline a body must not return.
	near = 100 * time.Millisecond
	// settles is how long after the Frame has closed an attempt may not be settled yet.
	settles = 10 * time.Millisecond
	// patience is for what has to come at once.
	patience = 5 * time.Second
)

// await waits for the end of ctx if the attempt's deadline is near, or if the task is being
// stopped: between the last look at ctx and the end of the attempt it would come unseen. On
// a busy machine that is not rare, since what the body has waited for and its deadline are
// then due together.
func (a *Attempt) await(ctx context.Context) {
	limit := a.t.Plan.Timeout
	comes := limit > 0 && time.Since(a.Started) >= limit-near
	a.note(func() {
		comes = comes || !a.t.StopAt.IsZero()
		a.ending = !comes
	})
	if !comes {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C: // it is missed, which is to be noticed
	}
}

func (a *Attempt) end(ctx context.Context, returned bool, err error) {
	cause := reasonOf(context.Cause(ctx))
	a.t.l.mu.Lock()
	defer a.t.l.mu.Unlock()
	a.Ended = time.Now()
	a.Duration = a.Ended.Sub(a.Started) // monotonic
	a.Cause = cause
	if cause != "" && a.CanceledAt.IsZero() { // the body heard of it before who watched, whom its end has dismissed
		a.CanceledAt = a.Ended
	}
	switch {
	case !returned && a.How == "":
		panic("ledger: a body ended otherwise than by the methods of its attempt")
	case a.How != "": // it has said so itself
	case err == nil:
		a.How = ReturnedNil
	default:
		a.How, a.Error = ReturnedError, err.Error()
	}
}

// reasonOf names what cancelled an attempt; "" if nothing did.
func reasonOf(cause error) string {
	for _, r := range []taskvisor.Reason{taskvisor.ErrAttemptTimeout, taskvisor.ErrRemoved, taskvisor.ErrReplaced, taskvisor.ErrShutdown} {
		if errors.Is(cause, r) {
			return r.String()
		}
	}
	if cause != nil {
		return "other" // a child
	}
	return ""
}

// Write puts the account into a file, whole or not at all: whoever waits for the
// file never reads half of it.
func (l *Ledger) Write(file string) error {
	l.mu.Lock()
	book := Book{Began: l.began, Ended: time.Now(), Supervisors: l.sups, Tasks: l.tasks, Submissions: l.subs, Readings: l.readings, Stalls: l.stalls}
	text, err := json.MarshalIndent(book, "", " ")
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Read returns what [Ledger.Write] wrote.
func Read(file string) (Book, error) {
	var b Book
	text, err := os.ReadFile(file)
	if err != nil {
		return b, err // os.IsNotExist says that it is not there yet
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("ledger: %s: %w", file, err)
	}
	return b, nil
}
