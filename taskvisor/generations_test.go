package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// freed counts things that the collector has taken.
type freed struct{ n atomic.Int64 }

// track returns something large whose end is counted.
func (f *freed) track() *[1 << 10]byte {
	p := new([1 << 10]byte)
	runtime.AddCleanup(p, func(f *freed) { f.n.Add(1) }, f)
	return p
}

// atLeast collects garbage until so many are gone.
func (f *freed) atLeast(t *testing.T, what string, want int64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); f.n.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s: %d of %d collected", what, f.n.Load(), want)
			return
		}
		runtime.GC()
	}
}

type generationKey struct{}

// Tasks that add each other with their own context keep one generation in memory,
// whatever each laid on top of it, and the oldest value below is seen by the last.
func TestGenerationsKeepOneInMemory(t *testing.T) {
	const generations = 10_000
	for name, next := range map[string]func(ctx context.Context, v any) context.Context{
		"the attempt's context": func(ctx context.Context, _ any) context.Context { return ctx },
		"one derived from it":   func(ctx context.Context, v any) context.Context { return context.WithValue(ctx, generationKey{}, v) },
		"one without its cancellation": func(ctx context.Context, v any) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), generationKey{}, v)
		},
	} {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		gone := &freed{}
		last := make(chan context.Context, 1)
		release := make(chan struct{})
		var add func(ctx context.Context, i int) error
		add = func(ctx context.Context, i int) error {
			v := gone.track()
			_, err := sup.Add(next(ctx, v), taskvisor.Once(fmt.Sprint("n", i), func(ctx context.Context) error {
				runtime.KeepAlive(v) // the body keeps it, and so does the context
				if i == generations {
					last <- ctx
					<-release
					return nil
				}
				return add(ctx, i+1)
			}))
			return err
		}
		if err := add(context.WithValue(context.Background(), "below", "everything"), 1); err != nil {
			t.Fatal(err)
		}
		ctx := <-last
		gone.atLeast(t, name, generations-100)
		if got := ctx.Value("below"); got != "everything" {
			t.Errorf("%s: what lies below is %v", name, got)
		}
		close(release)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A handle, a status, an event and an outcome of a task that ended keep neither its
// work nor the values of its context.
func TestWhatWasHandedOutKeepsNothing(t *testing.T) {
	const tasks = 500
	gone := &freed{}
	var mu sync.Mutex // guards events
	var events []taskvisor.Event
	sup, err := taskvisor.New(taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.TaskRemoved {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	var handles []*taskvisor.Handle
	var kept []context.Context
	for i := range tasks {
		work, value := gone.track(), gone.track()
		h, err := sup.Add(context.WithValue(context.Background(), generationKey{}, value), taskvisor.Once(fmt.Sprint("n", i), func(ctx context.Context) error {
			kept = append(kept, ctx)
			if ctx.Value(generationKey{}) != value {
				return errBoom
			}
			runtime.KeepAlive(work)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if o, err := h.Wait(context.Background()); err != nil || o.Kind != taskvisor.OutcomeCompleted {
			t.Fatalf("%v, %v", o, err)
		}
		handles = append(handles, h)
	}
	gone.atLeast(t, "work and values", 2*tasks-10)
	runtime.KeepAlive(handles)
	runtime.KeepAlive(kept)
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(events)
}
