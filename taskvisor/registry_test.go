package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// bubble runs f in a bubble: time passes only when everybody waits, and a
// goroutine that is left behind fails the test.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// addTo adds a task that must be accepted.
func addTo(t *testing.T, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) *taskvisor.Handle {
	t.Helper()
	h, err := sup.Add(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// outcomeOf waits for the end of a task, and until it has been announced.
func outcomeOf(t *testing.T, h *taskvisor.Handle) taskvisor.Outcome {
	t.Helper()
	o, err := h.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return o
}

// newSup makes a supervisor that was not started, with a recorder.
func newSup(t *testing.T, opts ...taskvisor.Option) (*taskvisor.Supervisor, *taskvisortest.Recorder) {
	t.Helper()
	rec := &taskvisortest.Recorder{}
	sup, err := taskvisor.New(append([]taskvisor.Option{taskvisor.WithSubscriber(rec)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return sup, rec
}

func wantTrace(t *testing.T, rec *taskvisortest.Recorder, task, want string) {
	t.Helper()
	synctest.Wait()
	if got := rec.Trace(task); got != want {
		t.Errorf("events of %q are %q, want %q", task, got, want)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

// idle is a body that works until it is told to end.
func idle(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// stubborn is a body that ends when the channel is closed and not before.
func stubborn(release <-chan struct{}) taskvisor.Func {
	return func(context.Context) error {
		<-release
		return nil
	}
}

func TestTaskIDsAreUniqueInTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one, _ := taskvisortest.Start(t)
		two, _ := taskvisortest.Start(t)
		var last taskvisor.TaskID
		for i := range 10 {
			for _, sup := range []*taskvisor.Supervisor{one, two} {
				h := addTo(t, sup, taskvisor.Once("again", taskvisortest.Script(taskvisortest.Succeed())))
				if h.ID() <= last || h.ID() == 0 {
					t.Fatalf("round %d: id %d after %d", i, h.ID(), last)
				}
				last = h.ID()
				outcomeOf(t, h)
			}
		}
	})
}

// A nil error of Add means registered; starting is another matter.
func TestAddDecidesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		addTo(t, sup, taskvisor.Once("first", idle))
		h := addTo(t, sup, taskvisor.Once("second", idle))
		if got, ok := sup.Lookup("second"); !ok || got != h || h.Status().State != taskvisor.StatePending {
			t.Errorf("after Add, Lookup has %v %v, state %v", got, ok, h.Status().State)
		}
		wantTrace(t, rec, "first", "A S")
		wantTrace(t, rec, "second", "A")
	})
}

// The name belongs to the task until its body has really ended.
func TestNameIsTakenUntilTheBodyEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(time.Second))))
		synctest.Wait()
		h.Stop()
		synctest.Wait()
		_, err := sup.Add(context.Background(), taskvisor.Once("a", idle))
		wantErr(t, err, taskvisor.ErrTaskExists)
		outcomeOf(t, h)
		addTo(t, sup, taskvisor.Once("a", idle))
		wantTrace(t, rec, "a", "A S Q F ✓ D A S")
	})
}

// Whoever has the outcome can use the name, and TaskRemoved comes after both.
func TestOrderNameFreeOutcomeRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var handles sync.Map
		var checked atomic.Int32
		watch := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind != taskvisor.TaskRemoved {
				return
			}
			checked.Add(1)
			if h, ok := sup.Lookup(e.Task); ok && h.ID() == e.TaskID {
				t.Errorf("TaskRemoved, and the name still is its")
			}
			if h, ok := handles.Load(e.TaskID); ok {
				if o, known := h.(*taskvisor.Handle).Outcome(); !known || o.Kind != e.Outcome {
					t.Errorf("TaskRemoved says %v, the handle %v, %v", e.Outcome, o.Kind, known)
				}
			}
		})
		sup, _ = taskvisortest.Start(t, taskvisor.WithSubscriber(watch))
		for range 200 {
			h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.After(1, taskvisortest.Succeed()))))
			handles.Store(h.ID(), h) // before the nanosecond has passed
			<-h.Done()
		}
		synctest.Wait()
		if checked.Load() != 200 {
			t.Errorf("%d tasks were removed, want 200", checked.Load())
		}
	})
}

