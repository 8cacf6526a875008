package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// nowhere is a store that never answers.
type nowhere struct{ Store }

func (nowhere) Acquire(ctx context.Context, _, _ string, _ time.Duration) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (nowhere) Holders(ctx context.Context, _ string) (map[string]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A task may end while its gate is asked: the core then asks, says that the task has
// gone, and leaves the gate. Nothing of the task stays, or its lease would be kept for
// ever.
func TestGateLeftAfterTheTaskHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := New(nowhere{}, WithTTL(4*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(o.Subscriber()))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		var a taskvisor.Attempt
		spec := taskvisor.Once("gone", func(ctx context.Context) error {
			a, _ = taskvisor.FromContext(ctx)
			return nil
		}, taskvisor.WithGrace(time.Second))
		h, err := sup.Add(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		<-h.Done()
		synctest.Wait() // its end has been told
		g := &gate{o: o, name: "key", label: "lease key"}
		if g.Enter(a, func() {}) {
			t.Fatal("let in without a lease")
		}
		g.Leave(a)
		time.Sleep(o.ttl) // the request that is on its way
		if left := o.Status(); len(left) > 0 {
			t.Errorf("kept: %+v", left)
		}
		o.mu.Lock()
		if len(o.tasks) > 0 {
			t.Errorf("kept: %v", o.tasks)
		}
		o.mu.Unlock()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
