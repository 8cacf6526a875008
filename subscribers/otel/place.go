package otelsub

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// The attributes of links, made once.
var (
	linkPrevious  = linkType("previous_attempt")
	linkFull      = linkType("previous_trace")
	linkSubmitter = linkType("submitter")
	linkReplaced  = linkType("replaced_task")
	linkStart     = linkType("start")
	linkAbandoned = linkType("abandoned_attempt")
	linkOwner     = linkType("previous_owner")
)

func linkType(name string) []attribute.KeyValue {
	return []attribute.KeyValue{keyLink.String(name)}
}

// link appends a link to sc, if that was sampled: the others lead nowhere.
func link(links []trace.Link, sc trace.SpanContext, kind []attribute.KeyValue) []trace.Link {
	if !sc.IsValid() || !sc.IsSampled() {
		return links
	}
	return append(links, trace.Link{SpanContext: sc, Attributes: kind})
}

// place is where a span goes.
type place struct {
	parent trace.SpanContext // zero: a new trace
	joined bool              // the parent is the first attempt of the streak
	links  []trace.Link
}

// place finds the trace that an attempt belongs to, and its links.
func (s *Subscriber) place(b *beginning) (at place) {
	t := b.task
	var replaced trace.SpanContext
	if b.facts.number == 1 && b.replaced != 0 {
		replaced = s.lastOf(b.replaced)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.facts.streak == 1 {
		// The attempt before was the first of the streak even if it was a retry
		// itself: a long run starts a new streak.
		t.first = t.prev
	}
	at.links = link(at.links, t.prev, linkPrevious)
	at.links = b.facts.lease.link(at.links, t.prev)
	if b.facts.streak > 0 && !s.noRetryTraces && t.first.IsValid() {
		if t.extentLocked(t.first, b.caller).room(b.now) {
			at.parent, at.joined = t.first, true
			return at
		}
		if !t.first.Equal(t.prev) {
			at.links = link(at.links, t.first, linkFull)
		}
	}
	if s.callerAsParent && b.caller.IsValid() && t.caller.room(b.now) {
		at.parent = b.caller
	} else {
		at.links = link(at.links, b.caller, linkSubmitter)
	}
	at.links = link(at.links, replaced, linkReplaced)
	return at
}

// startSpan makes a span at its place, which began at since, or now if that is zero.
// caller is the active span of ctx.
func (at *place) startSpan(ctx context.Context, tracer trace.Tracer, name string, caller trace.SpanContext,
	of *shape, f *facts, since time.Time,
) (context.Context, trace.Span) {
	switch {
	case !at.parent.IsValid():
		ctx = strip(ctx, caller)
	case !at.parent.Equal(caller):
		ctx = trace.ContextWithSpanContext(ctx, at.parent)
	}
	opts := []trace.SpanStartOption{trace.WithAttributes(f.attributes(of)...)}
	if !since.IsZero() {
		opts = append(opts, trace.WithTimestamp(since))
	}
	if len(at.links) > 0 {
		opts = append(opts, trace.WithLinks(at.links...))
	}
	return tracer.Start(ctx, name, opts...)
}

// extentLocked returns the extent of the trace of sc.
func (t *task) extentLocked(sc, caller trace.SpanContext) *extent {
	if sc.TraceID() == caller.TraceID() {
		return &t.caller
	}
	return &t.own
}

// joinLocked counts an attempt in its trace.
func (t *task) joinLocked(at place, caller trace.SpanContext, now time.Time) {
	if !at.parent.IsValid() {
		t.own = extent{}
		t.own.add(now)
		return
	}
	t.extentLocked(at.parent, caller).add(now)
}
