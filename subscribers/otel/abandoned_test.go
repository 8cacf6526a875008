package otelsub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// TestAbandonedAttempts: what hangs is in the store when the program ends, and so is
// what it did; when the body comes back, that is there as well.
func TestAbandonedAttempts(t *testing.T) {
	const abandoned = ` task.outcome=abandoned cancel.cause=shutdown error.type=abandoned ! Error "the body outlived its grace and still runs"`
	for _, c := range []struct {
		name string
		spec func(taskvisor.Func) taskvisor.TaskSpec
		end  string // at the end of the shutdown
		late string // after that
	}{
		{
			name: "bounded",
			spec: func(f taskvisor.Func) taskvisor.TaskSpec {
				return taskvisor.Once("deaf", f, taskvisor.WithTimeout(time.Second))
			},
			end: `
				trace 1
				  #1 run deaf 22s | attempt.timeout=1 attempt.number=1` + abandoned + `
				     * taskvisor.attempt.stuck code.stacktrace=otel_test.hang
				     * taskvisor.attempt.abandoned code.stacktrace=otel_test.hang
				    #2 query 0s
			`,
			late: `
				trace 2
				  #3 return deaf 59m38s | attempt.timeout=1 attempt.number=1 attempt.result=timeout cancel.cause=shutdown error.type=timeout ! Error "attempt timed out after 1s: boom"
				     -> abandoned_attempt #1
			`,
		}, {
			name: "without a timeout",
			spec: func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Once("deaf", f) },
			end: `
				trace 1
				  #1 run deaf 22s | attempt.number=1` + abandoned + `
				     * taskvisor.attempt.stuck code.stacktrace=otel_test.hang
				     * taskvisor.attempt.abandoned code.stacktrace=otel_test.hang
				    #2 query 0s
			`,
			late: `
				trace 2
				  #3 return deaf 59m38s | attempt.number=1 attempt.result=canceled cancel.cause=shutdown cancel.error=boom
				     -> abandoned_attempt #1
			`,
		}, {
			name: "resident",
			spec: func(f taskvisor.Func) taskvisor.TaskSpec { return taskvisor.Restartable("deaf", f) },
			end: `
				trace 1
				  #1 start deaf 0s | attempt.number=1
				trace 2
				  #2 query 0s
				trace 3
				  #3 run deaf 22s | attempt.number=1` + abandoned + `
				     * taskvisor.attempt.abandoned code.stacktrace=otel_test.hang
				     -> start #1
			`,
			late: `
				trace 4
				  #4 return deaf 59m38s | attempt.number=1 attempt.result=canceled cancel.cause=shutdown cancel.error=boom
				     -> abandoned_attempt #3
			`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				provider, recorder := tracing()
				sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(12*time.Second),
					taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(provider))))
				_, err := sup.Add(context.Background(), c.spec(func(ctx context.Context) error {
					_, span := provider.Tracer("app").Start(ctx, "query")
					span.End()
					return hang()
				}).With(taskvisor.WithStuckAfter(9500*time.Millisecond)))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				var late *taskvisor.GraceExceededError
				if err := sup.Shutdown(context.Background()); !errors.As(err, &late) {
					t.Errorf("Shutdown: %v", err)
				}
				expect(t, recorder, c.end)
				time.Sleep(2 * time.Hour)
				expect(t, recorder, unindent(c.end)+unindent(c.late))
			})
		})
	}
}

// TestAbandonedBeforeItBegan: a grace that is over before the attempt's goroutine has
// run. Nothing of it is kept, and no span is left open.
func TestAbandonedBeforeItBegan(t *testing.T) {
	provider, recorder := tracing()
	sub := otelsub.New(otelsub.WithTracerProvider(provider))
	before := heap()
	for i := range 500 {
		sup, err := taskvisor.New(taskvisor.WithGrace(0), taskvisor.WithName(name("s", i)), taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all []*taskvisor.Handle
		for j := range 4 {
			h, err := sup.Add(t.Context(), taskvisor.Once(name("t", j), func(context.Context) error { return nil }, taskvisor.WithReleaseOnAbandon()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
		all[1].Stop()
		_ = sup.Shutdown(context.Background()) // abandoned or not: both are right
		for _, h := range all {
			<-h.Done()
		}
	}
	poll(t, func() bool { return len(recorder.Started()) == len(recorder.Ended()) })
	recorder.Reset()
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d bytes are left behind", grown)
	}
}

// hang has a frame of its own, for stacks to begin with.
//
//go:noinline
func hang() error {
	time.Sleep(time.Hour)
	return errBoom
}

// poll waits for what other goroutines do.
func poll(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 seconds")
		}
	}
}
