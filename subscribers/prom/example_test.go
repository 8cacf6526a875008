package promsub_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A registry, the subscriber, and a handler for what it collects.
func Example() {
	registry := prometheus.NewRegistry()
	sub := promsub.New(registry)
	sup, err := taskvisor.New(taskvisor.WithName("jobs"), taskvisor.WithSubscriber(sub))
	if err != nil {
		fmt.Println(err)
		return
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))

	report := taskvisor.Once("report", func(ctx context.Context) error { return nil })
	if err := sup.Run(context.Background(), report); err != nil {
		fmt.Println(err)
	}

	fmt.Println(testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP taskvisor_tasks_finished_total Tasks that ended; an abandoned one counts when it is given up, not when its body returns.
# TYPE taskvisor_tasks_finished_total counter
taskvisor_tasks_finished_total{outcome="abandoned",supervisor="jobs"} 0
taskvisor_tasks_finished_total{outcome="canceled",supervisor="jobs"} 0
taskvisor_tasks_finished_total{outcome="completed",supervisor="jobs"} 1
taskvisor_tasks_finished_total{outcome="failed",supervisor="jobs"} 0
taskvisor_tasks_finished_total{outcome="fatal",supervisor="jobs"} 0
`), "taskvisor_tasks_finished_total"))
	// Output: <nil>
}

// Names that carry an id would be a series each; their kind is what a dashboard
// can use.
func ExampleWithTaskLabel() {
	sub := promsub.New(prometheus.DefaultRegisterer, promsub.WithTaskLabel(func(task string) string {
		kind, _, _ := strings.Cut(task, ":") // "import:4711" counts as "import"
		return kind
	}))
	_ = taskvisor.WithSubscriber(sub)
}

type requestID struct{}

// Any id will do that says where to look further. Traces of OpenTelemetry come
// from otelsub.TraceLabels.
func ExampleWithExemplars() {
	sub := promsub.New(prometheus.DefaultRegisterer, promsub.WithExemplars(func(ctx context.Context) map[string]string {
		id, ok := ctx.Value(requestID{}).(string)
		if !ok {
			return nil
		}
		return map[string]string{"request_id": id}
	}))
	_ = taskvisor.WithSubscriber(sub)
}
