package taskvisor_test

import (
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// stuckBody ignores its context for a while; its name is what stacks show.
func stuckBody(context.Context) error { time.Sleep(time.Minute); return nil }

// A body that still runs StuckAfter past its deadline or its stop, whichever came
// first, is reported once, with its stack.
func TestStuckIsReportedOnce(t *testing.T) {
	type row struct {
		opts  []taskvisor.TaskOption
		stops []time.Duration // when it is stopped
		trace string
		at    time.Duration // of TaskStuck
		why   taskvisor.Reason
	}
	const second = time.Second
	timeout := taskvisor.WithTimeout(10 * second)
	eachInRoom(t, map[string]row{
		"deadline":                    {[]taskvisor.TaskOption{timeout}, nil, "A S T K ✗ E D", 15 * second, 0},
		"deadline, own patience":      {[]taskvisor.TaskOption{timeout, taskvisor.WithStuckAfter(second)}, nil, "A S T K ✗ E D", 11 * second, 0},
		"stop":                        {nil, []time.Duration{10 * second}, "A S Q K ✓ D", 15 * second, taskvisor.ErrRemoved},
		"stop, own patience":          {[]taskvisor.TaskOption{taskvisor.WithStuckAfter(20 * second)}, []time.Duration{10 * second}, "A S Q K ✓ D", 30 * second, taskvisor.ErrRemoved},
		"deadline, then stop":         {[]taskvisor.TaskOption{timeout}, []time.Duration{12 * second}, "A S T Q K ✗ D", 15 * second, taskvisor.ErrRemoved},
		"deadline, stuck, then stop":  {[]taskvisor.TaskOption{timeout}, []time.Duration{20 * second}, "A S T K Q ✗ D", 15 * second, 0},
		"stop, then another":          {nil, []time.Duration{10 * second, 12 * second, 20 * second}, "A S Q K ✓ D", 15 * second, taskvisor.ErrRemoved},
		"stop before the deadline":    {[]taskvisor.TaskOption{timeout}, []time.Duration{8 * second}, "A S Q K ✓ D", 13 * second, taskvisor.ErrRemoved},
		"back in time":                {[]taskvisor.TaskOption{taskvisor.WithTimeout(56 * second)}, nil, "A S T ✗ E D", 0, 0},
		"abandoned first":             {[]taskvisor.TaskOption{taskvisor.WithGrace(2 * second)}, []time.Duration{10 * second}, "A S Q N ✓ R D", 0, 0},
		"abandoned at the same time":  {[]taskvisor.TaskOption{taskvisor.WithGrace(5 * second)}, []time.Duration{10 * second}, "A S Q N ✓ R D", 0, 0},
		"stuck and then abandoned":    {[]taskvisor.TaskOption{taskvisor.WithGrace(8 * second)}, []time.Duration{10 * second}, "A S Q K N ✓ R D", 15 * second, taskvisor.ErrRemoved},
		"neither deadline nor a stop": {nil, nil, "A S ✓ E D", 0, 0},
	}, func(r *room, tt row) {
		h := r.add(taskvisor.Once("a", stuckBody, append([]taskvisor.TaskOption{taskvisor.WithGrace(time.Minute)}, tt.opts...)...))
		for _, at := range tt.stops {
			time.AfterFunc(at, func() { h.Stop() })
		}
		if tt.at > 0 {
			time.Sleep(tt.at - 1)
			synctest.Wait()
			same(r, "stuck too early", h.Status().Stuck, false)
			time.Sleep(1)
			synctest.Wait()
			same(r, "stuck", h.Status().Stuck, true)
		}
		time.Sleep(2 * time.Minute)
		r.trace("a", tt.trace)
		same(r, "stuck after the end", h.Status().Stuck, false)
		for _, e := range r.events(taskvisor.TaskStuck) {
			same(r, "duration", e.Duration, tt.at)
			same(r, "reason", e.Reason, tt.why)
			same(r, "attempt", e.Attempt, 1)
			if !strings.Contains(e.Stack, "taskvisor_test.stuckBody") || !strings.Contains(e.Stack, "stuck_test.go") {
				r.Errorf("stack %q", e.Stack)
			}
		}
	})
}

// A shutdown's stop is one too.
func TestStuckDuringShutdown(t *testing.T) {
	inRoom(t, func(r *room) {
		r.add(taskvisor.Once("a", stuckBody))
		r.add(taskvisor.Once("b", stuckBody, taskvisor.WithStuckAfter(time.Second)))
		time.Sleep(time.Second)
		begin := time.Now()
		same(r, "shutdown", r.sup.Shutdown(context.Background()), nil)
		r.trace("a", "A S K ✓ D")
		r.trace("b", "A S K ✓ D")
		for _, e := range r.events(taskvisor.TaskStuck) {
			same(r, "reason", e.Reason, taskvisor.ErrShutdown)
			same(r, "at", e.Time.Sub(begin), map[string]time.Duration{"a": 5 * time.Second, "b": time.Second}[e.Task])
		}
	}, taskvisor.WithGrace(time.Minute))
}

// Each attempt is judged anew.
func TestStuckInEachAttempt(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Restartable("a", stuckBody, taskvisor.WithTimeout(time.Second), taskvisor.WithMaxRetries(1)))
		r.trace("a", "A S T K ✗ B S T K ✗ E D")
	})
}

