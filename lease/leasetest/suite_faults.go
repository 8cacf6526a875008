package leasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// The checks of this file end contexts and engines.

func (s *suite) endedContext() {
	a := s.open()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	begun := time.Now()
	if _, err := a.Acquire(ctx, s.key("k"), a.id, s.e.TTL); err == nil || errors.Is(err, lease.ErrHeld) {
		s.Errorf("acquire: %v", err)
	}
	if _, err := a.Renew(ctx, a.id, map[string]uint64{s.key("k"): 1}, s.e.TTL); err == nil {
		s.Error("renew: no error")
	}
	if _, err := a.Holders(ctx, s.prefix); err == nil {
		s.Error("holders: no error")
	}
	if took := time.Since(begun); took > 5*time.Second { // a request that nobody ends takes longer
		s.Errorf("it took %s", took)
	}
}

// Requests that are cancelled on their way leave no lease that somebody else's renewals
// keep alive. The owner itself can still have it, and keeps it: that the request comes
// later than the one after it is no harm.
func (s *suite) canceled() {
	a, b := s.open(), s.open()
	kept := s.key("kept")
	held := map[string]uint64{kept: a.take(kept)}
	const doubtful = 20
	for i := range doubtful {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*50*time.Microsecond)
		_, _ = a.Acquire(ctx, s.key(fmt.Sprint(i)), a.id, s.e.TTL)
		cancel()
		if i%2 != 0 {
			held[s.key(fmt.Sprint(i))] = a.take(s.key(fmt.Sprint(i)))
		}
		if lost := a.renew(held); len(lost) != 0 {
			s.Fatalf("lost %q", lost)
		}
	}
	for i := 0; i < doubtful; i += 2 {
		a.keep(held, b, s.key(fmt.Sprint(i)))
	}
	for key := range held {
		b.refused(key)
	}
}

// A renewal that is cut short names the leases of which nothing is known, if it knows of
// any: the others are prolonged.
func (s *suite) cutShort() {
	a, b := s.open(), s.open()
	held, until := make(map[string]uint64), make(map[string]time.Time)
	for i := range 8 {
		key := s.key(fmt.Sprint(i))
		held[key] = a.take(key)
	}
	for i := 10; i >= 0; i-- {
		time.Sleep(s.e.TTL / 25)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
		sent := time.Now()
		lost, err := a.Renew(ctx, a.id, held, s.e.TTL)
		cancel()
		if len(lost) != 0 {
			s.Fatalf("lost %q", lost)
		}
		var some *lease.RenewError
		for key := range held {
			if err == nil || errors.As(err, &some) && !slices.Contains(some.Keys, key) {
				until[key] = sent.Add(s.e.TTL)
			}
		}
	}
	for key := range held {
		if _, at := b.free(key, s.e.TTL+s.e.Late); at.Before(until[key]) {
			s.Errorf("%q was renewed, and ended %s too early", key, until[key].Sub(at))
		}
	}
}

func (s *suite) watch() {
	a, b := s.open(), s.open()
	w, ok := b.Store.(lease.Watcher)
	if !ok {
		s.Skip("the store cannot watch")
	}
	released, expired := s.key("released"), s.key("expired")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changed := make(chan string, 100)
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, s.prefix, func(key string) { changed <- key }) }()
	told := func(want string, limit time.Duration) bool {
		s.Helper()
		for timeout := time.After(limit); ; {
			select {
			case key := <-changed:
				if key == want || key == "" {
					return true
				}
			case err := <-done:
				s.Fatalf("the watch has ended: %v", err)
			case <-timeout:
				return false
			}
		}
	}
	limit := s.e.TTL + s.e.Late
	for begun := time.Now(); ; { // nothing says when a watch is on
		a.release(released, a.take(released))
		if at := time.Now(); told(released, 500*time.Millisecond) {
			s.Logf("told of a release after %s", time.Since(at))
			break
		}
		if time.Since(begun) > limit {
			s.Fatalf("nobody told of a release in %s", limit)
		}
	}
	a.take(expired)
	begun := time.Now()
	if !told(expired, limit) {
		s.Fatalf("nobody told of an expiry in %s", limit)
	}
	s.Logf("told of an expiry after %s", time.Since(begun))
	cancel()
	select {
	case err := <-done:
		if err == nil {
			s.Error("it ended without an error")
		}
	case <-time.After(10 * time.Second):
		s.Error("it did not end with its context")
	}
}

func (s *suite) restart() {
	if s.e.Restart == nil {
		s.Skip("the engine cannot be restarted here")
	}
	a, b := s.open(), s.open()
	key, other := s.key("k"), s.key("other")
	token := a.take(key)
	released := b.take(other)
	b.release(other, released)
	s.e.Restart(s.T)
	var after uint64
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // connections come back
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var err error
		after, err = b.Acquire(ctx, other, b.id, s.e.TTL)
		cancel()
		if err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			s.Fatalf("after the restart: %v", err)
		}
	}
	if after <= released {
		s.Errorf("token %d after %d, over a restart", after, released)
	}
	if next, _ := b.free(key, time.Minute); next <= token {
		s.Errorf("token %d after %d, over a restart", next, token)
	}
}
