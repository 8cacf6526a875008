package pglease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	pglease "github.com/taskvisor/taskvisor-go/lease/postgres"
	"github.com/taskvisor/taskvisor-go/lease/postgres/internal/server"
)

func start(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.New()
	if errors.Is(err, server.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestStore(t *testing.T) {
	s := start(t)
	leasetest.TestStore(t, leasetest.Engine{
		Open: func(t *testing.T) lease.Store {
			store := pglease.New(connect(t, s.URL()))
			if err := store.Migrate(context.Background()); err != nil {
				t.Fatal(err)
			}
			return store
		},
		Restart: func(t *testing.T) {
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// Replicas that start together migrate together; another table is another world.
func TestMigrate(t *testing.T) {
	ctx := context.Background()
	pool := connect(t, start(t).URL())
	if _, err := pool.Exec(ctx, `CREATE SCHEMA "Odd one"`); err != nil {
		t.Fatal(err)
	}
	a, b := pglease.New(pool), pglease.New(pool, pglease.WithTable("Odd one", `le"ases`))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := errors.Join(a.Migrate(ctx), b.Migrate(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, store := range []*pglease.Store{a, b} {
		if _, err := store.Acquire(ctx, "k", "me", 15*time.Second); err != nil {
			t.Error(err)
		}
	}
}

// Rows that somebody deletes take nothing of the order of tokens with them.
func TestTokensGrowOverDeletedRows(t *testing.T) {
	ctx := context.Background()
	pool := connect(t, start(t).URL())
	store := pglease.New(pool)
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	first, err := store.Acquire(ctx, "k", "me", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `DELETE FROM taskvisor_leases`); err != nil {
		t.Fatal(err)
	}
	if lost, err := store.Renew(ctx, "me", map[string]uint64{"k": first}, 15*time.Second); err != nil || len(lost) != 1 {
		t.Errorf("lost %q, %v", lost, err)
	}
	if second, err := store.Acquire(ctx, "k", "you", 15*time.Second); err != nil || second <= first {
		t.Errorf("token %d after %d: %v", second, first, err)
	}
}
