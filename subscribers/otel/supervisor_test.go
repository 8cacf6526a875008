package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
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
	// One for all: to make forty instruments a thousand times is most of the work.
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe {
		provider, _ := tracing()
		return otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithMeterProvider(meters))
	})
}

// TestStoryOfAFailure: a periodic task fails twice, with a panic first, and
// recovers; at the shutdown it is being run.
func TestStoryOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, recorder := tracing()
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(provider))))
		r := &rig{T: t, provider: provider, sup: sup}
		crash := step{body: func(context.Context) { _ = raise("oh no") }}
		r.add(r.request(), taskvisor.Periodic("job", time.Minute, steps(crash, fail(errBoom), ok()),
			taskvisor.ConstantBackoff(2*time.Second)))
		time.Sleep(2 * time.Minute)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		expect(t, recorder, `
			trace 1
			  #1 request 0s
			trace 2
			  #2 run job 0s | attempt.number=1 attempt.result=panic backoff.delay=2 error.type=panic ! Error "panic: oh no"
			     * exception exception.type=string exception.message=panic: oh no exception.stacktrace=otel_test.raise
			     -> submitter #1
			    #3 run job 1s | attempt.number=2 attempt.delay=2 attempt.streak=1 attempt.previous_result=panic attempt.result=failure backoff.delay=2 error.type=*errors.errorString ! Error "boom"
			       -> previous_attempt #2
			    #4 run job 1s | attempt.number=3 attempt.delay=2 attempt.streak=2 attempt.previous_result=failure attempt.result=success backoff.delay=60
			       -> previous_attempt #3
			trace 3
			  #5 run job 54s | attempt.number=4 attempt.delay=60 attempt.previous_result=success attempt.result=success cancel.cause=shutdown
			     -> previous_attempt #4
			     -> submitter #1
		`)
	})
}

// TestChildrenNest: what the body does is inside its attempt, and nothing of
// the request that added the task is around it.
func TestChildrenNest(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		query := func(ctx context.Context) error {
			_, span := r.provider.Tracer("db").Start(ctx, "query")
			time.Sleep(time.Second)
			span.End()
			return nil
		}
		r.add(r.request(), taskvisor.Once("timed", query, taskvisor.WithTimeout(time.Minute)))
		synctest.Wait()
		r.add(r.request(), taskvisor.Once("bounded", query))
		synctest.Wait()
		r.add(r.request(), taskvisor.Restartable("resident", query))
		time.Sleep(time.Minute)
		expectShape(t, r.spans, `
			trace 1
			  #1 request 0s
			trace 2
			  #2 run timed 1s
			     -> submitter #1
			    #3 query 1s
			trace 3
			  #4 request 0s
			trace 4
			  #5 run bounded 1s
			     -> submitter #4
			    #6 query 1s
			trace 5
			  #7 request 0s
			trace 6
			  #8 start resident 0s
			     -> submitter #7
			trace 7
			  #9 query 1s
			trace 8
			  #10 run resident 1s
			     -> start #8
		`)
	})
}

