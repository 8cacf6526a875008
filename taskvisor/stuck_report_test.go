package taskvisor

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// reports counts TaskStuck where it is published.
type reports struct {
	mu sync.Mutex
	n  int
}

func (r *reports) OnEvent(_ context.Context, e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == TaskStuck {
		r.n++
	}
}

func (r *reports) Preferences() []SubscriberOption { return []SubscriberOption{Inline()} }

// anyIn reports whether a goroutine is in the named function.
func anyIn(function string) bool {
	buf := make([]byte, 1<<20)
	return strings.Contains(string(buf[:runtime.Stack(buf, true)]), function+"(")
}

// A stop that comes while a stuck body's stacks are being read does not make it be
// reported twice.
//
// The test holds the reader's lock to stop the report in its middle, so it runs
// outside of a bubble, where waiting for a mutex counts as running.
func TestStuckIsReportedOnceThoughStopped(t *testing.T) {
	seen := &reports{}
	s, err := New(WithSubscriber(seen))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{})
	s.stacks.mu.Lock()
	h, err := s.Add(context.Background(), Once("a", func(context.Context) error {
		<-back
		return nil
	}, WithTimeout(time.Millisecond), WithStuckAfter(time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	until := func(condition func() bool) {
		for !condition() {
			runtime.Gosched()
		}
	}
	until(func() bool { return anyIn("(*stackReader).of") })
	h.Stop()
	s.stacks.mu.Unlock()
	until(func() bool { return h.Status().Stuck })
	until(func() bool { // nothing is due any more, and nobody is at it
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.m.stuckAt == 0
	})
	until(func() bool { return !anyIn("(*Handle).reportStuck") })
	seen.mu.Lock()
	if seen.n != 1 {
		t.Errorf("%d reports, want one", seen.n)
	}
	seen.mu.Unlock()
	close(back)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
