package leasetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// broken are stores that do one thing wrong, and the check that has to notice.
var broken = map[string]struct {
	check string
	store func(c *leasetest.Conn) lease.Store
}{
	"gives to everybody": {"held", func(c *leasetest.Conn) lease.Store { return generous{c} }},
	"repeats tokens":     {"expiring/tokens_grow", func(c *leasetest.Conn) lease.Store { return forgetful{c} }},
	"expires early":      {"expiring/expiry", func(c *leasetest.Conn) lease.Store { return hasty{c} }},
	"renews all":         {"expiring/only_what_is_named_is_renewed", func(c *leasetest.Conn) lease.Store { return &eager{Conn: c} }},
	"loses nothing":      {"expiring/lost", func(c *leasetest.Conn) lease.Store { return confident{c} }},
	"releases others'":   {"stale_release", func(c *leasetest.Conn) lease.Store { return careless{c} }},
	"hides holders":      {"expiring/holders", func(c *leasetest.Conn) lease.Store { return secretive{c} }},
	"ignores contexts":   {"ended_context", func(c *leasetest.Conn) lease.Store { return deaf{c} }},
	"tells nobody":       {"expiring/watch", func(c *leasetest.Conn) lease.Store { return mute{c} }},
	"keeps what is lost": {"expiring/canceled_in_between", func(c *leasetest.Conn) lease.Store { return &stubborn{eager{Conn: c}} }},
}

type generous struct{ *leasetest.Conn }

func (s generous) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := s.Conn.Acquire(ctx, key, owner, ttl)
	var held *lease.HeldError
	if errors.As(err, &held) {
		return s.Conn.Acquire(ctx, key, held.Holder, ttl)
	}
	return token, err
}

type forgetful struct{ *leasetest.Conn }

func (s forgetful) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := s.Conn.Acquire(ctx, key, owner, ttl)
	return min(token, 1), err
}

type hasty struct{ *leasetest.Conn }

func (s hasty) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	return s.Conn.Acquire(ctx, key, owner, ttl*3/4)
}

// eager keeps alive whatever its connection has acquired, as one session for all does.
type eager struct {
	*leasetest.Conn
	all map[string]uint64
}

func (s *eager) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := s.Conn.Acquire(ctx, key, owner, ttl)
	if err == nil {
		if s.all == nil {
			s.all = map[string]uint64{}
		}
		s.all[key] = token
	}
	return token, err
}

func (s *eager) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	if _, err := s.Conn.Renew(ctx, owner, s.all, ttl); err != nil {
		return nil, err
	}
	return s.Conn.Renew(ctx, owner, held, ttl)
}

type confident struct{ *leasetest.Conn }

func (s confident) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	_, err := s.Conn.Renew(ctx, owner, held, ttl)
	return nil, err
}

type careless struct{ *leasetest.Conn }

func (s careless) Release(ctx context.Context, key string, _ uint64) error {
	for token := range uint64(10_000) {
		if err := s.Conn.Release(ctx, key, token); err != nil {
			return err
		}
	}
	return nil
}

type secretive struct{ *leasetest.Conn }

func (s secretive) Holders(ctx context.Context, _ string) (map[string]string, error) {
	return nil, context.Cause(ctx)
}

type deaf struct{ *leasetest.Conn }

func (s deaf) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	return s.Conn.Acquire(context.WithoutCancel(ctx), key, owner, ttl)
}

type mute struct{ *leasetest.Conn }

func (s mute) Watch(ctx context.Context, _ string, _ func(key string)) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// stubborn keeps alive also what nobody was told that it had acquired.
type stubborn struct{ eager }

func (s *stubborn) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := s.eager.Acquire(context.WithoutCancel(ctx), key, owner, ttl)
	return token, errors.Join(err, context.Cause(ctx))
}

// The suite notices each of them, with the check that is made for it. Since it fails its
// test then, it runs in another process.
func TestSuiteNotices(t *testing.T) {
	const variable = "LEASETEST_BROKEN"
	if name := os.Getenv(variable); name != "" {
		engine := &leasetest.Memory{}
		leasetest.InBubbles(t, leasetest.Engine{
			Open: func(*testing.T) lease.Store { return broken[name].store(engine.Connect()) },
			Keys: 10,
		})
		return
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestSuiteNotices$/^"+strings.ReplaceAll(b.check, "/", "$/^")+"$", "-test.v")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestSuiteNotices/"+b.check) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
