package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The limit holds for what is registered and what waits in slots together; a place is
// free again when a task is gone or a submission was turned away.
func TestTooManyTasks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxRegistered(3))
		submit := func(name string) (*taskvisor.Handle, error) {
			return sup.Submit(ctx, taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, untilDone)})
		}
		full := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, taskvisor.ErrTooManyTasks) {
				t.Errorf("%s: %v", what, err)
			}
		}
		a := addTo(t, sup, taskvisor.Once("a", untilDone))
		_, err := sup.AddAll(ctx, taskvisor.Once("b", untilDone), taskvisor.Once("c", untilDone), taskvisor.Once("d", untilDone))
		full("AddAll", err)
		if got := sup.List(); len(got) != 1 {
			t.Errorf("a refused batch left %d tasks", len(got))
		}
		if _, err := submit("owner"); err != nil {
			t.Fatal(err)
		}
		waits, err := submit("waits")
		if err != nil {
			t.Fatal(err)
		}
		_, err = submit("refused")
		full("Submit", err)
		_, err = sup.Add(ctx, taskvisor.Once("b", untilDone))
		full("Add", err)
		waits.Stop()
		outcomeOf(t, waits)
		addTo(t, sup, taskvisor.Once("b", untilDone))
		_, err = sup.Add(ctx, taskvisor.Once("c", untilDone))
		full("Add", err)
		a.Stop()
		outcomeOf(t, a)
		synctest.Wait()
		addTo(t, sup, taskvisor.Once("c", untilDone))
		checkConservation(t, sup.Snapshot())
	})
}

// What takes the place of a submission that waits needs no room of its own.
func TestDisplacementNeedsNoRoom(t *testing.T) {
	for _, policy := range []taskvisor.Admission{taskvisor.Coalesce, taskvisor.Replace} {
		t.Run(policy.String(), func(t *testing.T) {
			inRoom(t, func(r *room) {
				submit := func(name string) (*taskvisor.Handle, error) {
					return r.sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: policy, Task: taskvisor.Once(name, ignoresFor(time.Minute))})
				}
				var hs []*taskvisor.Handle
				for i := range 5 {
					h, err := submit(nth("t", i))
					if err != nil {
						t.Fatal(err)
					}
					hs = append(hs, h)
					synctest.Wait() // the first one's body has begun, and does not heed a stop
				}
				for _, h := range hs[1:4] {
					same(t, "displaced", r.end(h).Reason, taskvisor.ErrSuperseded)
				}
				if _, err := r.sup.Add(context.Background(), taskvisor.Once("more", noWork)); !errors.Is(err, taskvisor.ErrTooManyTasks) {
					t.Errorf("beside an owner and a submission: %v", err)
				}
				same(t, "the last one", r.end(hs[4]).Kind, taskvisor.OutcomeCompleted)
				for i := range 2 { // all is counted off again
					r.add(taskvisor.Once(nth("more", i), idle))
				}
				checkConservation(t, r.sup.Snapshot())
			}, taskvisor.WithMaxRegistered(2))
		})
	}
}

// What is refused because of the limit is announced, and a submission counted, before the
// verdict of a supervisor that ends meanwhile; the call returns the error all the same.
func TestTooManyTasksAreAnnounced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		sup, rec := newSup(t, taskvisor.WithMaxRegistered(2))
		specs := func(names ...string) (list []taskvisor.TaskSpec) {
			for _, name := range names {
				list = append(list, taskvisor.Once(name, worksFor(time.Minute)))
			}
			return list
		}
		refused := func(what string, err error, names ...string) {
			t.Helper()
			var call *taskvisor.TaskError
			if !errors.As(err, &call) || !errors.Is(err, taskvisor.ErrTooManyTasks) || call.Task != names[len(names)-1] {
				t.Errorf("%s: %v", what, err)
			}
			for i, name := range names { // the last one does not fit any more
				want := taskvisor.ErrBatchRejected
				if i == len(names)-1 {
					want = taskvisor.ErrTooManyTasks
				}
				events := rec.Events(name)
				if last := events[len(events)-1]; last.Reason != want {
					t.Errorf("%s: %v", what, last)
				}
			}
		}
		submit := func(slot string, task taskvisor.TaskSpec) error {
			h, err := sup.Submit(ctx, taskvisor.Submission{Slot: slot, Task: task})
			if (h == nil) != (err != nil) {
				t.Errorf("Submit: %v, %v", h, err)
			}
			return err
		}
		refused("Run", sup.Run(ctx, specs("run a", "run b", "run c")...), "run a", "run b", "run c")
		if err := submit("s", specs("owner")[0]); err != nil {
			t.Fatal(err)
		}
		_, err := sup.AddAll(ctx, specs("all a", "all b")...)
		refused("AddAll", err, "all a", "all b")
		addTo(t, sup, specs("other")[0])
		_, err = sup.Add(ctx, specs("add")[0])
		refused("Add", err, "add")
		refused("Submit to a slot that is free", submit("free", specs("sub a")[0]), "sub a")
		refused("Submit to one that is not", submit("s", specs("sub b")[0]), "sub b")
		for _, task := range []string{"sub a", "sub b"} {
			wantTrace(t, rec, task, "U J")
		}
		wantTrace(t, rec, "add", "F")
		sn := sup.Snapshot()
		if sn.Submitted != 3 || sn.Rejected != 2 || len(sn.Tasks) != 2 || len(sn.Slots) != 1 {
			t.Errorf("submitted %d, rejected %d, %d tasks, %d slots", sn.Submitted, sn.Rejected, len(sn.Tasks), len(sn.Slots))
		}
		checkConservation(t, sn)
		if err := sup.Run(ctx); err != nil { // it ends: no refusal is left in the counts
			t.Error(err)
		}
	})
}

