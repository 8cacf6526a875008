package taskvisor_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkShutdown stops 100 000 tasks that wait for nothing else, and waits for
// the end of all. Starting them is not part of it.
func BenchmarkShutdown(b *testing.B) {
	perTask := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/task")
	}
	var ended atomic.Int64
	b.Run("raw", func(b *testing.B) {
		ended.Store(0)
		for b.Loop() {
			b.StopTimer()
			ctx, cancel := context.WithCancel(context.Background())
			var begun, wg sync.WaitGroup
			begun.Add(batch)
			for range batch {
				wg.Go(func() {
					_ = protect(func(context.Context) error {
						begun.Done()
						<-ctx.Done()
						ended.Add(1)
						return nil
					})
				})
			}
			begun.Wait()
			b.StartTimer()
			cancel()
			wg.Wait()
		}
		same(b, "bodies that ended", ended.Load(), int64(b.N)*batch)
		perTask(b)
	})
	stop := func(b *testing.B, opts ...taskvisor.TaskOption) {
		ended.Store(0)
		names := batchNames()
		for b.Loop() {
			b.StopTimer()
			var begun sync.WaitGroup
			begun.Add(batch + 1)
			work := func(ctx context.Context) error {
				begun.Done()
				<-ctx.Done()
				ended.Add(1)
				return nil
			}
			sup := newSupervisor(b)
			specs := []taskvisor.TaskSpec{taskvisor.Restartable("first", work)}
			for _, name := range names {
				specs = append(specs, taskvisor.Restartable(name, work, opts...))
			}
			if _, err := sup.AddAll(context.Background(), specs...); err != nil {
				b.Fatal(err)
			}
			begun.Wait()
			b.StartTimer()
			if err := sup.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
			same(b, "tasks removed", sup.Snapshot().Removed, batch+1)
		}
		same(b, "bodies that ended", ended.Load(), int64(b.N)*(batch+1))
		perTask(b)
	}
	b.Run("taskvisor", func(b *testing.B) { stop(b) })
	// All depend on one: to forget a dependent does not take longer beside many.
	b.Run("in order", func(b *testing.B) { stop(b, taskvisor.After("first")) })
}
