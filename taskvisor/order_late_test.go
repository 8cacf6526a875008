package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A dependency that ends after it was found, and before that is noted, has ended without
// having been ready: its dependent fails, and nothing of it is kept. The order's lock
// keeps the dependent there, so this is no bubble.
func TestDependencyEndsWhileItIsNamed(t *testing.T) {
	for name, depend := range map[string]func(...string) taskvisor.TaskOption{"after": taskvisor.After, "bound": taskvisor.BoundTo} {
		t.Run(name, func(t *testing.T) {
			sup, rec := newSup(t)
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			end := make(chan struct{})
			a := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { <-end; return errBoom }))
			eventually(t, "it runs", func() bool { return taskvisor.Active(a) })
			order := taskvisor.Locks(a)["order"]
			order.Lock()
			added := make(chan *taskvisor.Handle, 1)
			go func() { added <- addTo(t, sup, taskvisor.Once("b", noWork, depend("a"))) }()
			eventually(t, "b has found a", func() bool { return atLocks() > 0 })
			close(end)
			a.Wait(context.Background())
			order.Unlock()
			b := <-added
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if o, err := b.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeFailed || !errors.Is(o.Err, taskvisor.ErrDependency) {
				t.Errorf("%v (%v), %v", o.Kind, o.Err, err)
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got, want := rec.Trace("b"), "A E D"; got != want {
				t.Errorf("events %q, want %q", got, want)
			}
			if n := taskvisor.Ordered(sup); n != 0 {
				t.Errorf("%d tasks are kept in order", n)
			}
		})
	}
}
