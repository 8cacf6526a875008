// Package growth measures how the cost of one operation grows with what is there
// already: registered tasks, subscribers, slots, processors.
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

// Point is the cost of one operation at one size.
type Point struct {
	X  float64
	Ns float64
}

// Series is one curve.
type Series struct {
	Name   string
	Points []Point
}

// Add and Admission are the series that targets are about.
const (
	Add       = "Add"
	Admission = "admission at a gate"
)

// Chart is one plot.
type Chart struct {
	Name, Title, X string
	Series         []Series
}

// At returns a point of a series, and 0 where it was not measured.
func (c Chart) At(series string, x float64) float64 {
	for _, s := range c.Series {
		for _, p := range s.Points {
			if s.Name == series && p.X == x {
				return p.Ns
			}
		}
	}
	return 0
}

func (c *Chart) add(series string, x int, ns float64) {
	for i := range c.Series {
		if c.Series[i].Name == series {
			c.Series[i].Points = append(c.Series[i].Points, Point{float64(x), ns})
			return
		}
	}
	c.Series = append(c.Series, Series{series, []Point{{float64(x), ns}}})
}

// of measures f several times and returns the median time of one of its n
// operations.
func of(times, n int, f func() (time.Duration, error)) (float64, error) {
	values := make([]float64, times)
	for i := range values {
		d, err := f()
		if err != nil {
			return 0, err
		}
		values[i] = float64(d) / float64(n)
	}
	return rounds.Median(values), nil
}

// crowd is a supervisor with many tasks that wait.
type crowd struct {
	sup   *taskvisor.Supervisor
	names []string
}

func instant(context.Context) error { return nil }

// newCrowd registers n tasks that have run once and wait for an hour.
func newCrowd(n int) (*crowd, error) {
	sup, err := taskvisor.New()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	c := &crowd{sup, work.Names(n)}
	specs := make([]taskvisor.TaskSpec, n)
	for i := range specs {
		specs[i] = taskvisor.Periodic(c.names[i], time.Hour, instant)
	}
	handles, err := sup.AddAll(ctx, specs...)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	for _, h := range handles {
		for h.Status().State != taskvisor.StateWaiting {
			time.Sleep(time.Millisecond)
		}
	}
	runtime.GC()
	return c, nil
}

func (c *crowd) close() error { return c.sup.Shutdown(context.Background()) }

// Sizes measures operations of supervisors which hold so many tasks already: that
// wait for their interval, own a slot, or wait at a gate.
func Sizes(times int, sizes ...int) (Chart, error) {
	chart := Chart{Name: "growth", Title: "Cost of one operation, by tasks that are there already", X: "tasks there already"}
	for _, size := range sizes {
		for _, part := range []func(*Chart, int, int) error{registered, slots, gated} {
			if err := part(&chart, times, size); err != nil {
				return chart, err
			}
		}
	}
	return chart, nil
}

// registered measures beside tasks that wait for their interval.
func registered(chart *Chart, times, size int) error {
	c, err := newCrowd(size)
	if err != nil {
		return err
	}
	for _, op := range []struct {
		name string
		n    int
		run  func(n int) (time.Duration, error)
	}{
		{Add, 1000, c.add},
		{"add, run, wait", 10_000, c.oneShot},
		{"Cancel of a waiting task", 1000, c.cancel},
		{"Lookup", 10_000, c.lookup},
		{"Snapshot, per task", size, c.snapshot},
	} {
		ns, err := of(times, op.n, func() (time.Duration, error) { return op.run(op.n) })
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", op.name, err), c.close())
		}
		chart.add(op.name, size, ns)
	}
	return c.close()
}

// extra adds n periodic tasks beside the crowd and returns what that took.
func (c *crowd) extra(n int) ([]*taskvisor.Handle, time.Duration, error) {
	ctx := context.Background()
	handles := make([]*taskvisor.Handle, n)
	specs := make([]taskvisor.TaskSpec, n)
	for i := range specs {
		specs[i] = taskvisor.Periodic(fmt.Sprintf("extra-%07d", i), time.Hour, instant)
	}
	began := time.Now()
	for i := range specs {
		h, err := c.sup.Add(ctx, specs[i])
		if err != nil {
			return nil, 0, err
		}
		handles[i] = h
	}
	return handles, time.Since(began), nil
}

func (c *crowd) add(n int) (time.Duration, error) {
	handles, took, err := c.extra(n)
	return took, errors.Join(err, cancelAll(handles))
}

func (c *crowd) cancel(n int) (time.Duration, error) {
	handles, _, err := c.extra(n)
	if err != nil {
		return 0, err
	}
	for _, h := range handles {
		for h.Status().State != taskvisor.StateWaiting {
			time.Sleep(time.Millisecond)
		}
	}
	began := time.Now()
	err = cancelAll(handles)
	return time.Since(began), err
}

func cancelAll(handles []*taskvisor.Handle) error {
	for _, h := range handles {
		if _, err := h.Cancel(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) oneShot(n int) (time.Duration, error) {
	ctx := context.Background()
	began := time.Now()
	for range n {
		h, err := c.sup.Add(ctx, taskvisor.Once("one-shot", instant))
		if err != nil {
			return 0, err
		}
		if o, err := h.Wait(ctx); err != nil || o.Attempts != 1 {
			return 0, errors.Join(err, work.Counted("attempts", o.Attempts, 1))
		}
	}
	return time.Since(began), nil
}

func (c *crowd) lookup(n int) (time.Duration, error) {
	found := 0
	began := time.Now()
	for i := range n {
		if _, ok := c.sup.Lookup(c.names[i*7919%len(c.names)]); ok {
			found++
		}
	}
	return time.Since(began), work.Counted("found", found, n)
}

func (c *crowd) snapshot(n int) (time.Duration, error) {
	began := time.Now()
	sn := c.sup.Snapshot()
	return time.Since(began), work.Counted("tasks", len(sn.Tasks), n)
}
