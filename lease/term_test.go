package lease_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The lease of an attempt is not that of the tasks which it adds with its context, also
// where their own subscriber is another owner's; nor does that take the attempt's away.
func TestTermIsOfOneTask(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		other, err := lease.New(f.engine.Connect(), lease.WithID("other"), lease.WithTTL(ttl), lease.WithObserver(func(lease.Event) {}))
		if err != nil {
			t.Fatal(err)
		}
		r := f.join(taskvisor.WithSubscriber(other.Subscriber()))
		var mu sync.Mutex
		got := map[string]taskvisor.TaskID{} // whose lease each has
		note := func(ctx context.Context, name string) {
			of, ok := lease.TermOf(ctx)
			if token, has := lease.Token(ctx); has != ok || token != of.Token {
				t.Errorf("token %d, %t of %+v", token, has, of)
			}
			mu.Lock()
			defer mu.Unlock()
			got[name] = of.TaskID
		}
		add := func(ctx context.Context, name string, then func(ctx context.Context), opts ...taskvisor.TaskOption) *taskvisor.Handle {
			h, err := r.sup.Add(ctx, taskvisor.Once(name, func(ctx context.Context) error {
				note(ctx, name)
				then(ctx)
				return nil
			}, opts...))
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		nothing := func(context.Context) {}
		var leased taskvisor.TaskID
		leader := add(t.Context(), "leader", func(ctx context.Context) {
			add(ctx, "bare", nothing)
			h := add(ctx, "leased", nothing, other.Singleton("else"))
			_, _ = h.Wait(ctx)
			leased = h.ID()
		}, r.owner.Singleton("job"))
		time.Sleep(3 * ttl)
		synctest.Wait()
		want := map[string]taskvisor.TaskID{"leader": leader.ID(), "bare": 0, "leased": leased}
		if !maps.Equal(got, want) {
			t.Errorf("leases of %v, want %v", got, want)
		}
	})
}
