package taskvisor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// One task has at most 64 KiB of a report, however many goroutines it has: its
// name, id and first stacks are there, and the others' as well.
func TestStacksOfOneTaskAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		release := make(chan struct{})
		addTo(t, sup, taskvisor.Once("many", func(ctx context.Context) error {
			for depth := range 100 {
				if err := taskvisor.Go(ctx, func(context.Context) { waitDeep(depth, release) }); err != nil {
					t.Error(err)
				}
			}
			<-release
			return nil
		}))
		addTo(t, sup, taskvisor.Once("one", func(context.Context) error { return bodyBlocks(release) }))
		synctest.Wait()
		sup.Shutdown(context.Background())
		for _, h := range sup.List() {
			stack := h.Status().Stack
			if h.Name() == "many" && (len(stack) > 64<<10 || len(stack) < 60<<10 || !strings.Contains(stack, "waitDeep")) {
				t.Errorf("%d bytes of stacks", len(stack))
			}
			if h.Name() == "one" && !strings.Contains(stack, "bodyBlocks") {
				t.Errorf("the other's stack is %q", stack)
			}
		}
		close(release)
	})
}

//go:noinline
func waitDeep(depth int, release <-chan struct{}) {
	if depth > 0 {
		waitDeep(depth-1, release)
		return
	}
	<-release
}
