package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/grafana/dskit/services"
	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
)

// dskit's services neither restart nor recover from panics, so that the rows
// about that have no dskit side. A service that returns nil has terminated.
func rows() []rounds.Row {
	return []rounds.Row{
		{Name: "OneShot", Title: "one-shot: add, run, wait", Op: "task", N: 200_000, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawOneShot}, {Name: "taskvisor", Run: work.OneShot}, {Name: "dskit", Run: oneShot}}},
		{Name: "Batch", Title: "Run of 100 000 instant tasks", Op: "task", N: 100_000, Fixed: true, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawBatch}, {Name: "taskvisor", Run: work.Batch(0)}, {Name: "dskit", Run: batch}}},
		{Name: "Stop", Title: "stop 100 000 idle tasks", Op: "task", N: 100_000, Fixed: true, Sides: []rounds.Side{
			{Name: "raw", Run: work.RawStop}, {Name: "taskvisor", Run: work.Stop}, {Name: "dskit", Run: stop}}},
	}
}

func oneShot(m *rounds.Meter, n int) error {
	ran := 0
	ctx := context.Background()
	m.Start()
	for range n {
		s := services.NewBasicService(nil, func(context.Context) error { ran++; return nil }, nil)
		if err := s.StartAsync(ctx); err != nil {
			return err
		}
		if err := s.AwaitTerminated(ctx); err != nil {
			return err
		}
	}
	m.Stop()
	return work.Counted("runs", ran, n)
}

func batch(m *rounds.Meter, n int) error {
	var ran atomic.Int64
	ctx := context.Background()
	m.Start()
	all := make([]services.Service, n)
	for i := range all {
		all[i] = services.NewBasicService(nil, func(context.Context) error { ran.Add(1); return nil }, nil)
	}
	manager, err := services.NewManager(all...)
	if err != nil {
		return err
	}
	err = errors.Join(manager.StartAsync(ctx), manager.AwaitStopped(ctx))
	m.Stop()
	return errors.Join(err, work.Counted("runs", int(ran.Load()), n))
}

func stop(m *rounds.Meter, n int) error {
	var idle work.Idle
	manager, err := resting(n, &idle)
	if err != nil {
		return err
	}
	m.Start()
	manager.StopAsync()
	err = manager.AwaitStopped(context.Background())
	m.Stop()
	return errors.Join(err, work.Counted("stopped", int(idle.Stopped.Load()), n))
}

// resting starts n services that wait for their stop.
func resting(n int, idle *work.Idle) (*services.Manager, error) {
	idle.Ready.Add(n)
	all := make([]services.Service, n)
	for i := range all {
		all[i] = services.NewBasicService(nil, idle.Body, nil)
	}
	manager, err := services.NewManager(all...)
	if err != nil {
		return nil, err
	}
	if err := services.StartManagerAndAwaitHealthy(context.Background(), manager); err != nil {
		return nil, err
	}
	idle.Ready.Wait()
	return manager, nil
}

func kinds() []footprint.Kind {
	all := footprint.Only("taskvisor", footprint.Running)
	return append(all, footprint.Kind{State: footprint.Running, Side: "dskit", Hold: func(n int) (any, error) {
		var idle work.Idle
		return resting(n, &idle)
	}})
}
