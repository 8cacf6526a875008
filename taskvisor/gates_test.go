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

// door is a gate that is open or not.
type door struct {
	mu            sync.Mutex
	open          bool
	ready         map[taskvisor.TaskID]func()
	entered, left int
	misbehave     func()
}

func (d *door) Enter(a taskvisor.Attempt, ready func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.misbehave; m != nil {
		d.misbehave = nil
		m()
	}
	if d.open {
		d.entered++
		return true
	}
	if d.ready == nil {
		d.ready = map[taskvisor.TaskID]func(){}
	}
	d.ready[a.TaskID] = ready
	return false
}

func (d *door) Leave(a taskvisor.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left++
	delete(d.ready, a.TaskID)
}

func (d *door) String() string { return "door" }

func (d *door) set(open bool) {
	d.mu.Lock()
	d.open = open
	var told []func()
	for id, ready := range d.ready {
		told = append(told, ready)
		delete(d.ready, id)
	}
	d.mu.Unlock()
	for _, ready := range told {
		ready()
	}
}

// A task that waits at a gate is pending, says so, has no attempt number, and goes on
// when the gate opens.
func TestGate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		d := &door{}
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithGate(d)))
		time.Sleep(time.Minute)
		st := h.Status()
		if st.State != taskvisor.StatePending || st.Gate != "door" || st.Attempt != 0 {
			t.Errorf("status %+v", st)
		}
		d.set(false) // asked again in vain: not announced again
		d.set(true)
		outcomeOf(t, h)
		synctest.Wait()
		gated := 0
		for _, e := range rec.Events("a") {
			switch e.Kind {
			case taskvisor.TaskGated:
				gated++
				if e.Gate != "door" || e.Attempt != 1 {
					t.Errorf("event %v", e)
				}
			case taskvisor.TaskStarting:
				if e.Duration != time.Minute {
					t.Errorf("it waited for %v", e.Duration)
				}
			}
		}
		if gated != 1 || d.entered != 1 || d.left != 1 {
			t.Errorf("announced %d times, entered %d, left %d", gated, d.entered, d.left)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
	})
}

// A gate that closes interrupts what it has let in, by the handles of its attempts.
func TestGateCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		d := &door{open: true}
		var let []*taskvisor.Handle
		closing := &closingDoor{door: d, let: &let}
		h := addTo(t, sup, taskvisor.Restartable("a", untilDone, taskvisor.WithGate(closing)))
		synctest.Wait()
		if len(let) != 1 || let[0] != h {
			t.Fatalf("let in %v, not %v", let, h)
		}
		d.set(false)
		let[0].Interrupt(errBoom)
		time.Sleep(time.Second)
		if st := h.Status(); st.State != taskvisor.StatePending || st.Gate != "door" {
			t.Errorf("%v at %q", st.State, st.Gate)
		}
		wantTrace(t, rec, "a", "A S I C B")
	})
	if h := (taskvisor.Attempt{}).Handle(); h != nil {
		t.Errorf("an attempt of nobody has the handle %v", h)
	}
}

// closingDoor knows whom it has let in.
type closingDoor struct {
	*door
	let *[]*taskvisor.Handle
}

func (d *closingDoor) Enter(a taskvisor.Attempt, ready func()) bool {
	ok := d.door.Enter(a, ready)
	if ok {
		*d.let = append(*d.let, a.Handle())
	}
	return ok
}

// A stop, and a pause, end the wait at once; the gate is left.
func TestGateIsLeftBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		d := &door{}
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithGate(d)))
		synctest.Wait()
		h.Pause(nil)
		if st := h.Status(); st.State != taskvisor.StatePaused || st.Gate != "" || d.left != 1 {
			t.Errorf("status %v at %q, left %d", st.State, st.Gate, d.left)
		}
		d.set(true) // late
		h.Resume(nil)
		outcomeOf(t, h)
		other := addTo(t, sup, taskvisor.Once("b", noWork, taskvisor.WithGate(&door{})))
		synctest.Wait()
		other.Stop()
		if o := outcomeOf(t, other); o.Kind != taskvisor.OutcomeCanceled || o.Attempts != 0 {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "b", "A Q D")
	})
}

// A task that was let in waits for no gate any more.
func TestStatusBehindTheGate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		d := &door{}
		h := addTo(t, sup, taskvisor.Once("a", untilDone, taskvisor.WithGate(d)))
		synctest.Wait()
		same(t, "gate of one that waits", h.Status().Gate, "door")
		d.set(true)
		synctest.Wait()
		st := h.Status()
		same(t, "state", st.State, taskvisor.StateRunning)
		same(t, "gate", st.Gate, "")
	})
}

// What a gate does wrong is contained, reported, and it is asked again.
func TestGateIsContained(t *testing.T) {
	for name, wrong := range map[string]func(){"panic": func() { panic("gate") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				d := &door{open: true, misbehave: wrong}
				go func() { _, _ = sup.Add(context.Background(), taskvisor.Once("a", noWork, taskvisor.WithGate(d))) }()
				time.Sleep(2 * time.Second)
				wantTrace(t, rec, "a", "A S ✓ E D")
				wantTrace(t, rec, "", "P")
			})
		})
	}
}

