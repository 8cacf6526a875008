package work

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	perAttempt = 3    // events: starting, stopped, backoff scheduled
	capacity   = 1024 // of a channel; the default of a subscriber
)

// Channels are what a fan-out without a library is: a buffered channel and a
// goroutine for each subscriber.
type Channels[E any] struct {
	chans    []chan E
	counters []Counter
	wg       sync.WaitGroup
}

// NewChannels starts n subscribers, each of which receives until its channel is
// closed.
func NewChannels[E any](n int, receive func(*Counter, <-chan E)) *Channels[E] {
	c := &Channels[E]{counters: make([]Counter, n)}
	for i := range n {
		ch := make(chan E, capacity)
		c.chans = append(c.chans, ch)
		c.wg.Go(func() { receive(&c.counters[i], ch) })
	}
	return c
}

// Send gives e to everybody, and waits where there is no room.
func (c *Channels[E]) Send(e E) {
	for _, ch := range c.chans {
		ch <- e
	}
}

// Close waits until everything has been received, and returns the least that
// anybody got.
func (c *Channels[E]) Close() int {
	for _, ch := range c.chans {
		close(ch)
	}
	c.wg.Wait()
	least := int(c.counters[0].N.Load())
	for i := range c.counters {
		least = min(least, int(c.counters[i].N.Load()))
	}
	return least
}

// deliver calls the subscriber with each event, as taskvisor's worker does.
func deliver(c *Counter, events <-chan taskvisor.Event) {
	var s taskvisor.Subscribe = c
	ctx := context.Background()
	for e := range events {
		s.OnEvent(ctx, e)
	}
}

// ChannelLoop is RawRestart with three events per attempt, sent to channels.
func ChannelLoop(subscribers int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		c := NewChannels(subscribers, deliver)
		m.Start()
		sendLoop(c, n)
		got := c.Close()
		m.Stop()
		return Counted("events", got, perAttempt*n)
	}
}

// sendLoop does not even read the clock.
func sendLoop(c *Channels[taskvisor.Event], n int) {
	fn := func(context.Context) error { return nil }
	ctx := context.Background()
	for i := range n {
		c.Send(taskvisor.Event{Kind: taskvisor.TaskStarting, Task: "loop", Attempt: i})
		err := Protect(ctx, fn)
		c.Send(taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "loop", Attempt: i, Err: err})
		c.Send(taskvisor.Event{Kind: taskvisor.BackoffScheduled, Task: "loop", Attempt: i})
	}
}

// ChannelEvents sends n events from several goroutines, each a restart loop.
// One operation is one event; everybody gets every one.
func ChannelEvents(publishers, subscribers int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		each := max(1, n/perAttempt/publishers)
		c := NewChannels(subscribers, deliver)
		m.Start()
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() { sendLoop(c, each) })
		}
		wg.Wait()
		got := c.Close()
		m.Stop()
		return Counted("events", got, each*publishers*perAttempt)
	}
}

// Events is ChannelEvents with tasks and subscribers. The measurement ends when
// the last subscriber has had the last event.
func Events(publishers, subscribers int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		each := max(1, n/perAttempt/publishers)
		sup, err := started(Counters(subscribers)()...)
		if err != nil {
			return err
		}
		m.Start()
		err = end(sup, loops(sup, publishers, each))
		m.Stop()
		if err != nil {
			return err
		}
		lost, err := Accounts(sup.Snapshot())
		m.Report("lost/op", float64(lost)/float64(n))
		return err
	}
}

// loops runs that many tasks for n attempts each.
func loops(sup *taskvisor.Supervisor, tasks, n int) error {
	ctx := context.Background()
	handles := make([]*taskvisor.Handle, tasks)
	for i := range handles {
		h, err := sup.Add(ctx, taskvisor.Restartable(fmt.Sprintf("loop-%d", i), Loop(n), taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor()))
		if err != nil {
			return err
		}
		handles[i] = h
	}
	for _, h := range handles {
		o, err := h.Wait(ctx)
		if err != nil {
			return err
		}
		if err := Counted("attempts", o.Attempts, n); err != nil {
			return err
		}
	}
	return nil
}

// Sleeper sleeps for each event.
type Sleeper struct{ For time.Duration }

// OnEvent sleeps.
func (s Sleeper) OnEvent(context.Context, taskvisor.Event) { time.Sleep(s.For) }

// BesideSleeper is a restart loop with one subscriber that sleeps 100 µs for
// each event. It is measured as long as the task runs; afterwards the subscriber
// is given up, and delivered and dropped have to be what was published.
func BesideSleeper(m *rounds.Meter, n int) error {
	sup, err := started(taskvisor.WithSubscriber(Sleeper{100 * time.Microsecond}), taskvisor.WithSubscriberDrain(0))
	if err != nil {
		return err
	}
	if err := end(sup, restart(m, sup, n)); err != nil {
		return err
	}
	sn := sup.Snapshot()
	lost, err := Accounts(sn)
	m.Report("lost/op", float64(lost)/float64(n))
	return err
}
