package leasetest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// Memory is an engine of leases in memory, with faults. Each replica of a test has a
// [Conn] to it. The zero value is ready; it is safe for concurrent use, and must not be
// copied. It works in a bubble of testing/synctest.
type Memory struct {
	mu       sync.Mutex // guards the fields below, and the faults of connections
	entries  map[string]*entry
	token    uint64
	asked    uint64 // how many Acquires were sent
	down     bool
	watchers map[*watcher]struct{}
	grants   []Grant
	renewals int
	notes    map[string]string // by key; they outlive the entries
	written  []int             // how many notes came with each Annotate
}

type entry struct {
	owner string
	token uint64
	asked uint64 // which Acquire it was granted to
	until time.Time
	timer *time.Timer
}

// Grant is a lease that the engine gave.
type Grant struct {
	Key, Owner string
	Token      uint64
	At         time.Time
}

type watcher struct {
	c       *Conn
	prefix  string
	pending chan string // keys; the watcher falls back to "" when it is full
}

// ErrDown is what a connection that refuses answers.
var ErrDown = errors.New("leasetest: engine is down")

// Conn is a connection to a [Memory]: a lease.Store, lease.Watcher and lease.Noter with
// faults.
type Conn struct {
	m *Memory

	// Guarded by m.mu.
	cut     bool
	delay   time.Duration
	late    time.Duration
	swallow int
}

// Connect returns a connection without faults.
func (m *Memory) Connect() *Conn { return &Conn{m: m} }

// Grants returns the leases that were given so far, in order.
func (m *Memory) Grants() []Grant {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Grant(nil), m.grants...)
}

// Renewals returns how many renewals were carried out.
func (m *Memory) Renewals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.renewals
}

// Annotations returns how many notes each Annotate brought, in order.
func (m *Memory) Annotations() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]int(nil), m.written...)
}

// Expire ends the lease of key at once, as the engine's clock might, if it runs ahead.
func (m *Memory) Expire(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endLocked(key)
}

// SetDown has the engine refuse everything, or serve again. Leases run on meanwhile.
func (m *Memory) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// Cut has requests of the connection vanish, until ctx ends, and its watches fall
// silent, as behind a black hole; or ends that.
func (c *Conn) Cut(cut bool) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.cut = cut
}

// Delay has each request wait for d on its way to the engine.
func (c *Conn) Delay(d time.Duration) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.delay = d
}

// LoseAnswers has the next n requests carried out and their answers lost.
func (c *Conn) LoseAnswers(n int) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.swallow = n
}

// Late has each request of the connection appear to fail after half of d, and arrive at
// the engine after d; 0 ends that.
func (c *Conn) Late(d time.Duration) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.late = d
}

// call carries a request out, with the faults of the connection.
func call[T any](ctx context.Context, c *Conn, request func() (T, error)) (answer T, err error) {
	var none T
	c.m.mu.Lock()
	cut, delay, late, swallow := c.cut, c.delay, c.late, c.swallow > 0
	if swallow {
		c.swallow--
	}
	c.m.mu.Unlock()
	locked := func() (T, error) {
		c.m.mu.Lock()
		defer c.m.mu.Unlock()
		if c.m.down {
			return none, ErrDown
		}
		return request()
	}
	if cut {
		<-ctx.Done()
		return none, context.Cause(ctx)
	}
	if late > 0 {
		time.AfterFunc(late, func() { _, _ = locked() })
		_ = pause(ctx, late/2)
		return none, ErrDown
	}
	if err := pause(ctx, delay); err != nil {
		return none, err
	}
	answer, err = locked()
	if swallow {
		return none, ErrDown
	}
	return answer, err
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Acquire implements lease.Store.
func (c *Conn) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, _, err := c.AcquireNoted(ctx, key, owner, ttl)
	return token, err
}

