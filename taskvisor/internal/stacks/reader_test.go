package stacks_test

import (
	"context"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// asked collects the answers with the time at which they came.
type asked struct {
	mu    sync.Mutex // guards the fields below
	begun time.Time
	at    []time.Duration
}

func (a *asked) got(string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Since(a.begun))
}

// served returns when answers have come, as soon as nothing goes on any more.
func (a *asked) served() []time.Duration {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at)
}

// Captures stop the world: the first who asks is served at once, those who ask
// meanwhile and after share the next one, which comes not before its time.
func TestCapturesAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r stacks.Reader
		a := &asked{begun: time.Now()}
		r.Ask(1, a.got)
		synctest.Wait()
		for range 50 {
			r.Ask(1, a.got)
			time.Sleep(time.Millisecond)
		}
		if at := a.served(); len(at) != 1 || at[0] != 0 {
			t.Fatalf("served at %v", at)
		}
		time.Sleep(stacks.Every)
		at := a.served()
		if len(at) != 51 {
			t.Fatalf("%d were served", len(at))
		}
		for _, at := range at[1:] {
			if at != stacks.Every {
				t.Errorf("served at %v", at)
			}
		}
		time.Sleep(time.Hour) // the reader's goroutine has ended; it begins anew
		r.Ask(1, a.got)
		if at := a.served(); len(at) != 52 {
			t.Errorf("%d were served", len(at))
		}
	})
}

// Everybody who asks is answered once, with the stacks of the task that was asked for,
// as they are after the question.
func TestEverybodyIsAnsweredConcurrentSafe(t *testing.T) {
	stop, ready := make(chan struct{}), make(chan struct{})
	var bodies sync.WaitGroup
	for _, id := range []string{"601", "602"} {
		bodies.Go(func() {
			pprof.Do(context.Background(), pprof.Labels(stacks.Label, id), func(context.Context) { waitHere(ready, stop) })
		})
		<-ready
	}
	var r stacks.Reader
	var wg sync.WaitGroup
	for i := range 30 {
		id := uint64(601 + i%3)
		wg.Add(1)
		go r.Ask(id, func(stack string) {
			defer wg.Done()
			if found := strings.Contains(stack, "waitHere"); found != (id < 603) || strings.Count(stack, "goroutine(s)") > 1 {
				t.Errorf("task %d: %q", id, stack)
			}
		})
	}
	wg.Wait()
	close(stop)
	bodies.Wait()
	left := make(chan string)
	r.Ask(601, func(stack string) { left <- stack })
	if stack := <-left; stack != "" {
		t.Errorf("after the end: %q", stack)
	}
}

// Hurry ends a rest: whoever waits is served at once, and later ones are rationed again.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r stacks.Reader
		a := &asked{begun: time.Now()}
		r.Hurry() // nobody waits
		for range 2 {
			r.Ask(1, a.got)
			synctest.Wait()
		}
		r.Hurry()
		if at := a.served(); len(at) != 2 || at[1] != 0 {
			t.Fatalf("served at %v", at)
		}
		r.Ask(1, a.got)
		r.Hurry()
		r.Hurry()
		synctest.Wait()
		r.Ask(1, a.got)
		time.Sleep(time.Hour)
		if at := a.served(); len(at) != 4 || at[2] != 0 || at[3] != stacks.Every {
			t.Fatalf("served at %v", at)
		}
	})
}

// Hurry holds for those who ask while a capture is being made, too.
func TestHurryDuringACapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r stacks.Reader
		a := &asked{begun: time.Now()}
		r.Ask(1, func(stack string) {
			a.got(stack) // the reader is at work
			r.Ask(1, a.got)
			r.Hurry()
		})
		if at := a.served(); len(at) != 2 || at[1] != 0 {
			t.Fatalf("served at %v", at)
		}
	})
}
