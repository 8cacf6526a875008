package otelsub_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe {
		provider, _ := tracing()
		return otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithMeterProvider(sdkmetric.NewMeterProvider(
			sdkmetric.WithReader(sdkmetric.NewManualReader()))))
	})
}

// supervised runs play under a started supervisor and returns it after its end.
func supervised(t *testing.T, sub *otelsub.Subscriber, play func(sup *taskvisor.Supervisor)) {
	t.Helper()
	sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
	play(sup)
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	expectKnown(t, sub, 0)
}

func add(t *testing.T, sup *taskvisor.Supervisor, ctx context.Context, spec taskvisor.TaskSpec) *taskvisor.Handle {
	t.Helper()
	h, err := sup.Add(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// request opens and closes a span and returns the context that it leaves behind.
func request(provider *sdktrace.TracerProvider) context.Context {
	ctx, span := provider.Tracer("test").Start(context.Background(), "request")
	span.End()
	return ctx
}

// TestStoryOfAFailure: a periodic task fails twice, with a panic first, and
// recovers; at the shutdown it is being run.
func TestStoryOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		supervised(t, otelsub.New(otelsub.WithTracerProvider(provider)), func(sup *taskvisor.Supervisor) {
			add(t, sup, request(provider), taskvisor.Periodic("job", time.Minute, taskvisortest.Script(
				taskvisortest.Panic("oh no"),
				taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)),
				taskvisortest.After(time.Second, taskvisortest.Succeed()),
				taskvisortest.Block()),
				taskvisor.ConstantBackoff(2*time.Second)))
			time.Sleep(2 * time.Minute)
		})
		expect(t, recorder, `
			trace 1
			  #1 request 0s
			trace 2
			  #2 run job 0s | attempt.number=1 attempt.outcome=panic backoff.delay=2 error.type=panic ! Error "panic: oh no"
			     * exception exception.type=string exception.message=panic: oh no exception.stacktrace=otel_test.TestStoryOfAFailure.func1.1.Panic.1
			     -> submitter #1
			    #3 run job 1s | attempt.number=2 attempt.delay=2 attempt.outcome=failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"
			       -> previous_attempt #2
			    #4 run job 1s | attempt.number=3 attempt.delay=2 attempt.outcome=success backoff.delay=60
			       -> previous_attempt #3
			trace 3
			  #5 run job 54s | attempt.number=4 attempt.delay=60 attempt.outcome=canceled cancel.cause=shutdown
			     -> previous_attempt #4
			     -> submitter #1
		`)
	})
}

// TestChildrenNest: what the body does is inside its attempt, and nothing of
// the request that added the task is around it.
func TestChildrenNest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		query := func(ctx context.Context) error {
			_, span := provider.Tracer("db").Start(ctx, "query")
			time.Sleep(time.Second)
			span.End()
			return nil
		}
		supervised(t, otelsub.New(otelsub.WithTracerProvider(provider)), func(sup *taskvisor.Supervisor) {
			add(t, sup, request(provider), taskvisor.Once("bounded", query))
			synctest.Wait()
			add(t, sup, request(provider), taskvisor.Restartable("resident", query))
			time.Sleep(time.Minute)
		})
		expectShape(t, recorder, `
			trace 1
			  #1 request 0s
			trace 2
			  #2 run bounded 1s
			     -> submitter #1
			    #3 query 1s
			trace 3
			  #4 request 0s
			trace 4
			  #5 start resident 0s
			     -> submitter #4
			trace 5
			  #6 query 1s
			trace 6
			  #7 run resident 1s
			     -> start #5
		`)
	})
}

// TestReplaceLinksToTheDisplaced: a body, a waiting owner and one that was
// released while it still ran.
func TestReplaceLinksToTheDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		submit := func(sup *taskvisor.Supervisor, name string, fn taskvisor.Func, opts ...taskvisor.TaskOption) {
			t.Helper()
			_, err := sup.Submit(t.Context(), taskvisor.Submission{
				Task: taskvisor.Periodic(name, time.Hour, fn, opts...), Slot: "slot", Admission: taskvisor.Replace,
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		supervised(t, otelsub.New(otelsub.WithTracerProvider(provider)), func(sup *taskvisor.Supervisor) {
			submit(sup, "running", taskvisortest.Script(taskvisortest.Block()))
			submit(sup, "waiting", taskvisortest.Script(taskvisortest.Succeed()))
			submit(sup, "deaf", taskvisortest.Script(taskvisortest.Ignore(time.Minute)), taskvisor.WithGrace(0), taskvisor.WithReleaseOnAbandon())
			submit(sup, "last", taskvisortest.Script(taskvisortest.Succeed()))
			time.Sleep(time.Hour)
		})
		expectShape(t, recorder, `
			trace 1
			  #1 run running 1s
			trace 2
			  #2 run waiting 0s
			     -> replaced_task #1
			trace 3
			  #3 run deaf 1m0s
			     -> replaced_task #2
			trace 4
			  #4 run last 0s
			     -> replaced_task #3
			trace 5
			  #5 run last 0s
			     -> previous_attempt #4
		`)
	})
}

// TestNothingIsLeftAfterAbandon: a body that outlives the supervisor ends its
// span when it returns.
func TestNothingIsLeftAfterAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		sub := otelsub.New(otelsub.WithTracerProvider(provider))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(sub), taskvisor.WithGrace(time.Second))
		add(t, sup, t.Context(), taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Hour))))
		synctest.Wait()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) {
			t.Errorf("Shutdown: %v", err)
		}
		expectKnown(t, sub, 1)
		time.Sleep(2 * time.Hour)
		expectKnown(t, sub, 0)
		expectShape(t, recorder, `
			trace 1
			  #1 run deaf 1h0m0s
		`)
	})
}

