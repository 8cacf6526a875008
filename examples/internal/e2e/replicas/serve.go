package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/taskvisor/taskvisor-go/lease"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What a replica does: the same whichever way its metrics go.
const (
	supervisorName = "shop"
	failingTask    = "report"  // on the replica that is ill
	singleTask     = "nightly" // in one replica
)

var errLedger = errors.New("the ledger does not answer")

// replica is the command line of one.
type replica struct {
	listen   string // for /metrics and /quit
	otlp     string // where to push to
	job      string // by OTLP
	instance string // by OTLP
	leases   string // where the engine is
	pushed   bool   // by OTLP alone, with the labels that boards select by
	ill      bool
}

// serve is one replica of the service, until the process is told to end. Then it shows
// its last state until somebody has seen it and asks for /quit.
func (r replica) serve(ctx context.Context) (err error) {
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(r.otlp))
	if err != nil {
		return err
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(resource.NewSchemaless(
			attribute.String("service.name", r.job), attribute.String("service.instance.id", r.instance))),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(pushEvery))))
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, provider.Shutdown(last))
	}()

	owner, err := r.owner()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	opts := []taskvisor.Option{taskvisor.WithName(supervisorName), taskvisor.WithSignals(), taskvisor.WithMaxConcurrent(8),
		taskvisor.WithSubscriber(owner.Subscriber())}
	pushes := []otelsub.Option{otelsub.WithMeterProvider(provider)}
	if r.pushed {
		pushes = append(pushes, otelsub.WithPrometheusLabels())
	} else {
		opts = append(opts, taskvisor.WithSubscriber(promsub.New(registry, promsub.WithLeases(owner))))
	}
	sup, err := taskvisor.New(append(opts, taskvisor.WithSubscriber(otelsub.New(pushes...)))...)
	if err != nil {
		return err
	}
	seen, stop, err := r.listenTo(registry)
	if err != nil {
		return err
	}
	defer stop()
	err = sup.Run(ctx, r.tasks(sup, owner)...)
	select {
	case <-seen:
	case <-time.After(time.Minute):
		err = errors.Join(err, errors.New("nobody wanted to see the end"))
	}
	return err
}

// pushEvery is short, as the interval of the scrapes is.
const pushEvery = time.Second

// owner takes the leases of this process, which has a name that no other has.
func (r replica) owner() (*lease.Owner, error) {
	client, err := rpc.Dial("tcp", r.leases)
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s/%d", r.listen, os.Getpid())
	return lease.New(store{client, id}, lease.WithID(id), lease.WithPrefix(r.job+"/"), lease.WithTTL(leaseTTL))
}

// tasks are what a service may have: periodic and resident ones, some that wait at a
// gate, one that submits work to slots, and one that has a lease.
func (r replica) tasks(sup *taskvisor.Supervisor, owner *lease.Owner) []taskvisor.TaskSpec {
	door := taskvisor.NewLimit("door", 1)
	report := work(50 * time.Millisecond)
	if r.ill {
		report = func(context.Context) error { return errLedger }
	}
	return []taskvisor.TaskSpec{
		taskvisor.Periodic("sync", 300*time.Millisecond, work(50*time.Millisecond), taskvisor.WithTimeout(time.Second)),
		taskvisor.Periodic(failingTask, 400*time.Millisecond, report, taskvisor.ConstantBackoff(2*time.Second)),
		taskvisor.Restartable("consume", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		taskvisor.Restartable(singleTask, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			owner.Singleton(singleTask), taskvisor.WithGrace(leaseTTL/4)),
		taskvisor.Periodic("left", 100*time.Millisecond, work(200*time.Millisecond), taskvisor.WithGate(door)),
		taskvisor.Periodic("right", 100*time.Millisecond, work(200*time.Millisecond), taskvisor.WithGate(door)),
		taskvisor.Periodic("receive", 500*time.Millisecond, func(ctx context.Context) error {
			_, err := sup.Submit(ctx, taskvisor.Submission{Slot: "orders", Admission: taskvisor.Queue, Task: taskvisor.Once(
				fmt.Sprintf("order %d", time.Now().UnixNano()), work(450*time.Millisecond), taskvisor.WithKind("order"))})
			return err
		}),
	}
}

// work takes its time.
func work(d time.Duration) taskvisor.Func {
	return func(ctx context.Context) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listenTo serves /metrics until stop is called; seen is closed by /quit.
func (r replica) listenTo(registry *prometheus.Registry) (seen <-chan struct{}, stop func(), err error) {
	listener, err := net.Listen("tcp", r.listen)
	if err != nil {
		return nil, nil, err
	}
	quit := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("POST /quit", func(http.ResponseWriter, *http.Request) {
		select {
		case quit <- struct{}{}:
		default: // it was asked for already
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	// Ends when stop shuts the server down; stop waits for it.
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ErrServerClosed
	}()
	return quit, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // the answer to /quit is under way
		<-done
	}, nil
}
