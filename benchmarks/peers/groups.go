package peers

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/oklog/run"
	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"golang.org/x/sync/errgroup"
)

var errDone = errors.New("done")

func oklogOneShot(m *rounds.Meter, n int) error {
	ran := 0
	m.Start()
	for range n {
		var g run.Group
		g.Add(func() error { ran++; return errDone }, func(error) {})
		if err := g.Run(); err != errDone {
			return err
		}
	}
	m.Stop()
	return work.Counted("runs", ran, n)
}

func oklogBatch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	m.Start()
	var g run.Group
	for range n {
		g.Add(func() error { ran.Add(1); return errDone }, func(error) {})
	}
	err := g.Run()
	m.Stop()
	if err != errDone {
		return err
	}
	return work.Counted("runs", int(ran.Load()), n)
}

// oklogStop has one actor that returns, whereupon the group interrupts the
// others, each through a context of its own.
func oklogStop(m *rounds.Meter, n int) error {
	var idle work.Idle
	idle.Ready.Add(n)
	var g run.Group
	stop := make(chan struct{})
	g.Add(func() error { <-stop; return errDone }, func(error) {})
	for range n {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { return idle.Body(ctx) }, func(error) { cancel() })
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run() }()
	idle.Ready.Wait()
	m.Start()
	close(stop)
	err := <-ended
	m.Stop()
	if err != errDone {
		return err
	}
	return work.Counted("stopped", int(idle.Stopped.Load()), n)
}

func errgroupOneShot(m *rounds.Meter, n int) error {
	ran := 0
	m.Start()
	for range n {
		var g errgroup.Group
		g.Go(func() error { ran++; return nil })
		if err := g.Wait(); err != nil {
			return err
		}
	}
	m.Stop()
	return work.Counted("runs", ran, n)
}

func errgroupBatch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	m.Start()
	var g errgroup.Group
	for range n {
		g.Go(func() error { ran.Add(1); return nil })
	}
	err := g.Wait()
	m.Stop()
	if err != nil {
		return err
	}
	return work.Counted("runs", int(ran.Load()), n)
}

func errgroupStop(m *rounds.Meter, n int) error {
	var idle work.Idle
	idle.Ready.Add(n)
	root, cancel := context.WithCancel(context.Background())
	defer cancel()
	g, ctx := errgroup.WithContext(root)
	for range n {
		g.Go(func() error { return idle.Body(ctx) })
	}
	idle.Ready.Wait()
	m.Start()
	cancel()
	err := g.Wait()
	m.Stop()
	if err != nil {
		return err
	}
	return work.Counted("stopped", int(idle.Stopped.Load()), n)
}

func concOneShot(m *rounds.Meter, n int) error {
	ran := 0
	m.Start()
	for range n {
		var g conc.WaitGroup
		g.Go(func() { ran++ })
		g.Wait()
	}
	m.Stop()
	return work.Counted("runs", ran, n)
}

func concBatch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	m.Start()
	var g conc.WaitGroup
	for range n {
		g.Go(func() { ran.Add(1) })
	}
	g.Wait()
	m.Stop()
	return work.Counted("runs", int(ran.Load()), n)
}

func concStop(m *rounds.Meter, n int) error {
	var idle work.Idle
	idle.Ready.Add(n)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var g conc.WaitGroup
	for range n {
		g.Go(func() { _ = idle.Body(ctx) })
	}
	idle.Ready.Wait()
	m.Start()
	cancel()
	g.Wait()
	m.Stop()
	return work.Counted("stopped", int(idle.Stopped.Load()), n)
}

// concPanic contains the panics, with their stacks; conc restarts nothing, so a
// loop does.
func concPanic(m *rounds.Meter, n int) error {
	stacks := 0
	m.Start()
	for range n {
		if r := panics.Try(func() { panic("boom") }); r != nil && len(r.Stack) > 0 {
			stacks++
		}
	}
	m.Stop()
	return work.Counted("stacks", stacks, n)
}
