package growth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// slots measures submissions while others own that many slots.
func slots(chart *Chart, times, size int) error {
	sup, err := occupied(size)
	if err != nil {
		return err
	}
	const n = 10_000
	for _, op := range []struct {
		name string
		run  func(*taskvisor.Supervisor, int) (time.Duration, error)
	}{{"Submit, run, wait", submitFree}, {"Replace of a slot's owner", replace}} {
		ns, err := of(times, n, func() (time.Duration, error) { return op.run(sup, n) })
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", op.name, err), sup.Shutdown(context.Background()))
		}
		chart.add(op.name, size, ns)
	}
	return sup.Shutdown(context.Background())
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
