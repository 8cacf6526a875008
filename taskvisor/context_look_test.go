package taskvisor

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// lookLocked is what look does, for a caller that holds t's lock.
func lookLocked(t *task) *liveCtx {
	live := t.newLiveLocked(t.run.c)
	t.run.c.node.Store(&live.ctxNode)
	return live
}

// waitsInReturned reports whether an attempt's goroutine waits for its task's lock
// to decide the result.
func waitsInReturned() bool {
	buf := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "(*runner).returned(") && strings.Contains(g, "sync.(*Mutex).Lock(") {
			return true
		}
	}
	return false
}

// Somebody looks at an attempt's context for the first time, and starts a child,
// when the body has returned and the decision about it is under way already: the
// context is cancelled and the child is joined all the same.
//
// The test holds the task's lock to stop the attempt at that point, so it runs
// outside of a bubble, where waiting for a mutex counts as running.
func TestContextFirstLookBeforeTheDecision(t *testing.T) {
	for name, fails := range map[string]bool{"child returns": false, "child panics": true} {
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		begun, back := make(chan struct{}), make(chan struct{})
		if err := s.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h, err := s.Add(context.Background(), Once("a", func(context.Context) error {
			close(begun)
			<-back
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		h.mu.Lock()
		close(back)
		for !waitsInReturned() {
			runtime.Gosched()
		}
		live := lookLocked(h)
		if !live.adopt() {
			t.Fatal("no child was accepted")
		}
		h.mu.Unlock()
		var ended atomic.Bool
		go live.child(live.std, func(ctx context.Context) {
			<-ctx.Done()
			ended.Store(true)
			if fails {
				panic(name)
			}
		})
		o, err := h.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !ended.Load() || live.std.Err() == nil || live.adopt() {
			t.Errorf("%s: the attempt ended, its child %v, its context %v", name, ended.Load(), live.std.Err())
		}
		if want := map[bool]OutcomeKind{false: OutcomeCompleted, true: OutcomeFailed}[fails]; o.Kind != want {
			t.Errorf("%s: outcome %v", name, o.Kind)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
