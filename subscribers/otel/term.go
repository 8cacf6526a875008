package otelsub

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// term is the lease that an attempt runs under.
type term struct {
	of    lease.Term
	attrs []attribute.KeyValue
	owner trace.SpanContext // the last attempt of the owner before; of the first under a token
}

// termOf returns what the attempt of a task runs under, if its context says so: it does for
// the brackets behind that of the lease's owner, and for events. It is nil otherwise, also
// where the context says it of the attempt on whose behalf the task was added. The key of a
// lease may be anything, and is no attribute.
func termOf(ctx context.Context, id taskvisor.TaskID) *term {
	of, ok := lease.TermOf(ctx)
	if !ok || of.TaskID != id {
		return nil
	}
	return &term{of, []attribute.KeyValue{keyToken.Int64(int64(of.Token)), keyLeaseWait.Float64(of.Wait.Seconds())}, parse(of.Previous)}
}

func (t *term) attributes() []attribute.KeyValue {
	if t == nil {
		return nil
	}
	return t.attrs
}

// link appends a link to the last attempt of the owner before, unless that is prev, the
// attempt before in this process.
func (t *term) link(links []trace.Link, prev trace.SpanContext) []trace.Link {
	if t == nil || t.owner.TraceID() == prev.TraceID() && t.owner.SpanID() == prev.SpanID() {
		return links
	}
	return link(links, t.owner, linkOwner)
}

// leave has the next owner's first attempt linked to sc. One that was not sampled is not
// linked to, nor is then what was before it.
func (t *term) leave(sc trace.SpanContext) {
	if t == nil {
		return
	}
	note := ""
	if sc.IsSampled() {
		note = "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
	}
	_ = t.of.Note(note) // which is short and plain
}

// parse is what leave has left; none if it was somebody else's note.
func parse(note string) trace.SpanContext {
	if note == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": note}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// addenda is what the start of a span has not.
type addenda struct {
	attrs []attribute.KeyValue
	links []trace.Link
}

func (a addenda) addTo(span trace.Span) {
	span.SetAttributes(a.attrs...)
	for _, l := range a.links {
		span.AddLink(l)
	}
}
