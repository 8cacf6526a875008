package taskvisor

import (
	"context"
	"time"
)

// bracketing is what a runner needs where there are brackets.
type bracketing struct {
	attempt Attempt
	result  Result
	now     time.Time         // of the last transition
	ctx     context.Context   // what they made of the attempt's
	view    *views            // of that, for events; nil: the task's. Guarded by the task's lock
	next    int               // bracket to begin or to end
	begun   []context.Context // what each returned; nil: it is not to be ended
}

// describeLocked prepares what brackets are told. It is not inlined, for the
// sake of the stack of tasks without any.
//
//go:noinline
func (r *runner) describeLocked(now time.Time) {
	b := r.brackets
	b.now, b.ctx, b.view = now, r.c, nil
	var i attemptInfo
	r.t.infoLocked(&i)
	b.attempt = r.t.describe(r.c.number, &i)
	b.attempt.Started = now
	b.next = 0
	clear(b.begun)
}

// clear forgets what b refers to.
func (b *bracketing) clear() {
	if b != nil {
		clear(b.begun)
		*b = bracketing{begun: b.begun}
	}
}

// beginBrackets lets each bracket see the attempt and derive a context.
func (r *runner) beginBrackets() {
	t, b := r.t, r.brackets
	f := &t.sup.fan
	for b.next < len(f.brackets) {
		i := b.next
		b.next++
		s := f.brackets[i]
		ctx := f.beginBracket(s, b.ctx, &b.attempt)
		if ctx == nil {
			continue
		}
		b.begun[i] = ctx
		b.ctx = ctx
	}
	r.step = stepStart
}

// start announces an attempt with brackets.
func (r *runner) start() {
	t, b := r.t, r.brackets
	var view *views
	if b.ctx != context.Context(r.c) {
		view = t.sup.fan.view(b.ctx)
	}
	r.enter()
	b.view = view
	r.startLocked(b.now)
	r.exit()
}

// endBrackets runs in reverse order, as deferred calls would.
func (r *runner) endBrackets() {
	b, f := r.brackets, &r.t.sup.fan
	for b.next > 0 {
		b.next--
		if ctx := b.begun[b.next]; ctx != nil {
			f.endBracket(f.brackets[b.next], ctx, &b.attempt, &b.result)
		}
	}
	r.step = stepSettle
}
