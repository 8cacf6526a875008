package growth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// admissions is how many tasks a gate lets in while somebody looks at the clock.
const admissions = 1000

// queue is a gate with one place and many tasks that wait at it, in order. The
// first of each thousand to be let in keeps the place until it is released, so
// that what happens between two of them can be measured.
type queue struct {
	sup     *taskvisor.Supervisor
	limit   *taskvisor.Limit
	entered chan error    // from the first of a thousand; an error if not all came in order
	release chan struct{} // to it
	next    int           // index of the task whose turn it is; the gate guards it
}

// gated measures how long a task that has its turn takes to be let in, to run and
// to let in the next, while at least size others wait.
func gated(chart *Chart, times, size int) error {
	q := &queue{limit: taskvisor.NewLimit("one", 0), entered: make(chan error), release: make(chan struct{})}
	sup, err := taskvisor.New()
	if err != nil {
		return err
	}
	q.sup = sup
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := sup.Start(ctx); err != nil {
		return err
	}
	for i, name := range work.Names(size + times*admissions + 1) {
		if _, err := sup.Add(ctx, taskvisor.Once(name, q.body(i), taskvisor.WithGate(q.limit))); err != nil {
			return errors.Join(err, sup.Shutdown(ctx))
		}
	}
	took, err := q.run(times)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", Admission, err), sup.Shutdown(context.Background()))
	}
	chart.add(Admission, size, took)
	return sup.Shutdown(context.Background())
}

// body returns the work of task i.
func (q *queue) body(i int) taskvisor.Func {
	return func(ctx context.Context) error {
		var err error
		if q.next != i {
			err = fmt.Errorf("task %d was let in, want %d", i, q.next)
		}
		q.next = i + 1
		if err == nil && i%admissions > 0 {
			return nil
		}
		select {
		case q.entered <- err:
			select {
			case <-q.release:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		return nil
	}
}

// run opens the gate, and returns the median time of an admission.
func (q *queue) run(times int) (float64, error) {
	runtime.GC()
	q.limit.Resize(1)
	if err := <-q.entered; err != nil {
		return 0, err
	}
	values := make([]float64, times)
	for i := range values {
		began := time.Now()
		q.release <- struct{}{}
		if err := <-q.entered; err != nil {
			return 0, err
		}
		values[i] = float64(time.Since(began)) / admissions
	}
	return rounds.Median(values), nil
}
