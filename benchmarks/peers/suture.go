// Package peers does the work of package work with other libraries, as their
// documentation says that it is to be done.
package peers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	"github.com/thejerf/suture/v4"
)

// service is a function as a suture.Service with a name, without which suture
// prints the value by reflection.
type service struct {
	name string
	fn   func(ctx context.Context) error
}

func (s *service) Serve(ctx context.Context) error { return s.fn(ctx) }
func (s *service) String() string                  { return s.name }

// tree is a running suture supervisor that never backs off.
type tree struct {
	sup    *suture.Supervisor
	cancel context.CancelFunc
	ended  <-chan error
}

func newTree(hook suture.EventHook) *tree {
	if hook == nil {
		hook = func(suture.Event) {}
	}
	sup := suture.New("bench", suture.Spec{EventHook: hook, FailureThreshold: math.MaxFloat64})
	ctx, cancel := context.WithCancel(context.Background())
	return &tree{sup: sup, cancel: cancel, ended: sup.ServeBackground(ctx)}
}

func (t *tree) end() error {
	t.cancel()
	if err := <-t.ended; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("suture ended with %w", err)
	}
	return nil
}

// looping returns a service that calls body until it has been called n times;
// done is closed by the last call.
func looping(n int, body func(i int) error) (s *service, done chan struct{}) {
	done = make(chan struct{})
	i := 0
	return &service{name: "loop", fn: func(context.Context) error {
		i++
		if i >= n {
			close(done)
			return suture.ErrDoNotRestart
		}
		return body(i)
	}}, done
}

func sutureLoop(m *rounds.Meter, n int, hook suture.EventHook, body func(i int) error) error {
	t := newTree(hook)
	s, done := looping(n, body)
	m.Start()
	t.sup.Add(s)
	<-done
	m.Stop()
	if err := t.end(); err != nil {
		return err
	}
	return work.Counted("services left", len(t.sup.Services()), 0)
}

func sutureRestart(m *rounds.Meter, n int) error {
	return sutureLoop(m, n, nil, func(int) error { return nil })
}

// sutureBeside hands suture's one event per restart to channels, as its hook is
// called on the supervisor's goroutine.
func sutureBeside(subscribers int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		c := work.NewChannels(subscribers, func(c *work.Counter, events <-chan suture.Event) {
			for range events { // an interface: two words
				c.N.Add(1)
			}
		})
		if err := sutureLoop(m, n, c.Send, func(int) error { return nil }); err != nil {
			return err
		}
		return work.Counted("events", c.Close(), n-1)
	}
}

// sutureSleeper has a hook that sleeps 100 µs, where suture calls it.
func sutureSleeper(m *rounds.Meter, n int) error {
	events := 0
	hook := func(suture.Event) {
		time.Sleep(100 * time.Microsecond)
		events++
	}
	if err := sutureLoop(m, n, hook, func(int) error { return nil }); err != nil {
		return err
	}
	return work.Counted("events", events, n-1)
}

func suturePanic(m *rounds.Meter, n int) error {
	stacks := 0
	hook := func(e suture.Event) {
		if p, ok := e.(suture.EventServicePanic); ok && p.Stacktrace != "" {
			stacks++
		}
	}
	if err := sutureLoop(m, n+1, hook, func(int) error { panic("boom") }); err != nil {
		return err
	}
	return work.Counted("stacks", stacks, n)
}

func sutureOneShot(m *rounds.Meter, n int) error {
	t := newTree(nil)
	ran := 0
	m.Start()
	for range n {
		done := make(chan struct{})
		t.sup.Add(&service{name: "task", fn: func(context.Context) error {
			ran++
			close(done)
			return suture.ErrDoNotRestart
		}})
		<-done
	}
	m.Stop()
	return errors.Join(t.end(), work.Counted("runs", ran, n))
}

func sutureBatch(m *rounds.Meter, n int) error {
	names := work.Names(n)
	var wg sync.WaitGroup
	wg.Add(n)
	var ran atomic.Int64
	m.Start()
	t := newTree(nil)
	for i := range n {
		t.sup.Add(&service{name: names[i], fn: func(context.Context) error {
			ran.Add(1)
			wg.Done()
			return suture.ErrDoNotRestart
		}})
	}
	wg.Wait()
	err := t.end()
	m.Stop()
	return errors.Join(err, work.Counted("runs", int(ran.Load()), n))
}

func sutureFailures(m *rounds.Meter, n int) error {
	t := newTree(nil)
	ran := 0
	m.Start()
	for range n {
		body := work.Flaky(&ran)
		done := make(chan struct{})
		t.sup.Add(&service{name: "task", fn: func(context.Context) error {
			if err := body(); err != nil {
				return err
			}
			close(done)
			return suture.ErrDoNotRestart
		}})
		<-done
	}
	m.Stop()
	return errors.Join(t.end(), work.Counted("attempts", ran, n*(work.Failures+1)))
}

func sutureStop(m *rounds.Meter, n int) error {
	names := work.Names(n)
	var idle work.Idle
	idle.Ready.Add(n)
	t := newTree(nil)
	for i := range n {
		t.sup.Add(&service{name: names[i], fn: idle.Body})
	}
	idle.Ready.Wait()
	m.Start()
	err := t.end()
	m.Stop()
	return errors.Join(err, work.Counted("stopped", int(idle.Stopped.Load()), n))
}
