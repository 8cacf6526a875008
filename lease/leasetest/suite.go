package leasetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// Engine is what [TestStore] needs of an engine.
type Engine struct {
	// Open returns a new connection to one and the same engine. What it opens is closed
	// by t.Cleanup.
	Open func(t *testing.T) lease.Store

	// Restart restarts the engine, whose connections go on; nil: that is not tested.
	Restart func(t *testing.T)

	// TTL that leases are tested with, 4 s if it is 0. A machine that is too busy to
	// come back to a lease within that fails the test.
	TTL time.Duration

	// Late is how much later than its ttl a lease may expire, 6 s if it is 0. It is
	// waited for only as long as it takes.
	Late time.Duration

	// Keys is the number of leases that are renewed together, 1 000 if it is 0.
	Keys int
}

// TestStore checks that a store keeps what [lease.Store] promises, and [lease.Watcher] and
// [lease.Noter] where it implements these, with real time, as a family of subtests. Those that wait for leases to expire run in parallel.
func TestStore(t *testing.T, e Engine) {
	testStore(t, e, func(t *testing.T, check func(t *testing.T)) { check(t) })
}

// check is one promise.
type check struct {
	name string
	run  func(*suite)
}

// testStore has each check run by run.
func testStore(t *testing.T, e Engine, run func(t *testing.T, check func(t *testing.T))) {
	if e.TTL == 0 {
		e.TTL = 4 * time.Second
	}
	if e.Late == 0 {
		e.Late = 6 * time.Second
	}
	if e.Keys == 0 {
		e.Keys = 1000
	}
	family := func(t *testing.T, parallel bool, checks []check) {
		for _, c := range checks {
			t.Run(c.name, func(t *testing.T) {
				if parallel {
					t.Parallel()
				}
				run(t, func(t *testing.T) {
					c.run(&suite{T: t, e: e, prefix: fmt.Sprintf("leasetest/%s/%d/", strings.ReplaceAll(c.name, " ", "-"), time.Now().UnixNano())})
				})
			})
		}
	}
	family(t, false, []check{
		{"held", (*suite).held}, {"stale release", (*suite).staleRelease}, {"many", (*suite).many}, {"race", (*suite).race},
		{"odd keys", (*suite).oddKeys}, {"ended context", (*suite).endedContext}, {"restart", (*suite).restart},
	})
	t.Run("expiring", func(t *testing.T) {
		family(t, true, []check{
			{"tokens grow", (*suite).tokensGrow}, {"expiry", (*suite).expiry}, {"renewal", (*suite).renewal},
			{"only what is named is renewed", (*suite).unnamed}, {"lost", (*suite).lost}, {"holders", (*suite).holders},
			{"canceled in between", (*suite).canceled}, {"cut short", (*suite).cutShort}, {"watch", (*suite).watch}, {"notes stay", (*suite).notesStay},
			{"notes are fenced", (*suite).staleNotes}, {"notes prolong nothing", (*suite).notesProlongNothing},
			{"many notes", (*suite).manyNotes},
		})
	})
}

func (s *suite) held() {
	a, b := s.open(), s.open()
	key := s.key("k")
	token := a.take(key)
	var held *lease.HeldError
	if err := b.refusal(key); errors.As(err, &held) && (held.Holder != a.id || held.Key != key) {
		s.Errorf("the error names %q and %q", held.Key, held.Holder)
	}
	b.take(s.key("other"))
	a.release(key, token)
	b.take(key)
}

// A release, an expiry, a takeover and another acquisition of the owner itself.
func (s *suite) tokensGrow() {
	a, b := s.open(), s.open()
	key := s.key("k")
	tokens := []uint64{a.take(key)}
	tokens = append(tokens, a.take(key))
	a.release(key, tokens[1])
	tokens = append(tokens, b.take(key))
	expired, _ := a.free(key, s.e.TTL+s.e.Late)
	tokens = append(tokens, expired)
	a.release(key, expired)
	tokens = append(tokens, a.take(key))
	for i := 1; i < len(tokens); i++ {
		if tokens[i] <= tokens[i-1] {
			s.Errorf("tokens %v", tokens)
		}
	}
}

func (s *suite) expiry() {
	a, b := s.open(), s.open()
	key := s.key("k")
	begun := time.Now()
	a.take(key)
	answered := time.Now()
	_, at := b.free(key, s.e.TTL+s.e.Late)
	if took := at.Sub(begun); took < s.e.TTL {
		s.Errorf("it expired %s after it was asked for", took)
	}
	if took := at.Sub(answered); took > s.e.TTL+s.e.Late {
		s.Errorf("it expired after %s", took)
	} else {
		s.Logf("it expired after %s", took)
	}
}

func (s *suite) renewal() {
	a, b := s.open(), s.open()
	key := s.key("k")
	held := map[string]uint64{key: a.take(key)}
	last := time.Now()
	for range 6 {
		time.Sleep(s.e.TTL / 4)
		last = time.Now()
		if lost := a.renew(held); len(lost) != 0 {
			s.Fatalf("lost %q", lost)
		}
		b.refused(key)
	}
	if _, at := b.free(key, s.e.TTL+s.e.Late); at.Sub(last) < s.e.TTL {
		s.Errorf("it expired %s after the last renewal was sent", at.Sub(last))
	}
	if lost := a.renew(nil); len(lost) != 0 {
		s.Errorf("of nothing, %q was lost", lost)
	}
}

