package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// untilStopped is a body that does end when it is told to.
func untilStopped(end func() error) taskvisor.Func {
	return func(ctx context.Context) error {
		<-ctx.Done()
		return end()
	}
}

// stopRow is a path of a task that ends by a stop, when a minute has passed.
type stopRow struct {
	name     string
	spec     taskvisor.TaskSpec
	want     string // of an individual stop
	atEnd    string // when the supervisor shuts down instead
	err      error  // that the outcome has; nil: the stop's
	attempts int
}

func stopRows() []stopRow {
	exits := func() error { runtime.Goexit(); return nil }
	fails := taskvisortest.Script(taskvisortest.Fail(errBoom))
	once := func(end func() error) taskvisor.TaskSpec { return taskvisor.Once("a", untilStopped(end)) }
	return []stopRow{
		{"running, returns nil", once(func() error { return nil }), "A S Q ✓ D", "A S ✓ D", nil, 1},
		{"running, returns an error", once(func() error { return errBoom }), "A S Q C D", "A S C D", errBoom, 1},
		{"running, returns the cause", taskvisor.Once("a", idle), "A S Q C D", "A S C D", nil, 1},
		{"running, panics", once(func() error { panic(errBoom) }), "A S Q ✗ D", "A S ✗ D", errBoom, 1},
		{"running, exits", once(exits), "A S Q ✗ D", "A S ✗ D", taskvisor.ErrGoexit, 1},
		{"running, is fatal", once(func() error { return taskvisor.Fatal(errBoom) }), "A S Q ✗ D", "A S ✗ D", errBoom, 1},
		{"running, ends itself", once(func() error { return taskvisor.ErrCanceled }), "A S Q C D", "A S C D", taskvisor.ErrCanceled, 1},
		{"running with retries, returns an error", taskvisor.Restartable("a", untilStopped(func() error { return errBoom })), "A S Q C D", "A S C D", errBoom, 1},
		{"running with retries, panics", taskvisor.Restartable("a", untilStopped(func() error { panic(errBoom) })), "A S Q ✗ D", "A S ✗ D", errBoom, 1},
		{"running periodically, returns nil", taskvisor.Periodic("a", time.Hour, untilStopped(func() error { return nil })), "A S Q ✓ D", "A S ✓ D", nil, 1},
		{"timed out, still running", taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(time.Minute+time.Second)), taskvisor.WithTimeout(58*time.Second)),
			"A S T Q ✗ D", "A S T ✗ D", taskvisor.ErrAttemptTimeout, 1},
		{"in backoff", taskvisor.Restartable("a", fails, taskvisor.ConstantBackoff(time.Hour)), "A S ✗ B Q D", "A S ✗ B D", nil, 1},
		{"in backoff after two", taskvisor.Restartable("a", fails, taskvisor.ConstantBackoff(40*time.Second)), "A S ✗ B S ✗ B Q D", "A S ✗ B S ✗ B D", nil, 2},
		{"waiting", taskvisor.Periodic("a", time.Hour, taskvisortest.Script(taskvisortest.Succeed())), "A S ✓ B Q D", "A S ✓ B D", nil, 1},
	}
}

// The table of stops: the events and the outcome of each path. Nothing follows a
// stop that was not asked for: no exhaustion, no death, no further attempt.
func TestStopOrder(t *testing.T) {
	for _, tt := range stopRows() {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				h := addTo(t, sup, tt.spec)
				time.Sleep(time.Minute)
				synctest.Wait()
				if !h.Stop() {
					t.Error("the only caller of Stop did not claim it")
				}
				o := outcomeOf(t, h)
				checkStopped(t, tt, o, taskvisor.ErrRemoved)
				wantTrace(t, rec, "a", tt.want)
			})
		})
	}
}

// At a shutdown ShutdownRequested stands for every TaskRemoveRequested.
func TestStopOrderAtShutdown(t *testing.T) {
	for _, tt := range stopRows() {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				h := addTo(t, sup, tt.spec)
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := sup.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				o, known := h.Outcome()
				if !known {
					t.Fatal("no outcome after Shutdown")
				}
				checkStopped(t, tt, o, taskvisor.ErrShutdown)
				wantTrace(t, rec, "a", tt.atEnd)
				wantTrace(t, rec, "", "H V")
			})
		})
	}
}