// Whoever has seen the outcome can use the name, however soon: it is free
// before anybody can know.
func TestNameIsFreeWithTheOutcomeConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		spec := taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))
		for i := range 2000 {
			h := addTo(t, sup, spec)
			for n, known := 0, false; !known; n++ { // as close behind it as one can be
				if _, known = h.Outcome(); n%100 == 99 {
					runtime.Gosched() // there may be one processor
				}
			}
			next, err := sup.Add(context.Background(), spec)
			if err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			<-next.Done()
		}
	})
}

func TestAddAllAnnouncesAllBeforeStartingAny(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var specs []taskvisor.TaskSpec
		for i := range 50 {
			specs = append(specs, taskvisor.Once(fmt.Sprint("t", i), taskvisortest.Script(taskvisortest.Succeed())))
		}
		hs, err := sup.AddAll(context.Background(), specs...)
		if err != nil || len(hs) != len(specs) {
			t.Fatal(len(hs), err)
		}
		synctest.Wait()
		added := 0
		for _, e := range rec.Events() {
			switch e.Kind {
			case taskvisor.TaskAdded:
				if e.Task != hs[added].Name() || e.TaskID != hs[added].ID() {
					t.Errorf("event %d is about %s, handle %d is %s", added, e.Task, added, hs[added].Name())
				}
				added++
			case taskvisor.TaskStarting:
				if added < len(specs) {
					t.Fatalf("%s starts after %d of %d were announced", e.Task, added, len(specs))
				}
			}
		}
	})
}

func TestAddAllIsAllOrNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		addTo(t, sup, taskvisor.Once("taken", idle))
		synctest.Wait()
		spec := func(name string) taskvisor.TaskSpec { return taskvisor.Once(name, idle) }
		for _, tt := range []struct {
			specs    []taskvisor.TaskSpec
			conflict int
		}{
			{[]taskvisor.TaskSpec{spec("a"), spec("taken"), spec("b"), spec("taken")}, 1},
			{[]taskvisor.TaskSpec{spec("a"), spec("b"), spec("a")}, 2},
		} {
			before := len(rec.Events())
			hs, err := sup.AddAll(context.Background(), tt.specs...)
			var te *taskvisor.TaskError
			if hs != nil || !errors.Is(err, taskvisor.ErrTaskExists) || !errors.As(err, &te) || te.Task != tt.specs[tt.conflict].Name() {
				t.Errorf("AddAll: %v, %v; want the conflict %q", hs, err, tt.specs[tt.conflict].Name())
			}
			synctest.Wait()
			events := rec.Events()[before:]
			if len(events) != len(tt.specs) {
				t.Fatalf("events %v, want one for each of %d", events, len(tt.specs))
			}
			for i, e := range events {
				want := taskvisor.ErrBatchRejected
				if i == tt.conflict {
					want = taskvisor.ErrTaskExists
				}
				if e.Kind != taskvisor.TaskAddFailed || e.Task != tt.specs[i].Name() || e.Reason != want || e.TaskID != 0 {
					t.Errorf("event %d is %v, want a TaskAddFailed, %v", i, e, want)
				}
			}
			if got := len(sup.List()); got != 1 {
				t.Errorf("%d tasks registered, want the one that was there", got)
			}
		}
		addTo(t, sup, spec("a")) // it runs on
	})
}

func TestAddOfATakenName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		addTo(t, sup, taskvisor.Once("a", idle))
		synctest.Wait()
		h, err := sup.Add(context.Background(), taskvisor.Once("a", idle))
		if h != nil || !errors.Is(err, taskvisor.ErrTaskExists) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("Add: %v, %v", h, err)
		}
		wantTrace(t, rec, "a", "A S F")
		if e := rec.Events("a")[2]; e.Reason != taskvisor.ErrTaskExists || e.TaskID != 0 {
			t.Errorf("event %v, want already_exists and id 0", e)
		}
	})
}

