package run_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/run"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var errBroken = errors.New("broken")

// until returns an actor that returns err after d, or nil when it is interrupted.
func until(d time.Duration, err error, interrupted func(error)) (func() error, func(error)) {
	stop := make(chan struct{})
	return func() error {
			select {
			case <-time.After(d):
				return err
			case <-stop:
				return nil
			}
		}, func(err error) {
			close(stop)
			interrupted(err)
		}
}

// The first to return decides; all are interrupted, in order, with what it returned.
func TestFirstDecides(t *testing.T) {
	for _, want := range []error{errBroken, nil, context.Canceled, taskvisor.Fatal(errBroken), taskvisor.ErrCanceled} {
		synctest.Test(t, func(t *testing.T) {
			var g run.Group
			var order []int
			for i := range 3 {
				d := time.Hour
				if i == 1 {
					d = time.Minute
				}
				g.Add(until(d, want, func(err error) {
					order = append(order, i)
					if err != want {
						t.Errorf("interrupted with %v, want %v", err, want)
					}
				}))
			}
			start := time.Now()
			if err := g.Run(); err != want {
				t.Errorf("Run returned %v, want %v", err, want)
			}
			if d := time.Since(start); d != time.Minute {
				t.Errorf("it took %v", d)
			}
			if !slices.Equal(order, []int{0, 1, 2}) {
				t.Errorf("interrupted in the order %v", order)
			}
		})
	}
}

// Every actor is called, also when the first has returned before the last began.
func TestEveryActorRunsConcurrentSafe(t *testing.T) {
	for range 200 {
		var g run.Group
		calls := make(chan int, 8)
		g.Add(func() error { return errBroken }, func(error) {})
		for i := range cap(calls) {
			stop := make(chan struct{})
			g.Add(func() error { calls <- i; <-stop; return nil }, func(error) { close(stop) })
		}
		if err := g.Run(); err != errBroken || len(calls) != cap(calls) {
			t.Fatalf("%v, %d of %d were called", err, len(calls), cap(calls))
		}
	}
}

func TestNoActors(t *testing.T) {
	if err := new(run.Group).Run(); err != nil {
		t.Error(err)
	}
}

// Run waits for the last actor, however long that takes.
func TestRunWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g run.Group
		returned := false
		g.Add(func() error { return errBroken }, func(error) {})
		g.Add(func() error { time.Sleep(24 * time.Hour); returned = true; return nil }, func(error) {})
		if err := g.Run(); err != errBroken || !returned {
			t.Errorf("%v, the other has returned: %v", err, returned)
		}
	})
}

// A panic, and runtime.Goexit, interrupt the others.
func TestActorThatDoesNotReturn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		execute func() error
		is      func(error) bool
	}{
		{"panic", func() error { panic(errBroken) }, func(err error) bool {
			var p *taskvisor.PanicError
			return errors.As(err, &p) && p.Value == errBroken && strings.Contains(p.Stack(), "TestActorThatDoesNotReturn")
		}},
		{"goexit", func() error { runtime.Goexit(); return nil }, func(err error) bool { return errors.Is(err, taskvisor.ErrGoexit) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g run.Group
				var interrupted error
				g.Add(until(time.Hour, nil, func(err error) { interrupted = err }))
				g.Add(tt.execute, func(error) {})
				err := g.Run()
				if !tt.is(err) || interrupted != err {
					t.Errorf("Run returned %v, interrupted by %v", err, interrupted)
				}
			})
		})
	}
}

// A group may run more than once.
func TestRunTwice(t *testing.T) {
	var g run.Group
	runs := 0
	g.Add(func() error { runs++; return errBroken }, func(error) {})
	for range 2 {
		if err := g.Run(); err != errBroken {
			t.Error(err)
		}
	}
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
}

