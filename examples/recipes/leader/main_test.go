package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// shaky is a lock whose renewals fail when told so; it knows whether anybody works.
type shaky struct {
	alone
	t       *testing.T
	broken  atomic.Bool
	working atomic.Int32
	at      func() // called by Release
}

func (s *shaky) Renew(ctx context.Context) error {
	if s.broken.Load() {
		<-ctx.Done() // the network is gone: nobody answers
		return ctx.Err()
	}
	return nil
}

func (s *shaky) work(ctx context.Context) error {
	s.working.Add(1)
	defer s.working.Add(-1)
	<-ctx.Done()
	time.Sleep(time.Second) // what is in hand
	return nil
}

func (s *shaky) Release(context.Context) error {
	s.at()
	return errors.New("unreachable")
}

func TestWorkEndsWithTheLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shaky{t: t, at: func() {}}
		sup, rec := taskvisortest.Start(t)
		if _, err := sup.AddAll(t.Context(), tasks(s, 20*time.Second, s.work)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s.working.Load() != 1 {
			t.Fatal("nobody works")
		}
		s.broken.Store(true)
		lost := time.Now()
		for s.working.Load() != 0 {
			time.Sleep(time.Second)
		}
		if d := time.Since(lost); d > 20*time.Second {
			t.Errorf("worked for %v after the last renewal, longer than the term", d)
		}
		s.broken.Store(false)
		time.Sleep(time.Minute)
		if s.working.Load() != 1 {
			t.Error("nobody works after the lock came back")
		}
		if got, want := rec.Trace("scheduler"), "A S I C B S"; got != want {
			t.Errorf("scheduler: %s, want %s", got, want)
		}
	})
}

func TestLockIsReleasedAfterTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := false
		s := &shaky{t: t}
		s.at = func() { released = s.working.Load() == 0 }
		sup, _ := taskvisortest.Start(t)
		if _, err := sup.AddAll(t.Context(), tasks(s, 20*time.Second, s.work)...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if !released {
			t.Error("released while work ran, or not at all")
		}
	})
}
