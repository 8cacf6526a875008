package taskvisor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// hangGate does not answer for a thousand hours.
func hangGate() taskvisor.Gate {
	return oddGate{enter: func() { time.Sleep(1000 * time.Hour) }}
}

// intoSlot submits a task to the slot s.
func intoSlot(t *testing.T, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec, how taskvisor.Admission) *taskvisor.Handle {
	t.Helper()
	h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: "s", Admission: how})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return h
}

// A gate that does not return holds up its own task: none that shares a limit with it, that
// it depends on, that depends on the same, or that had its slot before.
func TestHungGateHoldsUpItsOwnTaskOnly(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, sup *taskvisor.Supervisor, rec *taskvisortest.Recorder){
		"order": func(t *testing.T, sup *taskvisor.Supervisor, rec *taskvisortest.Recorder) {
			var called atomic.Bool
			shut := taskvisor.NewLimit("shut", 0)
			if _, err := sup.AddAll(t.Context(),
				taskvisor.Restartable("first", func(ctx context.Context) error { called.Store(true); return untilDone(ctx) }, taskvisor.WithGate(shut)),
				taskvisor.Once("hangs", noWork, taskvisor.After("first"), taskvisor.WithGate(hangGate())),
				taskvisor.Once("other", noWork, taskvisor.After("first"))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			shut.Resize(1)
			time.Sleep(time.Hour)
			same(t, "the body of what they depend on was called", called.Load(), true)
			wantTrace(t, rec, "other", "A S ✓ E D")
		},
		"limit": func(t *testing.T, sup *taskvisor.Supervisor, rec *taskvisortest.Recorder) {
			limit := taskvisor.NewLimit("one", 1)
			addTo(t, sup, taskvisor.Once("first", worksFor(time.Second), taskvisor.WithGate(limit)))
			synctest.Wait()
			addTo(t, sup, taskvisor.Once("hangs", noWork, taskvisor.WithGate(limit, hangGate())))
			time.Sleep(time.Hour)
			wantTrace(t, rec, "first", "A S ✓ E D")
		},
		"slot": func(t *testing.T, sup *taskvisor.Supervisor, rec *taskvisortest.Recorder) {
			g := &facts{}
			intoSlot(t, sup, taskvisor.Once("first", worksFor(time.Second), taskvisor.WithGate(g)), taskvisor.Queue)
			intoSlot(t, sup, taskvisor.Once("hangs", noWork, taskvisor.WithGate(hangGate())), taskvisor.Queue)
			time.Sleep(time.Hour)
			wantTrace(t, rec, "first", "U A S ✓ E D")
			same(t, "gates left by the owner before", len(g.left), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				f(t, sup, rec)
				time.Sleep(2000 * time.Hour)
			})
		})
	}
}

// A slot's next owner need not wait for a limit that the one before still holds.
func TestLimitIsFreeForTheSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		limit := taskvisor.WithGate(taskvisor.NewLimit("one", 1))
		intoSlot(t, sup, taskvisor.Once("first", worksFor(time.Second), limit), taskvisor.Queue)
		intoSlot(t, sup, taskvisor.Once("second", worksFor(time.Second), limit), taskvisor.Queue)
		time.Sleep(time.Minute)
		wantTrace(t, rec, "second", "U A S ✓ E D")
		for _, e := range rec.Events("second") {
			if e.Kind == taskvisor.TaskGated {
				t.Error(e)
			}
		}
	})
}

// A replacement that inherits the turn of an owner that waited for a permit keeps no permit
// from others before it can use it.
func TestInheritedTurnIsNoPermit(t *testing.T) {
	for name, tt := range map[string]struct {
		option taskvisor.TaskOption
		steer  func(h *taskvisor.Handle)
	}{
		"delay":      {taskvisor.WithInitialDelay(time.Hour, time.Hour), nil},
		"dependency": {taskvisor.After("x"), nil},
		"gate":       {taskvisor.WithGate(taskvisor.NewLimit("shut", 0)), nil},
		"pause":      {taskvisor.WithGate(taskvisor.NewLimit("shut", 0)), func(h *taskvisor.Handle) { h.Pause(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
				addTo(t, sup, taskvisor.Once("a", worksFor(time.Second)))
				synctest.Wait()
				intoSlot(t, sup, taskvisor.Once("owner", noWork), taskvisor.Queue)
				x := addTo(t, sup, taskvisor.Once("x", noWork))
				h := intoSlot(t, sup, taskvisor.Once("heir", noWork, tt.option), taskvisor.Replace)
				if tt.steer != nil {
					tt.steer(h)
				}
				outcomeOf(t, x)
				wantTrace(t, rec, "x", "A S ✓ E D")
				if in := sup.Snapshot().InUse; in != 0 {
					t.Errorf("%d permits in use", in)
				}
			})
		})
	}
}

