package otelsub

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// attempt is an open attempt. The body's context carries it, so that its end is found
// also after its task was removed. It does not refer to that context: a timer that was
// stopped may keep it for a while.
type attempt struct {
	id    taskvisor.TaskID
	task  *task
	shape *shape
	facts facts // of its start, for the spans after the first

	outgrown atomic.Bool  // the body's spans are on their own
	looks    atomic.Int32 // at the span, of an attempt that may outgrow it

	// The rest is guarded by task.mu.

	span   trace.Span        // over the attempt; nil if there is none, or none any more
	first  trace.SpanContext // of the span that told of its start
	parent trace.SpanContext // of its place, if it joined the streak's trace
	timer  *time.Timer       // outgrows it
	asked  error             // why it was interrupted or stopped, as the caller said
	lease  *term             // what it runs under; nil if it is not known to have a lease
	late   bool              // that was not known at its start
	before trace.SpanContext // of the attempt before
	left   trace.SpanContext // of the span that ended when the body was abandoned
	leftAt time.Time
	done   bool
}

type attemptKey struct{}

// attemptOf returns the attempt whose bracket made ctx; nil if there is none. It may be
// that of another task, with whose context this one was added.
func attemptOf(ctx context.Context) *attempt {
	at, _ := ctx.Value(attemptKey{}).(*attempt)
	return at
}

// is reports whether at is that attempt of that task.
func (at *attempt) is(id taskvisor.TaskID, number int) bool {
	return at != nil && at.id == id && at.facts.number == number
}

// beginning is what an attempt is begun with.
type beginning struct {
	id       taskvisor.TaskID
	tracer   trace.Tracer
	ctx      context.Context
	caller   trace.SpanContext
	task     *task
	shape    *shape
	facts    facts
	replaced taskvisor.TaskID
	now      time.Time
}

// open makes the attempt known, with its span if that is to stay open: whoever
// abandons the attempt meanwhile finds all of it. It returns the body's context, made of
// inner. The caller holds no lock.
func (b *beginning) open(inner context.Context, at place, sc trace.SpanContext, span trace.Span) context.Context {
	open := &attempt{id: b.id, task: b.task, shape: b.shape, facts: b.facts, first: sc, span: span, lease: b.facts.lease}
	if at.joined {
		open.parent = at.parent
	}
	if span != nil && b.shape.long {
		inner = trace.ContextWithSpan(inner, &longSpan{span, open})
	}
	b.keep(open, at)
	b.facts.lease.leave(sc) // the end of a resident task may never be told
	return context.WithValue(inner, attemptKey{}, open)
}

// keep notes in the task that the attempt is open.
func (b *beginning) keep(open *attempt, at place) {
	t := b.task
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joinLocked(at, b.caller, b.now)
	open.before = t.prev
	t.open = open
	if open.span == nil {
		return
	}
	if !at.joined {
		t.first = open.first
	}
	t.prev = open.first
	if b.shape.long {
		open.timer = time.AfterFunc(maxTraceAge, open.outgrow)
	}
}

// beginAttempt opens the span over an attempt.
func (s *Subscriber) beginAttempt(b *beginning) context.Context {
	at := s.place(b)
	inner, span := b.startSpan(b.shape.name, &at)
	sc := span.SpanContext()
	if !identified(sc, at.parent) {
		return s.fallAsleep(b)
	}
	return b.open(inner, at, sc, span)
}

// beginResident tells that an attempt began which may never end.
func (s *Subscriber) beginResident(b *beginning) context.Context {
	at := s.place(b)
	_, span := b.startSpan("start "+b.shape.label, &at)
	sc := span.SpanContext()
	if !identified(sc, at.parent) {
		return s.fallAsleep(b)
	}
	span.End()
	return b.open(strip(b.ctx, b.caller), at, sc, nil)
}

// startSpan makes the first span of an attempt, at its place.
func (b *beginning) startSpan(name string, at *place) (context.Context, trace.Span) {
	return at.startSpan(b.ctx, b.tracer, name, b.caller, b.shape, &b.facts, time.Time{})
}

// fallAsleep is for a tracer that does nothing.
func (s *Subscriber) fallAsleep(b *beginning) context.Context {
	s.dormant.Store(true)
	return s.bodyContext(b.ctx, b.caller, b.id, b.facts.number)
}

// identified reports whether a tracer made a span, recording or not. One that
// does nothing returns the parent's identity, or none.
func identified(sc, parent trace.SpanContext) bool {
	return sc.IsValid() && sc.SpanID() != parent.SpanID()
}