// Bad input is an error that names the offender; nothing is registered,
// published or counted.
func TestBadInputLeavesNoTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		good := taskvisor.Once("good", idle)
		bad := []taskvisor.TaskSpec{
			{},
			taskvisor.Once("", idle),
			taskvisor.Once("bad\n", idle),
			taskvisor.Once("bad\xff", idle),
			taskvisor.Once("bad"+strings.Repeat("x", 126), idle),
			taskvisor.Once("bad", idle, taskvisor.WithTimeout(0)),
			taskvisor.Once("bad", idle, taskvisor.WithMaxRetries(-1)),
			taskvisor.Once("bad", idle, taskvisor.WithGrace(-1)),
			taskvisor.Once("bad", idle, taskvisor.RestartAlways(0)),
			taskvisor.Periodic("bad", -1, idle),
			taskvisor.Restartable("bad", idle, taskvisor.BackoffPolicy{First: 2, Max: 1}),
		}
		check := func(spec taskvisor.TaskSpec, call string, err error) {
			t.Helper()
			var te *taskvisor.TaskError
			if !errors.As(err, &te) || te.Task != spec.Name() || errors.Is(err, taskvisor.ErrTaskExists) {
				t.Errorf("%s(%q): %v", call, spec.Name(), err)
			}
		}
		for _, spec := range bad {
			_, err := sup.Add(context.Background(), spec)
			check(spec, "Add", err)
			_, err = sup.AddAll(context.Background(), good, spec)
			check(spec, "AddAll", err)
			_, err = sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: "slot"})
			check(spec, "Submit", err)
			fresh, seen := newSup(t)
			check(spec, "Run", fresh.Run(context.Background(), good, spec))
			if sn := fresh.Snapshot(); sn.State != taskvisor.SupervisorNew || len(seen.Events()) != 0 {
				t.Errorf("Run(%q) left state %v, events %v", spec.Name(), sn.State, seen.Events())
			}
		}
		synctest.Wait()
		if sn := sup.Snapshot(); len(rec.Events()) != 0 || len(sn.Tasks) != 0 || sn.Added != 0 || sn.Submitted != 0 {
			t.Errorf("bad input left %v and %+v", rec.Events(), sn)
		}
	})
}

// The states in which nobody is admitted.
func TestAddBeforeStartAndAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		all := func(ctx context.Context, want error) {
			t.Helper()
			spec := taskvisor.Once("a", idle)
			_, err := sup.Add(ctx, spec)
			wantErr(t, err, want)
			_, err = sup.AddAll(ctx, spec, taskvisor.Once("b", idle))
			wantErr(t, err, want)
			h, err := sup.Submit(ctx, taskvisor.Submission{Task: spec})
			wantErr(t, err, want)
			if h != nil {
				t.Errorf("a refused submission has the handle %v", h)
			}
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		why := errors.New("why")
		ended, end := context.WithCancelCause(context.Background())
		end(why)
		all(ended, why)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		all(context.Background(), taskvisor.ErrShuttingDown)
		wantTrace(t, rec, "a", "")
		wantTrace(t, rec, "", "H V")
	})
}

// Of batches that overlap, each name gets to one, and no batch in part.
func TestAddAllConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var callers group
		var won, lost atomic.Int32
		for i := range 8 {
			callers.Go(func() {
				var specs []taskvisor.TaskSpec
				for n := range 8 { // names 0…15: caller i wants i…i+7
					specs = append(specs, taskvisor.Once(fmt.Sprint(i+n), idle))
				}
				hs, err := sup.AddAll(context.Background(), specs...)
				switch {
				case err == nil && len(hs) == 8:
					won.Add(8)
				case errors.Is(err, taskvisor.ErrTaskExists) && hs == nil:
					lost.Add(8)
				default:
					t.Errorf("AddAll: %v, %v", hs, err)
				}
			})
		}
		callers.Wait()
		synctest.Wait()
		counts := kindsOf(rec)
		if n := int(won.Load()); n < 8 || len(sup.List()) != n || counts[taskvisor.TaskAdded] != n || counts[taskvisor.TaskAddFailed] != int(lost.Load()) {
			t.Errorf("%d won, %d lost, %d registered, events %v", n, lost.Load(), len(sup.List()), counts)
		}
	})
}

func kindsOf(rec *taskvisortest.Recorder) map[taskvisor.EventKind]int {
	counts := map[taskvisor.EventKind]int{}
	for _, e := range rec.Events() {
		counts[e.Kind]++
	}
	return counts
}
