package lease_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkAttempt is one attempt of a task that has its lease, beside others that have
// theirs: what it costs does not grow with them.
func BenchmarkAttempt(b *testing.B) {
	for _, others := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			var engine leasetest.Memory
			owner, err := lease.New(engine.Connect(), lease.WithObserver(func(lease.Event) {}))
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			sup, err := taskvisor.New(taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(owner.TTL()/4))
			if err != nil {
				b.Fatal(err)
			}
			if err := sup.Start(ctx); err != nil {
				b.Fatal(err)
			}
			began := make(chan struct{}, others)
			for i := range others {
				if _, err := sup.Add(ctx, taskvisor.Restartable(fmt.Sprint("other-", i), func(ctx context.Context) error {
					began <- struct{}{}
					<-ctx.Done()
					return nil
				}, owner.Singleton(fmt.Sprint("other-", i)))); err != nil {
					b.Fatal(err)
				}
			}
			for range others {
				<-began
			}
			left, done := b.N, make(chan struct{})
			b.ResetTimer()
			if _, err := sup.Add(ctx, taskvisor.Restartable("loop", func(context.Context) error {
				if left--; left == 0 {
					close(done)
					return taskvisor.ErrCanceled
				}
				return nil
			}, taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor(), owner.Singleton("loop"))); err != nil {
				b.Fatal(err)
			}
			<-done
			b.StopTimer()
			if err := sup.Shutdown(ctx); err != nil {
				b.Error(err)
			}
		})
	}
}
