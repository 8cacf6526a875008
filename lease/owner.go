package lease

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	defaultTTL    = 15 * time.Second
	leastTTL      = 100 * time.Millisecond
	defaultPrefix = "taskvisor/"

	maxKeyBytes    = 1024 // as a slot's key
	maxPrefixBytes = 128
	maxWorkers     = 8 // requests at a time, renewals and scans not counted
	maxScan        = 2 * time.Second
)

// Option configures an [Owner]; see [New]. The interface is sealed.
type Option interface{ apply(o *Owner) error }

type option func(o *Owner) error

func (f option) apply(o *Owner) error { return f(o) }

// WithID names the owner, by default after the host, the process and a random word.
// Two owners that live at the same time must not have the same id: each would take
// the other's leases for its own. It follows the rules for keys.
func WithID(id string) Option {
	return option(func(o *Owner) error {
		o.id = id
		return validKey("id", id)
	})
}

// WithTTL says how long a lease lives without renewal, 15 s by default, 100 ms at
// least: the longest time that nobody runs a task after its owner was killed. Engines
// may round it up.
func WithTTL(ttl time.Duration) Option {
	return option(func(o *Owner) error {
		if ttl < leastTTL {
			return fmt.Errorf("ttl %s is less than %s", ttl, leastTTL)
		}
		o.ttl = ttl
		return nil
	})
}

// WithPrefix sets what the keys in the store begin with, "taskvisor/" by default.
// Owners with different prefixes have nothing to do with each other, as long as none begins
// with another: end them with a slash. It follows the rules for keys, and has 128 bytes at
// most.
func WithPrefix(prefix string) Option {
	return option(func(o *Owner) error {
		o.prefix = prefix
		if len(prefix) > maxPrefixBytes {
			return fmt.Errorf("prefix of %d bytes: %d are allowed", len(prefix), maxPrefixBytes)
		}
		return validKey("prefix", prefix)
	})
}

// WithObserver sets who is told what happens to leases; by default it is written to
// [log/slog.Default]. observe is called without a lock, from several goroutines, in
// the order of each lease as long as it does not block, which it must not: renewals wait
// for it. [Owner.Observe] adds others.
func WithObserver(observe func(Event)) Option {
	return option(func(o *Owner) error {
		if observe == nil {
			return errors.New("nil observer")
		}
		o.first = observe
		return nil
	})
}

// Owner takes leases for one process and gives them to its tasks. It is safe for
// concurrent use; make one with [New]. It has goroutines only while a task waits for
// a lease or has one.
type Owner struct {
	store  Store
	id     string
	prefix string
	ttl    time.Duration
	first  func(Event) // the observer of WithObserver

	observers atomic.Pointer[[]*observer] // further ones; changed under mu

	mu       sync.Mutex // guards the fields below, and those of leases and members; nothing is called under it
	leases   map[string]*lease
	tasks    map[taskvisor.TaskID][]*member
	sups     map[*subscriber]struct{} // attached
	queue    []*lease                 // that a worker is to make a request for
	workers  int
	leaving  int           // leases being released
	sought   int           // leases that are
	held     int           // leases that are to be renewed
	flushed  chan struct{} // closed when none is; nil: nobody waits
	keeper   loop          // renews
	seeker   loop          // looks for leases that are free
	watcher  loop          // is told of them
	scribe   loop          // writes notes
	notes    []*lease      // whose notes it is to write
	watches  bool          // a watch is on, as far as is known
	sharding *sharding     // the Shard that runs; nil: none
	failing  bool          // the last renewal failed
	ailing   bool          // the last request for a lease, or to release one, failed
	blind    bool          // the last look at the holders did
	deaf     bool          // the last watch has ended, and none has told of anything since
	mute     bool          // the last notes could not be written
}

// New returns an owner of leases in store. It starts nothing. A misused option is
// its error.
func New(store Store, opts ...Option) (*Owner, error) {
	if store == nil {
		return nil, errors.New("lease: nil store")
	}
	o := &Owner{store: store, id: newID(), prefix: defaultPrefix, ttl: defaultTTL, first: logEvent,
		leases: make(map[string]*lease), tasks: make(map[taskvisor.TaskID][]*member), sups: make(map[*subscriber]struct{})}
	for _, opt := range opts {
		if err := opt.apply(o); err != nil {
			return nil, fmt.Errorf("lease: %w", err)
		}
	}
	return o, nil
}

func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return host + "-" + strconv.Itoa(os.Getpid()) + "-" + rand.Text()[:8]
}

// ID returns the owner's name, which the store shows to the others.
func (o *Owner) ID() string { return o.id }

// TTL returns how long a lease lives without renewal.
func (o *Owner) TTL() time.Duration { return o.ttl }

// deadline is how long a lease may be relied on after its last renewal was sent. The
// rest of the ttl is the margin: the body's time to return, and what clocks may differ.
func (o *Owner) deadline() time.Duration { return o.ttl - o.margin() }

func (o *Owner) margin() time.Duration { return o.ttl / 4 }

// every is the time between renewals: one may fail, and another, before the deadline.
func (o *Owner) every() time.Duration { return o.ttl / 5 }

// patience is how long a request may take.
func (o *Owner) patience() time.Duration { return o.ttl / 4 }

// validKey says what is wrong with a key.
func validKey(what, key string) error {
	switch {
	case key == "":
		return errors.New("empty " + what)
	case len(key) > maxKeyBytes:
		return fmt.Errorf("%s of %d bytes: %d are allowed", what, len(key), maxKeyBytes)
	case !utf8.ValidString(key):
		return fmt.Errorf("%s %q is not valid UTF-8", what, key)
	}
	for _, r := range key {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%s %q has control characters", what, key)
		}
	}
	return nil
}

// acts is what follows a transition, after the lock: nothing of it is called under it.
type acts struct {
	ready     []func()
	interrupt []interruption
	events    []Event
}

type interruption struct {
	task    *taskvisor.Handle
	attempt int // that runs; 0: none has begun
	cause   *LostError
}

// do makes a transition and carries out what follows.
func (o *Owner) do(transition func(x *acts, now time.Time)) {
	var x acts
	o.mu.Lock()
	transition(&x, time.Now())
	o.loopsLocked()
	o.mu.Unlock()
	o.carryOut(&x)
}

// carryOut interrupts first: an observer that takes its time keeps no body running.
func (o *Owner) carryOut(x *acts) {
	if len(x.interrupt) > 0 {
		interruptAll(x.interrupt)
	}
	for _, e := range x.events {
		o.observe(e)
	}
	for _, ready := range x.ready {
		ready()
	}
}

// eventLocked notes what the observer is to be told.
func (x *acts) event(l *lease, now time.Time, e Event) {
	e.Time, e.Key, e.Owner = now, l.name, l.o.id
	if e.Task == "" {
		e.Task, e.Supervisor = l.task, l.sup
	}
	x.events = append(x.events, e)
}
