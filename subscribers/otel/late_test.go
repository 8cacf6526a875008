package otelsub_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// What an event says of a stop is in the spans also where it is told after what the stop
// has led to, as by a subscriber before us that takes its time.
func TestStopsThatAreToldLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskRemoveRequested {
				time.Sleep(time.Minute)
			}
		})
		r := &rig{T: t}
		r.provider, r.spans = tracing()
		r.sub = otelsub.New(otelsub.WithTracerProvider(r.provider))
		r.sup, _ = taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(slow, taskvisor.Inline()), taskvisor.WithSubscriber(r.sub))
		r.submit(taskvisor.Periodic("running", time.Hour, steps()), taskvisor.Replace)
		time.Sleep(time.Second)
		r.submit(taskvisor.Periodic("waiting", time.Hour, steps(step{})), taskvisor.Replace)
		time.Sleep(time.Second)
		last := r.submit(taskvisor.Restartable("last", steps()), taskvisor.Replace)
		time.Sleep(time.Second)
		last.StopFor(errors.New("by ann"))
		synctest.Wait()
		expectShape(t, r.spans, `
			trace 1
			  #1 run running 1s
			trace 2
			  #2 run waiting 0s
			     -> replaced_task #1
			trace 3
			  #3 start last 0s
			     -> replaced_task #2
			trace 4
			  #4 run last 1m1s
			     -> start #3
		`)
		if got := draw(t, r.spans); !strings.Contains(got, "cancel.message=by ann") {
			t.Errorf("nobody reads who stopped it:\n%s", got)
		}
		if n := r.sub.Replaced(); n != 0 {
			t.Errorf("%d displaced owners are remembered", n)
		}
	})
}

// toldLate is a subscriber before ours that takes a minute for events of a kind.
func toldLate(kind taskvisor.EventKind) taskvisor.Option {
	return taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == kind {
			time.Sleep(time.Minute)
		}
	}), taskvisor.Inline())
}

// What an event says of an attempt that is over, or of a delay, is not in the span of the
// attempt which is open when we are told.
func TestAttemptsThatAreToldOfLate(t *testing.T) {
	for name, c := range map[string]struct {
		late taskvisor.EventKind
		play func(r *rig)
		want string
	}{
		"interruption of a delay": {taskvisor.TaskInterrupted, func(r *rig) {
			h := r.add(r.Context(), taskvisor.Periodic("job", time.Hour, steps(ok(), ok().lasting(2*time.Minute))))
			time.Sleep(time.Minute)
			h.Interrupt(errors.New("by ann"))
			time.Sleep(5 * time.Minute)
		}, `
			trace 1
			  #1 run job 1s | attempt.number=1 attempt.result=success backoff.delay=3600
			trace 2
			  #2 run job 2m0s | attempt.number=2 attempt.delay=3600 attempt.previous_result=success attempt.result=success backoff.delay=3600
			     -> previous_attempt #1
		`},
		"stuck attempt": {taskvisor.TaskStuck, func(r *rig) {
			r.add(r.Context(), taskvisor.Periodic("job", time.Second, deaf(30*time.Second, 2*time.Minute), taskvisor.WithTimeout(10*time.Second),
				taskvisor.ConstantBackoff(time.Second), taskvisor.WithMaxRetries(1)))
			time.Sleep(5 * time.Minute)
		}, `
			trace 1
			  #1 run job 30s | attempt.timeout=10 attempt.number=1 attempt.result=timeout backoff.delay=1 error.type=timeout ! Error "attempt timed out after 10s"
			    #2 run job 2m0s | attempt.timeout=10 attempt.number=2 attempt.delay=1 attempt.streak=1 attempt.previous_result=timeout attempt.result=timeout error.type=timeout ! Error "attempt timed out after 10s"
			       * taskvisor.attempt.stuck code.stacktrace=otel_test.sit
			       -> previous_attempt #1
		`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &rig{T: t}
				r.provider, r.spans = tracing()
				r.sub = otelsub.New(otelsub.WithTracerProvider(r.provider))
				r.sup, _ = taskvisortest.Start(t, taskvisor.WithName("sup"), toldLate(c.late), taskvisor.WithSubscriber(r.sub))
				c.play(r)
				expect(t, r.spans, c.want)
			})
		})
	}
}

// deaf makes work whose attempts take that long whatever is asked of them.
func deaf(lasting ...time.Duration) taskvisor.Func {
	n := 0
	return func(context.Context) error {
		n++
		return sit(lasting[n-1])
	}
}

//go:noinline
func sit(d time.Duration) error {
	time.Sleep(d)
	return nil
}

// TestFormatterMayLookAtTheSpan: nothing that it needs is held while it is called.
func TestFormatterMayLookAtTheSpan(t *testing.T) {
	var body atomic.Value // of a context.Context
	var formatted atomic.Int32
	format := otelsub.WithErrorFormatter(func(err error) string {
		formatted.Add(1)
		for range 30_000 { // as many looks as outgrow a trace
			otelsub.TraceLabels(body.Load().(context.Context))
		}
		return "stack"
	})
	inRig(t, []otelsub.Option{format}, nil, func(r *rig) {
		h := r.add(r.Context(), taskvisor.Once("job", func(ctx context.Context) error {
			body.Store(ctx)
			return sit(8 * time.Second)
		}))
		time.Sleep(time.Second)
		h.Stop()
		time.Sleep(time.Minute)
		if got := draw(t, r.spans); formatted.Load() != 1 || !strings.Contains(got, "* taskvisor.attempt.stuck") {
			t.Errorf("formatted %d times, drawn:\n%s", formatted.Load(), got)
		}
	})
}

// TestAbandonedOwnersAreForgotten: bodies that return after the end of their supervisor,
// which tells nobody, or never.
func TestAbandonedOwnersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, _ := tracing()
		sub := otelsub.New(otelsub.WithTracerProvider(provider))
		for i := range 4 {
			opts := []taskvisor.Option{taskvisor.WithSubscriber(sub), taskvisor.WithGrace(time.Second)}
			if i%2 == 0 { // ours begins after the end
				opts = append([]taskvisor.Option{taskvisor.WithSubscriber(slowToBegin{}, taskvisor.Inline())}, opts...)
			}
			sup, err := taskvisor.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			r := &rig{T: t, sup: sup}
			r.submit(taskvisor.Once("deaf", steps(step{took: time.Hour})), taskvisor.Queue)
			time.Sleep(time.Second)
			if err := sup.Shutdown(context.Background()); !errors.As(err, new(*taskvisor.GraceExceededError)) {
				t.Errorf("Shutdown: %v", err)
			}
		}
		time.Sleep(2 * time.Hour)
		if n := sub.Owners(); n != 0 {
			t.Errorf("%d owners are remembered", n)
		}
	})
}
