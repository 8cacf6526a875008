package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The order of a shutdown, as its events tell it: the request with its cause,
// the rejection of what waits, the ends of the tasks, the verdict.
func TestShutdownOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		tidy := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return nil }
		owner, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("owner", tidy), Slot: "slot"})
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("waiting", tidy), Slot: "slot"})
		if err != nil {
			t.Fatal(err)
		}
		addTo(t, sup, taskvisor.Periodic("periodic", time.Hour, taskvisortest.Script(taskvisortest.Succeed())))
		synctest.Wait()
		before := len(rec.Events())
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range rec.Events()[before:] {
			if e.Kind != taskvisor.ControllerSlotTransition {
				got = append(got, strings.TrimSpace(e.Kind.String()+" "+e.Task))
			}
		}
		want := []string{"shutdown_requested", "controller_rejected waiting", "task_removed periodic",
			"task_stopped owner", "task_removed owner", "all_stopped_within_grace"}
		if !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if o, known := waiting.Outcome(); !known || o.Kind != taskvisor.OutcomeRejected || o.Reason != taskvisor.ErrShuttingDown {
			t.Errorf("the waiting submission has %+v, %v", o, known)
		}
		if o, known := owner.Outcome(); !known || o.Kind != taskvisor.OutcomeCanceled || o.Reason != taskvisor.ErrShutdown {
			t.Errorf("the owner has %+v, %v", o, known)
		}
	})
}

// Admission is closed first: when ShutdownRequested is seen nobody gets in, and
// the bodies that are being stopped cannot add either.
func TestShutdownClosesAdmissionFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var refused atomic.Int32
		try := func() {
			_, err := sup.Add(context.Background(), taskvisor.Once("late", idle))
			wantErr(t, err, taskvisor.ErrShuttingDown)
			_, err = sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("late", idle)})
			wantErr(t, err, taskvisor.ErrShuttingDown)
			refused.Add(1)
		}
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.ShutdownRequested {
				try()
			}
		})))
		addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error { <-ctx.Done(); try(); return nil }))
		synctest.Wait()
		if err := sup.Shutdown(context.Background()); err != nil || refused.Load() != 2 {
			t.Errorf("Shutdown: %v, %d refused", err, refused.Load())
		}
		wantTrace(t, rec, "late", "")
	})
}

// One operation: whoever asks, early or late, once or often, gets its result.
func TestShutdownResultIsSharedConcurrentSafe(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t, taskvisor.WithGrace(10*time.Second))
				release := make(chan struct{})
				body := taskvisor.Func(idle)
				if late {
					body = stubborn(release)
				}
				results := make(chan error, 30)
				go func() { results <- sup.Run(context.Background(), taskvisor.Once("a", body)) }()
				synctest.Wait()
				var callers group
				for i := range 20 {
					callers.Go(func() {
						time.Sleep(time.Duration(i) * time.Second) // some of them when all is over
						results <- sup.Shutdown(context.Background())
					})
				}
				callers.Wait()
				first := <-results
				for range 20 {
					if err := <-results; err != first {
						t.Errorf("two results: %v and %v", err, first)
					}
				}
				if (first != nil) != late {
					t.Errorf("Shutdown: %v", first)
				}
				verdict := map[bool]string{false: "H V", true: "H G"}
				wantTrace(t, rec, "", verdict[late])
				close(release)
			})
		})
	}
}

