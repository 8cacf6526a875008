package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// app is what the tasks share.
type app struct {
	config

	pool   *pgxpool.Pool
	sup    *taskvisor.Supervisor
	stdout io.Writer
}

// migrate makes River's tables and ours. Of replicas that do so at the same time one may
// fail; it is tried again, and finds them there.
func (a *app) migrate(ctx context.Context) error {
	m, err := rivermigrate.New(riverpgxv5.New(a.pool), &rivermigrate.Config{Logger: slog.Default()})
	if err != nil {
		return taskvisor.Fatal(err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	_, err = a.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS orders (
		id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		item    text NOT NULL,
		charged timestamptz,
		attempt int)`)
	if err == nil {
		taskvisor.Ready(ctx)
	}
	return err
}

// client makes a client of the queue. Its own words for what the supervisor decides: how
// many jobs at a time, how long each, and how long those in hand may take at a stop.
func (a *app) client() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &charger{app: a})
	return river.NewClient(riverpgxv5.New(a.pool), &river.Config{
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: a.workers}},
		Workers:    workers,
		JobTimeout: a.timeout,
		// A job that its process has taken along is worked again after this, so it must
		// be longer than any job may take: otherwise two work at it.
		RescueStuckJobsAfter: a.timeout + time.Second,
		// The end of the context stops fetching; this much later jobs in hand are
		// cancelled. The task's grace has to be longer.
		SoftStopTimeout: a.soft,
		Logger:          slog.Default(),
	})
}

// work is the body of the task "river": a client for as long as the attempt runs. What
// restarts River's parts is River; this task is there to begin after the tables, to be
// ready when the client is, to be stopped in order and within the grace, and to come back
// if the client ever ends by itself.
func (a *app) work(ctx context.Context) error {
	client, err := a.client()
	if err != nil {
		return taskvisor.Fatal(err) // a misused option
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	taskvisor.Ready(ctx)
	<-client.Stopped() // the jobs in hand have ended
	if ctx.Err() == nil {
		return errors.New("the client has stopped by itself")
	}
	return ctx.Err()
}

// charge is the job of charging an order.
type charge struct {
	Order int64 `json:"order"`
}

// Kind implements river.JobArgs.
func (charge) Kind() string { return "charge" }

type charger struct {
	river.WorkerDefaults[charge]

	app *app
}

// Work implements river.Worker. A job is worked at least once: a process may die between
// the work and the note that it is done. Here both are in one transaction, so that the
// order is charged once; whoever charges by a request to somebody else needs a key for
// that, such as the job's id, by which they can tell the second request from another order.
func (w *charger) Work(ctx context.Context, job *river.Job[charge]) error {
	select {
	case <-time.After(w.app.took):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	tx, err := w.app.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing, after a commit
	tag, err := tx.Exec(ctx, `UPDATE orders SET charged = now(), attempt = $2 WHERE id = $1 AND charged IS NULL`, job.Args.Order, job.Attempt)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return river.JobCancel(errors.New("there is no such order, or it is charged"))
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
