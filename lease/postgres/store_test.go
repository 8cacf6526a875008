package pglease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskvisor/taskvisor-go/internal/postgres"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	pglease "github.com/taskvisor/taskvisor-go/lease/postgres"
)

func start(t *testing.T) *postgres.Server {
	t.Helper()
	s, err := postgres.New()
	if errors.Is(err, postgres.ErrNone) {
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

// Nothing stays of keys that are used once: a release deletes the row, and Migrate those of
// owners that were killed. Notes stay, and what is held.
func TestRowsAreDeleted(t *testing.T) {
	ctx := context.Background()
	pool := connect(t, start(t).URL())
	store := pglease.New(pool)
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	tokens := make(map[string]uint64)
	for _, key := range []string{"released", "killed long ago", "killed", "held", "noted", "noted long ago"} {
		token, err := store.Acquire(ctx, key, "me", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		tokens[key] = token
	}
	err1 := store.Release(ctx, "released", tokens["released"])
	err2 := store.ReleaseNoted(ctx, "noted", tokens["noted"], "a note")
	err3 := store.Annotate(ctx, tokens, map[string]string{"noted long ago": "another"})
	_, err4 := pool.Exec(ctx, `UPDATE taskvisor_leases SET expires = clock_timestamp() - interval '2 hours' WHERE key LIKE '%long ago'`)
	_, err5 := pool.Exec(ctx, `UPDATE taskvisor_leases SET expires = clock_timestamp() - interval '50 minutes' WHERE key = 'killed'`)
	if err := errors.Join(err1, err2, err3, err4, err5, store.Migrate(ctx)); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := pool.QueryRow(ctx, `SELECT string_agg(key, ', ' ORDER BY key) FROM taskvisor_leases`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != "held, killed, noted, noted long ago" {
		t.Errorf("left: %s", left)
	}
	for key, before := range tokens {
		if token, err := store.Acquire(ctx, key, "me", time.Hour); err != nil || token <= before {
			t.Errorf("%q: token %d after %d: %v", key, token, before, err)
		}
	}
}

// Whatever else is going on, a watch tells of a lease that has expired, and of one that
// has another holder by the time that it looks.
func TestWatchLooksForExpiry(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pool := connect(t, start(t).URL())
	store := pglease.New(pool)
	if err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	for key, ttl := range map[string]time.Duration{"w/expires": 5 * time.Second, "w/changes": 5 * time.Second, "w/stays": time.Hour} {
		if _, err := store.Acquire(ctx, key, "me", ttl); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan string, 100)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = store.Watch(ctx, "w/", func(key string) { told <- key }) })
	wg.Go(func() { // others release theirs all the time
		for ctx.Err() == nil {
			_, _ = pool.Exec(ctx, `SELECT pg_notify('taskvisor_leases', 'others')`)
			time.Sleep(10 * time.Millisecond)
		}
	})
	wg.Go(func() { // another has it milliseconds after its end
		for ctx.Err() == nil {
			if _, err := store.Acquire(ctx, "w/changes", "you", time.Hour); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	want := map[string]bool{"w/expires": true, "w/changes": true}
	for limit := time.After(30 * time.Second); len(want) > 0; {
		select {
		case key := <-told:
			if key == "w/stays" {
				t.Error("it tells of a lease that is held")
			}
			delete(want, key)
		case <-limit:
			t.Fatalf("nobody told of %v", want)
		}
	}
}
