package taskvisor

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// brackets are what subscribers have made of an attempt: they begin before it is announced
// and end before its end is. Only the attempt's goroutine uses them, but for view.
type brackets struct {
	attempt Attempt           // what each is given
	ctx     context.Context   // what they have made of the attempt's so far
	begun   []context.Context // what each returned; nil: its BeginAttempt did not come back, and it is not to be ended
	next    int               // those before it have been begun, and not ended yet
	view    *views            // of ctx, for events; nil: the task's. Guarded by the task's lock
}

// beginBrackets lets each bracket see the attempt and derive a context. No lock is held. A
// bracket that ends the goroutine is not called again: the next goroutine comes here too,
// finds a.brackets, and goes on behind it.
func (a *attempt) beginBrackets() {
	f := &a.t.sup.fan
	if len(f.brackets) == 0 {
		return
	}
	if a.brackets == nil {
		a.t.mu.Lock() // events of the task read a.brackets: see viewLocked
		a.brackets = &brackets{attempt: a.describeLocked(), ctx: a, begun: make([]context.Context, len(f.brackets))}
		a.t.mu.Unlock()
		a.brackets.attempt.Started = time.Now() // of the brackets: the attempt is not announced yet
	}
	b := a.brackets
	// Each bracket gets what those before it have derived. One that fails is left out.
	for b.next < len(f.brackets) {
		a.step = stepBrackets // for another goroutine, which goes on behind this bracket
		i := b.next
		b.next++ // before the call, which may not come back
		f.beginBracket(f.brackets[i], b, i)
	}
	a.step = stepStart
	var view *views
	if b.ctx != context.Context(a) { // otherwise no bracket has added anything
		view = f.viewOf(b.ctx, a.t.values.Load())
	}
	a.t.mu.Lock() // events of the task, such as a stop's, read it from here on
	b.view = view
	a.t.mu.Unlock()
}

// endBrackets runs in reverse order, as deferred calls would. It is called again by another
// goroutine if a bracket ends this one; next was counted down before.
func (a *attempt) endBrackets() {
	b, f := a.brackets, &a.t.sup.fan
	if b == nil {
		return
	}
	r := a.result()
	for b.next > 0 {
		b.next--
		if ctx := b.begun[b.next]; ctx != nil {
			f.endBracket(f.brackets[b.next], ctx, b.attempt, r)
		}
	}
}

// result is how the attempt ended, with what is planned, for EndAttempt. An
// aborted attempt counts as canceled: its body was not called.
func (a *attempt) result() Result {
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Result{Kind: ResultCanceled, Err: a.end.err, Reason: Reason(t.m.StoppedFor())}
	if r.Aborted = a.end.aborted; r.Aborted {
		if r.Retry = r.Reason == 0; r.Retry {
			r.Reason = ErrInterrupted
		}
		return r
	}
	r.Kind, r.Duration = ResultKind(t.m.Result()), a.end.duration
	if t.m.Interrupted() && r.Reason == 0 {
		r.Reason = ErrInterrupted
	}
	if t.x != nil {
		r.Note = t.x.note
	}
	if _, r.Retry = t.m.Planned(); r.Retry { // as of now: a stop may still void it
		r.Delay = t.m.Delay()
	}
	return r
}

// describeLocked describes the attempt that a is, also when the task is in a later one: what
// the machine says now is overwritten by what a has kept.
func (a *attempt) describeLocked() Attempt {
	d := a.t.describeLocked(a.number, a.past)
	d.PermitWait = a.waited
	if a.start != 0 { // announced; before that, Started is zero
		d.Started = a.t.sup.calendar(time.Now()).wall(a.start)
	}
	return d
}

// past is what an attempt says of those before it.
type past struct {
	streak   int
	previous ResultKind
	delay    time.Duration
}

// pastLocked is that of the attempt which comes next.
func (t *task) pastLocked() (p past) {
	if t.m.Attempt() > 0 {
		p = past{t.m.Streak(), ResultKind(t.m.Result()), t.m.Delay()}
	}
	return p
}

// describeLocked describes the attempt of that number.
func (t *task) describeLocked(number int, p past) Attempt {
	a := Attempt{Supervisor: t.sup.cfg.name, Task: t.name, Kind: t.pol.kind, TaskID: t.id, Number: number,
		Streak: p.streak, Previous: p.previous, Delay: p.delay, Spec: t.shownSpec(), task: t}
	if x := t.sub; x != nil {
		a.Slot, a.Admission, a.Replaced, a.SlotWait = x.slot, x.admission, x.replaced, x.waited
	}
	return a
}

// shownSpec is the spec with the policy in force, without the body: statuses and events are
// kept, and must not keep the user's closure.
func (t *task) shownSpec() TaskSpec { return TaskSpec{name: t.name, policy: t.pol} }

// What is reported of a BeginAttempt whose context cannot be used.
var (
	errNilContext     = errors.New("BeginAttempt returned a nil context")
	errForeignContext = errors.New("BeginAttempt returned a context that is not derived from the one it was given")
)

// beginBracket calls the BeginAttempt of s. Its context is the one that the next bracket is
// given, unless it cannot be used, which is reported.
func (f *fanout) beginBracket(s *sink, b *brackets, i int) {
	returned := false
	defer func() {
		if !returned { // it is not to be ended: begun[i] stays nil
			f.contain(s, 0, recover())
		}
	}()
	given, a := b.ctx, b.attempt
	a.sink = s // so that a.Local is this subscriber's; a is a copy
	derived := s.bracket.BeginAttempt(given, a)
	err := checkDerived(derived, given) // contained as well: the context may be of the user's own type
	returned = true
	if err != nil {
		derived = given
	}
	b.begun[i], b.ctx = derived, derived // before the report: it is to be ended, whatever comes of that
	if err != nil {
		f.report(s.name, err, "")
	}
}

// checkDerived reports what is wrong with the context of a BeginAttempt: through it, the body
// must still find its attempt, for Go and Beat, and hear of the end of it. It calls methods
// of the subscriber's context. Contexts are not compared: their types may not allow it.
func checkDerived(derived, given context.Context) error {
	switch {
	case derived == nil:
		return errNilContext
	case attemptFrom(derived) != attemptFrom(given), derived.Done() == nil: // WithoutCancel keeps the values only
		return errForeignContext
	}
	return nil
}

// endBracket calls the EndAttempt of s. What it does wrong is reported, and changes no result.
func (f *fanout) endBracket(s *sink, ctx context.Context, a Attempt, r Result) {
	returned := false
	defer func() {
		if !returned {
			f.contain(s, 0, recover())
		}
	}()
	a.sink = s
	s.bracket.EndAttempt(ctx, a, r)
	returned = true
}

// phase is where the task is now. It may have moved on when the caller looks at it.
func (t *task) phase() life.Phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.Phase()
}
