// Command audit compares what a real Prometheus, a real Jaeger and the logs say of a
// run of the subject with the ledger that its bodies kept. It starts and stops
// nothing; scripts/e2e.sh does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

// check is a check of the facts.
type check = checklist.Check[*facts]

// pure makes a check of a function that needs no context.
func pure(name string, f func(*facts) error) check {
	return check{Name: name, Run: func(_ context.Context, facts *facts) error { return f(facts) }}
}

// phase is a list of checks that belong together.
type phase struct {
	name   string
	checks []check
}

// phases are all checks.
var phases = []phase{
	{"what the supervisors did", coreChecks}, {"counters and histograms", counterChecks}, {"gauges, scrape by scrape", gaugeChecks},
	{"admission", admissionChecks}, {"traces", spanChecks}, {"links", linkChecks}, {"exemplars", exemplarChecks}, {"logs", logChecks},
}

func main() {
	var s sources
	flag.StringVar((*string)(&s.prometheus), "prometheus", "http://127.0.0.1:9091", "the Prometheus that scrapes the subject")
	flag.StringVar((*string)(&s.jaeger), "jaeger", "http://127.0.0.1:16686", "Jaeger's query service")
	flag.StringVar(&s.service, "service", "subject", "its name in Jaeger")
	flag.StringVar(&s.job, "job", "subject", "its job in Prometheus")
	flag.StringVar(&s.ledger, "ledger", "ledger.json", "the ledger")
	flag.StringVar(&s.log, "log", "all.jsonl", "the log of everything")
	flag.StringVar(&s.short, "short", "short.jsonl", "the log with its floods suppressed")
	flag.DurationVar(&s.wait, "wait", time.Minute, "how long to wait for the ledger")
	flag.DurationVar(&s.patience, "patience", 30*time.Second, "how long to wait for the last scrape and the last span")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	f, err := s.collect(ctx)
	if err != nil {
		fmt.Println("FAIL ", err)
		stop()
		os.Exit(1)
	}
	failed := 0
	for _, p := range phases {
		failed += checklist.Run(ctx, checklist.Runner{Out: os.Stdout, Known: knownFaults}, p.name, f, p.checks)
	}
	if failed > 0 {
		fmt.Printf("audit: %d checks failed\n", failed)
		stop()
		os.Exit(1)
	}
	fmt.Println("audit: all checks passed")
}
