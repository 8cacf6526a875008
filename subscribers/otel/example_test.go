package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A task that fails once and then succeeds is one trace: the retry is a child
// of the attempt that failed.
func Example() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))

	sup, err := taskvisor.New(taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(provider))))
	if err != nil {
		fmt.Println(err)
		return
	}
	tries := 0
	fetch := func(context.Context) error {
		if tries++; tries == 1 {
			return errors.New("connection refused")
		}
		return nil
	}
	err = sup.Run(context.Background(), taskvisor.Restartable("fetch", fetch,
		taskvisor.WithTimeout(time.Minute), taskvisor.ConstantBackoff(time.Millisecond)))
	fmt.Println("run:", err)

	// The provider is shut down after the supervisor, or the last spans get lost.
	spans := exporter.GetSpans()
	for _, s := range spans {
		fmt.Printf("%s: %s %q\n", s.Name, s.Status.Code, s.Status.Description)
	}
	fmt.Println("one trace:", spans[1].Parent.SpanID() == spans[0].SpanContext.SpanID())
	if err := provider.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// run: <nil>
	// run fetch: Error "connection refused"
	// run fetch: Unset ""
	// one trace: true
}

// Tasks of one kind have no spans, a service that is restarted daily has one
// for each run although it has no timeout.
func ExampleWithSpanFor() {
	modes := func(spec taskvisor.TaskSpec) otelsub.SpanMode {
		switch spec.Name() {
		case "heartbeat":
			return otelsub.SpanNone
		case "nightly":
			return otelsub.SpanAttempt
		}
		return otelsub.SpanDefault
	}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(otelsub.New(otelsub.WithSpanFor(modes))))
	fmt.Println(sup != nil, err)
	// Output: true <nil>
}

// Metrics can show an exemplar for the trace that they come from.
func ExampleTraceLabels() {
	provider := sdktrace.NewTracerProvider()
	ctx, span := provider.Tracer("example").Start(context.Background(), "work")
	defer span.End()
	labels := otelsub.TraceLabels(ctx)
	fmt.Println(len(labels["trace_id"]), len(labels["span_id"]))
	// Output: 32 16
}
