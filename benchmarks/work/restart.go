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

// RestartGated is Restart with a gate of the task's own that always lets it in.
func RestartGated(m *rounds.Meter, n int) error {
	return Restart(taskvisor.WithGate(taskvisor.NewLimit("free", 1)))(m, n)
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
		m.Report(rounds.Lost, float64(lost)/float64(n))
		return err
	}
}

// RestartObserved is RestartBeside, measured until the last subscriber has had the
// last event: the work that it does later is counted too.
func RestartObserved(subscribers func() []taskvisor.Option, opts ...taskvisor.TaskOption) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		return restartBody(m, n, Loop(n), subscribers(), opts)
	}
}

// RestartBody runs body for n attempts, the last of which has to end the task.
func RestartBody(m *rounds.Meter, n int, body taskvisor.Func) error {
	return restartBody(m, n, body, nil, nil)
}

func restartBody(m *rounds.Meter, n int, body taskvisor.Func, opts []taskvisor.Option, task []taskvisor.TaskOption) error {
	sup, err := started(opts...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	m.Start()
	h, err := sup.Add(ctx, taskvisor.Periodic("loop", 0, body, append(task, taskvisor.WithoutRestartFloor())...))
	if err != nil {
		return end(sup, err)
	}
	o, err := h.Wait(ctx)
	err = end(sup, err)
	m.Stop()
	if err != nil {
		return err
	}
	if err := Counted("attempts", o.Attempts, n); err != nil {
		return err
	}
	lost, err := Accounts(sup.Snapshot())
	m.Report(rounds.Lost, float64(lost)/float64(n))
	return err
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
