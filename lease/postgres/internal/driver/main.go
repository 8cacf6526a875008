// Command driver shows what leases do to real processes with PostgreSQL, beside its
// advisory locks, each held by a connection of its own and looked after; see package
// lease/internal/driver:
//
//	GOWORK=off go run ./internal/driver -rounds 3
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskvisor/taskvisor-go/internal/postgres"
	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
	pglease "github.com/taskvisor/taskvisor-go/lease/postgres"
)

func main() { program.Main() }

var program = driver.Program{
	Start:      start,
	Contenders: []driver.Contender{{Name: "lease", Run: supervise}, {Name: "advisory lock", Run: lock}},
}

// engine is one server.
type engine struct {
	*postgres.Server
	up bool
}

func start(n driver.Need) (driver.Engine, error) {
	if n.Members > 1 {
		return nil, driver.ErrNeed
	}
	begin := postgres.New
	if n.Clock {
		begin = postgres.NewWithClock
	}
	s, err := begin()
	if errors.Is(err, postgres.ErrNoClock) {
		err = errors.Join(driver.ErrNeed, err)
	}
	if err != nil {
		return nil, err
	}
	e := &engine{s, true}
	if err := e.prepare(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// prepare makes the table of the leases, and what an advisory lock lacks: tokens.
func (e *engine) prepare() error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, e.URL())
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `CREATE SEQUENCE fence`)
	return errors.Join(err, pglease.New(pool).Migrate(ctx))
}

// Addrs implements driver.Engine.
func (e *engine) Addrs() []string { return []string{e.Addr()} }

// More implements driver.Engine.
func (e *engine) More() string { return "" }

// Up implements driver.Engine.
func (e *engine) Up() error {
	if e.up {
		return nil
	}
	e.up = true
	return e.Start()
}

// Down implements driver.Engine.
func (e *engine) Down() {
	e.Kill()
	e.up = false
}

func supervise(r *driver.Replica) error {
	pool, err := pgxpool.New(context.Background(), postgres.URL(r.Addrs[0]))
	if err != nil {
		return err
	}
	return r.Supervise(pglease.New(pool))
}

// lock is how advisory locks are used with care: on a connection of their own, which is
// asked every fifth of the TTL whether it is still there, with the TTL to answer.
func lock(r *driver.Replica) error {
	return r.Campaign(func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, postgres.URL(r.Addrs[0]))
		if err != nil {
			return err
		}
		defer func() {
			bye, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = conn.Close(bye) // and with it the lock
		}()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, r.Key); err != nil {
			return err
		}
		var token uint64
		if err := conn.QueryRow(ctx, `SELECT nextval('fence')`).Scan(&token); err != nil {
			return err
		}
		return hold(ctx, r, conn, token)
	})
}

// hold works while the connection is there.
func hold(ctx context.Context, r *driver.Replica, conn *pgx.Conn, token uint64) error {
	holding, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	// Ends with the term; hold waits for it, since it uses the connection.
	go func() {
		defer close(done)
		ticker := time.NewTicker(r.TTL / 5)
		defer ticker.Stop()
		for {
			select {
			case <-holding.Done():
				return
			case <-ticker.C:
			}
			asking, stop := context.WithTimeout(holding, r.TTL)
			err := conn.Ping(asking)
			stop()
			if err != nil {
				cancel(fmt.Errorf("the connection is gone: %w", err))
				return
			}
		}
	}()
	err := r.Work(holding, token)
	cancel(nil)
	<-done
	return errors.Join(err, context.Cause(holding))
}
