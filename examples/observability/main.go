// Command observability runs three tasks for two seconds with all three
// subscribers: logs go to the standard error as JSON, and at the end the
// attempts are printed as Prometheus counted them and as spans.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Stderr); err != nil {
		log.Fatal(err)
	}
}

// observed is the whole wiring: a supervisor whose metrics are on reg, whose
// spans go to spans and whose events go to logger. Exemplars link the first to
// the second.
func observed(reg prometheus.Registerer, spans *sdktrace.TracerProvider, logger *slog.Logger) (*taskvisor.Supervisor, error) {
	return taskvisor.New(
		taskvisor.WithName("demo"),
		taskvisor.WithSignals(),
		taskvisor.WithSubscriber(promsub.New(reg, promsub.WithExemplars(otelsub.TraceLabels))),
		taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(spans))),
		taskvisor.WithSubscriber(slogsub.New(logger)),
	)
}

func run(ctx context.Context, out, logs io.Writer) error {
	reg := prometheus.NewRegistry()
	exporter := tracetest.NewInMemoryExporter() // a program of yours takes otlptracehttp.New
	spans := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))

	sup, err := observed(reg, spans, slog.New(slog.NewJSONHandler(logs, nil)))
	if err != nil {
		return err
	}
	err = sup.Run(ctx, tasks()...)
	if grace := new(*taskvisor.GraceExceededError); !errors.As(err, grace) {
		err = nil // one of the tasks fails on purpose, and nothing runs on
	}
	// Only now is the last attempt counted and its span ended.
	printAttempts(out, reg)
	printSpans(out, exporter.GetSpans())
	return errors.Join(err, spans.Shutdown(context.WithoutCancel(ctx)))
}

func tasks() []taskvisor.TaskSpec {
	failures := 0
	return []taskvisor.TaskSpec{
		taskvisor.Periodic("good", 300*time.Millisecond, func(context.Context) error { return nil },
			taskvisor.WithTimeout(time.Second)),
		taskvisor.Once("panicking", func(context.Context) error { panic("no such luck") },
			taskvisor.WithTimeout(time.Second)),
		taskvisor.Restartable("flaky", func(context.Context) error {
			if failures++; failures <= 3 {
				return errors.New("not yet")
			}
			return nil
		}, taskvisor.WithTimeout(time.Second), taskvisor.ConstantBackoff(100*time.Millisecond)),
	}
}

// printAttempts prints the attempts that reg has counted, as a query would
// return them.
func printAttempts(w io.Writer, reg prometheus.Gatherer) {
	families, err := reg.Gather()
	if err != nil {
		fmt.Fprintln(w, err)
	}
	for _, family := range families {
		if family.GetName() != "taskvisor_task_attempts_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			if metric.GetCounter().GetValue() == 0 {
				continue
			}
			labels := make([]string, 0, len(metric.GetLabel()))
			for _, l := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			fmt.Fprintf(w, "%s{%s} %v\n", family.GetName(), strings.Join(labels, ","), metric.GetCounter().GetValue())
		}
	}
}

// printSpans prints the spans trace by trace: a streak of failures and its end
// are one trace.
func printSpans(w io.Writer, spans tracetest.SpanStubs) {
	sort.SliceStable(spans, func(i, j int) bool {
		return spans[i].SpanContext.TraceID().String() < spans[j].SpanContext.TraceID().String()
	})
	for _, s := range spans {
		indent := ""
		if s.Parent.IsValid() {
			indent = "  "
		}
		fmt.Fprintf(w, "%s %s%s (%s)\n", s.SpanContext.TraceID(), indent, s.Name, s.Status.Code)
	}
}
