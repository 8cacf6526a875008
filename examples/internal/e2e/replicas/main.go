// Command replicas looks at a service of three replicas through one Prometheus, twice:
// once scraped, with promsub, and once pushed by OTLP, with otelsub alone. It starts the
// six processes, deploys each anew in order, and asks what the boards' expressions, the
// recording rules and the alerts made of it.
//
// The scraped replicas push as well, with the attributes of the conventions: what boards
// and rules must not count again.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

func main() {
	var r replica
	server := flag.String("prometheus", "http://127.0.0.1:9092", "the Prometheus, with its OTLP receiver")
	boards := flag.String("boards", ".", "the directory of the boards")
	serve := flag.Bool("serve", false, "be a replica")
	flag.StringVar(&r.listen, "listen", "127.0.0.1:8486", "where a replica serves /metrics; of the driver, the first of six")
	flag.StringVar(&r.job, "job", jobScraped, "the replica's service by OTLP")
	flag.StringVar(&r.instance, "instance", "r0", "the replica's instance by OTLP")
	flag.StringVar(&r.leases, "leases", "", "where a replica's leases are")
	flag.BoolVar(&r.pushed, "pushed", false, "by OTLP alone")
	flag.BoolVar(&r.ill, "ill", false, "one of the replica's tasks fails")
	patience := flag.Duration("patience", time.Minute, "how long a check waits for scrapes and pushes")
	flag.Parse()
	r.otlp = *server + "/api/v1/otlp/v1/metrics"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *serve {
		if err := r.serve(context.Background()); err != nil { // the supervisor minds the signals
			fmt.Fprintln(os.Stderr, "replica:", err)
			os.Exit(1)
		}
		return
	}
	e := &env{prometheus: ask.Prometheus(*server), server: *server, first: r.listen, boards: *boards, patience: *patience, began: time.Now()}
	failed := e.all(ctx)
	if failed > 0 {
		fmt.Printf("replicas: %d checks failed\n", failed)
		stop()
		os.Exit(1)
	}
	fmt.Println("replicas: all checks passed")
}

// all starts the service, deploys it anew and ends it.
func (e *env) all(ctx context.Context) (failed int) {
	defer e.kill()
	var err error
	if e.leases, e.engine, err = serveLeases(); err == nil {
		err = e.startAll()
	}
	if err != nil {
		fmt.Println("FAIL  the replicas start:", err)
		return 1
	}
	r := checklist.Runner{Out: os.Stdout, Patience: e.patience}
	for _, p := range []struct {
		name   string
		checks []checklist.Check[*env]
	}{
		{"three replicas", steady},
		{"a lease and its owners", leaseFaults},
		{"an orderly deploy of the three", deploy},
		{"the end", ending},
	} {
		failed += checklist.Run(ctx, r, p.name, e, p.checks)
	}
	return failed
}
