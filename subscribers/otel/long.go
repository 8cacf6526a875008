package otelsub

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// maxTraceLooks bounds the trace of one attempt: how often its context may be asked
// for the active span, which each span that begins in it does two or three times, and
// each log record once. Backends refuse or cannot show traces of much more than ten
// thousand spans.
const maxTraceLooks = 30_000

// longSpan is the active span of a body that may run for ever. What begins in it
// nests, until the attempt has outgrown one trace; from then on it begins traces of
// its own. A body's context cannot be exchanged while it runs, but what its span says
// it is, can.
type longSpan struct {
	trace.Span
	at *attempt
}

// SpanContext returns the identity of the span; none once it was outgrown.
func (l *longSpan) SpanContext() trace.SpanContext {
	if l.at.outgrown.Load() {
		return trace.SpanContext{}
	}
	if l.at.looks.Add(1) == maxTraceLooks {
		l.at.expire()
	}
	return l.Span.SpanContext()
}

// expire has the timer call outgrow on a goroutine of its own: who looks may hold
// locks that the end of a span needs.
func (at *attempt) expire() {
	at.task.mu.Lock()
	defer at.task.mu.Unlock()
	if at.timer != nil && !at.done {
		at.timer.Reset(0)
	}
}

// outgrow ends the span of an attempt that has become too long for one trace. What is
// left of it is the span of a start, as a resident task has.
func (at *attempt) outgrow() {
	at.outgrown.Store(true)
	at.task.mu.Lock()
	span := at.span
	at.span = nil
	at.task.mu.Unlock()
	if span == nil { // it has just ended
		return
	}
	span.SetName("start " + at.shape.label)
	span.AddEvent("taskvisor.attempt.outgrown")
	span.End()
}

// spanContextOf returns the span that tells of what happens in ctx: the active one,
// or where a resident body has none, that of its start.
func spanContextOf(ctx context.Context) trace.SpanContext {
	sc := trace.SpanContextFromContext(ctx)
	if sc.IsValid() {
		return sc
	}
	if at := attemptOf(ctx); at != nil {
		return at.first
	}
	return sc
}