func checkStopped(t *testing.T, tt stopRow, o taskvisor.Outcome, why taskvisor.Reason) {
	t.Helper()
	want := tt.err
	if want == nil {
		want = why
	}
	if o.Kind != taskvisor.OutcomeCanceled || o.Reason != why || !errors.Is(o.Err, want) || o.Attempts != tt.attempts {
		t.Errorf("outcome %v, reason %v, error %v, %d attempts; want canceled, %v, %v, %d",
			o.Kind, o.Reason, o.Err, o.Attempts, why, want, tt.attempts)
	}
}

// A delay ends at the stop, not when it is over.
func TestStopCutsDelaysShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		for _, spec := range []taskvisor.TaskSpec{
			taskvisor.Restartable("backoff", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour)),
			taskvisor.Periodic("interval", time.Hour, taskvisortest.Script(taskvisortest.Succeed())),
			taskvisor.Restartable("requested", taskvisortest.Script(taskvisortest.Fail(taskvisor.RetryAfter(time.Hour, errBoom)))),
		} {
			h := addTo(t, sup, spec)
			synctest.Wait()
			before := time.Now()
			if _, err := h.Cancel(context.Background()); err != nil || time.Since(before) != 0 {
				t.Errorf("%s: Cancel took %v (%v)", spec.Name(), time.Since(before), err)
			}
		}
	})
}

// A stopped waiter for a permit leaves at once and consumes no attempt number.
func TestStopWhilePending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		first := addTo(t, sup, taskvisor.Once("first", idle))
		synctest.Wait()
		h := addTo(t, sup, taskvisor.Once("a", idle))
		h.Stop()
		if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeCanceled || o.Attempts != 0 || !o.Started.IsZero() {
			t.Errorf("outcome %+v, want canceled, no attempts, never started", o)
		}
		wantTrace(t, rec, "a", "A Q D")
		first.Stop()
	})
}

// The attempt's brackets run after the result was taken and before it is
// announced. A stop then voids the planned delay, and whatever the result was,
// the outcome is canceled.
func TestStopDuringEndAttempt(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec taskvisor.TaskSpec
		want string
		err  error
	}{
		{"success of a Once", taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed())), "A S Q ✓ D", taskvisor.ErrRemoved},
		{"failure of a Once", taskvisor.Once("a", taskvisortest.Script(taskvisortest.Fail(errBoom))), "A S Q ✗ D", errBoom},
		{"fatal", taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errBoom)))), "A S Q ✗ D", errBoom},
		{"failure with retries", taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour)), "A S Q ✗ D", errBoom},
		{"success of a Periodic", taskvisor.Periodic("a", time.Hour, taskvisortest.Script(taskvisortest.Succeed())), "A S Q ✓ D", taskvisor.ErrRemoved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var sup *taskvisor.Supervisor
				stopper := &bracket{end: func(_ context.Context, a taskvisor.Attempt, _ taskvisor.Result) {
					if h, ok := sup.Lookup(a.Task); !ok || !h.Stop() {
						t.Error("EndAttempt could not stop its task")
					}
				}}
				sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(stopper))
				o := outcomeOf(t, addTo(t, sup, tt.spec))
				if o.Kind != taskvisor.OutcomeCanceled || !errors.Is(o.Err, tt.err) || o.Attempts != 1 {
					t.Errorf("outcome %v, %v, %d attempts", o.Kind, o.Err, o.Attempts)
				}
				wantTrace(t, rec, "a", tt.want)
			})
		})
	}
}

// Before TaskStarting a stop prevents the attempt: no body, no number, no event;
// brackets that were begun are ended, with the result canceled.
func TestStopDuringBeginAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var results []taskvisor.Result
		end := func(_ context.Context, _ taskvisor.Attempt, r taskvisor.Result) { results = append(results, r) }
		stopper := &bracket{
			begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
				h, _ := sup.Lookup(a.Task)
				h.Stop()
				return ctx
			},
			end: end,
		}
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(stopper), taskvisor.WithSubscriber(&bracket{end: end}))
		o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(context.Context) error {
			t.Error("the body was called")
			return nil
		})))
		if o.Kind != taskvisor.OutcomeCanceled || o.Attempts != 0 || !errors.Is(o.Err, taskvisor.ErrRemoved) {
			t.Errorf("outcome %+v", o)
		}
		if len(results) != 2 {
			t.Errorf("EndAttempt got %+v, want two", results)
		}
		for _, r := range results {
			if r.Kind != taskvisor.ResultCanceled || !r.Aborted {
				t.Errorf("EndAttempt got %+v, want canceled and aborted", r)
			}
		}
		wantTrace(t, rec, "a", "A Q D")
		if sn := sup.Snapshot(); sn.Started != 0 || sn.Ended != 0 {
			t.Errorf("%d attempts started, %d ended, want none", sn.Started, sn.Ended)
		}
	})
}

