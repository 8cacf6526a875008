package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// slowDoor lets everybody in and takes its time when it is left.
type slowDoor struct {
	takes time.Duration
	left  chan taskvisor.TaskID
}

func (*slowDoor) Enter(taskvisor.Attempt, func()) bool { return true }
func (*slowDoor) String() string                       { return "slow" }

func (d *slowDoor) Leave(a taskvisor.Attempt) {
	time.Sleep(d.takes)
	d.left <- a.TaskID
}

// When Run returns, its tasks have left their gates: a gate may give something back that
// outlives the process. It is waited for no longer than subscribers are.
func TestGatesAreLeftWhenRunReturns(t *testing.T) {
	for _, tt := range []struct {
		takes, took time.Duration
		left        int
	}{{0, 0, 3}, {time.Second, time.Second, 3}, {time.Hour, 5 * time.Second, 0}} {
		bubble(t, func(t *testing.T) {
			door := &slowDoor{takes: tt.takes, left: make(chan taskvisor.TaskID, 3)}
			sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard)) // an inline subscriber would be waited for
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			var specs []taskvisor.TaskSpec
			for _, name := range []string{"a", "b", "c"} {
				specs = append(specs, taskvisor.Once(name, noWork, taskvisor.WithGate(door)))
			}
			if err := sup.Run(context.Background(), specs...); err != nil {
				t.Error(err)
			}
			if n := len(door.left); n != tt.left || time.Since(begun) != tt.took {
				t.Errorf("left by %d of 3 when Run returned, after %v; want %d, %v", n, time.Since(begun), tt.left, tt.took)
			}
			time.Sleep(2 * time.Hour) // for the last one
		})
	}
}

// A waiter that is stopped with the supervisor has left, too.
func TestWaitersLeaveTheirGatesWhenRunReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &door{}
		sup, _ := newSup(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Minute, func() { cancel(errBoom) })
		if err := sup.Run(ctx, taskvisor.Once("a", noWork, taskvisor.WithGate(d))); err != nil && !errors.Is(err, errBoom) {
			t.Error(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.left != 1 || len(d.ready) != 0 {
			t.Errorf("left %d times, %d wait", d.left, len(d.ready))
		}
	})
}

// A gate that says ready before it answers no is asked again once, and then waited for.
func TestReadyBeforeTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var kept func()
		asked := 0
		g := &gateFunc{}
		g.enter = func(_ taskvisor.Attempt, ready func()) bool {
			if asked++; asked == 1 {
				ready()
				return false
			}
			kept = ready
			return asked > 2
		}
		sup, rec := newSup(t)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithGate(g)))
		time.Sleep(time.Minute)
		if asked != 2 || h.Status().Gate != "func" {
			t.Errorf("asked %d times, waits at %q", asked, h.Status().Gate)
		}
		kept()
		outcomeOf(t, h)
		wantTrace(t, rec, "a", "A S ✓ E D")
		if err := sup.Shutdown(context.Background()); err != nil || g.left != 1 {
			t.Errorf("shutdown %v; left %d times", err, g.left)
		}
	})
}

// Retries beyond the budget are let in one after the other, first come, first served,
// also if the next one comes at the very moment at which there is a token.
func TestRestartBudgetIsFIFO(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithRestartBudget(1, time.Second))
		begun := time.Now()
		var specs []taskvisor.TaskSpec
		for i, fails := range []time.Duration{0, 1, 2, time.Second, time.Second + 3} {
			body := taskvisortest.Script(taskvisortest.After(fails, taskvisortest.Fail(taskvisor.RetryAfter(0, errBoom))), taskvisortest.Succeed())
			specs = append(specs, taskvisor.Restartable(nth("t", i), body, taskvisor.WithoutRestartFloor()))
		}
		if err := sup.Run(context.Background(), specs...); err != nil {
			t.Error(err)
		}
		order := ""
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.TaskStarting && e.Attempt == 2 {
				order += " " + e.Task + " " + e.Time.Sub(begun).Round(time.Millisecond).String()
			}
		}
		if want := " t0 0s t1 1s t2 2s t3 3s t4 4s"; order != want {
			t.Errorf("second attempts%s, want%s", order, want)
		}
	})
}

// gateFunc is a gate whose Enter is a function; it counts what is left.
type gateFunc struct {
	enter func(a taskvisor.Attempt, ready func()) bool
	left  int
}

func (g *gateFunc) Enter(a taskvisor.Attempt, ready func()) bool { return g.enter(a, ready) }
func (g *gateFunc) Leave(taskvisor.Attempt)                      { g.left++ }
func (*gateFunc) String() string                                 { return "func" }

// A task that is stopped, or paused, while a gate is being asked leaves it.
func TestStoppedWhileAGateIsAsked(t *testing.T) {
	for _, answer := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			var sup *taskvisor.Supervisor
			asked := 0
			first, g := &gateFunc{}, &gateFunc{}
			first.enter = func(taskvisor.Attempt, func()) bool { return true }
			g.enter = func(a taskvisor.Attempt, ready func()) bool {
				left := first.left
				defer func() {
					if first.left != left {
						t.Error("a gate is left while the next one is being asked")
					}
				}()
				h, _ := sup.Lookup(a.Task)
				if asked++; asked == 1 {
					h.Pause(nil)
				} else {
					h.Stop()
				}
				return answer
			}
			sup, rec := newSup(t)
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithGate(first, g)))
			synctest.Wait()
			if first.left != 1 || g.left != 1 || h.Status().Gate != "" {
				t.Errorf("answer %v: left %d times after the pause; waits at %q", answer, g.left, h.Status().Gate)
			}
			h.Resume(nil)
			synctest.Wait()
			if first.left != 2 || g.left != 2 || asked != 2 {
				t.Errorf("answer %v: asked %d times, left %d times", answer, asked, g.left)
			}
			wantTrace(t, rec, "a", "A ‖ ▶ Q D")
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A ready that comes after its question was given up changes nothing: the gate is not
// asked again because of it.
func TestLateReadyIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var kept []func()
		g := &gateFunc{}
		g.enter = func(_ taskvisor.Attempt, ready func()) bool {
			kept = append(kept, ready)
			return false
		}
		sup, _ := newSup(t)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithGate(g)))
		synctest.Wait()
		h.Pause(nil)
		h.Resume(nil)
		synctest.Wait()
		kept[0]()
		kept[0]()
		synctest.Wait()
		if len(kept) != 2 {
			t.Errorf("asked %d times, want 2", len(kept))
		}
		kept[1]()
		synctest.Wait()
		if len(kept) != 3 {
			t.Errorf("asked %d times, want 3", len(kept))
		}
		if err := sup.Shutdown(context.Background()); err != nil || g.left != 2 {
			t.Errorf("shutdown %v; left %d times", err, g.left)
		}
	})
}

// A body that drains within its stage's share of the grace is not stuck, however small
// StuckAfter is; one that takes longer is, from the end of the share on.
func TestOrderedStopIsNoFault(t *testing.T) {
	for drains, want := range map[time.Duration]string{9 * time.Second: "A S ✓ D", 16 * time.Second: "A S K ✓ D"} {
		bubble(t, func(t *testing.T) {
			sup, rec := newSup(t, taskvisor.WithGrace(20*time.Second))
			_, err := sup.AddAll(context.Background(),
				taskvisor.Restartable("database", runsUntilStopped()),
				taskvisor.Restartable("server", func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(drains)
					return nil
				}, taskvisor.After("database"), taskvisor.WithStuckAfter(time.Second)))
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			wantTrace(t, rec, "server", want)
		})
	}
}
