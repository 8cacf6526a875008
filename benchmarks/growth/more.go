package growth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscribers measures an attempt of a restart loop beside 0 to 16 subscribers.
// The time is that of all processors: on a machine with a free core the task
// itself is faster.
func Subscribers(times, n int, sizes ...int) (Chart, error) {
	chart := Chart{Name: "subscribers", Title: "Processor time of one attempt of a restart loop, by subscribers", X: "subscribers"}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{runtime.GOMAXPROCS(0), 1} {
		runtime.GOMAXPROCS(procs)
		for _, size := range sizes {
			for _, side := range peers.Beside(size) {
				name := side.Name
				if procs == 1 {
					name += ", 1 processor"
				}
				var cpu []float64
				for range times {
					s, err := rounds.Measure(chart.Name, side, max(1, n/max(1, side.Part)))
					if err != nil {
						return chart, err
					}
					cpu = append(cpu, s.CPUPerOp)
				}
				chart.add(name, size, rounds.Median(cpu))
			}
		}
	}
	return chart, nil
}

// Slots measures submissions while others own that many slots.
func Slots(times int, sizes ...int) (Chart, error) {
	chart := Chart{Name: "slots", Title: "Cost of one submission, by occupied slots", X: "occupied slots"}
	for _, size := range sizes {
		sup, err := occupied(size)
		if err != nil {
			return chart, err
		}
		const n = 10_000
		for _, op := range []struct {
			name string
			run  func(*taskvisor.Supervisor, int) (time.Duration, error)
		}{{"Submit, run, wait in a free slot", submitFree}, {"Replace the owner of a slot", replace}, {"DropIfRunning, refused", refused}} {
			ns, err := of(times, n, func() (time.Duration, error) { return op.run(sup, n) })
			if err != nil {
				return chart, errors.Join(fmt.Errorf("%s: %w", op.name, err), sup.Shutdown(context.Background()))
			}
			chart.add(op.name, size, ns)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			return chart, err
		}
	}
	return chart, nil
}

// occupied starts a supervisor with n slots whose owners wait for an hour.
func occupied(n int) (*taskvisor.Supervisor, error) {
	sup, err := taskvisor.New()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	for _, name := range work.Names(n) {
		if _, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Periodic(name, time.Hour, instant)}); err != nil {
			return nil, errors.Join(err, sup.Shutdown(ctx))
		}
	}
	for sup.Count(taskvisor.StateWaiting) < n {
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC()
	return sup, nil
}

func submitFree(sup *taskvisor.Supervisor, n int) (time.Duration, error) {
	ctx := context.Background()
	began := time.Now()
	for range n {
		h, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once("one-shot", instant), Slot: "free"})
		if err != nil {
			return 0, err
		}
		if o, err := h.Wait(ctx); err != nil || o.Kind != taskvisor.OutcomeCompleted {
			return 0, errors.Join(err, fmt.Errorf("outcome %s", o.Kind))
		}
	}
	return time.Since(began), nil
}

func replace(sup *taskvisor.Supervisor, n int) (time.Duration, error) {
	ctx := context.Background()
	body := func(ctx context.Context) error { <-ctx.Done(); return nil }
	var last *taskvisor.Handle
	began := time.Now()
	for range n {
		h, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once("newest", body), Slot: "latest", Admission: taskvisor.Replace})
		if err != nil {
			return 0, err
		}
		if last != nil {
			if _, err := last.Wait(ctx); err != nil {
				return 0, err
			}
		}
		last = h
	}
	took := time.Since(began)
	o, err := last.Cancel(ctx)
	if err == nil && o.Kind != taskvisor.OutcomeCanceled {
		err = fmt.Errorf("outcome %s", o.Kind)
	}
	return took, err
}

func refused(sup *taskvisor.Supervisor, n int) (time.Duration, error) {
	ctx := context.Background()
	rejected := 0
	slot := work.Names(1)[0]
	began := time.Now()
	for range n {
		h, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once("late", instant), Slot: slot, Admission: taskvisor.DropIfRunning})
		if err != nil {
			return 0, err
		}
		if o, done := h.Outcome(); done && o.Kind == taskvisor.OutcomeRejected {
			rejected++
		}
	}
	return time.Since(began), work.Counted("rejected", rejected, n)
}

// Cores measures work that eight goroutines or tasks share, by the number of
// processors that Go may use.
func Cores(times int, n int, procs ...int) (Chart, error) {
	chart := Chart{Name: "cores", Title: "Cost of one operation of eight at a time, by processors", X: "GOMAXPROCS"}
	for _, p := range procs {
		before := runtime.GOMAXPROCS(p)
		for _, op := range []struct {
			name string
			run  func(n int) (time.Duration, error)
		}{{"add, run, wait", shared(work.OneShot)}, {"add, run, wait: raw", shared(work.RawOneShot)},
			{"attempt", shared(work.Restart())}, {"attempt: raw", shared(work.RawRestart)},
			{"add, run, wait on one supervisor", sharedSupervisor}} {
			ns, err := of(times, n, func() (time.Duration, error) { return op.run(n) })
			if err != nil {
				runtime.GOMAXPROCS(before)
				return chart, fmt.Errorf("%s: %w", op.name, err)
			}
			chart.add(op.name, p, ns)
		}
		runtime.GOMAXPROCS(before)
	}
	return chart, nil
}

const sharers = 8

// shared has eight goroutines do an eighth of the work each, apart from one
// another.
func shared(side func(*rounds.Meter, int) error) func(n int) (time.Duration, error) {
	return func(n int) (time.Duration, error) {
		return together(func(int) error { return side(&rounds.Meter{}, n/sharers) })
	}
}

// sharedSupervisor has them use one supervisor.
func sharedSupervisor(n int) (time.Duration, error) {
	ctx := context.Background()
	sup, err := taskvisor.New()
	if err != nil {
		return 0, err
	}
	if err := sup.Start(ctx); err != nil {
		return 0, err
	}
	names := work.Names(sharers)
	took, err := together(func(i int) error {
		for range n / sharers {
			h, err := sup.Add(ctx, taskvisor.Once(names[i], instant))
			if err != nil {
				return err
			}
			if o, err := h.Wait(ctx); err != nil || o.Attempts != 1 {
				return errors.Join(err, work.Counted("attempts", o.Attempts, 1))
			}
		}
		return nil
	})
	return took, errors.Join(err, sup.Shutdown(ctx))
}

func together(f func(i int) error) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, sharers)
	began := time.Now()
	for i := range sharers {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}
