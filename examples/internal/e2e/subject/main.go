// Command subject is the program that the end-to-end run audits. Its supervisors do
// everything that a supervisor can be seen to do, in half a minute and by a script:
// attempts of every result, restarts of every cause, bodies that hang, are abandoned
// or never come back, slots with every policy. The bodies keep a ledger of it.
//
// It serves /metrics and /healthz, sends its traces to OTEL_EXPORTER_OTLP_ENDPOINT,
// writes two logs, and when all supervisors have ended its ledger; then it waits for
// a signal, so that the final values can be scraped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace"

	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// suppression is how often the short log may mention a task that keeps failing. It is
// short enough for several mentions in one run.
const suppression = 5 * time.Second

type config struct {
	listen, ledger, log, short string
	runFor                     time.Duration
}

func main() {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:8485", "where to serve /metrics")
	flag.StringVar(&c.ledger, "ledger", "ledger.json", "the ledger, written when all supervisors have ended")
	flag.StringVar(&c.log, "log", "all.jsonl", "the log of everything")
	flag.StringVar(&c.short, "short", "short.jsonl", "the log from Info on, with its floods suppressed")
	flag.DurationVar(&c.runFor, "for", 24*time.Second, "how long the supervisors run")
	flag.Parse()
	if err := run(c); err != nil {
		fmt.Fprintln(os.Stderr, "subject:", err)
		os.Exit(1)
	}
}

// rig is what the parts of the script share.
type rig struct {
	ctx    context.Context
	book   *ledger.Ledger
	tracer trace.Tracer
	runFor time.Duration

	registry *prometheus.Registry
	otel     *otelsub.Subscriber
	logs     []*slogsub.Subscriber

	watchers sync.WaitGroup // of tasks whose end is awaited
}

func run(c config) (err error) {
	signaled, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	provider, err := newTracing(signaled)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutDown(provider)) }()
	logs, closeLogs, err := openLogs(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLogs()) }()

	r := &rig{
		ctx: context.Background(), book: ledger.New(spanOf), runFor: c.runFor, registry: prometheus.NewRegistry(),
		tracer: provider.Tracer("subject"), otel: otelsub.New(otelsub.WithTracerProvider(provider)), logs: logs,
	}
	stop, err := r.serve(c.listen)
	if err != nil {
		return err
	}
	defer stop()
	unwatch := r.book.Watch()
	err = r.play()
	unwatch()
	if err != nil {
		return err
	}
	if err := provider.ForceFlush(r.ctx); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	if err := r.book.Write(c.ledger); err != nil {
		return err
	}
	<-signaled.Done()
	return nil
}

// play runs the supervisors side by side, each with its part of the script.
func (r *rig) play() error {
	parts := []func() error{r.alpha, r.beta, r.gamma}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { errs[i] = part() })
	}
	wg.Wait()
	r.watchers.Wait()
	return errors.Join(errs...)
}

// supervisor makes a supervisor with every subscriber.
func (r *rig) supervisor(name string, limit int, grace time.Duration, opts ...taskvisor.Option) (*taskvisor.Supervisor, *ledger.Supervisor, error) {
	opts = append(opts, taskvisor.WithName(name), taskvisor.WithGrace(grace),
		taskvisor.WithSubscriber(ledger.Frame{}), // the outermost
		taskvisor.WithSubscriber(promsub.New(r.registry, promsub.WithExemplars(otelsub.TraceLabels))),
		taskvisor.WithSubscriber(r.otel))
	for _, l := range r.logs {
		opts = append(opts, taskvisor.WithSubscriber(l))
	}
	if limit > 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(limit))
	}
	sup, err := taskvisor.New(opts...)
	return sup, r.book.Supervisor(name, limit, grace), err
}

// gather returns the metrics, with one that says which of the ledger's readings they are.
func (r *rig) gather() ([]*dto.MetricFamily, error) {
	n, done := r.book.Reading()
	families, err := r.registry.Gather()
	done()
	name, number := "ledger_reading", float64(n)
	return append(families, &dto.MetricFamily{
		Name: &name, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &number}}},
	}), err
}

// serve answers until stop is called.
func (r *rig) serve(addr string) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(r.gather), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	// Ends when stop closes the server; stop waits for it.
	go func() {
		defer close(done)
		_ = srv.Serve(listener) // ErrServerClosed
	}()
	return func() {
		_ = srv.Close()
		<-done
	}, nil
}
