package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// logGate writes down who enters and who leaves.
type logGate struct {
	name  string
	log   *[]string
	shut  bool
	leave func()
}

func (g *logGate) Enter(a taskvisor.Attempt, _ func()) bool {
	*g.log = append(*g.log, fmt.Sprintf("+%s%d", g.name, a.Number))
	return !g.shut
}

func (g *logGate) Leave(a taskvisor.Attempt) {
	*g.log = append(*g.log, fmt.Sprintf("-%s%d", g.name, a.Number))
	if g.leave != nil {
		g.leave()
	}
}

func (g *logGate) String() string { return g.name }

// Gates are left in reverse, each once, by the attempt that entered them; also if one of
// them ends the goroutine that leaves it.
func TestGatesAreLeftInReverse(t *testing.T) {
	for _, exiting := range []string{"", "a", "b", "c", "abc"} {
		t.Run(exiting, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, _ := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
				var log []string
				var gates []taskvisor.Gate
				for _, name := range []string{"a", "b", "c"} {
					g := &logGate{name: name, log: &log}
					if strings.Contains(exiting, name) {
						g.leave = runtime.Goexit
					}
					gates = append(gates, g)
				}
				h := addTo(t, sup, taskvisor.Periodic("p", time.Second, noWork, taskvisor.WithGate(gates...)))
				time.Sleep(time.Second + time.Millisecond)
				synctest.Wait()
				sameList(t, "calls", log, []string{"+a1", "+b1", "+c1", "-c1", "-b1", "-a1", "+a2", "+b2", "+c2", "-c2", "-b2", "-a2"})
				h.Stop()
				outcomeOf(t, h)
			})
		})
	}
}

// Who waits at a gate and is stopped leaves that gate and those before it, whatever stands
// behind; and is not asked twice because somebody comes late to begin.
func TestWaiterLeavesItsGates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(1))
		var log []string
		h := addTo(t, sup, taskvisor.Once("p", noWork, taskvisor.WithGate(&logGate{name: "a", log: &log}, &logGate{name: "b", log: &log, shut: true})))
		synctest.Wait()
		taskvisor.EnterLate(h)
		h.Stop()
		outcomeOf(t, h)
		sameList(t, "calls", log, []string{"+a1", "+b1", "-b1", "-a1"})
		if o := outcomeOf(t, addTo(t, sup, taskvisor.Once("next", noWork))); o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("the next: %v", o.Kind)
		}
	})
}

// A permit is given back before the slot is: what waited for both need not wait.
func TestPermitIsFreeForTheSuccessor(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		r.submit("first", asQueue, worksFor(time.Second))
		r.submit("second", asQueue, worksFor(time.Second))
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range r.rec.Events("second") {
			if e.Kind == taskvisor.TaskGated {
				t.Errorf("%v", e)
			}
		}
		r.trace("second", "U A S ✓ E D")
	}, taskvisor.WithMaxConcurrent(1))
}

// Dependents of what has ended without having been ready fail in the order of their ids.
func TestDependentsFailInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		fails := taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)))
		specs := []taskvisor.TaskSpec{taskvisor.Once("database", fails)}
		for i := range 50 {
			specs = append(specs, taskvisor.Once(nth("worker", i), noWork, taskvisor.After("database")))
		}
		if _, err := sup.AddAll(context.Background(), specs...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var last taskvisor.TaskID
		n := 0
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.ActorExhausted && e.Task != "database" {
				if n++; e.TaskID < last {
					t.Errorf("%q fails after %d", e.Task, last)
				}
				last = e.TaskID
			}
		}
		if n != 50 {
			t.Errorf("%d fail", n)
		}
	})
}