// An interruption during BeginAttempt keeps the body from being called, too: that attempt
// counts as none, and the next begins through the gates.
func TestInterruptBeforeTheBodyIsCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		cause := errors.New("the gate has closed")
		var numbers []int
		var ended []taskvisor.Result
		steers := &bracket{
			begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
				if numbers = append(numbers, a.Number); len(numbers) == 1 {
					_ = taskvisor.Go(ctx, func(ctx context.Context) { <-ctx.Done(); panic("of no attempt") })
					a.Handle().Interrupt(cause)
				}
				return ctx
			},
			end: func(_ context.Context, _ taskvisor.Attempt, r taskvisor.Result) { ended = append(ended, r) },
		}
		gate := taskvisor.NewLimit("one", 1)
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(steers))
		o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error { return ctx.Err() }, taskvisor.WithGate(gate))))
		if o.Kind != taskvisor.OutcomeCompleted || o.Attempts != 1 {
			t.Errorf("outcome %+v", o)
		}
		if len(ended) != 2 || len(numbers) != 2 || numbers[0] != 1 || numbers[1] != 1 {
			t.Fatalf("attempts %v, results %+v", numbers, ended)
		}
		if r := ended[0]; r.Kind != taskvisor.ResultCanceled || !r.Aborted || !r.Retry || r.Delay != 0 ||
			r.Reason != taskvisor.ErrInterrupted || !errors.Is(r.Err, cause) {
			t.Errorf("EndAttempt got %+v", r)
		}
		if r := ended[1]; r.Kind != taskvisor.ResultSuccess || r.Aborted {
			t.Errorf("EndAttempt got %+v", r)
		}
		wantTrace(t, rec, "a", "A I S ✓ E D")
		if sn := sup.Snapshot(); sn.Started != 1 || sn.Ended != 1 {
			t.Errorf("%d attempts started, %d ended, want one", sn.Started, sn.Ended)
		}
	})
}

// A stop that comes before the announcement takes effect right behind it.
func TestStopBeforeAnnouncement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		stopNext := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded && e.Task == "first" {
				h, ok := sup.Lookup("second")
				if !ok || !h.Stop() {
					t.Error("the second of the batch is not there, or stopped already")
				}
			}
		})
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(stopNext))
		hs, err := sup.AddAll(context.Background(), taskvisor.Once("first", idle), taskvisor.Once("second", idle))
		if err != nil {
			t.Fatal(err)
		}
		if o := outcomeOf(t, hs[1]); o.Kind != taskvisor.OutcomeCanceled || o.Attempts != 0 {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "first", "A S")
		wantTrace(t, rec, "second", "A Q D")
	})
}

// startInto starts a supervisor that its own subscribers find in *into.
func startInto(t *testing.T, into **taskvisor.Supervisor, opts ...taskvisor.Option) (*taskvisor.Supervisor, *taskvisortest.Recorder) {
	t.Helper()
	sup, rec := taskvisortest.Start(t, opts...)
	*into = sup
	return sup, rec
}

// bracket is an inline subscriber with brackets made of functions; nil ones do
// nothing.
type bracket struct {
	event func(ctx context.Context, e taskvisor.Event)
	begin func(ctx context.Context, a taskvisor.Attempt) context.Context
	end   func(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result)
}

func (b *bracket) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (b *bracket) OnEvent(ctx context.Context, e taskvisor.Event) {
	if b.event != nil {
		b.event(ctx, e)
	}
}

func (b *bracket) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	if b.begin == nil {
		return ctx
	}
	return b.begin(ctx, a)
}

func (b *bracket) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	if b.end != nil {
		b.end(ctx, a, r)
	}
}
