package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Each benchmark has a row "raw": the same work with bare goroutines and a
// recover, the limit of what Go can do.

type discard struct{ n atomic.Uint64 }

func (d *discard) OnEvent(context.Context, taskvisor.Event) { d.n.Add(1) }

func newSupervisor(tb testing.TB, opts ...taskvisor.Option) *taskvisor.Supervisor {
	tb.Helper()
	sup, err := taskvisor.New(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := sup.Shutdown(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return sup
}

// protect is what the simplest supervisor does around a body.
func protect(fn taskvisor.Func) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return fn(context.Background())
}

// loop returns a body that ends its task as completed after n attempts.
func loop(n int) taskvisor.Func {
	i := 0
	return func(context.Context) error {
		if i++; i >= n {
			return taskvisor.ErrCanceled
		}
		return nil
	}
}

func BenchmarkRestartLoop(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		fn := func(context.Context) error { n++; return nil }
		for b.Loop() {
			_ = protect(fn)
		}
		same(b, "attempts", n, b.N)
	})
	run := func(name string, subs int, opts ...taskvisor.TaskOption) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var options []taskvisor.Option
			var sinks []*discard
			for range subs {
				sinks = append(sinks, &discard{})
				options = append(options, taskvisor.WithSubscriber(sinks[len(sinks)-1]))
			}
			sup := newSupervisor(b, options...)
			opts = append(opts, taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor())
			b.ResetTimer()
			h, err := sup.Add(context.Background(), taskvisor.Restartable("loop", loop(b.N), opts...))
			if err != nil {
				b.Fatal(err)
			}
			if o, _ := h.Wait(context.Background()); o.Attempts != b.N {
				b.Fatalf("%d attempts, want %d", o.Attempts, b.N)
			}
			b.StopTimer()
			if err := sup.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
			lost := 0.0
			for _, st := range sup.Snapshot().Subscribers {
				for _, n := range st.Dropped {
					lost += float64(n)
				}
			}
			if subs > 0 {
				b.ReportMetric(lost/float64(b.N), "lost/op")
			}
		})
	}
	run("bare", 0)
	run("timeout", 0, taskvisor.WithTimeout(time.Minute))
	run("subscribers=1", 1)
	run("subscribers=4", 4)
	run("subscribers=16", 16)
}

func BenchmarkOneShot(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		fn := func(context.Context) error { n++; return nil }
		for b.Loop() {
			done := make(chan error, 1)
			go func() { done <- protect(fn) }()
			<-done
		}
		same(b, "bodies", n, b.N)
	})
	b.Run("taskvisor", func(b *testing.B) {
		b.ReportAllocs()
		sup := newSupervisor(b)
		fn := func(context.Context) error { return nil }
		ctx := context.Background()
		for b.Loop() {
			h, err := sup.Add(ctx, taskvisor.Once("task", fn))
			if err != nil {
				b.Fatal(err)
			}
			if o, err := h.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeCompleted {
				b.Fatal(o, err)
			}
		}
	})
}

const batch = 100_000

func batchNames() []string {
	names := make([]string, batch)
	for i := range names {
		names[i] = fmt.Sprintf("task-%06d", i)
	}
	return names
}

func BenchmarkBatch(b *testing.B) {
	perTask := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/task")
	}
	b.Run("raw", func(b *testing.B) {
		var n atomic.Int64
		fn := func(context.Context) error { n.Add(1); return nil }
		for b.Loop() {
			var wg sync.WaitGroup
			for range batch {
				wg.Go(func() { _ = protect(fn) })
			}
			wg.Wait()
		}
		same(b, "bodies", n.Load(), int64(b.N)*batch)
		perTask(b)
	})
	for _, subs := range []int{0, 1} {
		b.Run(fmt.Sprintf("taskvisor/subscribers=%d", subs), func(b *testing.B) {
			var n atomic.Int64
			fn := func(context.Context) error { n.Add(1); return nil }
			names := batchNames()
			for b.Loop() {
				var opts []taskvisor.Option
				if subs > 0 {
					opts = append(opts, taskvisor.WithSubscriber(&discard{}))
				}
				sup, err := taskvisor.New(opts...)
				if err != nil {
					b.Fatal(err)
				}
				specs := make([]taskvisor.TaskSpec, batch)
				for i := range specs {
					specs[i] = taskvisor.Once(names[i], fn)
				}
				if err := sup.Run(context.Background(), specs...); err != nil {
					b.Fatal(err)
				}
				sn := sup.Snapshot()
				if sn.Removed != batch {
					b.Fatalf("%d tasks removed", sn.Removed)
				}
				for _, st := range sn.Subscribers {
					lost := uint64(0) // a batch is larger than a queue
					for _, n := range st.Dropped {
						lost += n
					}
					if st.Delivered+lost != sn.Seq {
						b.Fatalf("delivered %d of %d, dropped %v", st.Delivered, sn.Seq, st.Dropped)
					}
				}
			}
			same(b, "bodies", n.Load(), int64(b.N)*batch)
			perTask(b)
		})
	}
}

func BenchmarkFiveFailures(b *testing.B) {
	fail := errors.New("fail")
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		attempts := 0
		for b.Loop() {
			done := make(chan error, 1)
			go func() {
				for i := 0; ; i++ {
					err := protect(func(context.Context) error {
						if attempts++; i < 5 {
							return fail
						}
						return nil
					})
					if err == nil {
						done <- nil
						return
					}
				}
			}()
			<-done
		}
		same(b, "attempts", attempts, 6*b.N)
	})
	b.Run("taskvisor", func(b *testing.B) {
		b.ReportAllocs()
		sup := newSupervisor(b, taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
		ctx := context.Background()
		for b.Loop() {
			i := 0
			fn := func(context.Context) error {
				if i++; i <= 5 {
					return fail
				}
				return nil
			}
			h, err := sup.Add(ctx, taskvisor.Restartable("task", fn))
			if err != nil {
				b.Fatal(err)
			}
			if o, _ := h.Wait(ctx); o.Attempts != 6 {
				b.Fatal(o)
			}
		}
	})
}

func BenchmarkPanic(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		fn := func(context.Context) error { n++; panic("boom") }
		for b.Loop() {
			_ = protect(fn)
		}
		same(b, "panics", n, b.N)
	})
	b.Run("taskvisor", func(b *testing.B) {
		b.ReportAllocs()
		sup := newSupervisor(b, taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
		i, n := 0, b.N
		fn := func(context.Context) error {
			if i++; i >= n {
				return nil
			}
			panic("boom")
		}
		h, err := sup.Add(context.Background(), taskvisor.Restartable("task", fn))
		if err != nil {
			b.Fatal(err)
		}
		if o, _ := h.Wait(context.Background()); o.Attempts != n {
			b.Fatal(o)
		}
	})
}

// BenchmarkSnapshot is what a probe, a scrape and the first view of the page cost
// before they have shown anything.
func BenchmarkSnapshot(b *testing.B) {
	for _, tasks := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("tasks=%d", tasks), func(b *testing.B) {
			sup := newSupervisor(b)
			for i := range tasks {
				_, err := sup.Add(context.Background(), taskvisor.Periodic(fmt.Sprint("task-", i), time.Hour,
					func(context.Context) error { return nil }))
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if n := len(sup.Snapshot().Tasks); n != tasks {
					b.Fatal(n)
				}
			}
		})
	}
}