// A lease that its owner does not name is not prolonged by what the owner has else.
func (s *suite) unnamed() {
	a, b := s.open(), s.open()
	kept, dropped := s.key("kept"), s.key("dropped")
	held := map[string]uint64{kept: a.take(kept)}
	a.take(dropped)
	a.keep(held, b, dropped)
	b.refused(kept)
}

func (s *suite) lost() {
	a, b := s.open(), s.open()
	ours, theirs, gone, older := s.key("ours"), s.key("theirs"), s.key("gone"), s.key("older")
	held := map[string]uint64{ours: a.take(ours), theirs: a.take(theirs), gone: a.take(gone), older: a.take(older)}
	a.take(older) // a token of ours, and not the latest
	a.release(theirs, held[theirs])
	b.take(theirs)
	a.release(gone, held[gone])
	lost := map[string]bool{}
	for _, key := range a.renew(held) {
		lost[key] = true
	}
	if len(lost) != 3 || lost[ours] {
		s.Errorf("lost %v", lost)
	}
	b.refused(ours)
	if lost := b.renew(map[string]uint64{ours: held[ours]}); len(lost) != 1 {
		s.Errorf("another renewed it: lost %q", lost)
	}
	a.nobody() // an engine may have forgotten the owner altogether
	if lost := a.renew(held); len(lost) != 4 {
		s.Errorf("of all that has expired, lost %q", lost)
	}
}

func (s *suite) staleRelease() {
	a, b := s.open(), s.open()
	key := s.key("k")
	first := a.take(key)
	second := a.take(key)
	a.release(key, first)
	b.refused(key)
	a.release(key, second)
	third := b.take(key)
	a.release(key, second)
	a.release(s.key("never"), 1)
	a.refused(key)
	b.release(key, third)
}

func (s *suite) holders() {
	a, b := s.open(), s.open()
	x, y := s.key("x"), s.key("y")
	token := a.take(x)
	b.take(y)
	check := func(want map[string]string) {
		s.Helper()
		got, err := b.Holders(context.Background(), s.prefix)
		if err != nil || len(got) != len(want) || got[x] != want[x] || got[y] != want[y] {
			s.Errorf("holders %v, want %v: %v", got, want, err)
		}
	}
	check(map[string]string{x: a.id, y: b.id})
	a.release(x, token)
	check(map[string]string{y: b.id})
	a.nobody()
	if got, err := a.Holders(context.Background(), s.key("nothing")); err != nil || len(got) != 0 {
		s.Errorf("holders of nothing: %v, %v", got, err)
	}
}

// A thousand leases are renewed within the patience of an owner.
func (s *suite) many() {
	a := s.open()
	held := make(map[string]uint64, s.e.Keys)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < s.e.Keys; i += 8 {
				key := s.key(fmt.Sprint(i))
				token, err := a.Acquire(context.Background(), key, a.id, time.Minute)
				if err != nil {
					s.Error(err)
					return
				}
				mu.Lock()
				held[key] = token
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	begun := time.Now()
	lost, err := a.Renew(context.Background(), a.id, held, time.Minute)
	took := time.Since(begun)
	if err != nil || len(lost) != 0 {
		s.Fatalf("lost %d: %v", len(lost), err)
	}
	s.Logf("%d leases renewed in %s", len(held), took)
	if took > 3750*time.Millisecond { // a quarter of the default ttl
		s.Errorf("that takes longer than an owner waits by default")
	}
	for key, token := range held {
		a.release(key, token)
	}
}

// Owners take and release two keys as fast as they can: one has a key at a time, and
// its tokens are in the order of the grants.
func (s *suite) race() {
	const owners, rounds = 8, 25
	type state struct {
		inside atomic.Int32
		last   atomic.Uint64
	}
	states := [2]state{}
	var wg sync.WaitGroup
	for range owners {
		o := s.open()
		wg.Go(func() {
			for round := range rounds {
				which := round % 2
				st := &states[which]
				key := s.key(fmt.Sprint(which))
				token, err := o.Acquire(context.Background(), key, o.id, time.Minute)
				if errors.Is(err, lease.ErrHeld) {
					continue
				}
				if err != nil {
					s.Error(err)
					return
				}
				if n := st.inside.Add(1); n != 1 {
					s.Errorf("%d have it", n)
				}
				if last := st.last.Swap(token); token <= last {
					s.Errorf("token %d after %d", token, last)
				}
				st.inside.Add(-1)
				if err := o.Release(context.Background(), key, token); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (s *suite) oddKeys() {
	a, b := s.open(), s.open()
	for _, name := range []string{"ünï/ö", "a b", "100%_x", "it's", `back\slash`, "{}*?[", strings.Repeat("k", 1000)} {
		key := s.key(name)
		token := a.take(key)
		b.refused(key)
		if lost := a.renew(map[string]uint64{key: token}); len(lost) != 0 {
			s.Errorf("%q is lost", key)
		}
		if got, err := a.Holders(context.Background(), key); err != nil || got[key] != a.id {
			s.Errorf("holders of %q: %v, %v", key, got, err)
		}
		a.release(key, token)
		b.take(key)
	}
	a.take(s.key("a_c"))
	if got, err := a.Holders(context.Background(), s.key("a%")); err != nil || len(got) != 0 {
		s.Errorf("a prefix is a pattern: %v, %v", got, err)
	}
}
