package work

import (
	"context"
	"errors"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The sides "raw+contract" are bare Go again, with what taskvisor's contract makes
// each attempt have, written by hand: pprof labels with the names of supervisor
// and task and an id, a context of its own that ends with a cause, and two
// readings of the clock. There is still no handle, no policy and no registry.

// Labelled puts the labels on a context and on the goroutine.
func Labelled(ctx context.Context, name string, id int) context.Context {
	ctx = pprof.WithLabels(ctx, pprof.Labels("supervisor", "raw", "task", name, "task_id", strconv.Itoa(id)))
	pprof.SetGoroutineLabels(ctx)
	return ctx
}

var errOver = errors.New("attempt is over")

// attempt is Protect with a context of its own and the time that it took.
func attempt(ctx context.Context, took *time.Duration, fn taskvisor.Func) error {
	begun := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	err := Protect(ctx, fn)
	cancel(errOver)
	*took += time.Since(begun)
	return err
}

// EquippedOneShot is RawOneShot so equipped.
func EquippedOneShot(m *rounds.Meter, n int) error {
	ran := 0
	fn := func(context.Context) error { ran++; return nil }
	ctx := context.Background()
	m.Start()
	for i := range n {
		done := make(chan error, 1)
		go func() {
			var took time.Duration
			done <- attempt(Labelled(ctx, "task", i), &took, fn)
		}()
		if err := <-done; err != nil {
			return err
		}
	}
	m.Stop()
	return Counted("runs", ran, n)
}

// EquippedBatch is RawBatch so equipped.
func EquippedBatch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	fn := func(context.Context) error { ran.Add(1); return nil }
	ctx := context.Background()
	names := Names(n)
	m.Start()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var took time.Duration
			_ = attempt(Labelled(ctx, names[i], i), &took, fn)
		})
	}
	wg.Wait()
	m.Stop()
	return Counted("runs", int(ran.Load()), n)
}

// EquippedFailures is RawFailures so equipped.
func EquippedFailures(m *rounds.Meter, n int) error {
	ran := 0
	ctx := context.Background()
	m.Start()
	for i := range n {
		body := Flaky(&ran)
		fn := func(context.Context) error { return body() }
		done := make(chan struct{})
		go func() {
			ctx := Labelled(ctx, "task", i)
			var took time.Duration
			for attempt(ctx, &took, fn) != nil {
			}
			close(done)
		}()
		<-done
	}
	m.Stop()
	return Counted("attempts", ran, n*(Failures+1))
}
