package taskvisor

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"syscall"
	"time"
)

// config holds the options of one supervisor. It is written by New and fixed then.
type config struct {
	name          string
	grace         time.Duration // of the shutdown; 0: what still runs is abandoned at once
	drain         time.Duration // for queued subscribers, from the verdict on
	preStop       time.Duration // between a signal and the stop; 0: none
	maxConcurrent int           // 0: no limit
	maxQueue      int           // of one slot; 0: nothing may wait
	maxRegistered int           // 0: no limit
	budget        int           // retries per budgetPer; 0: no limit
	budgetPer     time.Duration
	discard       bool               // Discard was given: without subscribers, nothing is reported either
	defaults      policy             // what tasks inherit, before the package's own defaults
	subscribers   []subscriberConfig // in the order given, without Discard
	signals       []os.Signal        // that stop the supervisor; nil: none
	err           error              // the first misuse, which New returns; options return no errors
}

// fail keeps the first misuse: later ones may follow from it.
func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// option makes an Option of a function.
type option func(c *config)

func (o option) applySupervisor(c *config) { o(c) }

// NameOption is what [WithName] returns: an [Option] and a [SubscriberOption].
type NameOption struct{ name string }

func (n NameOption) applySupervisor(c *config) {
	if err := validName("supervisor name", n.name, maxNameBytes); err != nil {
		c.fail(err)
		return
	}
	c.name = n.name
}

func (n NameOption) applySubscriber(c *subscriberConfig) {
	if err := validName("subscriber name", n.name, maxNameBytes); err != nil {
		c.fail(err)
		return
	}
	c.name = n.name
}

// WithName names a supervisor ("taskvisor" by default) or a subscriber (its
// type by default). The supervisor's name is on every event, metric, span and
// log line, and tells several supervisors of one process apart; two of one name
// that are alive at once and export to the same place are an error of [New].
func WithName(name string) NameOption { return NameOption{name} }

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
// It is the last of a task's gates, and shows as "max_concurrent". A permit is held
// while an attempt runs and only then. An attempt that waits for another task of the
// same supervisor keeps its own permit meanwhile: if that task needs the last one, both
// wait for ever.
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

// WithMaxRegistered says how many tasks may be registered and waiting in slots
// together; beyond that Add, AddAll, Run and Submit are refused with [ErrTooManyTasks],
// which is announced by TaskAddFailed or, for a submission, ControllerRejected. One that
// takes the place of another needs no room. There is no limit by default. An n below 1
// is an error.
func WithMaxRegistered(n int) Option {
	return option(func(c *config) {
		if n < 1 {
			c.fail(fmt.Errorf("registration limit %d is less than 1", n))
			return
		}
		c.maxRegistered = n
	})
}

// WithRestartBudget lets at most n retries of all tasks together begin in each
// period per, evenly refilled, with n in hand at the start. Those beyond wait at the
// gate "restart_budget"; none is dropped. Attempts that follow no failure do not
// count. There is no limit by default. An n below 1, or a per of 0 or less, is an
// error.
func WithRestartBudget(n int, per time.Duration) Option {
	return option(func(c *config) {
		if n < 1 || per <= 0 {
			c.fail(fmt.Errorf("restart budget of %d in %s is not positive", n, per))
			return
		}
		c.budget, c.budgetPer = n, per
	})
}

