// Package pglease keeps leases in a table of PostgreSQL, for package lease.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	…
//	store := pglease.New(pool)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	owner, err := lease.New(store)
//
// A lease is a row, and its token is drawn from a sequence, so that tokens grow although rows
// are deleted. A row without a note, which is a column, is deleted with the release; where its
// owner was killed [Store.Migrate] does it, an hour after the lease has expired. All times are
// the server's own; a step of its clock by more than a quarter of the TTL moves leases with
// it. A renewal is one statement for however many leases. Advisory locks are not used: they
// belong to a connection, and die with it while the work goes on.
//
// Use synchronous_commit = on, as is the default, and a primary: a server that loses
// acknowledged writes, or a replica that is promoted without them, gives a lease twice.
package pglease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskvisor/taskvisor-go/lease"
)

const (
	defaultTable = "taskvisor_leases"
	channel      = "taskvisor_leases" // of notifications

	retries = 5 // of an acquisition that others came between
)

// Option configures a [Store]. The interface is sealed.
type Option interface{ apply(s *Store) }

type option func(s *Store)

func (f option) apply(s *Store) { f(s) }

// WithTable sets the table's name, "taskvisor_leases" by default, with its schema in
// front if that is given. Its sequence has the same name and "_token" behind it.
func WithTable(name ...string) Option {
	return option(func(s *Store) { s.name = name })
}

// Store implements lease.Store, lease.Watcher and lease.Noter. Make one with [New]; it is safe for
// concurrent use, and has no goroutines of its own.
type Store struct {
	pool *pgxpool.Pool
	name pgx.Identifier

	migrate                []string
	blank, acquire, holder string
	renew, release, drop   string
	annotate, holders      string
}

// New returns a store in the database of pool, which stays the caller's. A watch keeps
// one of its connections.
func New(pool *pgxpool.Pool, opts ...Option) *Store {
	s := &Store{pool: pool, name: pgx.Identifier{defaultTable}}
	for _, o := range opts {
		o.apply(s)
	}
	seq := append(pgx.Identifier{}, s.name...)
	seq[len(seq)-1] += "_token"
	names := strings.NewReplacer("TABLE_", s.name.Sanitize(), "SEQUENCE_", seq.Sanitize(), "CHANNEL_", channel)
	s.migrate = []string{
		names.Replace(`CREATE SEQUENCE IF NOT EXISTS SEQUENCE_`),
		names.Replace(`CREATE TABLE IF NOT EXISTS TABLE_ (
			key     text COLLATE "C" PRIMARY KEY,
			owner   text NOT NULL,
			token   bigint NOT NULL,
			expires timestamptz NOT NULL,
			note    text NOT NULL DEFAULT '')`),
		names.Replace(`DELETE FROM TABLE_ WHERE note = '' AND expires < clock_timestamp() - interval '1 hour'`),
	}
	// In one transaction, in which the row is there and locked before its token is drawn:
	// tokens are in the order of their leases also if others delete the row. What is taken
	// is free, or the owner's under the token that it had when it was looked at: a request
	// that comes late finds another. clock_timestamp is the time of the row's turn: now()
	// would be that of the statement, which may have waited for a lock.
	s.blank = names.Replace(`INSERT INTO TABLE_ (key, owner, token, expires) VALUES ($1, '', 0, '-infinity') ON CONFLICT DO NOTHING`)
	s.acquire = names.Replace(`UPDATE TABLE_ SET owner = $2, token = nextval('SEQUENCE_'), expires = clock_timestamp() + $3
		WHERE key = $1 AND (expires <= clock_timestamp() OR owner = $2 AND token = $4)
		RETURNING token, note`)
	s.holder = names.Replace(`SELECT owner, token FROM TABLE_ WHERE key = $1 AND expires > clock_timestamp()`)
	// In the order of the keys, so that two renewals wait for each other at most.
	s.renew = names.Replace(`WITH mine AS (
			SELECT key FROM TABLE_ l JOIN unnest($2::text[], $3::bigint[]) AS h(k, t) ON l.key = h.k AND l.token = h.t
			WHERE owner = $1 AND expires > clock_timestamp() ORDER BY key FOR UPDATE OF l)
		UPDATE TABLE_ l SET expires = clock_timestamp() + $4 FROM mine WHERE l.key = mine.key RETURNING l.key`)
	s.release = names.Replace(`WITH gone AS (
			UPDATE TABLE_ SET expires = '-infinity', note = coalesce($3, note) WHERE key = $1 AND token = $2 AND expires > '-infinity' RETURNING key)
		SELECT pg_notify('CHANNEL_', left(key, 7000)) FROM gone`)
	s.drop = names.Replace(`DELETE FROM TABLE_ WHERE key = $1 AND token = $2 AND expires = '-infinity' AND note = ''`)
	s.annotate = names.Replace(`WITH mine AS (
			SELECT key, h.note FROM TABLE_ l JOIN unnest($1::text[], $2::bigint[], $3::text[]) AS h(k, t, note) ON l.key = h.k AND l.token = h.t
			WHERE expires > clock_timestamp() ORDER BY key FOR UPDATE OF l)
		UPDATE TABLE_ l SET note = mine.note FROM mine WHERE l.key = mine.key`)
	s.holders = names.Replace(`SELECT key, owner FROM TABLE_ WHERE starts_with(key, $1) AND expires > clock_timestamp()`)
	return s
}