func TestAddOfNil(t *testing.T) {
	for _, add := range []func(*run.Group){
		func(g *run.Group) { g.Add(nil, func(error) {}) },
		func(g *run.Group) { g.Add(func() error { return nil }, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			add(new(run.Group))
		}()
	}
}

// watch is a subscriber that has events, and can be closed.
type watch struct {
	taskvisortest.Recorder
	closed  bool
	refuses error
}

func (w *watch) Close() { w.closed = true }

func (w *watch) Attach(func() taskvisor.Snapshot) error { return w.refuses }

// observe returns who watches, by the names of supervisors, the latest last.
func observe(t *testing.T) map[string][]*watch {
	var mu sync.Mutex
	seen := make(map[string][]*watch)
	run.Observe(func(supervisor string) []taskvisor.Subscribe {
		mu.Lock()
		defer mu.Unlock()
		w := &watch{}
		seen[supervisor] = append(seen[supervisor], w)
		return []taskvisor.Subscribe{w}
	})
	t.Cleanup(func() { run.Observe(nil) })
	return seen
}

type server struct{ stop chan struct{} }

func (s *server) Serve() error       { <-s.stop; return nil }
func (s *server) Shutdown(error)     { time.Sleep(time.Minute); close(s.stop) }
func failAfterASecond() error        { time.Sleep(time.Second); return errBroken }
func signaled() error                { time.Sleep(time.Second); return &run.SignalError{} }
func (s *server) Hung(error)         { time.AfterFunc(time.Minute, func() { close(s.stop) }) }
func nothing(error)                  {}
func actorOf(i int) (f func() error) { return []func() error{failAfterASecond, signaled}[i] }

// Actors are tasks by the names of their functions; one that lags behind its interrupt
// is reported as stuck; a signal is no failure.
func TestActorsAreTasks(t *testing.T) {
	for i, want := range []struct{ name, trace string }{
		{"behavior_test.failAfterASecond", "A S ✗ E D"},
		{"behavior_test.signaled", "A S C D"},
	} {
		t.Run(want.name, func(t *testing.T) {
			seen := observe(t)
			synctest.Test(t, func(t *testing.T) {
				var g run.Group
				a, b := &server{make(chan struct{})}, &server{make(chan struct{})}
				g.Add(actorOf(i), nothing)
				g.Add(a.Serve, func(error) { close(a.stop) })
				g.Add(b.Serve, b.Hung)
				_ = g.Run()
				w := seen["run"][0]
				for task, trace := range map[string]string{
					want.name:                          want.trace,
					"behavior_test.(*server).Serve":    "A S Q ✓ D",
					"behavior_test.(*server).Serve #2": "A S Q K ✓ D",
					"":                                 "H V",
				} {
					if got := w.Trace(task); got != trace {
						t.Errorf("%q: trace %q, want %q", task, got, trace)
					}
				}
			})
		})
	}
}

// Groups that run at a time have names of their own; a successor closes who watched
// the one before it.
func TestObserveNames(t *testing.T) {
	seen := observe(t)
	synctest.Test(t, func(t *testing.T) {
		var outer, inner run.Group
		inner.Add(func() error { return nil }, nothing)
		outer.Add(inner.Run, nothing)
		_ = outer.Run()
		_ = inner.Run()
		if len(seen) != 2 || len(seen["run"]) != 2 || len(seen["run #2"]) != 1 {
			t.Fatalf("observed %v", seen)
		}
		if !seen["run"][0].closed || seen["run"][1].closed || seen["run #2"][0].closed {
			t.Error("not exactly the first was closed")
		}
	})
}

// A subscriber that refuses does not keep the program from running.
func TestObserverRefuses(t *testing.T) {
	var out strings.Builder
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	run.Observe(func(string) []taskvisor.Subscribe {
		return []taskvisor.Subscribe{&watch{refuses: errors.New("no room")}}
	})
	defer run.Observe(nil)
	var g run.Group
	g.Add(func() error { return errBroken }, nothing)
	if err := g.Run(); err != errBroken {
		t.Error(err)
	}
	if got := out.String(); !strings.Contains(got, "supervisor=run") || !strings.Contains(got, "no room") {
		t.Errorf("log %q", got)
	}
}
