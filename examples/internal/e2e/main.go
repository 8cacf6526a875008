// Command e2e asks a real Prometheus and a real Jaeger what they saw of a run
// of examples/uptime, and compares it with what the program itself counted.
// scripts/e2e.sh starts all of them and then this program; it never starts or
// stops anything itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// check is one claim about the run.
type check struct {
	name string
	run  func(ctx context.Context, e *env) error
}

// phase is a list of checks that belong to one time of the run.
type phase struct {
	name   string
	checks []check
}

func main() {
	e := &env{}
	flag.StringVar(&e.app, "app", "http://127.0.0.1:8484", "examples/uptime")
	flag.StringVar(&e.prometheus, "prometheus", "http://127.0.0.1:9090", "Prometheus")
	flag.StringVar(&e.jaeger, "jaeger", "http://127.0.0.1:16686", "Jaeger's query service")
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
	failed += e.phase(ctx, phase{"while it runs", liveChecks})
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
	for _, p := range []phase{
		{"metrics", metricChecks}, {"admission", admissionChecks}, {"traces", traceChecks}, {"logs", logChecks},
	} {
		failed += e.phase(ctx, p)
	}
	return failed
}

// phase runs each check until it holds or the patience is over: scrapes and
// exports take their time.
func (e *env) phase(ctx context.Context, p phase) (failed int) {
	fmt.Printf("-- %s\n", p.name)
	for _, c := range p.checks {
		began := time.Now()
		err := c.run(ctx, e)
		for err != nil && ctx.Err() == nil && time.Since(began) < e.patience {
			pause(ctx, time.Second)
			err = c.run(ctx, e)
		}
		took := time.Since(began).Round(100 * time.Millisecond)
		if err != nil {
			failed++
			fmt.Printf("FAIL  %s (%s): %v\n", c.name, took, err)
			continue
		}
		fmt.Printf("ok    %s (%s)\n", c.name, took)
	}
	return failed
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
