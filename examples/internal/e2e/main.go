// Command e2e asks a real Prometheus and a real Jaeger what they saw of a run of
// examples/uptime: whether the demo shows all that it is there to show. The program's
// own counts are made from events, as its metrics are: that they agree says that
// nothing was lost on the way, not that it is true. That is for the command audit
// beside this one, which believes no event. scripts/e2e.sh starts all of them; this
// program never starts or stops anything itself.
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

func main() {
	e := &env{}
	flag.StringVar(&e.app, "app", "http://127.0.0.1:8484", "examples/uptime")
	flag.StringVar((*string)(&e.prometheus), "prometheus", "http://127.0.0.1:9090", "Prometheus")
	flag.StringVar((*string)(&e.jaeger), "jaeger", "http://127.0.0.1:16686", "Jaeger's query service")
	flag.StringVar(&e.log, "log", "uptime.log", "the program's JSON log")
	flag.StringVar(&e.summaryFile, "summary", "summary.json", "what the program counted, written when it has stopped")
	flag.StringVar(&e.promtool, "promtool", "promtool", "promtool")
	flag.DurationVar(&e.patience, "patience", 30*time.Second, "how long a check waits for scrapes and exports")
	runFor := flag.Duration("run", 2*time.Minute, "how long to wait for the summary")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if failed := e.all(ctx, *runFor); failed > 0 {
		fmt.Printf("e2e: %d checks failed\n", failed)
		stop()
		os.Exit(1)
	}
	fmt.Println("e2e: all checks passed")
}

// all runs the phases and returns the number of failed checks.
func (e *env) all(ctx context.Context, runFor time.Duration) (failed int) {
	e.began = time.Now()
	r := checklist.Runner{Out: os.Stdout, Patience: e.patience}
	failed += checklist.Run(ctx, r, "while it runs", e, listed(liveChecks))
	failed += checklist.Run(ctx, r, "the wheel", e, listed(wheelChecks))
	press, release := context.WithCancel(ctx)
	defer release()
	pressed := make(chan struct{})
	// Ends when the summary is there; awaited before the last phases.
	go func() {
		defer close(pressed)
		e.press(press)
	}()
	err := e.awaitSummary(ctx, runFor)
	release()
	<-pressed
	if err != nil {
		fmt.Printf("FAIL  the program stops and writes its counts: %v\n", err)
		return failed + 1
	}
	for _, p := range []struct {
		name   string
		checks []check
	}{{"metrics", metricChecks}, {"admission", admissionChecks}, {"traces", traceChecks}, {"logs", logChecks}} {
		failed += checklist.Run(ctx, r, p.name, e, listed(p.checks))
	}
	return failed
}