// A task that waits at a gate asks those that it has passed again when one of them closes: the
// order for a task that is bound, and any gate that says so by Interrupt.
func TestGateThatClosesBeforeTheAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		limit := taskvisor.NewLimit("limit", 0)
		fails := make(chan struct{})
		addTo(t, sup, taskvisor.Restartable("dep", func(ctx context.Context) error {
			select {
			case <-fails:
				return errBoom
			case <-ctx.Done():
				return nil
			}
		}, taskvisor.ConstantBackoff(time.Hour)))
		synctest.Wait()
		b := addTo(t, sup, taskvisor.Restartable("b", untilDone, taskvisor.BoundTo("dep"), taskvisor.WithGate(limit)))
		synctest.Wait()
		same(t, "gate", b.Status().Gate, "limit")
		fails <- struct{}{}
		synctest.Wait()
		limit.Resize(1)
		synctest.Wait()
		same(t, "state while what it is bound to is down", b.Status().State, taskvisor.StatePending)
		same(t, "gate", b.Status().Gate, "after")
		time.Sleep(time.Hour + time.Second)
		same(t, "state when that runs again", b.Status().State, taskvisor.StateRunning)
	})
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		a := addTo(t, sup, taskvisor.Once("a", untilDone))
		synctest.Wait()
		flag := taskvisor.NewLimit("flag", 1)
		b := addTo(t, sup, taskvisor.Once("b", untilDone, taskvisor.WithGate(flag)))
		synctest.Wait()
		flag.Resize(0)
		same(t, "Interrupt at a gate", b.Interrupt(nil), false)
		synctest.Wait()
		same(t, "gate", b.Status().Gate, "flag")
		a.Stop()
		outcomeOf(t, a)
		synctest.Wait()
		same(t, "state behind a closed gate", b.Status().State, taskvisor.StatePending)
		flag.Resize(1)
		synctest.Wait()
		same(t, "state", b.Status().State, taskvisor.StateRunning)
	})
}

// What is bound to a task is interrupted when that is told to stop, not when it is back.
func TestBoundToOneThatIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		dep := addTo(t, sup, taskvisor.Restartable("dep", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(10 * time.Second)
			return nil
		}))
		synctest.Wait()
		addTo(t, sup, taskvisor.Restartable("b", untilDone, taskvisor.BoundTo("dep")))
		synctest.Wait()
		dep.Stop()
		synctest.Wait()
		wantTrace(t, rec, "b", "A S I C B")
	})
}

// No attempt of a batch begins before the last of its TaskAdded, also if the supervisor is
// started meanwhile.
func TestBatchBeginsWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hold, held := make(chan struct{}), make(chan struct{}, 1)
		sup, rec := newSup(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded && e.Task == "a" {
				held <- struct{}{}
				<-hold
			}
		})))
		go sup.AddAll(context.Background(), taskvisor.Once("a", untilDone), taskvisor.Once("b", untilDone))
		<-held
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		kinds := ""
		for _, e := range rec.Events() {
			kinds += " " + e.Kind.String()
		}
		same(t, "events", kinds, " task_added task_added task_starting task_starting")
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Tasks with equal options share a policy; those of which the gates or the dependencies
// differ do not, of whatever type the gates are.
func TestPoliciesAreSharedByEquals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		shut, open := taskvisor.NewLimit("shut", 0), taskvisor.NewLimit("open", 9)
		addTo(t, sup, taskvisor.Restartable("first", untilDone, taskvisor.WithReadiness()))
		for i, tt := range []struct {
			option taskvisor.TaskOption
			gate   string
		}{
			{taskvisor.WithGate(shut), "shut"}, {taskvisor.WithGate(shut), "shut"}, {taskvisor.WithGate(open), ""},
			{taskvisor.WithGate(open, shut), "shut"}, {taskvisor.WithGate(shut, open), "shut"}, {taskvisor.WithGate(open), ""},
			{taskvisor.WithGate(oddGate{}), ""}, {taskvisor.WithGate(oddGate{}), ""}, // cannot be compared
			{taskvisor.After("first"), "after"}, {taskvisor.After(), ""}, {taskvisor.BoundTo("first"), "after"}, {taskvisor.After("first"), "after"},
		} {
			h := addTo(t, sup, taskvisor.Restartable(nth("t", i), untilDone, tt.option))
			synctest.Wait()
			same(t, fmt.Sprint(i, " waits at"), h.Status().Gate, tt.gate)
		}
	})
}
