package taskvisor_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// flag is a gate that somebody opens.
type flag struct {
	mu      sync.Mutex // guards the fields below
	open    bool
	waiting []func()
}

func (f *flag) Enter(_ taskvisor.Attempt, ready func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.open {
		f.waiting = append(f.waiting, ready)
	}
	return f.open
}

func (f *flag) Leave(taskvisor.Attempt) {}
func (f *flag) String() string          { return "feature_flag" }

func (f *flag) turnOn() {
	f.mu.Lock()
	f.open = true
	waiting := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for _, ready := range waiting {
		ready() // which asks again, and must not find the lock held
	}
}

// A gate is asked before each attempt. Who waits at one has no goroutine and says so.
func ExampleGate() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	gate := &flag{}
	h, _ := sup.Add(ctx, taskvisor.Once("new feature", func(context.Context) error {
		fmt.Println("begun")
		return nil
	}, taskvisor.WithGate(gate)))
	st := h.Status()
	fmt.Println(st.State, "at", st.Gate)
	gate.turnOn()
	outcome, _ := h.Wait(ctx)
	fmt.Println(outcome.Kind)
	// Output:
	// pending at feature_flag
	// begun
	// completed
}

// Tasks that use a database together use at most two of its connections.
func ExampleNewLimit() {
	limit := taskvisor.NewLimit("database", 2)
	var now, most atomic.Int32
	query := func(context.Context) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return nil
	}
	var specs []taskvisor.TaskSpec
	for i := range 20 {
		specs = append(specs, taskvisor.Once(fmt.Sprint("query ", i), query, taskvisor.WithGate(limit)))
	}
	err := quiet().Run(context.Background(), specs...)
	fmt.Println("never more than two:", most.Load() <= 2, err)
	// Output: never more than two: true <nil>
}
