package taskvisor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// config holds the options of one supervisor.
type config struct {
	name          string
	grace         time.Duration
	drain         time.Duration
	maxConcurrent int // 0: no limit
	maxQueue      int
	defaults      policy
	subscribers   []subscriberConfig
	signals       []os.Signal
	err           error
}

func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

type option func(c *config)

func (o option) applySupervisor(c *config) { o(c) }

type nameOption string

func (n nameOption) applySupervisor(c *config) {
	if err := validName("supervisor name", string(n)); err != nil {
		c.fail(err)
		return
	}
	c.name = string(n)
}

func (n nameOption) applySubscriber(c *subscriberConfig) {
	if err := validName("subscriber name", string(n)); err != nil {
		c.fail(err)
		return
	}
	c.name = string(n)
}

// WithName names a supervisor ("taskvisor" by default) or a subscriber (its
// type by default). The supervisor's name is on every event, metric, span and
// log line, and tells several supervisors of one process apart; two of one name
// that export to the same place are an error of [New].
func WithName(name string) interface {
	Option
	SubscriberOption
} {
	return nameOption(name)
}

// WithSubscriberDrain says how long a shutdown waits, from its verdict on, for
// queued subscribers to consume what they have; 5 s by default, shared by all.
// A negative d is an error.
func WithSubscriberDrain(d time.Duration) Option {
	return option(func(c *config) {
		if d < 0 {
			c.fail(fmt.Errorf("negative subscriber drain %s", d))
			return
		}
		c.drain = d
	})
}

// WithMaxConcurrent limits the attempts that run at the same time to n; waiting
// tasks are served first in, first out. There is no limit by default. An n
// below 1 is an error.
//
// A permit is held while an attempt runs and only then. An attempt that waits
// for another task of the same supervisor keeps its own permit meanwhile: if
// that task needs the last one, both wait for ever.
func WithMaxConcurrent(n int) Option {
	return option(func(c *config) {
		if n < 1 {
			c.fail(fmt.Errorf("concurrency limit %d is less than 1", n))
			return
		}
		c.maxConcurrent = n
	})
}

// WithMaxQueue says how many submissions may wait for one slot; 100 by default.
// A negative n is an error.
func WithMaxQueue(n int) Option {
	return option(func(c *config) {
		if n < 0 {
			c.fail(fmt.Errorf("queue limit %d is negative", n))
			return
		}
		c.maxQueue = n
	})
}

// WithTaskDefaults sets what tasks inherit that do not say otherwise. Options
// without a meaning for a task, such as the retry limit of a [Once], are
// ignored there. It panics if an option is nil.
func WithTaskDefaults(opts ...TaskOption) Option {
	mustOptions("TaskOption", "WithTaskDefaults", opts)
	return option(func(c *config) {
		for _, o := range opts {
			o.applyTask(&c.defaults)
		}
		if c.defaults.err != nil {
			c.fail(fmt.Errorf("task defaults: %w", c.defaults.err))
		}
	})
}

// WithSubscriber adds a subscriber; see [Subscribe]. Options given here win
// over those of its [Preferences]. It panics if s or an
// option is nil.
func WithSubscriber(s Subscribe, opts ...SubscriberOption) Option {
	if s == nil {
		panic("taskvisor: nil subscriber")
	}
	mustOptions("SubscriberOption", "WithSubscriber", opts)
	return option(func(c *config) {
		sc := newSubscriberConfig(s)
		if p, ok := s.(Preferences); ok {
			preferred := p.Preferences()
			mustOptions("SubscriberOption", fmt.Sprintf("subscriber %q, by its Preferences", sc.name), preferred)
			for _, o := range preferred {
				o.applySubscriber(&sc)
			}
		}
		for _, o := range opts {
			o.applySubscriber(&sc)
		}
		if sc.err != nil {
			c.fail(fmt.Errorf("subscriber %q: %w", sc.name, sc.err))
			return
		}
		c.subscribers = append(c.subscribers, sc)
	})
}

// WithSignals makes Run and Start stop gracefully on any of sigs, by default
// [os.Interrupt] and SIGTERM. A second signal cuts the grace to zero and gives
// the signals back to the process, so that a third has its usual effect; they
// are given back at the latest when the shutdown has ended.
//
// In a [testing/synctest] bubble the process's first use of [os/signal] is fatal:
// call signal.Notify once outside, in TestMain say.
func WithSignals(sigs ...os.Signal) Option {
	if len(sigs) == 0 {
		sigs = []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return option(func(c *config) {
		for _, s := range sigs {
			if s == nil {
				c.fail(errors.New("nil signal"))
				return
			}
		}
		c.signals = sigs
	})
}

// subscriberConfig holds the options of one subscriber.
type subscriberConfig struct {
	sub      Subscribe
	name     string
	inline   bool
	capacity int
	patience int
	err      error
}

func (c *subscriberConfig) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func newSubscriberConfig(s Subscribe) subscriberConfig {
	return subscriberConfig{sub: s, name: fmt.Sprintf("%T", s), capacity: defaultCapacity, patience: defaultPatience}
}

type subscriberOption func(c *subscriberConfig)

func (o subscriberOption) applySubscriber(c *subscriberConfig) { o(c) }

// Inline has the subscriber called on the goroutine that made the transition,
// at once and for every event. It is for work that takes about a microsecond
// and cannot block: a slow inline subscriber slows every task, one that blocks
// stops the task that it was called for.
func Inline() SubscriberOption {
	return subscriberOption(func(c *subscriberConfig) { c.inline = true })
}

// Queued gives the subscriber a worker of its own and lets it fall capacity
// events behind before it loses the oldest; 1024 is the default. A capacity
// below 1 is an error.
func Queued(capacity int) SubscriberOption {
	return subscriberOption(func(c *subscriberConfig) {
		if capacity < 1 {
			c.fail(fmt.Errorf("capacity %d is less than 1", capacity))
			return
		}
		c.inline = false
		c.capacity = capacity
	})
}

// defaultPatience is the credit, in yields, that a queued subscriber may have
// in hand. A yield takes about 0.1 µs where nothing else wants to run, so all of
// it outlasts the tens of milliseconds for which a busy machine may take a worker's
// thread off its processor; a subscriber that blocks costs them once.
const defaultPatience = 1 << 19

// Patience bounds how often publishers may step aside for a queued subscriber
// that is more than half of its capacity behind: each event that it consumes
// earns some yields of the processor, of which it has at most yields in hand.
// Nothing is read from a clock, and a subscriber that consumes nothing earns
// nothing, so nobody waits for one that blocks. 0 turns it off; a negative
// number is an error.
func Patience(yields int) SubscriberOption {
	return subscriberOption(func(c *subscriberConfig) {
		if yields < 0 {
			c.fail(fmt.Errorf("patience %d is negative", yields))
			return
		}
		c.patience = yields
	})
}
