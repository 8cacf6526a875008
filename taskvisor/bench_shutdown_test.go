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
	b.Run("taskvisor", func(b *testing.B) {
		ended.Store(0)
		names := batchNames()
		for b.Loop() {
			b.StopTimer()
			var begun sync.WaitGroup
			begun.Add(batch)
			sup := newSupervisor(b)
			for _, name := range names {
				_, err := sup.Add(context.Background(), taskvisor.Once(name, func(ctx context.Context) error {
					begun.Done()
					<-ctx.Done()
					ended.Add(1)
					return nil
				}))
				if err != nil {
					b.Fatal(err)
				}
			}
			begun.Wait()
			b.StartTimer()
			if err := sup.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
			same(b, "tasks removed", sup.Snapshot().Removed, batch)
		}
		same(b, "bodies that ended", ended.Load(), int64(b.N)*batch)
		perTask(b)
	})
}
