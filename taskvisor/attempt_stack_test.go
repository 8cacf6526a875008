package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// stacks is the memory of all stacks in use.
func stacks() int {
	runtime.GC() // which also gives back what ended goroutines have left
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// What an attempt does before it calls its body fits into the stack that a goroutine
// begins with: a larger one would be kept while the body waits, and to copy it takes a
// third of the time of a restart. (Inline subscribers are called on it, and may need
// more.)
func TestAttemptsKeepASmallStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes frames larger")
	}
	if strings.HasPrefix(runtime.Version(), "go1.25") {
		t.Skip("its compiler makes frames larger")
	}
	const tasks = 4000
	// each returns what a goroutine that begin starts has as its stack while it waits.
	each := func(begin func(i int, body taskvisor.Func)) int {
		before := stacks()
		running := make(chan struct{}, tasks)
		for i := range tasks {
			begin(i, func(ctx context.Context) error {
				running <- struct{}{}
				<-ctx.Done()
				return nil
			})
		}
		for range tasks {
			<-running
		}
		return (stacks() - before) / tasks
	}
	for name, sub := range map[string]taskvisor.Subscribe{"nobody": taskvisor.Discard, "queued": &discard{}} {
		t.Run(name, func(t *testing.T) {
			var raw, ours int
			for range 10 {
				ctx, cancel := context.WithCancel(context.Background())
				var bare sync.WaitGroup
				raw = each(func(_ int, body taskvisor.Func) { bare.Go(func() { _ = body(ctx) }) })
				sup := newSupervisor(t, taskvisor.WithSubscriber(sub))
				ours = each(func(i int, body taskvisor.Func) { addTo(t, sup, taskvisor.Once(fmt.Sprint(i), body)) })
				cancel()
				bare.Wait()
				if err := sup.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				// The runtime chooses what a goroutine begins with by what others have
				// needed. One that has to wait for a lock grows: another round then.
				if 2*ours <= 3*max(raw, 2048) {
					return
				}
			}
			t.Errorf("%d B of stack for each running task, %d B for each goroutine", ours, raw)
		})
	}
}