// A limit is shared, first come, first served, and can be resized.
func TestLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		limit := taskvisor.NewLimit("db", 1)
		var mu sync.Mutex
		var order []string
		for i := range 4 {
			name := fmt.Sprint(i)
			addTo(t, sup, taskvisor.Once(name, func(context.Context) error {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				time.Sleep(time.Minute)
				return nil
			}, taskvisor.WithGate(limit)))
			synctest.Wait()
		}
		if sup.Count(taskvisor.StateRunning) != 1 {
			t.Errorf("%d run", sup.Count(taskvisor.StateRunning))
		}
		limit.Resize(3)
		synctest.Wait()
		if sup.Count(taskvisor.StateRunning) != 3 {
			t.Errorf("%d run after it was resized", sup.Count(taskvisor.StateRunning))
		}
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 4 || order[0] != "0" || order[3] != "3" { // 1 and 2 were let in together
			t.Errorf("order %v", order)
		}
	})
}

// Retries beyond the budget wait; attempts that follow no failure do not.
func TestRestartBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithRestartBudget(2, time.Minute))
		var begun atomic.Int32
		for i := range 4 {
			addTo(t, sup, taskvisor.Restartable(fmt.Sprint(i), func(context.Context) error {
				begun.Add(1)
				return errBoom
			}, taskvisor.ConstantBackoff(time.Second)))
		}
		time.Sleep(2 * time.Second)
		if n := begun.Load(); n != 6 { // four first attempts and two retries
			t.Errorf("%d attempts within two seconds", n)
		}
		time.Sleep(time.Minute)
		if n := begun.Load(); n < 7 || n > 9 {
			t.Errorf("%d attempts after a minute", n)
		}
		gated := false
		for _, e := range rec.Events() {
			gated = gated || e.Kind == taskvisor.TaskGated && e.Gate == "restart_budget"
		}
		if !gated {
			t.Error("nobody was announced as throttled")
		}
	})
}

// After waits for readiness, and a shutdown goes the other way.
func TestAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		var log []string
		resident := func(name string) taskvisor.Func {
			return func(ctx context.Context) error {
				log = append(log, name+" up")
				taskvisor.Ready(ctx)
				<-ctx.Done()
				if by, ok := taskvisor.StopDeadline(ctx); !ok || time.Until(by) <= 0 {
					t.Errorf("%s: no time to stop", name)
				}
				time.Sleep(time.Second)
				log = append(log, name+" down")
				return ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Minute, cancel)
		err := sup.Run(ctx, taskvisor.Restartable("server", resident("server"), taskvisor.After("worker")),
			taskvisor.Restartable("worker", resident("worker"), taskvisor.WithReadiness(), taskvisor.After("database")),
			taskvisor.Restartable("database", resident("database"), taskvisor.WithReadiness()))
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		sameList(t, "order", log, []string{"database up", "worker up", "server up", "server down", "worker down", "database down"})
		wantTrace(t, rec, "", "H L L L V")
	})
}

// Unknown names and cycles are errors that name them.
func TestAfterRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		if _, err := sup.Add(context.Background(), taskvisor.Once("a", noWork, taskvisor.After("nobody"))); err == nil || !errorsMention(err, "nobody") {
			t.Errorf("unknown: %v", err)
		}
		_, err := sup.AddAll(context.Background(), taskvisor.Once("a", noWork, taskvisor.After("b")), taskvisor.Once("b", noWork, taskvisor.BoundTo("a")))
		if err == nil || !errorsMention(err, `"a"`) || len(sup.List()) != 0 {
			t.Errorf("cycle: %v", err)
		}
	})
}

func errorsMention(err error, what string) bool {
	return err != nil && strings.Contains(err.Error(), what)
}

// A dependency that ends without having been ready fails its dependents.
func TestDependencyEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		hs, err := sup.AddAll(context.Background(),
			taskvisor.Once("database", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(errBoom)))),
			taskvisor.Restartable("worker", noWork, taskvisor.After("database")),
			taskvisor.Restartable("server", noWork, taskvisor.After("worker")))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hs[1:] {
			if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeFailed || !errors.Is(o.Err, taskvisor.ErrDependency) {
				t.Errorf("%s: %+v", h.Name(), o)
			}
			synctest.Wait()
			wantTrace(t, rec, h.Name(), "A E D")
		}
	})
}

// BoundTo: rest for one.
func TestBoundTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		hs, err := sup.AddAll(context.Background(),
			taskvisor.Restartable("connection", taskvisortest.Script(taskvisortest.After(time.Minute, taskvisortest.Fail(errBoom)), taskvisortest.Block()), taskvisor.ConstantBackoff(10*time.Second)),
			taskvisor.Restartable("consumer", taskvisortest.Script(taskvisortest.Block()), taskvisor.BoundTo("connection")))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(65 * time.Second)
		if st := hs[1].Status(); st.State != taskvisor.StatePending || st.Gate != "after" || st.Streak != 0 {
			t.Errorf("status %v at %q", st.State, st.Gate)
		}
		time.Sleep(10 * time.Second)
		if st := hs[1].Status(); st.State != taskvisor.StateRunning || st.Attempt != 2 {
			t.Errorf("status %v, attempt %d", st.State, st.Attempt)
		}
		wantTrace(t, rec, "consumer", "A S I C B S")
	})
}

// A task with WithReadiness says when it is ready.
func TestReadiness(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			time.Sleep(time.Minute)
			taskvisor.Ready(ctx)
			taskvisor.Ready(ctx)
			<-ctx.Done()
			return nil
		}, taskvisor.WithReadiness()))
		time.Sleep(time.Second)
		if h.Status().Ready {
			t.Error("ready before it said so")
		}
		time.Sleep(time.Minute)
		if !h.Status().Ready {
			t.Error("not ready although it said so")
		}
		h.Stop()
		outcomeOf(t, h)
		n := 0
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskReady {
				n++
			}
		}
		if n != 1 || h.Status().Ready {
			t.Errorf("announced %d times, ready after the end: %v", n, h.Status().Ready)
		}
	})
}
