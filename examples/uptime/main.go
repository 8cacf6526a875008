// Command uptime watches web addresses: each URL on its command line is a
// supervised periodic task. A probe that fails, hangs or panics is retried with
// backoff and shows as events on the terminal; Ctrl-C stops everything within
// the grace and says who was stuck.
//
//	go run ./examples/uptime https://example.com shop=https://shop.example.com/health
//
// Without an argument it starts endpoints of its own, good and bad ones, and
// watches those. While it runs it serves, on a loopback address unless -listen
// says otherwise, a status page at /, metrics for Prometheus at /metrics, its
// counts as JSON at /summary, /livez and /readyz for probes, and POST
// /check?target=NAME, which checks a target now. It sends its traces to OTEL_EXPORTER_OTLP_ENDPOINT if
// that is set.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with everything that it touches as an argument. It returns the
// exit status: 2 for a misuse, 1 where something went wrong, 0 otherwise.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "uptime:", err)
		return 2
	}
	if cfg.healthcheck {
		err = healthcheck(ctx, cfg.listen)
	} else {
		err = watch(ctx, cfg, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "uptime:", err)
		return 1
	}
	return 0
}
