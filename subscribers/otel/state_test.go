package otelsub_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func expectKnown(t *testing.T, sub *otelsub.Subscriber, tasks int) {
	t.Helper()
	if got, _ := sub.Known(); got != tasks {
		t.Errorf("%d tasks are remembered, want %d", got, tasks)
	}
}

func TestForgetsRemovedTasks(t *testing.T) {
	provider, _ := tracing()
	sub := otelsub.New(otelsub.WithTracerProvider(provider))
	p := play(sub, bounded())
	p.attempt(taskvisor.ResultSuccess, nil)
	expectKnown(t, sub, 1)
	p.event(taskvisor.TaskRemoved, taskvisor.ErrRemoved)
	expectKnown(t, sub, 0)
}

// TestForgetsAbandonedTasks: the span of a body that outlived its grace stays
// open until it returns, which may be after the supervisor's end, when nothing
// is published any more.
func TestForgetsAbandonedTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, removed := range []bool{false, true} {
			provider, recorder := tracing()
			sub := otelsub.New(otelsub.WithTracerProvider(provider))
			p := playInBubble(sub, bounded())
			p.run(time.Hour, taskvisor.ResultCanceled, nil, func(context.Context) {
				p.event(taskvisor.TaskAbandoned, taskvisor.ErrShutdown)
				if removed { // WithReleaseOnAbandon
					p.event(taskvisor.TaskRemoved, taskvisor.ErrShutdown)
				}
				expectKnown(t, sub, 1)
			})
			p.event(taskvisor.TaskCanceled, taskvisor.ErrShutdown)
			p.event(taskvisor.TaskReturned, 0)
			expectKnown(t, sub, 0)
			expect(t, recorder, `
				trace 1
				  #1 run job 1h0m0s | attempt.number=1 attempt.outcome=canceled cancel.cause=shutdown
			`)
		}
	})
}

// TestReplacedMemoryIsBounded: newcomers that never begin fetch nothing.
func TestReplacedMemoryIsBounded(t *testing.T) {
	provider, _ := tracing()
	sub := otelsub.New(otelsub.WithTracerProvider(provider))
	for id := range taskvisor.TaskID(5000) {
		p := play(sub, bounded())
		p.next.TaskID = id + 1
		p.attempt(taskvisor.ResultSuccess, nil)
		p.event(taskvisor.TaskRemoved, taskvisor.ErrReplaced)
	}
	if tasks, replaced := sub.Known(); tasks != 0 || replaced != 1024 {
		t.Errorf("%d tasks and %d displaced owners are remembered", tasks, replaced)
	}
	newcomer := play(sub, bounded())
	newcomer.next.TaskID, newcomer.next.Replaced = 6000, 5000
	newcomer.attempt(taskvisor.ResultSuccess, nil)
	if _, replaced := sub.Known(); replaced != 1023 {
		t.Errorf("%d displaced owners are remembered after a newcomer began", replaced)
	}
}

// TestNoopProviders: nothing is kept, nothing allocated, and the caller's span
// does not reach the body all the same.
func TestNoopProviders(t *testing.T) {
	for name, sub := range map[string]*otelsub.Subscriber{
		"noop":   otelsub.New(otelsub.WithTracerProvider(tracenoop.NewTracerProvider())),
		"global": otelsub.New(),
	} {
		play(sub, taskvisor.Restartable("resident", noop)).attempt(taskvisor.ResultFailure, errBoom)
		p := play(sub, bounded())
		p.attempt(taskvisor.ResultFailure, errBoom)
		expectKnown(t, sub, 0)
		if !sub.Dormant() {
			t.Errorf("%s: awake", name)
		}
		ctx := trace.ContextWithSpanContext(p.ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{1}}))
		inner := sub.BeginAttempt(ctx, p.next)
		if trace.SpanContextFromContext(inner).IsValid() {
			t.Errorf("%s: the caller's span reached the body", name)
		}
		var a taskvisor.Attempt
		if n := testing.AllocsPerRun(50, func() {
			ctx := sub.BeginAttempt(p.ctx, a)
			sub.EndAttempt(ctx, a, taskvisor.Result{Kind: taskvisor.ResultSuccess})
		}); n > 0.5 {
			t.Errorf("%s: %.1f allocations an attempt", name, n)
		}
	}
}

// TestLateProvider: an SDK that is installed after New gets the next attempt.
// The global provider can be replaced once in a process, so this test has one
// of its own.
func TestLateProvider(t *testing.T) {
	const inside = "OTELSUB_TEST_LATE_PROVIDER"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLateProvider$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestLateProvider") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	sub := otelsub.New()
	p := play(sub, bounded())
	for range 10 {
		p.attempt(taskvisor.ResultSuccess, nil)
	}
	provider, recorder := tracing()
	otel.SetTracerProvider(provider)
	p.attempt(taskvisor.ResultSuccess, nil)
	ended(t, recorder, 1)
	for _, a := range recorder.Ended()[0].Attributes() {
		if a.Key == "taskvisor.attempt.number" && a.Value.AsInt64() != 11 {
			t.Errorf("the first span is of attempt %d", a.Value.AsInt64())
		}
	}
}

// TestForeignNoop: a tracer that hands the parent's span back makes no span,
// and the parent's must not be ended in its place.
func TestForeignNoop(t *testing.T) {
	real, recorder := tracing()
	ctx, span := real.Tracer("test").Start(context.Background(), "request")
	sub := otelsub.New(otelsub.WithTracerProvider(wrapped{tracenoop.NewTracerProvider()}), otelsub.WithCallerAsParent())
	p := play(sub, bounded())
	p.ctx = ctx
	p.attempt(taskvisor.ResultFailure, errBoom)
	if n := len(recorder.Ended()); n != 0 {
		t.Errorf("the caller's span was ended")
	}
	span.End()
	expectKnown(t, sub, 0)
}

type wrapped struct{ trace.TracerProvider }

func TestConcurrentSafe(t *testing.T) {
	provider, recorder := tracing()
	sub := otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithMeterProvider(sdkmetric.NewMeterProvider()))
	const tasks, attempts = 64, 20
	var players sync.WaitGroup
	for i := range tasks {
		players.Go(func() {
			p := play(sub, bounded())
			p.next.TaskID = taskvisor.TaskID(i + 1)
			p.next.Replaced = taskvisor.TaskID(i)
			for n := range attempts {
				kind := taskvisor.ResultKind(1 + n%6)
				p.attempt(kind, errBoom)
				sub.OnEvent(p.ctx, taskvisor.Event{Kind: taskvisor.TaskStopped, TaskID: p.next.TaskID, Task: "job", Result: kind})
			}
			p.event(taskvisor.TaskRemoved, taskvisor.ErrReplaced)
		})
	}
	players.Wait()
	expectKnown(t, sub, 0)
	ended(t, recorder, tasks*attempts)
}

func ended(t *testing.T, recorder *tracetest.SpanRecorder, want int) {
	t.Helper()
	if n := len(recorder.Ended()); n != want || len(recorder.Started()) != want {
		t.Errorf("%d spans ended of %d, want %d", n, len(recorder.Started()), want)
	}
}
