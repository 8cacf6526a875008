package otelsub

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The attributes of links, made once.
var (
	linkPrevious  = linkType("previous_attempt")
	linkFull      = linkType("previous_trace")
	linkSubmitter = linkType("submitter")
	linkReplaced  = linkType("replaced_task")
	linkStart     = linkType("start")
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

// place is where an attempt goes.
type place struct {
	parent trace.SpanContext // zero: a new trace
	joined bool              // the parent is the first attempt of the streak
	links  []trace.Link
}

// beginAttempt opens the span over an attempt.
func (s *Subscriber) beginAttempt(ctx context.Context, t *task, a *taskvisor.Attempt, caller trace.SpanContext) context.Context {
	now := time.Now()
	at := s.place(t, a, caller, now)
	inner, span := s.start(ctx, t.name, t, a, caller, at)
	sc := span.SpanContext()
	if !identified(sc, at.parent) {
		return s.fallAsleep(ctx, t, caller)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joinLocked(at, caller, now)
	t.open, t.span = true, span
	if !at.joined {
		t.first = sc
	}
	t.prev = sc
	return inner
}

// beginResident tells that an attempt began which may never end.
func (s *Subscriber) beginResident(ctx context.Context, t *task, a *taskvisor.Attempt, caller trace.SpanContext) context.Context {
	now := time.Now()
	at := s.place(t, a, caller, now)
	_, span := s.start(ctx, "start "+t.label, t, a, caller, at)
	sc := span.SpanContext()
	if !identified(sc, at.parent) {
		return s.fallAsleep(ctx, t, caller)
	}
	span.End()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joinLocked(at, caller, now)
	t.open, t.start = true, sc
	t.parent = trace.SpanContext{}
	if at.joined {
		t.parent = at.parent
	}
	return strip(ctx, caller)
}

// endResident makes the span with the uptime. It belongs to the story of the
// failures before it only if it did not last longer than that may take.
func (s *Subscriber) endResident(ctx context.Context, t *task, a *taskvisor.Attempt, r *taskvisor.Result) {
	end := time.Now()
	t.mu.Lock()
	at := place{links: link(nil, t.start, linkStart)}
	if t.parent.IsValid() && t.own.room(end) {
		at.parent, at.joined = t.parent, true
	} else {
		at.links = link(at.links, t.prev, linkPrevious)
	}
	t.start = trace.SpanContext{}
	t.mu.Unlock()

	caller := trace.SpanContextFromContext(ctx)
	_, span := s.start(ctx, t.name, t, a, caller, at, trace.WithTimestamp(end.Add(-r.Duration)))
	sc := span.SpanContext()
	s.finish(span, r)

	t.mu.Lock()
	defer t.mu.Unlock()
	if !at.joined {
		t.first = sc
		t.own = extent{attempts: 1, since: end}
	}
	t.prev = sc
}

// place finds the trace that an attempt belongs to, and its links.
func (s *Subscriber) place(t *task, a *taskvisor.Attempt, caller trace.SpanContext, now time.Time) (at place) {
	var replaced trace.SpanContext
	if a.Number == 1 && a.Replaced != 0 {
		replaced = s.tasks.lastSpan(a.Replaced)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Streak == 1 {
		// The attempt before was the first of the streak even if it was a retry
		// itself: a long run starts a new streak.
		t.first = t.prev
	}
	at.links = link(at.links, t.prev, linkPrevious)
	if a.Streak > 0 && !s.noRetryTraces && t.first.IsValid() {
		if t.extentLocked(t.first, caller).room(now) {
			at.parent, at.joined = t.first, true
			return at
		}
		if !t.first.Equal(t.prev) {
			at.links = link(at.links, t.first, linkFull)
		}
	}
	if s.callerAsParent && caller.IsValid() && t.caller.room(now) {
		at.parent = caller
	} else {
		at.links = link(at.links, caller, linkSubmitter)
	}
	at.links = link(at.links, replaced, linkReplaced)
	return at
}

// start makes a span at its place.
func (s *Subscriber) start(ctx context.Context, name string, t *task, a *taskvisor.Attempt,
	caller trace.SpanContext, at place, opts ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	switch {
	case !at.parent.IsValid():
		ctx = strip(ctx, caller)
	case !at.parent.Equal(caller):
		ctx = trace.ContextWithSpanContext(ctx, at.parent)
	}
	opts = append(opts, trace.WithAttributes(startAttributes(t, a)...))
	if len(at.links) > 0 {
		opts = append(opts, trace.WithLinks(at.links...))
	}
	return s.tracer.Start(ctx, name, opts...)
}

// identified reports whether a tracer made a span, recording or not. One that
// does nothing returns the parent's identity, or none.
func identified(sc, parent trace.SpanContext) bool {
	return sc.IsValid() && sc.SpanID() != parent.SpanID()
}

// fallAsleep is for a tracer that does nothing.
func (s *Subscriber) fallAsleep(ctx context.Context, t *task, caller trace.SpanContext) context.Context {
	s.dormant.Store(true)
	if s.metrics != nil {
		t.begin()
	} else {
		s.tasks.forget(t.id)
	}
	return s.bodyContext(ctx, caller)
}

// begin notes an attempt without a span.
func (t *task) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = true
}

// end returns the span of the open attempt, or whether it was a resident one,
// and whether the task can be forgotten now.
func (t *task) end() (span trace.Span, resident, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	span, t.span, t.open = t.span, nil, false
	return span, t.start.IsValid(), t.gone
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
