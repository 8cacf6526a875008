package work

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// RawOneShot starts a goroutine and waits for its result, n times.
func RawOneShot(m *rounds.Meter, n int) error {
	ran := 0
	fn := func(context.Context) error { ran++; return nil }
	ctx := context.Background()
	m.Start()
	for range n {
		done := make(chan error, 1)
		go func() { done <- Protect(ctx, fn) }()
		if err := <-done; err != nil {
			return err
		}
	}
	m.Stop()
	return Counted("runs", ran, n)
}

// OneShot adds a task and waits for its outcome, n times.
func OneShot(m *rounds.Meter, n int) error {
	sup, err := started()
	if err != nil {
		return err
	}
	ran := 0
	fn := func(context.Context) error { ran++; return nil }
	ctx := context.Background()
	m.Start()
	for range n {
		h, err := sup.Add(ctx, taskvisor.Once("task", fn))
		if err != nil {
			return end(sup, err)
		}
		if _, err := h.Wait(ctx); err != nil {
			return end(sup, err)
		}
	}
	m.Stop()
	return end(sup, Counted("runs", ran, n))
}

// RawBatch runs n bodies at once and waits for all.
func RawBatch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	fn := func(context.Context) error { ran.Add(1); return nil }
	ctx := context.Background()
	m.Start()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { _ = Protect(ctx, fn) })
	}
	wg.Wait()
	m.Stop()
	return Counted("runs", int(ran.Load()), n)
}

// Batch is Run of n tasks that return at once.
func Batch(subscribers int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		var ran atomic.Int64
		fn := func(context.Context) error { ran.Add(1); return nil }
		names := Names(n)
		m.Start()
		sup, err := taskvisor.New(Counters(subscribers)()...)
		if err != nil {
			return err
		}
		specs := make([]taskvisor.TaskSpec, n)
		for i := range specs {
			specs[i] = taskvisor.Once(names[i], fn)
		}
		err = sup.Run(context.Background(), specs...)
		m.Stop()
		if err != nil {
			return err
		}
		sn := sup.Snapshot()
		lost, err := Accounts(sn)
		if err != nil {
			return err
		}
		if subscribers > 0 {
			m.Report(rounds.Lost, float64(lost)/float64(n))
		}
		if err := Counted("tasks removed", int(sn.Removed), n); err != nil {
			return err
		}
		return Counted("runs", int(ran.Load()), n)
	}
}

// Idle is a body that waits for its stop, and counts both.
type Idle struct {
	Ready   sync.WaitGroup // Add before, Done by each body
	Stopped atomic.Int64
}

// Body waits for its context.
func (i *Idle) Body(ctx context.Context) error {
	i.Ready.Done()
	<-ctx.Done()
	i.Stopped.Add(1)
	return nil
}

// RawStop stops n goroutines that wait for one context.
func RawStop(m *rounds.Meter, n int) error {
	var idle Idle
	idle.Ready.Add(n)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { _ = Protect(ctx, idle.Body) })
	}
	idle.Ready.Wait()
	m.Start()
	cancel()
	wg.Wait()
	m.Stop()
	return Counted("stopped", int(idle.Stopped.Load()), n)
}

// RawStopEach is RawStop where each goroutine has a context of its own, as any
// task has that can be stopped alone.
func RawStopEach(m *rounds.Meter, n int) error {
	var idle Idle
	idle.Ready.Add(n)
	root, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(root)
			defer cancel()
			_ = Protect(ctx, idle.Body)
		})
	}
	idle.Ready.Wait()
	m.Start()
	cancel()
	wg.Wait()
	m.Stop()
	return Counted("stopped", int(idle.Stopped.Load()), n)
}

// Stop shuts down a supervisor with n idle tasks.
func Stop(m *rounds.Meter, n int) error {
	var idle Idle
	idle.Ready.Add(n)
	names := Names(n)
	sup, err := started()
	if err != nil {
		return err
	}
	specs := make([]taskvisor.TaskSpec, n)
	for i := range specs {
		specs[i] = taskvisor.Once(names[i], idle.Body)
	}
	if _, err := sup.AddAll(context.Background(), specs...); err != nil {
		return end(sup, err)
	}
	idle.Ready.Wait()
	m.Start()
	err = sup.Shutdown(context.Background())
	m.Stop()
	if err != nil {
		return err
	}
	return Counted("stopped", int(idle.Stopped.Load()), n)
}
