// Package ledger lets the bodies of tasks keep their own account of what they did,
// on clocks of their own and on no event and no snapshot. What a supervisor and its
// subscribers report can then be compared with somebody who was there.
//
// A body is wrapped by [Task.Func]; what only the body can know, such as that it is
// about to panic, it says through its [Attempt]. What the program does to a task from
// outside, such as stopping it, it notes on the [Task] itself, just before.
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

	mu    sync.Mutex // guards the fields below, and those of every task and attempt
	began time.Time
	tasks []*Task
	subs  []Submission
	sups  []*Supervisor
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
func (s *Supervisor) Stopping() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.StopAt = time.Now()
	for _, t := range s.l.tasks {
		if t.Supervisor == s.Name && t.StopAt.IsZero() && t.Gone.IsZero() {
			t.StopAt, t.StopBy = s.StopAt, ReasonShutdown
		}
	}
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
	if n := len(t.Attempts); n > 0 {
		a.Waited = a.Started.Sub(t.Attempts[n-1].Ended) // monotonic, unlike what is read back
	}
	t.Attempts = append(t.Attempts, a)
	return a
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
	book := Book{Began: l.began, Ended: time.Now(), Supervisors: l.sups, Tasks: l.tasks, Submissions: l.subs}
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
