package healthsub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// probe asks as a prober does.
func probe(h http.Handler, path string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	fmt.Print(path, " ", w.Code, " ", w.Body)
}

// Two handlers, and the names of the tasks that the process is there for.
func Example() {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready())

	worked := make(chan struct{})
	work := func(ctx context.Context) error {
		close(worked)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		panic(err)
	}
	probe(mux, "/readyz")

	h, err := sup.Add(ctx, taskvisor.Periodic("orders", time.Minute, work, taskvisor.WithStartPaused()))
	if err != nil {
		panic(err)
	}
	probe(mux, "/readyz")
	h.Resume(nil)
	<-worked
	probe(mux, "/readyz")
	probe(mux, "/livez")
	_ = sup.Shutdown(ctx)
	// Output:
	// /readyz 503 not ready
	// orders: not added yet
	// /readyz 503 not ready
	// shop: orders: paused, for 0s
	// /readyz 200 ready
	// /livez 200 live
}

// What a program does with the status is its own affair.
func ExampleHealth_Status() {
	health := healthsub.New()
	for _, why := range health.Status().Reasons {
		fmt.Println(why.Problem, why.Unready, why.Unlive)
	}
	// Output: no supervisor true false
}

// Tasks of a kind may matter more than others.
func ExampleWithLevelFunc() {
	health := healthsub.New(healthsub.WithLevelFunc(func(name, kind string) healthsub.Level {
		if kind == "consumer" {
			return healthsub.Critical
		}
		return healthsub.Ignored
	}))
	sup, err := taskvisor.New(taskvisor.WithSubscriber(health))
	if err != nil {
		panic(err)
	}
	fail := func(context.Context) error { return errors.New("no such file") }
	_ = sup.Run(context.Background(), taskvisor.Once("import", fail), taskvisor.Once("orders", fail, taskvisor.WithKind("consumer")))
	for _, why := range health.Status().Reasons {
		fmt.Printf("%q %s\n", why.Task, why.Problem)
	}
	// Unordered output:
	// "" ended
	// "orders" gave up
}
