package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// order is one as GET /orders shows it.
type order struct {
	ID      int64      `json:"id"`
	Item    string     `json:"item"`
	Charged *time.Time `json:"charged"`
	Attempt *int       `json:"attempt"` // of the job that has charged it
}

// http is the body of the task "http".
func (a *app) http(ctx context.Context) error {
	// Only to insert: the client that works is the other task's.
	queue, err := river.NewClient(riverpgxv5.New(a.pool), &river.Config{})
	if err != nil {
		return taskvisor.Fatal(err)
	}
	l, err := net.Listen("tcp", a.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "http://%s\n", l.Addr())
	var reports atomic.Int64
	mux := http.NewServeMux()
	answer := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v) // the client may be gone
		})
	}
	answer("POST /orders", func(r *http.Request) (any, error) { return a.take(r.Context(), queue, r.FormValue("item")) })
	answer("GET /orders", func(r *http.Request) (any, error) { return a.orders(r.Context()) })
	answer("POST /reports", func(r *http.Request) (any, error) { return a.report(r.Context(), &reports) })
	answer("GET /reports", func(*http.Request) (any, error) { return map[string]int64{"made": reports.Load()}, nil })

	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	err = taskvisor.Go(ctx, func(ctx context.Context) {
		<-ctx.Done()
		_ = srv.Shutdown(context.WithoutCancel(ctx)) // requests in hand are answered, within the grace
	})
	if err != nil {
		return err
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

// take stores an order and the job that charges it: both, or neither.
func (a *app) take(ctx context.Context, queue *river.Client[pgx.Tx], item string) (o order, err error) {
	o.Item = item
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `INSERT INTO orders (item) VALUES ($1) RETURNING id`, item).Scan(&o.ID); err != nil {
			return err
		}
		_, err := queue.InsertTx(ctx, tx, charge{Order: o.ID}, nil)
		return err
	})
	return o, err
}

func (a *app) orders(ctx context.Context) ([]order, error) {
	rows, err := a.pool.Query(ctx, `SELECT id, item, charged, attempt FROM orders ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[order])
}

// report has one made, after those before it, by this process: if it dies, nobody will
// know that it was asked for.
func (a *app) report(ctx context.Context, made *atomic.Int64) (map[string]taskvisor.TaskID, error) {
	h, err := a.sup.Submit(ctx, taskvisor.Submission{
		Slot: "reports", Admission: taskvisor.Queue,
		Task: taskvisor.Once(fmt.Sprint("report ", time.Now().UnixNano()), func(ctx context.Context) error {
			select {
			case <-time.After(a.took):
				made.Add(1)
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, taskvisor.WithKind("report")),
	})
	if err != nil {
		return nil, err
	}
	return map[string]taskvisor.TaskID{"task": h.ID()}, nil
}
