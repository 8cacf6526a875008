package leasetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
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
	"gives to everybody":     {"held", func(c *leasetest.Conn) lease.Store { return generous{c} }},
	"repeats tokens":         {"expiring/tokens_grow", func(c *leasetest.Conn) lease.Store { return forgetful{c} }},
	"expires early":          {"expiring/expiry", func(c *leasetest.Conn) lease.Store { return hasty{c} }},
	"renews all":             {"expiring/only_what_is_named_is_renewed", func(c *leasetest.Conn) lease.Store { return &eager{Conn: c} }},
	"loses nothing":          {"expiring/lost", func(c *leasetest.Conn) lease.Store { return confident{c} }},
	"releases others'":       {"stale_release", func(c *leasetest.Conn) lease.Store { return careless{c} }},
	"hides holders":          {"expiring/holders", func(c *leasetest.Conn) lease.Store { return secretive{c} }},
	"ignores contexts":       {"ended_context", func(c *leasetest.Conn) lease.Store { return deaf{c} }},
	"tells nobody":           {"expiring/watch", func(c *leasetest.Conn) lease.Store { return mute{c} }},
	"forgets with the lease": {"expiring/notes_stay", func(c *leasetest.Conn) lease.Store { return fleeting{c} }},
	"lets stale notes in":    {"expiring/notes_are_fenced", func(c *leasetest.Conn) lease.Store { return credulous{c} }},
	"notes what has ended":   {"expiring/notes_are_fenced", func(c *leasetest.Conn) lease.Store { return posthumous{c} }},
	"renews by notes":        {"expiring/notes_prolong_nothing", func(c *leasetest.Conn) lease.Store { return talkative{c} }},
	"one note for all":       {"expiring/many_notes", func(c *leasetest.Conn) lease.Store { return lumping{c} }},
	"renews in words":        {"expiring/cut_short", func(c *leasetest.Conn) lease.Store { return boastful{c} }},
	"takes late":             {"expiring/canceled_in_between", func(c *leasetest.Conn) lease.Store { return tardy{c} }},
	"keeps what is lost":     {"expiring/canceled_in_between", func(c *leasetest.Conn) lease.Store { return &stubborn{eager{Conn: c}} }},
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

// boastful says that leases were renewed where it does not know.
type boastful struct{ *leasetest.Conn }

func (s boastful) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	lost, err := s.Conn.Renew(ctx, owner, held, ttl)
	if err != nil {
		err = &lease.RenewError{Err: err}
	}
	return lost, err
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

// fleeting keeps a note as long as its lease, and over a release: not over an expiry.
type fleeting struct{ *leasetest.Conn }

var released sync.Map // by key; one such store is tested in a process

func (s fleeting) Release(ctx context.Context, key string, token uint64) error {
	released.Store(key, true)
	return s.Conn.Release(ctx, key, token)
}

func (s fleeting) ReleaseNoted(ctx context.Context, key string, token uint64, note string) error {
	released.Store(key, true)
	return s.Conn.ReleaseNoted(ctx, key, token, note)
}

func (s fleeting) AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (uint64, string, error) {
	holders, _ := s.Conn.Holders(ctx, key)
	token, note, err := s.Conn.AcquireNoted(ctx, key, owner, ttl)
	if _, in := released.LoadAndDelete(key); !in && holders[key] == "" {
		note = ""
	}
	return token, note, err
}

// credulous does not look at the token of a note.
type credulous struct{ *leasetest.Conn }

func (s credulous) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	for key := range held {
		for token := range uint64(1000) {
			if err := s.Conn.Annotate(ctx, map[string]uint64{key: token}, notes); err != nil {
				return err
			}
		}
	}
	return nil
}

// posthumous takes notes of a lease that has ended, and that nobody has taken since.
type posthumous struct{ *leasetest.Conn }

func (s posthumous) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	for key := range held {
		token, err := s.Conn.Acquire(ctx, key, "the store", time.Minute)
		if err == nil {
			_ = s.Conn.ReleaseNoted(ctx, key, token, notes[key])
		}
	}
	return s.Conn.Annotate(ctx, held, notes)
}

type talkative struct{ *leasetest.Conn }

func (s talkative) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	holders, _ := s.Conn.Holders(ctx, "")
	for key, token := range held {
		_, _ = s.Conn.Renew(ctx, holders[key], map[string]uint64{key: token}, 4*time.Second)
	}
	return s.Conn.Annotate(ctx, held, notes)
}

type lumping struct{ *leasetest.Conn }

func (s lumping) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	same := make(map[string]string)
	for _, note := range notes {
		for key := range notes {
			same[key] = note
		}
	}
	return s.Conn.Annotate(ctx, held, same)
}

// stubborn keeps alive also what nobody was told that it had acquired.
type stubborn struct{ eager }

func (s *stubborn) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := s.eager.Acquire(context.WithoutCancel(ctx), key, owner, ttl)
	return token, errors.Join(err, context.Cause(ctx))
}

// tardy carries out once more, and late, what was cancelled or may have been.
type tardy struct{ *leasetest.Conn }

func (s tardy) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	if _, bounded := ctx.Deadline(); bounded {
		time.AfterFunc(time.Second, func() { _, _ = s.Conn.Acquire(context.Background(), key, owner, ttl) })
	}
	return s.Conn.Acquire(ctx, key, owner, ttl)
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