// WithPreStopDelay has a signal announce the shutdown first: the supervisor reports
// [SupervisorDraining] at once, so that load balancers turn to others, and stops its
// tasks d later; see [WithSignals] and [ShutdownAnnounced]. A second signal ends that
// time, and the next one cuts the grace. There is none by default. A negative d is an
// error.
func WithPreStopDelay(d time.Duration) Option {
	return option(func(c *config) {
		if d < 0 {
			c.fail(fmt.Errorf("negative pre-stop delay %s", d))
			return
		}
		c.preStop = d
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

// WithSubscriber adds a subscriber; see [Subscribe]. There is none by default, and
// failures are then written to [log/slog.Default]. Options given here win
// over those of its [Preferences]. A subscriber that hides what the one inside can
// do is an error: see [Subscribe]. It panics if s or an option is nil.
func WithSubscriber(s Subscribe, opts ...SubscriberOption) Option {
	if s == nil {
		panic("taskvisor: nil subscriber")
	}
	mustOptions("SubscriberOption", "WithSubscriber", opts)
	return option(func(c *config) {
		if s == Discard {
			c.discard = true
			return
		}
		sc := newSubscriberConfig(s)
		// Preferences first, so that what is given here wins.
		if p, ok := capability[Preferences](s); ok {
			preferred := p.Preferences()
			mustOptions("SubscriberOption", fmt.Sprintf("subscriber %q, by its Preferences", sc.name), preferred)
			for _, o := range preferred {
				o.applySubscriber(&sc)
			}
		}
		for _, o := range opts {
			o.applySubscriber(&sc)
		}
		if err := hides(s); err != nil {
			sc.fail(err)
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
// are given back at the latest when the shutdown has ended. Signals that the process
// was started to ignore, by nohup for instance, stay ignored. Without the option no
// signal is caught.
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
	name     string               // by default its type; made unique by fanout.init
	inline   bool                 // otherwise queued
	capacity int                  // events that it may fall behind; without meaning if inline
	wants    func(EventKind) bool // nil: everything. Only the reporter has one: nobody else's code is asked
	err      error                // the first misuse
}

func (c *subscriberConfig) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// newSubscriberConfig returns the defaults for s.
func newSubscriberConfig(s Subscribe) subscriberConfig {
	return subscriberConfig{sub: s, name: fmt.Sprintf("%T", s), capacity: defaultCapacity}
}

// subscriberOption makes a SubscriberOption of a function.
type subscriberOption func(c *subscriberConfig)

func (o subscriberOption) applySubscriber(c *subscriberConfig) { o(c) }

// Inline has the subscriber called on the goroutine that made the transition,
// at once and for every event. It is for work that takes about a microsecond
// and cannot block: a slow inline subscriber slows every task, one that blocks
// stops the task that it was called for. The default is [Queued].
func Inline() SubscriberOption {
	return subscriberOption(func(c *subscriberConfig) { c.inline = true })
}

// Queued gives the subscriber a worker of its own and lets it fall capacity
// events behind before it loses the oldest; 65 536 is the default. The queue grows
// when it has to, by some 350 bytes an event, and gives its memory back at rest. A
// capacity below 1 is an error.
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

// capability finds an optional interface of s, or of what s wraps; the outermost one
// counts. It calls Unwrap, which is the user's, on the goroutine of the caller of New.
func capability[T any](s Subscribe) (found T, ok bool) {
	for s != nil {
		if found, ok = s.(T); ok {
			return found, true
		}
		w, wraps := s.(interface{ Unwrap() Subscribe })
		if !wraps {
			break
		}
		s = w.Unwrap()
	}
	return found, false
}

// hides reports whether s embeds a subscriber whose optional interfaces cannot be
// found through it: an embedded interface promotes the methods of the interface,
// not those of the value inside. Such a wrapper compiles, and the brackets or the state
// of the subscriber inside would be missing without a word.
func hides(s Subscribe) error {
	v := reflect.Indirect(reflect.ValueOf(s))
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		// An embedded concrete type promotes all its methods, and a field that is not
		// exported cannot be read by reflection.
		if !f.Anonymous || !f.IsExported() || f.Type.Kind() != reflect.Interface {
			continue
		}
		inner, ok := v.Field(i).Interface().(Subscribe)
		if !ok {
			continue
		}
		_, brackets := capability[AttemptBracket](inner)
		_, found := capability[AttemptBracket](s)
		if brackets && !found {
			return fmt.Errorf("it embeds a %T, whose BeginAttempt nobody finds: add a method Unwrap() Subscribe", inner)
		}
		_, attaches := capability[Attacher](inner)
		if _, found = capability[Attacher](s); attaches && !found {
			return fmt.Errorf("it embeds a %T, whose Attach nobody finds: add a method Unwrap() Subscribe", inner)
		}
	}
	return nil
}