// The stacks are those of this task's goroutines, helpers that earlier attempts
// leaked included, and of nobody else's.
func TestStuckStacksAreTheTasksOwn(t *testing.T) {
	inRoom(t, func(r *room) {
		quit := make(chan struct{})
		n := 0
		r.add(taskvisor.Restartable("culprit", func(ctx context.Context) error {
			if n++; n == 1 {
				go leakedHelper(quit)
				return errBoom
			}
			mustGo(r, ctx, func(context.Context) { stuckChild(quit) })
			pprof.Do(ctx, pprof.Labels("own", "label"), func(ctx context.Context) { stuckInDo(quit) })
			return nil
		}, taskvisor.WithTimeout(time.Second)))
		// Tasks that are fine, or stuck at another time, and strangers, are not in it.
		r.add(taskvisor.Once("resident", func(ctx context.Context) error { return residentBody(ctx) }))
		r.add(taskvisor.Once(`"taskvisor_task_id":"1"`, func(ctx context.Context) error { return residentBody(ctx) }))
		go stranger(quit)
		time.Sleep(10 * time.Second)
		stuck := r.events(taskvisor.TaskStuck)
		if len(stuck) != 1 {
			r.Fatalf("%d TaskStuck", len(stuck))
		}
		same(r, "attempt", stuck[0].Attempt, 2)
		for _, want := range []string{"leakedHelper", "stuckChild", "stuckInDo"} {
			same(r, want+" is in the stack", strings.Contains(stuck[0].Stack, "taskvisor_test."+want), true)
		}
		for _, other := range []string{"residentBody", "stranger", "inRoom"} {
			same(r, other+" is in the stack", strings.Contains(stuck[0].Stack, other), false)
		}
		close(quit)
	})
}

func leakedHelper(quit chan struct{})        { <-quit }
func stuckChild(quit chan struct{})          { <-quit }
func stuckInDo(quit chan struct{})           { <-quit }
func stranger(quit chan struct{})            { <-quit }
func residentBody(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// A body that replaced its labels cannot be found; it is reported all the same.
func TestStuckWithoutLabels(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(ctx context.Context) error {
			pprof.SetGoroutineLabels(context.Background())
			return stuckBody(ctx)
		}, taskvisor.WithTimeout(time.Second)))
		r.trace("a", "A S T K ✗ E D")
		same(r, "stack", r.events(taskvisor.TaskStuck)[0].Stack, "")
	})
}

// Captures stop the world, so they are rationed: tasks that get stuck together share
// one, others wait for the next, and all have their stacks.
func TestStuckCapturesAreRationed(t *testing.T) {
	inRoom(t, func(r *room) {
		for _, at := range []time.Duration{0, 0, 300 * ms, 1300 * ms} {
			name := fmt.Sprintf("a%d", len(r.sup.List()))
			r.add(taskvisor.Once(name, stuckBody, taskvisor.WithTimeout(time.Second+at)))
		}
		time.Sleep(30 * time.Second)
		got := map[string]bool{}
		for _, e := range r.events(taskvisor.TaskStuck) {
			got[e.Task] = e.Stack != ""
		}
		same(r, "reports and stacks", fmt.Sprint(got), "map[a0:true a1:true a2:true a3:true]")
		time.Sleep(time.Minute)
	})
}

// Stacks are at most 64 KiB a task, 1 MiB in one report.
func TestStuckStacksAreBounded(t *testing.T) {
	const depth = 9
	quit := make(chan struct{})
	body := func(context.Context) error {
		for path := range 1 << depth { // as many different stacks
			go left(path, depth, quit)
		}
		<-quit
		return nil
	}
	inRoom(t, func(r *room) {
		quit = make(chan struct{})
		for i := range 20 {
			r.add(taskvisor.Once(fmt.Sprintf("a%d", i), body, taskvisor.WithTimeout(time.Second)))
		}
		time.Sleep(10 * time.Second)
		total, filled := 0, 0
		for _, e := range r.events(taskvisor.TaskStuck) {
			total += len(e.Stack)
			if len(e.Stack) > 64<<10 {
				r.Errorf("the stack of %s has %d bytes", e.Task, len(e.Stack))
			}
			if len(e.Stack) > 32<<10 {
				filled++
			}
		}
		if total > 1<<20 || filled < 10 {
			r.Errorf("%d bytes in one report, %d tasks with much", total, filled)
		}
		close(quit)
	})
}

// left and right make a stack of their own for every path.
func left(path, depth int, quit chan struct{}) {
	if depth == 0 {
		<-quit
	} else if path&1 == 0 {
		left(path>>1, depth-1, quit)
	} else {
		right(path>>1, depth-1, quit)
	}
}

func right(path, depth int, quit chan struct{}) {
	if depth == 0 {
		<-quit
	} else if path&1 == 0 {
		left(path>>1, depth-1, quit)
	} else {
		right(path>>1, depth-1, quit)
	}
}

// Stacks are read once in a second at most. A body that is given up before its turn
// comes is announced as stuck all the same, and first; where it is, its status shows.
func TestStuckBeforeAbandoned(t *testing.T) {
	inRoom(t, func(r *room) {
		grace := taskvisor.WithGrace(1500 * time.Millisecond)
		first := r.add(taskvisor.Once("first", stuckBody, grace, taskvisor.WithStuckAfter(time.Second)))
		second := r.add(taskvisor.Once("second", stuckBody, grace, taskvisor.WithStuckAfter(1200*time.Millisecond)))
		synctest.Wait()
		first.Stop()
		second.Stop()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if st := second.Status(); !st.Stuck || !strings.Contains(st.Stack, "taskvisor_test.stuckBody") {
			r.Errorf("stuck %v, stack %q", st.Stuck, st.Stack)
		}
		time.Sleep(time.Minute)
		r.trace("first", "A S Q K N ✓ R D")
		r.trace("second", "A S Q K N ✓ R D")
	})
}
