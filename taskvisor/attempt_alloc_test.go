//go:build !race

// Under the race detector sync.Pool forgets on purpose, and every count is wrong.

package taskvisor_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// bytesPerAttempt returns what one attempt allocates, over many: the least of some
// measurements, since the rest of the process allocates now and then.
func bytesPerAttempt(t *testing.T, fn taskvisor.Func, topts []taskvisor.TaskOption, opts ...taskvisor.Option) (bytes, mallocs float64) {
	t.Helper()
	bytes, mallocs = measureLoop(t, fn, topts, opts)
	for i := 0; i < 4 && (bytes > 16.5 || mallocs > 0.05); i++ {
		b, m := measureLoop(t, fn, topts, opts)
		bytes, mallocs = min(bytes, b), min(mallocs, m)
	}
	return bytes, mallocs
}

// measureLoop runs a restart loop without delays.
func measureLoop(t *testing.T, fn taskvisor.Func, topts []taskvisor.TaskOption, opts []taskvisor.Option) (bytes, mallocs float64) {
	t.Helper()
	const warm, counted = 5000, 50_000
	sup, err := taskvisor.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	n := 0
	body := func(ctx context.Context) error {
		switch n++; n {
		case warm:
			runtime.ReadMemStats(&before)
		case warm + counted:
			runtime.ReadMemStats(&after)
			return taskvisor.ErrCanceled
		}
		return fn(ctx)
	}
	topts = append(topts[:len(topts):len(topts)], taskvisor.WithoutRestartFloor(), taskvisor.RestartAlways(0), taskvisor.ConstantBackoff(0))
	if err := sup.Run(t.Context(), taskvisor.Restartable("a", body, topts...)); err != nil {
		t.Fatal(err)
	}
	return float64(after.TotalAlloc-before.TotalAlloc) / counted, float64(after.Mallocs-before.Mallocs) / counted
}

// inlineCounter counts events where they are made.
type inlineCounter struct{ n atomic.Int64 }

func (c *inlineCounter) OnEvent(context.Context, taskvisor.Event) { c.n.Add(1) }
func (c *inlineCounter) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// An attempt in a restart loop allocates twice: itself, which is its context, and what
// starts its goroutine. A gate is asked with a function, an event takes its share of a
// piece of the queue, and what is delivered inline passes through a pool.
func TestAttemptAllocations(t *testing.T) {
	inline, queued := &inlineCounter{}, subscriberFunc(func(taskvisor.Event) {})
	long := []taskvisor.TaskOption{taskvisor.WithTimeout(time.Hour)}
	fail := func(context.Context) error { return errBoom }
	retry := []taskvisor.TaskOption{taskvisor.WithUnlimitedRetries()}
	for name, tt := range map[string]struct {
		fn     taskvisor.Func
		topts  []taskvisor.TaskOption
		opts   []taskvisor.Option
		pieces float64
	}{
		"success":        {noWork, nil, nil, 2},
		"failure":        {fail, retry, []taskvisor.Option{taskvisor.WithSubscriber(taskvisor.Discard)}, 2},
		"with a timeout": {noWork, long, nil, 2},
		"with a permit":  {noWork, nil, []taskvisor.Option{taskvisor.WithMaxConcurrent(1)}, 4},
		"inline":         {noWork, nil, []taskvisor.Option{taskvisor.WithSubscriber(inline)}, 6},
		"queued":         {noWork, nil, []taskvisor.Option{taskvisor.WithSubscriber(queued)}, 4},
		"failure, all": {fail, append(retry, long...), []taskvisor.Option{
			taskvisor.WithSubscriber(inline), taskvisor.WithSubscriber(queued),
			taskvisor.WithSubscriber(queued, taskvisor.WithName("another")),
		}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			bytes, mallocs := bytesPerAttempt(t, tt.fn, tt.topts, tt.opts...)
			if mallocs > tt.pieces+0.1 { // for what the rest of the process does
				t.Errorf("an attempt allocates %.1f bytes in %.2f pieces, want at most %v", bytes, mallocs, tt.pieces)
			}
		})
	}
	if inline.n.Load() == 0 {
		t.Error("no event was delivered")
	}
}

// A policy's delay and the questions that labels answer are free.
func TestPureFunctionAllocations(t *testing.T) {
	b := taskvisor.ExponentialBackoff(time.Second, time.Minute)
	n := 0
	for name, f := range map[string]func(){
		"Delay":    func() { n++; b.Delay(n%100, 0.5) },
		"String":   func() { _ = taskvisor.TaskFailed.String() + taskvisor.ResultPanic.String()[:0] },
		"Terminal": func() { taskvisor.TaskFailed.Terminal() },
		"Is":       func() { _ = taskvisor.ErrRemoved.Is(context.Canceled) },
		"Once":     func() { n += len(taskvisor.Once("a", noWork).Name()) },
	} {
		if got := testing.AllocsPerRun(100, f); got > 0 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
}