// TestMetricsAgreeWithTheSupervisor: every attempt is counted once.
func TestMetricsAgreeWithTheSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, reader := metered()
		var during string
		supervised(t, sub, func(sup *taskvisor.Supervisor) {
			for _, name := range []string{"a", "b"} {
				add(t, sup, t.Context(), taskvisor.Periodic(name, time.Second, taskvisortest.Script(
					taskvisortest.Fail(errBoom), taskvisortest.Fail(taskvisor.RetryAfter(time.Second, errBoom)), taskvisortest.Succeed()),
					taskvisor.ConstantBackoff(time.Second)))
			}
			time.Sleep(10*time.Second + time.Millisecond)
			during = collect(t, reader)
			if started := sup.Snapshot().Started; started != 22 {
				t.Errorf("%d attempts started", started)
			}
		})
		for _, line := range []string{
			"task.attempts{outcome=failure supervisor.name=sup task.name=a} 2",
			"task.attempts{outcome=success supervisor.name=sup task.name=b} 9",
			"task.restarts{cause=failure supervisor.name=sup task.name=a} 1",
			"task.restarts{cause=requested supervisor.name=sup task.name=a} 1",
			"task.restarts{cause=success supervisor.name=sup task.name=a} 9",
			"task.count{supervisor.name=sup state=waiting} 2",
		} {
			if !strings.Contains(during, line) {
				t.Errorf("no line %q in\n%s", line, during)
			}
		}
		synctest.Wait()
		if after := collect(t, reader); strings.Contains(after, "task.count") {
			t.Errorf("an ended supervisor is reported:\n%s", after)
		}
	})
}

// TestSameNameTwice: two supervisors that nobody could tell apart.
func TestSameNameTwice(t *testing.T) {
	sub, reader := metered()
	first, err := taskvisor.New(taskvisor.WithSubscriber(sub))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := taskvisor.New(taskvisor.WithSubscriber(sub)); err == nil {
		t.Error("a second supervisor of that name was accepted")
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	second, err := taskvisor.New(taskvisor.WithSubscriber(sub))
	if err != nil {
		t.Fatalf("the name is taken after the first one's end: %v", err)
	}
	if got := collect(t, reader); strings.Count(got, "task.count") != 6 {
		t.Errorf("a new supervisor is not observed:\n%s", got)
	}
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); strings.Contains(got, "task.count") {
		t.Errorf("a supervisor that ended before it ran is observed:\n%s", got)
	}
}

// TestFailedNew: what a later subscriber refused leaves nothing behind here,
// and takes nothing from the supervisors that run.
func TestFailedNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, reader := metered()
		supervised(t, sub, func(sup *taskvisor.Supervisor) {
			for range 2 {
				_, err := taskvisor.New(taskvisor.WithName("failed"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(refuser{}))
				if !errors.Is(err, errBoom) {
					t.Errorf("New: %v", err)
				}
			}
			if got := collect(t, reader); strings.Contains(got, "failed") || strings.Count(got, "task.count") != 6 {
				t.Errorf("got:\n%s", got)
			}
		})
		otelsub.New().Close()
	})
}

// refuser is a subscriber that cannot be attached.
type refuser struct{}

func (refuser) OnEvent(context.Context, taskvisor.Event) {}
func (refuser) Attach(func() taskvisor.Snapshot) error   { return errBoom }

// TestStatusOfAShutdown: what alerts ring for is in the status, what a deployment does is not.
func TestStatusOfAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		supervised(t, otelsub.New(otelsub.WithTracerProvider(provider)), func(sup *taskvisor.Supervisor) {
			fails := func(ctx context.Context) error { <-ctx.Done(); return errBoom }
			add(t, sup, t.Context(), taskvisor.Once("bounded", fails))
			add(t, sup, t.Context(), taskvisor.Restartable("resident", fails))
			synctest.Wait()
		})
		for _, s := range recorder.Ended() {
			if s.Status().Code != codes.Unset {
				t.Errorf("%s has the status %v", s.Name(), s.Status())
			}
		}
		ended(t, recorder, 3)
	})
}

// TestThousandSupervisors: one subscriber, its providers and its metrics
// outlive them all and keep nothing of them.
func TestThousandSupervisors(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	spans := sdktrace.NewTracerProvider()
	shared := otelsub.New(otelsub.WithTracerProvider(spans), otelsub.WithMeterProvider(provider))
	body := func(ctx context.Context) error {
		if !trace.SpanContextFromContext(ctx).IsValid() {
			return errors.New("no span")
		}
		return nil
	}
	cycle := func() {
		own := otelsub.New(otelsub.WithTracerProvider(spans), otelsub.WithMeterProvider(provider))
		sup, err := taskvisor.New(taskvisor.WithSubscriber(shared), taskvisor.WithSubscriber(own))
		if err != nil {
			t.Fatal(err)
		}
		h := taskvisor.Once("job", body, taskvisor.WithEssential())
		if err := sup.Run(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		expectKnown(t, own, 0)
	}
	cycle()
	before, goroutines := heap(), runtime.NumGoroutine()
	for range 1000 {
		cycle()
	}
	expectKnown(t, shared, 0)
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d bytes are left behind", grown)
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 { // the last callbacks are being unregistered
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