// A supervisor can be wired up in any order: what is added before the start waits for
// it, and begins in the order given.
func TestAddBeforeTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		sup, rec := newSup(t)
		var order []string
		var mu sync.Mutex // the three run side by side
		body := func(name string) taskvisor.Func {
			return func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}
		}
		one := addTo(t, sup, taskvisor.Once("one", body("one")))
		if _, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once("two", body("two"))}); err != nil {
			t.Fatal(err)
		}
		stopped := addTo(t, sup, taskvisor.Once("stopped", body("stopped")))
		if !stopped.Stop() {
			t.Error("what has not begun cannot be stopped")
		}
		time.Sleep(time.Minute)
		if st := one.Status(); st.State != taskvisor.StatePending || st.Attempt != 0 || sup.Snapshot().State != taskvisor.SupervisorNew {
			t.Errorf("before the start: %+v", st)
		}
		sameList(t, "bodies before the start", order, nil)
		if err := sup.Run(ctx, taskvisor.Once("three", body("three"))); err != nil {
			t.Error(err)
		}
		if len(order) != 3 {
			t.Errorf("bodies: %q", order)
		}
		wantTrace(t, rec, "one", "A S ✓ E D")
		wantTrace(t, rec, "two", "U A S ✓ E D")
		wantTrace(t, rec, "stopped", "A Q D")
		wantTrace(t, rec, "three", "A S ✓ E D")
	})
}

// Wait is for those who called Start: the same result for everybody, early or late.
func TestWaitForTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t, taskvisor.WithGrace(time.Second))
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errBoom)
		defer cancel()
		isAll(t, "Wait before anything", sup.Wait(ctx), errBoom)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		addTo(t, sup, taskvisor.Once("stuck", stubborn(release)))
		got := make(chan error, 2)
		for range 2 {
			go func() { got <- sup.Wait(context.Background()) }()
		}
		synctest.Wait()
		err := sup.Shutdown(context.Background())
		var late *taskvisor.GraceExceededError
		if !errors.As(err, &late) {
			t.Errorf("Shutdown: %v", err)
		}
		for _, e := range []error{<-got, <-got, sup.Wait(context.Background()), sup.Wait(ctx)} {
			if e != err {
				t.Errorf("Wait: %v", e)
			}
		}
		close(release)
	})
}

// Returned tells when a body is really back, however its task ended.
func TestReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithTaskDefaults(taskvisor.WithGrace(time.Second)))
		closed := func(c <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		release := make(chan struct{})
		for _, opts := range [][]taskvisor.TaskOption{nil, {taskvisor.WithReleaseOnAbandon()}} {
			h := addTo(t, sup, taskvisor.Once("hangs", stubborn(release), opts...))
			early := h.Returned()
			synctest.Wait()
			h.Stop()
			outcomeOf(t, h)
			late := h.Returned()
			if closed(early) || closed(late) || !closed(h.Done()) {
				t.Error("back while it hangs")
			}
			release <- struct{}{}
			if !closed(early) || !closed(late) || !closed(h.Returned()) {
				t.Error("not back although it is")
			}
		}
		h := addTo(t, sup, taskvisor.Once("ends", untilDone))
		c := h.Returned()
		if closed(c) {
			t.Error("back while it runs")
		}
		h.Stop()
		if !closed(c) || !closed(h.Returned()) {
			t.Error("not back although it is")
		}
	})
}

// An attempt has a goroutine of its own: a body that locks its thread and changes it
// takes that thread with it.
func TestLockedThreadGoesWithItsAttempt(t *testing.T) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	err = sup.Run(context.Background(), taskvisor.Restartable("a", func(context.Context) error {
		runtime.LockOSThread() // and never unlocks it
		ids = append(ids, goroutine())
		if len(ids) < 5 {
			return errBoom
		}
		return nil
	}, taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
	if err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != 5 {
		t.Errorf("goroutines of the attempts: %q", ids)
	}
}

// A kind stands for the name wherever there must not be too many.
func TestKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var a taskvisor.Attempt
		h := addTo(t, sup, taskvisor.Once("index for folder 7", func(ctx context.Context) error {
			a, _ = taskvisor.FromContext(ctx)
			return nil
		}, taskvisor.WithKind("index")))
		outcomeOf(t, h)
		synctest.Wait()
		for _, e := range rec.Events("index for folder 7") {
			same(t, e.Kind.String(), e.TaskKind, "index")
		}
		same(t, "attempt", a.Kind, "index")
		same(t, "status", h.Status().Kind, "index")
		same(t, "spec", h.Status().Spec.Kind(), "index")
		if _, err := sup.Add(context.Background(), taskvisor.Once("b", untilDone, taskvisor.WithKind("a\nb"))); err == nil {
			t.Error("an unfit kind is taken")
		}
	})
}
