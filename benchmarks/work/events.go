package work

import (
	"context"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	perAttempt = 3    // events: starting, stopped, backoff scheduled
	capacity   = 1024 // of a channel
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

// Sleeper sleeps for each event.
type Sleeper struct{ For time.Duration }

// OnEvent sleeps.
func (s Sleeper) OnEvent(context.Context, taskvisor.Event) { time.Sleep(s.For) }

// Spinner keeps a processor busy for each event.
type Spinner struct{ For time.Duration }

// OnEvent spins.
func (s Spinner) OnEvent(context.Context, taskvisor.Event) {
	for until := time.Now().Add(s.For); time.Now().Before(until); {
	}
}

// BesideSlow is a restart loop with one subscriber that cannot keep up. It is
// measured as long as the task runs; afterwards the subscriber is given up, and
// delivered and dropped have to be what was published.
func BesideSlow(slow taskvisor.Subscribe) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		sup, err := started(taskvisor.WithSubscriber(slow), taskvisor.WithSubscriberDrain(0))
		if err != nil {
			return err
		}
		if err := end(sup, restart(m, sup, n)); err != nil {
			return err
		}
		sn := sup.Snapshot()
		lost, err := Accounts(sn)
		m.Report(rounds.Lost, float64(lost)/float64(n))
		return err
	}
}
