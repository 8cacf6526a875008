// Command server serves the live page of a shop on a bad night, for the browser tests
// and the pictures. It prints its address and ends when its standard input does, so
// that it never outlives who started it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	incidents, err := flightsub.New(flightsub.WithLogger(nil))
	if err != nil {
		return err
	}
	page := livesub.New(
		livesub.WithActions(func(r *http.Request) (string, bool) { return "night shift", r.Header.Get("X-Look-Only") == "" }),
		livesub.WithTraceLabels(func(context.Context) map[string]string {
			return map[string]string{"trace_id": fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())}
		}),
		livesub.WithTraceLink(func(id string) string { return "https://traces.example/trace/" + id }),
		livesub.WithSection("leases", func() livesub.Section {
			return livesub.Section{Columns: []string{"lease", "holder", "token"}, Rows: [][]string{{"nightly-report", "shop-2", "41"}}}
		}),
		livesub.WithIncidents(func() (list []livesub.Incident) {
			for _, in := range incidents.List() {
				list = append(list, livesub.Incident(in))
			}
			return list
		}, incidents.Handler()),
	)
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(page), taskvisor.WithSubscriber(incidents), taskvisor.WithMaxConcurrent(32),
		taskvisor.WithGrace(time.Second), taskvisor.WithTaskDefaults(taskvisor.WithStuckAfter(time.Second)))
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return err
	}
	if err := populate(ctx, sup); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/taskvisor/", page)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(listener) }() // ends with the process
	fmt.Printf("http://%s/debug/taskvisor/\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = srv.Close()
	var late *taskvisor.GraceExceededError
	if err := sup.Shutdown(ctx); !errors.As(err, &late) { // migrate never returns: that is its part
		return err
	}
	return nil
}

// populate adds what a shop does at night, and what goes wrong with it.
func populate(ctx context.Context, sup *taskvisor.Supervisor) error {
	refused := errors.New("dial tcp 10.0.0.7:5432: connect: connection refused")
	specs := []taskvisor.TaskSpec{
		taskvisor.Restartable("order-consumer", resident("partition 3 of 8, offset 184 201")),
		taskvisor.Periodic("exchange-rates", 700*time.Millisecond, work(60*time.Millisecond, 0.12)),
		taskvisor.Periodic("session-cleanup", 3*time.Second, work(20*time.Millisecond, 0)),
		taskvisor.Periodic("search-index", time.Second, work(400*time.Millisecond, 0.05), taskvisor.WithTimeout(500*time.Millisecond), taskvisor.WithKind("index")),
		taskvisor.Periodic("price-export", 90*time.Second, work(30*time.Millisecond, 0)),
		taskvisor.Restartable("billing", func(context.Context) error { return fmt.Errorf("charge invoices: %w", refused) },
			taskvisor.ExponentialBackoff(300*time.Millisecond, 8*time.Second)),
		taskvisor.Restartable("mail-sender", resident("queue is empty")),
		taskvisor.Periodic("nightly-report", time.Hour, work(30*time.Millisecond, 0), taskvisor.WithStartPaused()),
		taskvisor.Once("migrate", func(context.Context) error { select {} }, taskvisor.WithTimeout(1500*time.Millisecond)),
		taskvisor.Once("warm-cache", work(200*time.Millisecond, 0)),
		taskvisor.Restartable("webhook-relay", func(context.Context) error { panic("runtime error: index out of range [3] with length 3") },
			taskvisor.WithMaxRetries(2), taskvisor.ConstantBackoff(200*time.Millisecond)),
	}
	if _, err := sup.AddAll(ctx, specs...); err != nil {
		return err
	}
	for i := range 3 {
		_, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("sync-tenant-7-", i), work(time.Hour, 0)), Slot: "tenant-7"})
		if err != nil {
			return err
		}
	}
	return nil
}

// resident works until it is told to stop.
func resident(note string) taskvisor.Func {
	return func(ctx context.Context) error {
		taskvisor.Beat(ctx, note)
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// work takes about d, and fails with a probability.
func work(d time.Duration, fails float64) taskvisor.Func {
	return func(ctx context.Context) error {
		select {
		case <-time.After(time.Duration(float64(d) * (0.5 + rand.Float64()))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if rand.Float64() < fails {
			return errors.New("GET https://api.example/v2/rates: 503 Service Unavailable")
		}
		return nil
	}
}
