package footprint

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/oklog/run"
	"github.com/sourcegraph/conc"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/thejerf/suture/v4"
	"golang.org/x/sync/errgroup"
)

var (
	running = held(taskvisor.StateRunning, func(name string) taskvisor.TaskSpec { return taskvisor.Restartable(name, idle) })
	failed  = held(taskvisor.StateBackoff, func(name string) taskvisor.TaskSpec {
		return taskvisor.Restartable(name, fail, taskvisor.ConstantBackoff(time.Hour))
	})
	waiting = held(taskvisor.StateWaiting, func(name string) taskvisor.TaskSpec { return taskvisor.Periodic(name, time.Hour, instant) })
	gate    = taskvisor.NewLimit("closed", 0)
	pending = held(taskvisor.StatePending, func(name string) taskvisor.TaskSpec {
		return taskvisor.Restartable(name, idle, taskvisor.WithGate(gate))
	})
)

func idle(ctx context.Context) error { <-ctx.Done(); return nil }
func instant(context.Context) error  { return nil }
func fail(context.Context) error     { return work.ErrFail }

// stops are never called: what they would stop ends with the process.
var stops []context.CancelFunc

// endless returns a context that could be cancelled, as a program's has to be.
func endless() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	stops = append(stops, stop)
	return ctx
}

// held adds n tasks and waits until they are in the state. Nothing is logged, which
// would happen without a subscriber.
func held(state taskvisor.State, spec func(name string) taskvisor.TaskSpec) func(int) (any, error) {
	return func(n int) (any, error) {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
		if err != nil {
			return nil, err
		}
		ctx := context.Background()
		if err := sup.Start(ctx); err != nil {
			return nil, err
		}
		for _, name := range work.Names(n) {
			if _, err := sup.Add(ctx, spec(name)); err != nil {
				return nil, err
			}
		}
		return sup, await(sup, state, n)
	}
}

func await(sup *taskvisor.Supervisor, state taskvisor.State, want int) error {
	for range 1000 {
		if sup.Count(state) >= want {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return work.Counted("tasks "+state.String(), sup.Count(state), want)
}

func queued(n int) (any, error) {
	sup, err := taskvisor.New(taskvisor.WithMaxQueue(n))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	for _, name := range work.Names(n + 1) {
		if _, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Restartable(name, idle), Slot: "one"}); err != nil {
			return nil, err
		}
	}
	return sup, work.Counted("queued", sup.Snapshot().Slots[0].Queued, n)
}

func rawRunning(n int) (any, error) {
	ctx := endless()
	var started sync.WaitGroup
	started.Add(n)
	for range n {
		go func() { started.Done(); _ = work.Protect(ctx, idle) }()
	}
	started.Wait()
	return ctx, nil
}

func rawRunningEach(n int) (any, error) {
	return rawContexts(n, func(root context.Context, _ int) context.Context { return root })
}

func rawRunningLabelled(n int) (any, error) {
	names := work.Names(n)
	return rawContexts(n, func(root context.Context, i int) context.Context { return work.Labelled(root, names[i], i) })
}

func rawContexts(n int, parent func(root context.Context, i int) context.Context) (any, error) {
	root := endless()
	var started sync.WaitGroup
	started.Add(n)
	for i := range n {
		go func() {
			ctx, cancel := context.WithCancel(parent(root, i))
			defer cancel()
			started.Done()
			_ = work.Protect(ctx, idle)
		}()
	}
	started.Wait()
	return root, nil
}

func rawTimers(n int) (any, error) {
	timers := make([]*time.Timer, n)
	for i := range timers {
		timers[i] = time.AfterFunc(time.Hour, func() { timers[i].Reset(time.Hour) })
	}
	return timers, nil
}

func errgroupRunning(n int) (any, error) {
	g, ctx := errgroup.WithContext(endless())
	var started sync.WaitGroup
	started.Add(n)
	for range n {
		g.Go(func() error { started.Done(); return idle(ctx) })
	}
	started.Wait()
	return g, nil
}

func oklogRunning(n int) (any, error) {
	g := &run.Group{}
	var started sync.WaitGroup
	started.Add(n)
	for range n {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { started.Done(); return idle(ctx) }, func(error) { cancel() })
	}
	go func() { _ = g.Run() }()
	started.Wait()
	return g, nil
}

func concRunning(n int) (any, error) {
	g, ctx := &conc.WaitGroup{}, endless()
	var started sync.WaitGroup
	started.Add(n)
	for range n {
		g.Go(func() { started.Done(); _ = idle(ctx) })
	}
	started.Wait()
	return g, nil
}

type service struct {
	name  string
	serve func(context.Context) error
}

func (s *service) Serve(ctx context.Context) error { return s.serve(ctx) }
func (s *service) String() string                  { return s.name }

func sutureRunning(n int) (any, error) {
	sup := suture.New("bench", suture.Spec{EventHook: func(suture.Event) {}, FailureThreshold: math.MaxFloat64})
	sup.ServeBackground(endless())
	var started sync.WaitGroup
	started.Add(n)
	for _, name := range work.Names(n) {
		sup.Add(&service{name, func(ctx context.Context) error { started.Done(); return idle(ctx) }})
	}
	started.Wait()
	return sup, nil
}

// sutureBackoff has the supervisor back off, which is the only one that can: all
// of its services then wait, whether they failed or not.
func sutureBackoff(n int) (any, error) {
	var failed sync.WaitGroup
	failed.Add(n)
	hook := func(e suture.Event) {
		if e.Type() == suture.EventTypeServiceTerminate {
			failed.Done()
		}
	}
	sup := suture.New("bench", suture.Spec{EventHook: hook, FailureThreshold: 0.5, FailureBackoff: time.Hour})
	sup.ServeBackground(endless())
	for _, name := range work.Names(n) {
		sup.Add(&service{name, func(context.Context) error { return work.ErrFail }})
	}
	failed.Wait()
	return sup, nil
}

func backoffV5(n int) (any, error) {
	return retrying(n, func(failed func()) {
		op := func() (struct{}, error) { failed(); return struct{}{}, work.ErrFail }
		_, _ = backoff.Retry(context.Background(), op, backoff.WithBackOff(backoff.NewConstantBackOff(time.Hour)),
			backoff.WithMaxElapsedTime(math.MaxInt64))
	})
}

func failsafeBackoff(n int) (any, error) {
	return retrying(n, func(failed func()) {
		policy := retrypolicy.NewBuilder[any]().WithMaxRetries(-1).WithDelay(time.Hour).Build()
		_ = failsafe.With[any](policy).Run(func() error { failed(); return work.ErrFail })
	})
}

// retrying has n goroutines, of which each waits for its second try.
func retrying(n int, retry func(failed func())) (any, error) {
	var failed sync.WaitGroup
	failed.Add(n)
	for range n {
		go retry(failed.Done)
	}
	failed.Wait()
	time.Sleep(time.Second) // from the failure to the timer
	return nil, nil
}