// TestMetricsAgreeWithTheSupervisor: every attempt is counted once.
func TestMetricsAgreeWithTheSupervisor(t *testing.T) {
	sub, reader := metered()
	synctest.Test(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
		r := &rig{T: t, sup: sup}
		for _, name := range []string{"a", "b"} {
			r.add(t.Context(), taskvisor.Periodic(name, time.Second, taskvisortest.Script(
				taskvisortest.Fail(errBoom), taskvisortest.Fail(taskvisor.RetryAfter(time.Second, errBoom)), taskvisortest.Succeed()),
				taskvisor.ConstantBackoff(time.Second)))
		}
		time.Sleep(10*time.Second + time.Millisecond)
		during := collect(t, reader)
		if started := sup.Snapshot().Started; started != 22 {
			t.Errorf("%d attempts started", started)
		}
		for _, line := range []string{
			"task.attempts{result=failure supervisor.name=sup task.name=a} 2",
			"task.attempts{result=success supervisor.name=sup task.name=b} 9",
			"task.restarts{cause=failure supervisor.name=sup task.name=a} 1",
			"task.restarts{cause=requested supervisor.name=sup task.name=a} 1",
			"task.restarts{cause=success supervisor.name=sup task.name=a} 9",
			"tasks{supervisor.name=sup state=waiting} 2",
		} {
			if !strings.Contains(during, line) {
				t.Errorf("no line %q in\n%s", line, during)
			}
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		last := collect(t, reader)
		for _, line := range []string{
			"supervisor.state{supervisor.name=sup state=stopped} 1", "supervisor.state{supervisor.name=sup state=running} 0",
			"tasks{supervisor.name=sup state=waiting} 0", "tasks.removed{supervisor.name=sup} 2", "shutdown.duration{supervisor.name=sup} 0",
		} {
			if !strings.Contains(last, line) {
				t.Errorf("the last state lacks %q:\n%s", line, last)
			}
		}
		collect(t, reader) // of another reader, perhaps
		if after := collect(t, reader); strings.Contains(after, "tasks{") {
			t.Errorf("an ended supervisor is reported for ever:\n%s", after)
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
	if got := collect(t, reader); strings.Count(got, "tasks{") != 7 {
		t.Errorf("a new supervisor is not observed:\n%s", got)
	}
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); strings.Contains(got, "tasks{") {
		t.Errorf("a supervisor that ended before it ran is observed:\n%s", got)
	}
}

// TestFailedNew: what a later subscriber refused leaves nothing behind here,
// and takes nothing from the supervisors that run.
func TestFailedNew(t *testing.T) {
	sub, reader := metered()
	sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
	for range 2 {
		_, err := taskvisor.New(taskvisor.WithName("failed"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(refuser{}))
		if !errors.Is(err, errBoom) {
			t.Errorf("New: %v", err)
		}
	}
	if got := collect(t, reader); strings.Contains(got, "name=failed") || strings.Count(got, "tasks{") != 7 {
		t.Errorf("got:\n%s", got)
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	otelsub.New().Close()
}

// refuser is a subscriber that cannot be attached.
type refuser struct{}

func (refuser) OnEvent(context.Context, taskvisor.Event) {}
func (refuser) Attach(func() taskvisor.Snapshot) error   { return errBoom }

// TestStatusOfAShutdown: what alerts ring for is in the status, what a deployment does is not.
func TestStatusOfAShutdown(t *testing.T) {
	inRig(t, nil, nil, func(r *rig) {
		fails := func(ctx context.Context) error { <-ctx.Done(); return errBoom }
		r.add(r.Context(), taskvisor.Once("bounded", fails))
		r.add(r.Context(), taskvisor.Restartable("resident", fails))
		synctest.Wait()
		if err := r.sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		for _, s := range r.spans.Ended() {
			if s.Status().Code != codes.Unset {
				t.Errorf("%s has the status %v", s.Name(), s.Status())
			}
		}
		ended(r.T, r.spans, 3)
	})
}

// TestConcurrentSafe: tasks that fail, replace each other and are stopped at once.
func TestConcurrentSafe(t *testing.T) {
	provider, recorder := tracing()
	sub := otelsub.New(otelsub.WithTracerProvider(provider), otelsub.WithMeterProvider(sdkmetric.NewMeterProvider()))
	sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(sub))
	var users sync.WaitGroup
	for i := range 16 {
		users.Go(func() {
			for n := range 20 {
				body := func(ctx context.Context) error {
					if otelsub.TraceLabels(ctx) == nil {
						t.Error("no trace")
					}
					return []error{nil, errBoom, taskvisor.Fatal(errBoom), taskvisor.ErrCanceled}[n%4]
				}
				h, err := sup.Submit(t.Context(), taskvisor.Submission{
					Task: taskvisor.Restartable(fmt.Sprint(i, "-", n), body, taskvisor.ConstantBackoff(0)), Slot: name("slot", i), Admission: taskvisor.Replace})
				if err != nil {
					t.Error(err)
					return
				}
				if n%3 == 0 {
					h.Interrupt(errBoom)
				}
			}
		})
	}
	users.Wait()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if started, ended := len(recorder.Started()), len(recorder.Ended()); started != ended || started == 0 {
		t.Errorf("%d spans ended of %d", ended, started)
	}
}

// TestWrappedTwice: a wrapper has one memory for all that it wraps. The second does
// without, and its spans begin and end all the same.
func TestWrappedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, a := tracing()
		first := otelsub.New(otelsub.WithTracerProvider(provider))
		provider, b := tracing()
		second := otelsub.New(otelsub.WithTracerProvider(provider))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(tee{first, second}))
		r := &rig{T: t, sup: sup}
		r.after(r.add(t.Context(), bounded(steps(fail(errBoom), ok()))), 2)
		expectShape(t, a, `
			trace 1
			  #1 run job 1s
			    #2 run job 1s
			       -> previous_attempt #1
		`)
		expectShape(t, b, `
			trace 1
			  #1 run job 1s
			     -> submitter remote
			trace 2
			  #2 run job 1s
			     -> submitter remote
		`)
	})
}

type tee [2]*otelsub.Subscriber

func (s tee) OnEvent(ctx context.Context, e taskvisor.Event) {
	s[0].OnEvent(ctx, e)
	s[1].OnEvent(ctx, e)
}

type outer struct{}

func (s tee) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	between := s[0].BeginAttempt(ctx, a)
	return context.WithValue(s[1].BeginAttempt(between, a), outer{}, between)
}

func (s tee) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	s[1].EndAttempt(ctx, a, r)
	s[0].EndAttempt(ctx.Value(outer{}).(context.Context), a, r)
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
	}
	cycle()
	before, goroutines := heap(), runtime.NumGoroutine()
	for range 1000 {
		cycle()
	}
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