// end writes how an attempt ended: into the span over it, into one with the uptime if
// that has ended or never was, or, after an abandoned body, into one about its return.
func (s *Subscriber) end(ctx context.Context, at *attempt, a *taskvisor.Attempt, r *taskvisor.Result) {
	t := at.task
	t.mu.Lock()
	if at.timer != nil {
		at.timer.Stop()
	}
	span, left, leftAt := at.span, at.left, at.leftAt
	at.span, at.done = nil, true
	if t.open == at {
		t.open = nil
	}
	asked, late := at.asked, at.lateLocked()
	t.mu.Unlock()
	if leftAt.IsZero() {
		if span == nil {
			span = s.uptimeSpan(ctx, at, r.Duration)
		}
	} else if span = nil; s.tracer() != nil {
		late.links = nil // they are of the span before
		back := place{links: link(nil, left, linkAbandoned)}
		_, span = back.startSpan(ctx, s.tracer(), "return "+at.shape.label, trace.SpanContextFromContext(ctx),
			at.shape, &at.facts, leftAt)
	}
	if span != nil {
		if asked == nil && r.Reason != 0 { // the event that says so may come later than the end that it asks for
			asked = askedOf(ctx)
		}
		late.addTo(span)
		s.finish(span, r, asked)
	}
}

// uptimeSpan makes the span of an attempt that has no open one, over the time that it
// took until now. It belongs to the story of the failures before it only if it did not
// last longer than that may take. It is nil if there is no tracer any more.
func (s *Subscriber) uptimeSpan(ctx context.Context, at *attempt, took time.Duration) trace.Span {
	tracer := s.tracer()
	if tracer == nil {
		return nil
	}
	now := time.Now()
	t := at.task
	t.mu.Lock()
	under := at.lease
	where := place{links: link(nil, at.first, linkStart)}
	if at.parent.IsValid() && t.own.room(now) {
		where.parent, where.joined = at.parent, true
	} else if !t.prev.Equal(at.first) {
		where.links = link(where.links, t.prev, linkPrevious)
	}
	t.mu.Unlock()

	_, span := where.startSpan(ctx, tracer, at.shape.name, trace.SpanContextFromContext(ctx),
		at.shape, &at.facts, now.Add(-took))
	if span.SpanContext().IsSampled() { // or what tells of the start is to be found
		under.leave(span.SpanContext())
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if !where.joined {
		t.first = span.SpanContext()
		t.own = extent{attempts: 1, since: now}
	}
	t.prev = span.SpanContext()
	return span
}

// leased notes the lease of an attempt that was not known when its span began, since the
// bracket of the lease's owner comes behind ours.
func (s *Subscriber) leased(ctx context.Context, e *taskvisor.Event) {
	t, at := s.openOf(e)
	if at == nil {
		return
	}
	t.mu.Lock()
	known := at.lease != nil
	t.mu.Unlock()
	if known {
		return
	}
	under := termOf(ctx, e.TaskID) // without the lock: values of contexts are the user's
	under.leave(at.first)
	t.mu.Lock()
	defer t.mu.Unlock()
	at.lease, at.late = under, under != nil
}

// lateLocked returns what the start of the span does not say of its lease.
func (at *attempt) lateLocked() (late addenda) {
	if at.late {
		late = addenda{at.lease.attrs, at.lease.link(nil, at.before)}
	}
	return late
}

// openOf returns the attempt that an event is about, if it is open: events may come late,
// when the next has begun. After a stop there is no next one, and one that is stopped
// early is not counted in Attempt yet.
func (s *Subscriber) openOf(e *taskvisor.Event) (*task, *attempt) {
	t := s.known(e.Local())
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	stopped := e.Reason != 0 && e.Reason != taskvisor.ErrInterrupted
	if t.open == nil || !stopped && t.open.facts.number != e.Attempt {
		return nil, nil
	}
	return t, t.open
}

// ask keeps what the caller of Interrupt or StopFor gave as a cause, for the span.
func (s *Subscriber) ask(e *taskvisor.Event) {
	t, at := s.openOf(e)
	if _, bare := e.Err.(taskvisor.Reason); at == nil || e.Err == nil || bare {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at.asked = e.Err
}

// tellStuck adds to the span of a body that ignores its context where that is.
func (s *Subscriber) tellStuck(e *taskvisor.Event) {
	t, at := s.openOf(e)
	if at == nil {
		return
	}
	t.mu.Lock()
	span := at.span
	t.mu.Unlock()
	if span != nil && span.IsRecording() { // without the lock: the formatter is the user's
		span.AddEvent("taskvisor.attempt.stuck", trace.WithAttributes(s.stackAttributes(e)...))
	}
}

// abandon ends the span of a body that outlived its grace: it may run for ever, and
// what hangs is what a trace must show.
func (s *Subscriber) abandon(ctx context.Context, e *taskvisor.Event) {
	t, at := s.openOf(e)
	if at == nil {
		return
	}
	t.mu.Lock()
	if at.done || !at.leftAt.IsZero() {
		t.mu.Unlock()
		return
	}
	if at.timer != nil {
		at.timer.Stop()
	}
	span := at.span
	at.span, at.leftAt = nil, time.Now()
	if span != nil {
		at.left = span.SpanContext()
	}
	asked, late := at.asked, at.lateLocked()
	t.mu.Unlock()
	if span == nil {
		if span = s.uptimeSpan(ctx, at, e.Duration); span == nil {
			return
		}
		t.mu.Lock()
		at.left = span.SpanContext()
		t.mu.Unlock()
	}
	late.addTo(span)
	s.finishAbandoned(span, e, asked)
}