// The grace is the longest that bodies can make a shutdown last, and it counts
// from the stop, not from a body's start.
func TestShutdownIsBoundedByGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(10*time.Second))
		release := make(chan struct{})
		for i := range 10 {
			addTo(t, sup, taskvisor.Once(fmt.Sprint("stubborn", i), stubborn(release)))
		}
		good := addTo(t, sup, taskvisor.Once("good", idle))
		slow := addTo(t, sup, taskvisor.Once("slow", taskvisortest.Script(taskvisortest.Ignore(time.Hour+9*time.Second))))
		time.Sleep(time.Hour)
		before := time.Now()
		err := sup.Shutdown(context.Background())
		if got := time.Since(before); got != 10*time.Second {
			t.Errorf("Shutdown took %v", got)
		}
		var late *taskvisor.GraceExceededError
		if !errors.As(err, &late) || len(late.Tasks) != 10 || late.Grace != 10*time.Second {
			t.Fatalf("Shutdown: %v", err)
		}
		for _, h := range []*taskvisor.Handle{good, slow} {
			if o, known := h.Outcome(); !known || o.Kind != taskvisor.OutcomeCanceled {
				t.Errorf("%s: %v, %v", h.Name(), o.Kind, known)
			}
		}
		wantTrace(t, rec, "stubborn3", "A S K N")
		wantTrace(t, rec, "", "H G")
		close(release)
	})
}

// A body that ends within the grace ends the shutdown then.
func TestShutdownWaitsNoLongerThanItMust(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(3*time.Second))))
		synctest.Wait()
		before := time.Now()
		if err := sup.Shutdown(context.Background()); err != nil || time.Since(before) != 3*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(before))
		}
		if v := rec.Events("")[1]; v.Kind != taskvisor.AllStoppedWithinGrace || v.Duration != 3*time.Second {
			t.Errorf("verdict %v", v)
		}
	})
}

// Grace 0 abandons without waiting; bodies that do listen still get to know.
func TestGraceZero(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(0))
		release := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(release)))
		one := addTo(t, sup, taskvisor.Once("one", stubborn(release)))
		addTo(t, sup, taskvisor.Restartable("delayed", taskvisortest.Script(taskvisortest.Fail(errBoom))))
		synctest.Wait()
		before := time.Now()
		if o, err := one.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
			t.Errorf("Cancel: %v, %v", o.Kind, err)
		}
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != 2 {
			t.Errorf("Shutdown: %v", err)
		}
		if time.Since(before) != 0 {
			t.Errorf("it took %v", time.Since(before))
		}
		if o, _ := h.Outcome(); o.Kind != taskvisor.OutcomeAbandoned {
			t.Errorf("outcome %v", o.Kind)
		}
		wantTrace(t, rec, "one", "A S Q N")
		wantTrace(t, rec, "a", "A S N")
		wantTrace(t, rec, "delayed", "A S ✗ B D")
		close(release)
	})
}

// With grace 0 only what runs is abandoned: tasks without a body leave.
func TestGraceZeroListsOnlyWhatRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 200 {
			sup, rec := newSup(t, taskvisor.WithGrace(0))
			ran := make(chan error, 1)
			go func() {
				var specs []taskvisor.TaskSpec
				for i := range 10 {
					specs = append(specs, taskvisor.Once(fmt.Sprint("t", i), taskvisortest.Script(taskvisortest.Succeed())))
				}
				ran <- sup.Run(context.Background(), specs...)
			}()
			sup.Shutdown(context.Background())
			err := <-ran
			synctest.Wait()
			listed := map[string]bool{}
			var late *taskvisor.GraceExceededError
			if errors.As(err, &late) {
				for _, st := range late.Tasks {
					listed[st.Name] = true
				}
			}
			for _, e := range rec.Events() {
				if e.Kind == taskvisor.TaskRemoved && e.Outcome == taskvisor.OutcomeCanceled && listed[e.Task] {
					t.Fatalf("%s has the outcome canceled and is listed as running: %v", e.Task, err)
				}
				if e.Kind == taskvisor.TaskAbandoned {
					delete(listed, e.Task)
				}
			}
			if len(listed) != 0 {
				t.Fatalf("listed, and not abandoned: %v, trace %q", listed, rec.Trace("t0"))
			}
		}
	})
}

