package leasetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
)

// suite is one check. Its keys are its own.
type suite struct {
	*testing.T
	e      Engine
	prefix string
	owners int
}

// owner is a connection with a name.
type owner struct {
	lease.Store
	s  *suite
	id string
}

func (s *suite) open() *owner {
	s.owners++
	return &owner{s.e.Open(s.T), s, fmt.Sprintf("%sowner-%d", s.prefix, s.owners)}
}

func (s *suite) key(name string) string { return s.prefix + name }

// take acquires a lease that must be free.
func (o *owner) take(key string) uint64 {
	o.s.Helper()
	token, err := o.Acquire(context.Background(), key, o.id, o.s.e.TTL)
	if err != nil || token == 0 {
		o.s.Fatalf("acquire %q: token %d, %v", key, token, err)
	}
	return token
}

// refused says that the lease must not be free.
func (o *owner) refused(key string) {
	o.s.Helper()
	_ = o.refusal(key)
}

// refusal is the error of a lease that must not be free.
func (o *owner) refusal(key string) error {
	o.s.Helper()
	token, err := o.Acquire(context.Background(), key, o.id, o.s.e.TTL)
	if !errors.Is(err, lease.ErrHeld) {
		o.s.Fatalf("acquire %q, which is held: token %d, %v", key, token, err)
	}
	return err
}

// renew renews and returns what is lost.
func (o *owner) renew(held map[string]uint64) []string {
	o.s.Helper()
	lost, err := o.Renew(context.Background(), o.id, held, o.s.e.TTL)
	if err != nil {
		o.s.Fatalf("renew: %v", err)
	}
	return lost
}

func (o *owner) release(key string, token uint64) {
	o.s.Helper()
	if err := o.Release(context.Background(), key, token); err != nil {
		o.s.Fatalf("release: %v", err)
	}
}

// try acquires the lease if it is free.
func (o *owner) try(key string) (token uint64, free bool) {
	o.s.Helper()
	token, err := o.Acquire(context.Background(), key, o.id, o.s.e.TTL)
	if err != nil && !errors.Is(err, lease.ErrHeld) {
		o.s.Fatalf("acquire: %v", err)
	}
	return token, err == nil
}

// free waits until the lease can be had, and returns its token and when.
func (o *owner) free(key string, limit time.Duration) (uint64, time.Time) {
	o.s.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if token, free := o.try(key); free {
			return token, time.Now()
		}
		if time.Since(begun) > limit {
			o.s.Fatalf("%q is not free after %s", key, limit)
		}
	}
}

// keep renews, and loses nothing, until another has the lease of key.
func (o *owner) keep(held map[string]uint64, another *owner, key string) {
	o.s.Helper()
	for begun := time.Now(); ; time.Sleep(o.s.e.TTL / 8) {
		if lost := o.renew(held); len(lost) != 0 {
			o.s.Fatalf("lost %q", lost)
		}
		if _, free := another.try(key); free {
			return
		}
		if limit := o.s.e.TTL + o.s.e.Late; time.Since(begun) > limit {
			o.s.Fatalf("%q is not free after %s", key, limit)
		}
	}
}

// nobody waits until no key of the check has a holder.
func (o *owner) nobody() {
	o.s.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		holders, err := o.Holders(context.Background(), o.s.prefix)
		if err != nil {
			o.s.Fatalf("holders: %v", err)
		}
		if len(holders) == 0 {
			return
		}
		if limit := o.s.e.TTL + o.s.e.Late; time.Since(begun) > limit {
			o.s.Fatalf("after %s there are holders %v", limit, holders)
		}
	}
}
