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
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
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
		if strings.HasSuffix(key, "stacktrace") {
			value = innermost(value)
		}
		fmt.Fprintf(&d.b, "%s %s=%s", sep, key, value)
		sep = ""
	}
}

// innermost returns the first function of a stack of this module, without its path.
func innermost(stack string) string {
	for line := range strings.Lines(stack) {
		if strings.Contains(line, "taskvisor-go/") && !strings.HasPrefix(line, "\t") {
			name, _, _ := strings.Cut(strings.TrimSpace(line[strings.LastIndex(line, "/")+1:]), "(")
			return name
		}
	}
	return "none"
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

// rig is a supervisor, "sup", in a bubble, whose spans are recorded.
type rig struct {
	*testing.T
	provider *sdktrace.TracerProvider
	spans    *tracetest.SpanRecorder
	sub      *otelsub.Subscriber
	sup      *taskvisor.Supervisor
}

// inRig runs play in a rig, and shuts that down.
func inRig(t *testing.T, sub []otelsub.Option, sup []taskvisor.Option, play func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t}
		r.provider, r.spans = tracing()
		// Those of sub come last: they may bring a provider of their own.
		r.sub = otelsub.New(append([]otelsub.Option{otelsub.WithTracerProvider(r.provider)}, sub...)...)
		r.sup, _ = taskvisortest.Start(t, append([]taskvisor.Option{taskvisor.WithName("sup"), taskvisor.WithSubscriber(r.sub)}, sup...)...)
		play(r)
		if err := r.sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// add adds a task on behalf of ctx.
func (r *rig) add(ctx context.Context, spec taskvisor.TaskSpec) *taskvisor.Handle {
	r.Helper()
	h, err := r.sup.Add(ctx, spec)
	if err != nil {
		r.Fatal(err)
	}
	return h
}

// after waits until n attempts of a task have ended and the next has not begun.
func (r *rig) after(h *taskvisor.Handle, n int) {
	r.Helper()
	for range 1_000_000 {
		synctest.Wait()
		st := h.Status()
		if st.Attempt >= n && st.State != taskvisor.StateRunning && st.State != taskvisor.StatePending {
			return
		}
		time.Sleep(time.Second / 2)
	}
	r.Fatalf("%d attempts have not ended: %+v", n, h.Status())
}

// submit submits a task to the slot "slot".
func (r *rig) submit(spec taskvisor.TaskSpec, policy taskvisor.Admission) *taskvisor.Handle {
	r.Helper()
	h, err := r.sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: "slot", Admission: policy})
	if err != nil {
		r.Fatal(err)
	}
	return h
}

// request opens and closes a span and returns the context that it leaves behind.
func (r *rig) request() context.Context {
	ctx, span := r.provider.Tracer("test").Start(context.Background(), "request")
	span.End()
	return ctx
}

// child makes a span in ctx.
func (r *rig) child(ctx context.Context, name string) {
	_, span := r.provider.Tracer("test").Start(ctx, name)
	span.End()
}

// step is one attempt: how long it takes, and what it returns then.
type step struct {
	took time.Duration
	err  error
	body func(ctx context.Context)
}

func ok() step                              { return step{took: time.Second} }
func fail(err error) step                   { return step{took: time.Second, err: err} }
func (s step) lasting(d time.Duration) step { s.took = d; return s }

// steps makes work of steps, one an attempt. When they are over it waits for its stop.
func steps(all ...step) taskvisor.Func {
	n := 0
	return func(ctx context.Context) error {
		if n++; n > len(all) {
			<-ctx.Done()
			return nil
		}
		s := all[n-1]
		if s.body != nil {
			s.body(ctx)
		}
		time.Sleep(s.took)
		return s.err
	}
}

// bounded is a task whose attempts get a span each: two seconds between them.
func bounded(fn taskvisor.Func, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Periodic("job", 2*time.Second, fn, append([]taskvisor.TaskOption{taskvisor.ConstantBackoff(2 * time.Second)}, opts...)...)
}

// resident is a task whose attempts may never end: two seconds between failures.
func resident(fn taskvisor.Func, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Restartable("job", fn, append([]taskvisor.TaskOption{taskvisor.ConstantBackoff(2 * time.Second)}, opts...)...)
}
