package work

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// RawRestart calls a body n times, each under a recover.
func RawRestart(m *rounds.Meter, n int) error {
	done := 0
	fn := func(context.Context) error { done++; return nil }
	ctx := context.Background()
	m.Start()
	for range n {
		_ = Protect(ctx, fn)
	}
	m.Stop()
	return Counted("attempts", done, n)
}

// RawTimeout is RawRestart with a standard context per attempt.
func RawTimeout(m *rounds.Meter, n int) error {
	done := 0
	fn := func(context.Context) error { done++; return nil }
	m.Start()
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_ = Protect(ctx, fn)
		cancel()
	}
	m.Stop()
	return Counted("attempts", done, n)
}

// Loop returns a body that succeeds n times and then ends its task.
func Loop(n int) taskvisor.Func {
	i := 0
	return func(context.Context) error {
		if i++; i >= n {
			return taskvisor.ErrCanceled
		}
		return nil
	}
}

// Restart runs one task for n attempts without delay.
func Restart(opts ...taskvisor.TaskOption) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		sup, err := started()
		if err != nil {
			return err
		}
		return end(sup, restart(m, sup, n, opts...))
	}
}

func restart(m *rounds.Meter, sup *taskvisor.Supervisor, n int, opts ...taskvisor.TaskOption) error {
	ctx := context.Background()
	opts = append([]taskvisor.TaskOption{taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor()}, opts...)
	m.Start()
	h, err := sup.Add(ctx, taskvisor.Restartable("loop", Loop(n), opts...))
	if err != nil {
		return err
	}
	o, err := h.Wait(ctx)
	m.Stop()
	if err != nil {
		return err
	}
	return Counted("attempts", o.Attempts, n)
}

// RestartBeside is Restart with the given subscribers, of which nothing may be
// unaccounted for. What was lost is reported.
func RestartBeside(subscribers func() []taskvisor.Option) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		sup, err := started(subscribers()...)
		if err != nil {
			return err
		}
		if err := end(sup, restart(m, sup, n)); err != nil {
			return err
		}
		lost, err := Accounts(sup.Snapshot())
		m.Report("lost/op", float64(lost)/float64(n))
		return err
	}
}

// Counters are n queued subscribers with the default capacity.
func Counters(n int) func() []taskvisor.Option {
	return func() []taskvisor.Option {
		var opts []taskvisor.Option
		for range n {
			opts = append(opts, taskvisor.WithSubscriber(&Counter{}))
		}
		return opts
	}
}
