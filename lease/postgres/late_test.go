package pglease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	pglease "github.com/taskvisor/taskvisor-go/lease/postgres"
)

// wire is between a client and the server. What is written while it is held arrives later.
type wire struct {
	mu   sync.Mutex // guards the fields below, and those of strands
	held bool
	pass int // writes that come through before it is held
	open []*strand
}

// strand is one connection.
type strand struct {
	net.Conn
	w    *wire
	kept []byte
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held {
		return nil, errors.New("held") // requests to cancel one, too
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s := &strand{Conn: c, w: w}
	w.open = append(w.open, s)
	return s, nil
}

func (w *wire) hold(pass int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.pass = true, pass
}

func (s *strand) Write(p []byte) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.held {
		if s.w.pass--; s.w.pass < 0 {
			s.kept = append(s.kept, p...)
			return len(p), nil
		}
	}
	return s.Conn.Write(p)
}

func (s *strand) Close() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if len(s.kept) > 0 {
		return nil // the server does not hear of it
	}
	return s.Conn.Close()
}

// arrive has the server carry out what was kept. It returns when that has been done, and
// how many bytes it was.
func (w *wire) arrive(t *testing.T) (n int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.open {
		if len(s.kept) == 0 {
			continue
		}
		n += len(s.kept)
		if err := s.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if _, err := s.Conn.Write(append(s.kept, 'X', 0, 0, 0, 4)); err != nil { // and an end
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, s.Conn)
		_ = s.Conn.Close()
	}
	return n
}

// An acquisition that arrives late, at any of its steps, takes nothing from a lease that
// the same owner was granted meanwhile.
func TestLateAcquisition(t *testing.T) {
	ctx := context.Background()
	url := start(t).URL()
	b := pglease.New(connect(t, url))
	if err := b.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, own := range []bool{false, true} {
		for pass := range 4 {
			config, err := pgxpool.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			w := &wire{}
			config.ConnConfig.DialFunc, config.MaxConns = w.dial, 1
			pool, err := pgxpool.NewWithConfig(ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			a, k := pglease.New(pool), fmt.Sprint("k/", own, pass)
			for range 2 { // so that all statements are prepared
				if _, err := a.Acquire(ctx, k, "me", time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			if !own {
				if _, err := pool.Exec(ctx, `UPDATE taskvisor_leases SET expires = clock_timestamp() WHERE key = $1`, k); err != nil {
					t.Fatal(err)
				}
			}
			w.hold(pass)
			short, cancel := context.WithTimeout(ctx, time.Second/2)
			_, err = a.Acquire(short, k, "me", time.Minute)
			cancel()
			token, errAgain := b.Acquire(ctx, k, "me", time.Minute)
			if errAgain != nil {
				t.Fatal(errAgain)
			}
			if w.arrive(t) > 0 && err != nil {
				late++
			}
			if lost, err := b.Renew(ctx, "me", map[string]uint64{k: token}, time.Minute); err != nil || len(lost) != 0 {
				t.Errorf("own %t, after %d writes: lost %q, %v", own, pass, lost, err)
			}
		}
	}
	if late < 2 {
		t.Errorf("%d came late", late)
	}
}