// Migrate makes the table and the sequence, if they are not there, and deletes the rows of
// leases that expired an hour ago and have no note.
func (s *Store) Migrate(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// One at a time: IF NOT EXISTS of two at once fails for one of them.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, s.name.Sanitize()); err != nil {
			return fmt.Errorf("pglease: migrate: %w", err)
		}
		for _, statement := range s.migrate {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("pglease: migrate: %w", err)
			}
		}
		return nil
	})
}

// Acquire implements lease.Store.
func (s *Store) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, _, err := s.AcquireNoted(ctx, key, owner, ttl)
	return token, err
}

// AcquireNoted implements lease.Noter.
func (s *Store) AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (uint64, string, error) {
	var seen int64 // the token of a lease that is the owner's already
	for range retries {
		token, note, err := s.take(ctx, key, owner, ttl, seen)
		if err == nil {
			return uint64(token), note, nil
		}
		var holder string
		if errors.Is(err, pgx.ErrNoRows) {
			err = s.pool.QueryRow(ctx, s.holder, key).Scan(&holder, &seen)
		}
		switch {
		case errors.Is(err, pgx.ErrNoRows): // it has ended meanwhile
			seen = 0
		case err != nil:
			return 0, "", fmt.Errorf("pglease: acquire %q: %w", key, err)
		case holder != owner:
			return 0, "", &lease.HeldError{Key: key, Holder: holder}
		}
	}
	return 0, "", &lease.HeldError{Key: key} // others came between each time
}

// take makes owner the holder, if nobody is, or owner itself under the token seen.
func (s *Store) take(ctx context.Context, key, owner string, ttl time.Duration, seen int64) (token int64, note string, err error) {
	var b pgx.Batch // one request, and one transaction
	b.Queue(s.blank, key)
	b.Queue(s.acquire, key, owner, ttl, seen).QueryRow(func(row pgx.Row) error { return row.Scan(&token, &note) })
	err = s.pool.SendBatch(ctx, &b).Close()
	return token, note, err
}

// Renew implements lease.Store.
func (s *Store) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) (lost []string, err error) {
	keys := make([]string, 0, len(held))
	tokens := make([]int64, 0, len(held))
	for key, token := range held {
		keys, tokens = append(keys, key), append(tokens, int64(token))
	}
	rows, err := s.pool.Query(ctx, s.renew, owner, keys, tokens, ttl)
	if err != nil {
		return nil, fmt.Errorf("pglease: renew: %w", err)
	}
	renewed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("pglease: renew: %w", err)
	}
	kept := make(map[string]bool, len(renewed))
	for _, key := range renewed {
		kept[key] = true
	}
	for _, key := range keys {
		if !kept[key] {
			lost = append(lost, key)
		}
	}
	return lost, nil
}

// Release implements lease.Store.
func (s *Store) Release(ctx context.Context, key string, token uint64) error {
	return s.end(ctx, key, token, nil)
}

// ReleaseNoted implements lease.Noter.
func (s *Store) ReleaseNoted(ctx context.Context, key string, token uint64, note string) error {
	return s.end(ctx, key, token, &note)
}

func (s *Store) end(ctx context.Context, key string, token uint64, note *string) error {
	var b pgx.Batch
	b.Queue(s.release, key, int64(token), note)
	b.Queue(s.drop, key, int64(token))
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("pglease: release %q: %w", key, err)
	}
	return nil
}

// Annotate implements lease.Noter.
func (s *Store) Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error {
	keys := make([]string, 0, len(held))
	tokens, texts := make([]int64, 0, len(held)), make([]string, 0, len(held))
	for key, token := range held {
		keys, tokens, texts = append(keys, key), append(tokens, int64(token)), append(texts, notes[key])
	}
	if _, err := s.pool.Exec(ctx, s.annotate, keys, tokens, texts); err != nil {
		return fmt.Errorf("pglease: annotate: %w", err)
	}
	return nil
}

// Holders implements lease.Store.
func (s *Store) Holders(ctx context.Context, prefix string) (map[string]string, error) {
	rows, err := s.pool.Query(ctx, s.holders, prefix)
	if err != nil {
		return nil, fmt.Errorf("pglease: holders: %w", err)
	}
	holders := make(map[string]string)
	var key, owner string
	_, err = pgx.ForEachRow(rows, []any{&key, &owner}, func() error {
		holders[key] = owner
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pglease: holders: %w", err)
	}
	return holders, nil
}

// lookEvery is the time between two looks for leases that have expired.
const lookEvery = time.Second

// Watch implements lease.Watcher. It tells of releases, at once; that a lease has
// expired nobody does in the database, so it looks for that itself every second.
func (s *Store) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("pglease: watch: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("pglease: watch: %w", err)
	}
	defer func() { // the connection goes back, deaf
		quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, err := conn.Exec(quiet, "UNLISTEN "+channel); err != nil {
			_ = conn.Conn().Close(quiet)
		}
	}()
	held, err := s.Holders(ctx, prefix)
	if err != nil {
		return err
	}
	for look := time.Now().Add(lookEvery); ; {
		wait, cancel := context.WithDeadline(ctx, look)
		note, err := conn.Conn().WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			tell(note, prefix, changed)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !pgconn.Timeout(err):
			return fmt.Errorf("pglease: watch: %w", err)
		}
		if time.Now().Before(look) { // however many notifications there are
			continue
		}
		now, err := s.Holders(ctx, prefix)
		if err != nil {
			return err
		}
		for key, holder := range held {
			if now[key] != holder {
				changed(key)
			}
		}
		held, look = now, time.Now().Add(lookEvery)
	}
}

func tell(note *pgconn.Notification, prefix string, changed func(key string)) {
	if strings.HasPrefix(note.Payload, prefix) {
		changed(note.Payload)
	}
}
