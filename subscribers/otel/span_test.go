package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var errBoom = errors.New("boom")

func noop(context.Context) error { return nil }

// bounded is a task whose attempts get a span each.
func bounded(opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
	return taskvisor.Periodic("job", time.Minute, noop, opts...)
}

func TestAttemptAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		p := playInBubble(otelsub.New(otelsub.WithTracerProvider(provider)), bounded(taskvisor.WithTimeout(1500*time.Millisecond)))
		p.next.Slot, p.next.Admission, p.next.SlotWait = "key", taskvisor.Coalesce, 250*time.Millisecond
		p.attempt(taskvisor.ResultSuccess, nil)
		p.attempt(taskvisor.ResultSuccess, nil)

		s := recorder.Ended()[0]
		var got []string
		for _, a := range s.Attributes() {
			got = append(got, string(a.Key)+"="+a.Value.String())
		}
		want := []string{
			"taskvisor.supervisor.name=sup", "taskvisor.task.name=job", "taskvisor.task.id=7",
			"taskvisor.attempt.timeout=1.5", "taskvisor.admission.policy=coalesce",
			"taskvisor.attempt.number=1", "taskvisor.admission.wait=0.25", "taskvisor.attempt.outcome=success",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("attributes\n got %q\nwant %q", got, want)
		}
		if s.SpanKind() != trace.SpanKindInternal {
			t.Errorf("kind %s", s.SpanKind())
		}
		scope := s.InstrumentationScope()
		if scope.Name != otelsub.ScopeName || scope.Version != otelsub.Version || scope.SchemaURL == "" {
			t.Errorf("scope %+v", scope)
		}
		expect(t, recorder, `
			trace 1
			  #1 run job 1s | attempt.timeout=1.5 admission.policy=coalesce attempt.number=1 admission.wait=0.25 attempt.outcome=success
			trace 2
			  #2 run job 1s | attempt.timeout=1.5 admission.policy=coalesce attempt.number=2 attempt.delay=2 attempt.outcome=success
			     -> previous_attempt #1
		`)
	})
}

// TestSamplersSeeStartAttributes holds the promise that a sampler may decide by
// what is known at the start.
func TestSamplersSeeStartAttributes(t *testing.T) {
	sampler := &samplerSpy{}
	provider, _ := tracing(sdktrace.WithSampler(sampler))
	p := play(otelsub.New(otelsub.WithTracerProvider(provider)), bounded(taskvisor.WithTimeout(time.Second)))
	p.attempt(taskvisor.ResultFailure, errBoom)
	p.attempt(taskvisor.ResultSuccess, nil)
	want := "supervisor.name task.name task.id attempt.timeout attempt.number\n" +
		"supervisor.name task.name task.id attempt.timeout attempt.number attempt.delay\n"
	if sampler.keys != want {
		t.Errorf("sampler saw\n%s\nwant\n%s", sampler.keys, want)
	}
}

type samplerSpy struct{ keys string }

func (s *samplerSpy) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	for i, a := range p.Attributes {
		if i > 0 {
			s.keys += " "
		}
		s.keys += strings.TrimPrefix(string(a.Key), "taskvisor.")
	}
	s.keys += "\n"
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func (s *samplerSpy) Description() string { return "spy" }

type codedError struct{}

func (*codedError) Error() string { return "coded" }

func TestResults(t *testing.T) {
	panicked := capturePanic(t, "oh no")
	for _, c := range []struct {
		name string
		kind taskvisor.ResultKind
		err  error
		want string // from the outcome on
	}{
		{"success", taskvisor.ResultSuccess, nil, "outcome=success"},
		{"failure", taskvisor.ResultFailure, errBoom, `outcome=failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"`},
		{"own type", taskvisor.ResultFailure, fmt.Errorf("outer: %w", &codedError{}), `outcome=failure backoff.delay=2 error.type=*otelsub_test.codedError ! Error "outer: coded"`},
		{"retry after", taskvisor.ResultFailure, taskvisor.RetryAfter(1, &codedError{}), `outcome=failure backoff.delay=2 error.type=*otelsub_test.codedError ! Error "coded"`},
		{"goexit", taskvisor.ResultFailure, taskvisor.ErrGoexit, `outcome=failure backoff.delay=2 error.type=goexit ! Error "taskvisor: body called runtime.Goexit"`},
		{"no error", taskvisor.ResultFailure, nil, `outcome=failure backoff.delay=2 error.type=_OTHER ! Error ""`},
		{"fatal", taskvisor.ResultFatal, taskvisor.Fatal(&codedError{}), `outcome=fatal error.type=*otelsub_test.codedError ! Error "coded"`},
		{"timeout", taskvisor.ResultTimeout, &taskvisor.TimeoutError{Timeout: time.Second}, `outcome=timeout backoff.delay=2 error.type=timeout ! Error "attempt timed out after 1s"`},
		{"panic", taskvisor.ResultPanic, panicked, `outcome=panic backoff.delay=2 error.type=panic ! Error "panic: oh no"` +
			"\n     * exception exception.type=string exception.message=panic: oh no exception.stacktrace=otel_test.raise"},
		{"canceled", taskvisor.ResultCanceled, context.Canceled, "outcome=canceled cancel.cause=shutdown"},
	} {
		t.Run(c.name, inBubble(func(t *testing.T) {
			provider, recorder := tracing()
			playInBubble(otelsub.New(otelsub.WithTracerProvider(provider)), bounded()).attempt(c.kind, c.err)
			got := draw(t, recorder)
			if want := "trace 1\n  #1 run job 1s | attempt.number=1 attempt." + c.want + "\n"; got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		}))
	}
}

