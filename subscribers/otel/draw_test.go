package otelsub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The tests below compare drawings. A drawing shows the traces in the order in
// which they began; under each its spans, indented below their parents, with
// their duration, attributes (without the prefix "taskvisor."; those that all
// spans of a task share are left out), status, events and links:
//
//	trace 1
//	  #1 run job 1s | attempt.number=1 … ! Error "boom"
//	     * exception …
//	     -> submitter #7
//	    #2 run job …
//
// A parent or link that is no recorded span shows as "remote".

type drawing struct {
	b       strings.Builder
	spans   []sdktrace.ReadOnlySpan // in the order of their starts
	numbers map[trace.SpanID]int
}

// draw renders every span that has ended. It fails the test if one has not.
func draw(t testing.TB, recorder *tracetest.SpanRecorder) string {
	t.Helper()
	ended := make(map[trace.SpanID]sdktrace.ReadOnlySpan)
	for _, s := range recorder.Ended() {
		ended[s.SpanContext().SpanID()] = s
	}
	d := &drawing{numbers: make(map[trace.SpanID]int)}
	for i, s := range recorder.Started() {
		id := s.SpanContext().SpanID()
		if ended[id] == nil {
			t.Errorf("span %q was not ended", s.Name())
			continue
		}
		d.numbers[id] = i + 1
		d.spans = append(d.spans, ended[id])
	}
	var traces []trace.TraceID
	for _, s := range d.spans {
		if id := s.SpanContext().TraceID(); !slices.Contains(traces, id) {
			traces = append(traces, id)
		}
	}
	for i, id := range traces {
		fmt.Fprintf(&d.b, "trace %d\n", i+1)
		for _, s := range d.spans {
			if s.SpanContext().TraceID() == id && d.numbers[s.Parent().SpanID()] == 0 {
				d.span(s, 1)
			}
		}
	}
	return d.b.String()
}

func (d *drawing) span(s sdktrace.ReadOnlySpan, depth int) {
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(&d.b, "%s#%d %s %s", indent, d.numbers[s.SpanContext().SpanID()], s.Name(), s.EndTime().Sub(s.StartTime()))
	if d.numbers[s.Parent().SpanID()] == 0 && s.Parent().IsValid() {
		d.b.WriteString(" (parent remote)")
	}
	d.attributes(" |", s.Attributes())
	if s.Status().Code != codes.Unset {
		fmt.Fprintf(&d.b, " ! %s %q", s.Status().Code, s.Status().Description)
	}
	d.b.WriteByte('\n')
	for _, e := range s.Events() {
		fmt.Fprintf(&d.b, "%s   * %s", indent, e.Name)
		d.attributes("", e.Attributes)
		d.b.WriteByte('\n')
	}
	for _, l := range s.Links() {
		to := "remote"
		if n := d.numbers[l.SpanContext.SpanID()]; n != 0 {
			to = fmt.Sprintf("#%d", n)
		}
		fmt.Fprintf(&d.b, "%s   -> %s %s\n", indent, l.Attributes[0].Value.AsString(), to)
	}
	for _, child := range d.spans {
		if child.Parent().SpanID() == s.SpanContext().SpanID() {
			d.span(child, depth+1)
		}
	}
}

func (d *drawing) attributes(sep string, attrs []attribute.KeyValue) {
	for _, a := range attrs {
		key := strings.TrimPrefix(string(a.Key), "taskvisor.")
		if key == "supervisor.name" || key == "task.name" || key == "task.id" {
			continue
		}
		value := a.Value.String()
		if key == "exception.stacktrace" {
			value, _, _ = strings.Cut(value, "(")
			value = value[strings.LastIndex(value, "/")+1:] // the innermost function
		}
		fmt.Fprintf(&d.b, "%s %s=%s", sep, key, value)
		sep = ""
	}
}

// expect compares what was drawn with want, which may be indented by tabs.
func expect(t testing.TB, recorder *tracetest.SpanRecorder, want string) {
	t.Helper()
	if got := draw(t, recorder); got != unindent(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, unindent(want))
	}
}

// expectShape is expect without attributes and status.
func expectShape(t testing.TB, recorder *tracetest.SpanRecorder, want string) {
	t.Helper()
	var shape strings.Builder
	for line := range strings.Lines(draw(t, recorder)) {
		line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " |")
		shape.WriteString(line + "\n")
	}
	if got := shape.String(); got != unindent(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, unindent(want))
	}
}

func unindent(want string) string {
	lines := strings.Split(strings.Trim(want, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], "\t")
	}
	return strings.Join(lines, "\n") + "\n"
}

// tracing returns a provider that keeps its spans, and where it keeps them.
func tracing(opts ...sdktrace.TracerProviderOption) (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(append(opts, sdktrace.WithSpanProcessor(recorder))...), recorder
}

// player calls a subscriber as a supervisor would for one task. Its time is the
// bubble's, if it is in one; else it takes none.
type player struct {
	sub  *otelsub.Subscriber
	ctx  context.Context
	wait func(time.Duration)
	next taskvisor.Attempt
}

func play(sub *otelsub.Subscriber, spec taskvisor.TaskSpec) *player {
	return &player{
		sub: sub, ctx: context.Background(), wait: func(time.Duration) {},
		next: taskvisor.Attempt{Supervisor: "sup", Task: spec.Name(), TaskID: 7, Number: 1, Spec: spec},
	}
}

// playInBubble is play where time passes.
func playInBubble(sub *otelsub.Subscriber, spec taskvisor.TaskSpec) *player {
	p := play(sub, spec)
	p.wait = time.Sleep
	return p
}

// inBubble makes a subtest that runs in a bubble.
func inBubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// attempt plays one attempt of a second and plans the next.
func (p *player) attempt(kind taskvisor.ResultKind, err error) { p.run(time.Second, kind, err, nil) }

func (p *player) run(took time.Duration, kind taskvisor.ResultKind, err error, body func(ctx context.Context)) {
	a := p.next
	a.Started = time.Now()
	ctx := p.sub.BeginAttempt(p.ctx, a)
	if body != nil {
		body(ctx)
	}
	p.wait(took)
	r := taskvisor.Result{Kind: kind, Err: err, Duration: took}
	switch kind {
	case taskvisor.ResultSuccess:
		p.next.Streak = 0
	case taskvisor.ResultCanceled:
		r.Reason = taskvisor.ErrShutdown
	default:
		r.Retry, r.Delay = kind != taskvisor.ResultFatal, 2*time.Second
		p.next.Streak++
	}
	p.sub.EndAttempt(ctx, a, r)
	p.next.Number++
	p.next.Previous = kind
	p.next.Delay = 2 * time.Second
	p.wait(p.next.Delay)
}

func (p *player) event(kind taskvisor.EventKind, reason taskvisor.Reason) {
	p.sub.OnEvent(p.ctx, taskvisor.Event{Kind: kind, Supervisor: "sup", Task: p.next.Task, TaskID: p.next.TaskID, Reason: reason})
}
