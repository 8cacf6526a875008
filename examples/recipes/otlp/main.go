// Command otlp sends metrics and traces by OTLP, for those who have a collector and
// no Prometheus.
package main

import (
	"context"
	"errors"
	"log"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	if err := run(context.Background(), taskvisor.Periodic("sync", 10*time.Second, func(context.Context) error { return nil })); err != nil {
		log.Fatal(err)
	}
}

// run sends to where OTEL_EXPORTER_OTLP_ENDPOINT says, http://localhost:4318 by
// default. If that is a Prometheus or hands on to one, otelsub.WithPrometheusLabels()
// makes the dashboards and alerts work on it.
func run(ctx context.Context, specs ...taskvisor.TaskSpec) error {
	toMetrics, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return err
	}
	toTraces, err := otlptracehttp.New(ctx)
	if err != nil {
		return err
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(toMetrics)))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(toTraces))
	sup, err := taskvisor.New(
		taskvisor.WithSignals(),
		taskvisor.WithSubscriber(otelsub.New(otelsub.WithMeterProvider(meters), otelsub.WithTracerProvider(tracers))),
	)
	if err != nil {
		return err
	}
	err = sup.Run(ctx, specs...)
	// What ended last is still to be sent; ctx may be what ended the run.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, meters.Shutdown(last), tracers.Shutdown(last))
}
