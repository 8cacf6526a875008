package otelsub_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// capture returns an attempt as a supervisor shows it to a subscriber that keeps
// nothing itself: that can be bracketed as often as a test likes. The task lives until
// the test ends.
func capture(t testing.TB, spec func(taskvisor.Func) taskvisor.TaskSpec) taskvisor.Attempt {
	t.Helper()
	c := &capturer{got: make(chan taskvisor.Attempt, 1)}
	sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(c))
	if _, err := sup.Add(context.Background(), spec(taskvisortest.Script(taskvisortest.Block()))); err != nil {
		t.Fatal(err)
	}
	return <-c.got
}

type capturer struct{ got chan taskvisor.Attempt }

func (*capturer) OnEvent(context.Context, taskvisor.Event) {}
func (c *capturer) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	c.got <- a
	return ctx
}
func (*capturer) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

func timed(f taskvisor.Func) taskvisor.TaskSpec {
	return bounded(f, taskvisor.WithTimeout(1<<40))
}

// TestNoopProviders: nothing is kept, nothing allocated, and the caller's span
// does not reach the body all the same.
func TestNoopProviders(t *testing.T) {
	for name, sub := range map[string]*otelsub.Subscriber{
		"noop":    otelsub.New(otelsub.WithTracerProvider(tracenoop.NewTracerProvider())),
		"global":  otelsub.New(),
		"foreign": otelsub.New(otelsub.WithTracerProvider(wrapped{tracenoop.NewTracerProvider()})),
	} {
		t.Run(name, func(t *testing.T) {
			a := capture(t, timed)
			bracket := func(ctx context.Context) {
				sub.EndAttempt(sub.BeginAttempt(ctx, a), a, taskvisor.Result{Kind: taskvisor.ResultSuccess})
			}
			bracket(context.Background())
			if !sub.Dormant() {
				t.Error("awake")
			}
			ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{1}}))
			for range 200 {
				if trace.SpanContextFromContext(sub.BeginAttempt(ctx, a)).IsValid() {
					t.Fatal("the caller's span reached the body")
				}
			}
			if n := testing.AllocsPerRun(50, func() { bracket(context.Background()) }); n > 0.5 {
				t.Errorf("%.1f allocations an attempt", n)
			}
		})
	}
}

// TestProvidersThatComeLater: spans go to the provider that is installed when they
// begin, be it the first after New or the third.
func TestProvidersThatComeLater(t *testing.T) {
	// The global provider is the process's, so this test has one of its own.
	const inside = "OTELSUB_TEST_LATE_PROVIDER"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProvidersThatComeLater$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestProvidersThatComeLater") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	sub := otelsub.New()
	a := capture(t, timed)
	attempts := func(n int) {
		for range n {
			a.Number++
			sub.EndAttempt(sub.BeginAttempt(context.Background(), a), a, taskvisor.Result{Kind: taskvisor.ResultSuccess})
		}
	}
	attempts(10)
	var recorders []*tracetest.SpanRecorder
	for range 3 {
		provider, recorder := tracing()
		recorders = append(recorders, recorder)
		otel.SetTracerProvider(provider)
		attempts(5)
	}
	otel.SetTracerProvider(tracenoop.NewTracerProvider())
	attempts(5)
	// One that is no pointer, and cannot be compared.
	provider, recorder := tracing()
	recorders = append(recorders, recorder)
	otel.SetTracerProvider(uncomparable{provider, nil})
	attempts(5)
	for i, recorder := range recorders {
		ended(t, recorder, 5)
		if s := recorder.Ended(); i == 0 && len(s) > 0 {
			for _, attr := range s[0].Attributes() {
				if attr.Key == "taskvisor.attempt.number" && attr.Value.AsInt64() != 12 {
					t.Errorf("the first span is of attempt %d", attr.Value.AsInt64())
				}
			}
		}
	}
}

type uncomparable struct {
	trace.TracerProvider
	_ []int
}

// TestForeignNoop: a tracer that hands the parent's span back makes no span,
// and the parent's must not be ended in its place.
func TestForeignNoop(t *testing.T) {
	for name, spec := range map[string]func(taskvisor.Func, ...taskvisor.TaskOption) taskvisor.TaskSpec{"bounded": bounded, "resident": resident} {
		t.Run(name, func(t *testing.T) {
			opts := []otelsub.Option{otelsub.WithTracerProvider(wrapped{tracenoop.NewTracerProvider()}), otelsub.WithCallerAsParent()}
			inRig(t, opts, nil, func(r *rig) {
				ctx, span := r.provider.Tracer("test").Start(context.Background(), "request")
				r.after(r.add(ctx, spec(steps(fail(errBoom)))), 1)
				if n := len(r.spans.Ended()); n != 0 {
					t.Errorf("the caller's span was ended")
				}
				span.End()
			})
		})
	}
}

type wrapped struct{ trace.TracerProvider }

func ended(t *testing.T, recorder *tracetest.SpanRecorder, want int) {
	t.Helper()
	if n := len(recorder.Ended()); n != want || len(recorder.Started()) != want {
		t.Errorf("%d spans ended of %d, want %d", n, len(recorder.Started()), want)
	}
}

// TestMemoryPerTask holds the kilobyte that the package comment names.
func TestMemoryPerTask(t *testing.T) {
	const tasks = 5_000
	measure := func(sub taskvisor.Subscribe) float64 {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := heap()
		for i := range tasks {
			if _, err := sup.Add(t.Context(), taskvisor.Periodic(name("t", i), 1<<50, func(context.Context) error { return nil })); err != nil {
				t.Fatal(err)
			}
		}
		poll(t, func() bool { return sup.Count(taskvisor.StateWaiting) == tasks })
		each := float64(int64(heap())-int64(before)) / tasks
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		return each
	}
	without := measure(taskvisor.Discard)
	with := measure(otelsub.New(otelsub.WithTracerProvider(sdktrace.NewTracerProvider())))
	t.Logf("%.0f bytes a task, %.0f without", with, without)
	if with-without > 1024 {
		t.Errorf("%.0f bytes a task", with-without)
	}
}