// AcquireNoted implements lease.Noter.
func (c *Conn) AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (uint64, string, error) {
	type answer struct {
		token uint64
		note  string
	}
	m := c.m
	m.mu.Lock()
	m.asked++
	asked := m.asked
	m.mu.Unlock()
	a, err := call(ctx, c, func() (answer, error) {
		// One of the owner's own that comes later than another does not end that one's lease.
		if e := m.entries[key]; e != nil && (e.owner != owner || e.asked > asked) {
			return answer{}, &lease.HeldError{Key: key, Holder: e.owner}
		}
		m.endLocked(key)
		if m.entries == nil {
			m.entries = make(map[string]*entry)
		}
		m.token++
		token := m.token
		m.entries[key] = &entry{owner: owner, token: token, asked: asked, until: time.Now().Add(ttl),
			timer: time.AfterFunc(ttl, func() { m.expired(key, token) })}
		m.grants = append(m.grants, Grant{key, owner, token, time.Now()})
		return answer{token, m.notes[key]}, nil
	})
	return a.token, a.note, err
}

// Renew implements lease.Store.
func (c *Conn) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	held = maps.Clone(held) // the request may be carried out late
	return call(ctx, c, func() (lost []string, _ error) {
		c.m.renewals++
		for key, token := range held {
			e := c.m.entries[key]
			if e == nil || e.owner != owner || e.token != token {
				lost = append(lost, key)
				continue
			}
			e.until = time.Now().Add(ttl)
			e.timer.Reset(ttl)
		}
		return lost, nil
	})
}

// Release implements lease.Store.
func (c *Conn) Release(ctx context.Context, key string, token uint64) error {
	return c.end(ctx, key, token, nil)
}

// ReleaseNoted implements lease.Noter.
func (c *Conn) ReleaseNoted(ctx context.Context, key string, token uint64, note string) error {
	return c.end(ctx, key, token, &note)
}

func (c *Conn) end(ctx context.Context, key string, token uint64, note *string) error {
	_, err := call(ctx, c, func() (struct{}, error) {
		if e := c.m.entries[key]; e != nil && e.token == token {
			if note != nil {
				c.m.noteLocked(key, *note)
			}
			c.m.endLocked(key)
		}
		return struct{}{}, nil
	})
	return err
}

// Annotate implements lease.Noter.
func (c *Conn) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	held, notes = maps.Clone(held), maps.Clone(notes) // the request may be carried out late
	_, err := call(ctx, c, func() (struct{}, error) {
		c.m.written = append(c.m.written, len(notes))
		for key, token := range held {
			if e := c.m.entries[key]; e != nil && e.token == token {
				c.m.noteLocked(key, notes[key])
			}
		}
		return struct{}{}, nil
	})
	return err
}

func (m *Memory) noteLocked(key, note string) {
	if m.notes == nil {
		m.notes = make(map[string]string)
	}
	m.notes[key] = note
}

// Holders implements lease.Store.
func (c *Conn) Holders(ctx context.Context, prefix string) (map[string]string, error) {
	return call(ctx, c, func() (map[string]string, error) {
		holders := make(map[string]string)
		for key, e := range c.m.entries {
			if strings.HasPrefix(key, prefix) {
				holders[key] = e.owner
			}
		}
		return holders, nil
	})
}

// expired ends a lease whose time has passed, unless it was renewed just now.
func (m *Memory) expired(key string, token uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	if e == nil || e.token != token {
		return
	}
	if wait := time.Until(e.until); wait > 0 {
		e.timer.Reset(wait)
		return
	}
	m.endLocked(key)
}

// endLocked ends a lease and tells the watchers.
func (m *Memory) endLocked(key string) {
	e := m.entries[key]
	if e == nil {
		return
	}
	e.timer.Stop()
	delete(m.entries, key)
	for w := range m.watchers {
		if !strings.HasPrefix(key, w.prefix) || w.c.cut || m.down {
			continue
		}
		select {
		case w.pending <- key:
		default: // full: one that is on its way stands for it
			select {
			case <-w.pending:
			default:
			}
			w.pending <- "" // nobody else sends: the lock is held
		}
	}
}

// Watch implements lease.Watcher.
func (c *Conn) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	w := &watcher{c: c, prefix: prefix, pending: make(chan string, 16)}
	c.m.mu.Lock()
	if c.m.watchers == nil {
		c.m.watchers = make(map[*watcher]struct{})
	}
	c.m.watchers[w] = struct{}{}
	c.m.mu.Unlock()
	defer func() {
		c.m.mu.Lock()
		defer c.m.mu.Unlock()
		delete(c.m.watchers, w)
	}()
	for {
		select {
		case key := <-w.pending:
			changed(key)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Polled hides that the connection can watch and keep notes.
func (c *Conn) Polled() lease.Store { return polled{c} }

type polled struct{ lease.Store }