// A task may end its supervisor, and so may a subscriber, by asking without
// waiting; Run then returns as it does for anyone.
func TestShutdownFromWithin(t *testing.T) {
	ask := func(t *testing.T, sup *taskvisor.Supervisor, ctx context.Context) {
		onlySelf(t, "Shutdown", sup.Shutdown(ctx))
	}
	t.Run("task", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sup, rec := newSup(t)
			err := sup.Run(context.Background(), taskvisor.Once("a", func(ctx context.Context) error {
				time.Sleep(time.Second)
				ask(t, sup, ctx)
				<-ctx.Done()
				return nil
			}), taskvisor.Once("b", idle))
			if err != nil {
				t.Errorf("Run: %v", err)
			}
			wantTrace(t, rec, "a", "A S ✓ D")
			wantTrace(t, rec, "b", "A S C D")
			wantTrace(t, rec, "", "H V")
		})
	})
	t.Run("subscriber", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var sup *taskvisor.Supervisor
			sup, rec := newSup(t, taskvisor.WithSubscriber(queuedFunc(func(ctx context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStarting {
					ask(t, sup, ctx)
				}
			})))
			if err := sup.Run(context.Background(), taskvisor.Once("a", idle)); err != nil {
				t.Errorf("Run: %v", err)
			}
			wantTrace(t, rec, "a", "A S C D")
		})
	})
	t.Run("task, without its context", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			sup, _ := newSup(t, taskvisor.WithGrace(10*time.Second))
			begun := time.Now()
			err := sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error {
				return sup.Shutdown(context.Background()) // nobody can know; the grace bounds it
			}))
			var late *taskvisor.GraceExceededError
			if !errors.As(err, &late) || time.Since(begun) != 10*time.Second {
				t.Errorf("Run: %v after %v", err, time.Since(begun))
			}
			synctest.Wait()
		})
	})
}

// The verdict is the last event of a supervisor, whatever returns later.
func TestVerdictIsTheLastEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ended atomic.Int32
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second),
			taskvisor.WithSubscriber(&bracket{end: func(context.Context, taskvisor.Attempt, taskvisor.Result) { ended.Add(1) }}))
		release := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(release)))
		synctest.Wait()
		if err := sup.Shutdown(context.Background()); err == nil {
			t.Error("Shutdown: no error")
		}
		before := rec.Events()
		if last := before[len(before)-1]; last.Kind != taskvisor.GraceExceeded {
			t.Errorf("the last event is %v", last)
		}
		close(release)
		synctest.Wait()
		if after := rec.Events(); len(after) != len(before) {
			t.Errorf("events after the verdict: %v", after[len(before):])
		}
		if ended.Load() != 1 {
			t.Errorf("EndAttempt was called %d times for a body that came late", ended.Load())
		}
		if o, _ := h.Outcome(); o.Kind != taskvisor.OutcomeAbandoned {
			t.Errorf("its outcome became %v", o.Kind)
		}
	})
}

// Shutdown while tasks start, delay, end and restart: never a deadlock, nothing
// without an outcome.
func TestShutdownAnytimeConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for i := range 200 {
			sup, _ := newSup(t, taskvisor.WithMaxConcurrent(2))
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			var adders group
			handles := make([][]*taskvisor.Handle, 4)
			for a := range handles {
				adders.Go(func() {
					for n := 0; ; n++ {
						h, err := sup.Add(context.Background(), taskvisor.Restartable(fmt.Sprint(a, n),
							taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()), taskvisor.ConstantBackoff(time.Millisecond)))
						if err != nil {
							wantErr(t, err, taskvisor.ErrShuttingDown)
							return
						}
						handles[a] = append(handles[a], h)
						time.Sleep(time.Duration(a+1) * time.Millisecond / 2)
					}
				})
			}
			time.Sleep(time.Duration(i%10) * time.Millisecond)
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			adders.Wait()
			for _, h := range slices.Concat(handles...) {
				if _, known := h.Outcome(); !known {
					t.Errorf("round %d: %s has no outcome", i, h.Name())
				}
			}
		}
	})
}