func TestDescriptionIsCut(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"short", "x", "x"},
		{"exact", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"long", strings.Repeat("x", 5000), strings.Repeat("x", 1024)},
		{"rune border", strings.Repeat("x", 1022) + "€€", strings.Repeat("x", 1022)},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"nothing but bad bytes", strings.Repeat("\x80x", 1000), strings.Repeat("\uFFFDx", 256)},
	} {
		t.Run(c.name, func(t *testing.T) {
			provider, recorder := tracing()
			play(otelsub.New(otelsub.WithTracerProvider(provider)), bounded()).attempt(taskvisor.ResultFailure, errors.New(c.text))
			got := recorder.Ended()[0].Status().Description
			if got != c.want || !utf8.ValidString(got) {
				t.Errorf("got %d bytes %.40q…, want %d bytes", len(got), got, len(c.want))
			}
		})
	}
}

func TestErrorFormatterSeesAllText(t *testing.T) {
	redact := func(err error) string { return strings.ReplaceAll(err.Error(), "raise", "[redacted]") }
	provider, recorder := tracing()
	p := play(otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithErrorFormatter(redact)), bounded())
	p.attempt(taskvisor.ResultFailure, errors.New("raise the alarm"))
	p.attempt(taskvisor.ResultPanic, capturePanic(t, "raise"))
	for _, s := range recorder.Ended() {
		everything := s.Status().Description
		for _, e := range s.Events() {
			for _, a := range e.Attributes {
				everything += "\n" + a.Value.String()
			}
		}
		if strings.Contains(everything, "raise") || !strings.Contains(everything, "[redacted]") {
			t.Errorf("not redacted: %s", everything)
		}
	}
	if n := len(recorder.Ended()[1].Events()); n != 1 {
		t.Errorf("%d events for a panic", n)
	}
}

// TestPanickingFormatter: the span ends all the same, with all that needed no
// code of the user's.
func TestPanickingFormatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		sub := otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithErrorFormatter(func(error) string { panic("formatter") }))
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was hidden from the supervisor, which reports it")
				}
			}()
			playInBubble(sub, bounded()).attempt(taskvisor.ResultFailure, errBoom)
		}()
		expect(t, recorder, `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.outcome=failure backoff.delay=2 error.type=*errors.errorString ! Error ""
		`)
	})
}

func TestTraceLabels(t *testing.T) {
	provider, recorder := tracing()
	p := play(otelsub.New(otelsub.WithTracerProvider(provider)), bounded())
	var labels map[string]string
	p.run(time.Second, taskvisor.ResultSuccess, nil, func(ctx context.Context) { labels = otelsub.TraceLabels(ctx) })
	sc := recorder.Ended()[0].SpanContext()
	if len(labels) != 2 || labels["trace_id"] != sc.TraceID().String() || labels["span_id"] != sc.SpanID().String() {
		t.Errorf("labels %v of %v", labels, sc)
	}
	if l := otelsub.TraceLabels(context.Background()); l != nil {
		t.Errorf("labels %v without a span", l)
	}
	unsampled := trace.ContextWithSpanContext(context.Background(), sc.WithTraceFlags(0))
	if l := otelsub.TraceLabels(unsampled); l != nil {
		t.Errorf("labels %v of a span that was not sampled", l)
	}
}

// capturePanic returns what a supervisor reports of a body that panics with v.
func capturePanic(t *testing.T, v any) error {
	t.Helper()
	sup, err := taskvisor.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := sup.Add(t.Context(), taskvisor.Once("panics", func(context.Context) error { return raise(v) }))
	if err != nil {
		t.Fatal(err)
	}
	o, err := h.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return o.Err
}

// raise has a frame of its own, for the stack to begin with.
//
//go:noinline
func raise(v any) error { panic(v) }
