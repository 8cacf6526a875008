// The driver shows what leases do to real processes. For each fault it starts an etcd
// and three replicas of one program, each behind a proxy of its own, waits until one
// works, brings the fault about, and measures who writes when to a resource that the
// driver keeps:
//
//	GOWORK=off go run ./driver -rounds 5
//
// Replicas and engines are this binary again, with another first argument. Replicas use
// either package lease, or etcd's own concurrency.Session and Election as its documentation
// shows them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "replica":
		err = replica(os.Args[2:])
	case len(os.Args) > 2 && os.Args[1] == "engine":
		err = serve(os.Args[2:])
	default:
		err = drive(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// drive runs all rounds and prints the table.
func drive(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("driver", flag.ExitOnError)
	rounds := flags.Int("rounds", 3, "of each fault")
	ttl := flags.Duration("ttl", 5*time.Second, "of the leases")
	only := flags.String("fault", "", "the faults to bring about, separated by commas (all)")
	report := flags.String("log", "", "file for what the replicas say (discarded)")
	kinds := flags.String("by", "lease,election", "what the replicas use, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := io.Discard
	if *report != "" {
		file, err := os.Create(*report)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		log = file
	}
	fmt.Printf("| fault | by | takeover, ms | old stops after, ms | overlap, ms | stale writes |\n|---|---|--:|--:|--:|--:|\n")
	for _, f := range faults {
		if *only != "" && !strings.Contains(","+*only+",", ","+f.name+",") {
			continue
		}
		for _, kind := range strings.Split(*kinds, ",") {
			var all []measured
			for range *rounds {
				m, err := round(ctx, kind, f, *ttl, log)
				if err != nil {
					return fmt.Errorf("%s by %s: %w", f.name, kind, err)
				}
				all = append(all, m)
			}
			fmt.Println(row(f.name, kind, all))
		}
	}
	return nil
}

// row sums up the rounds of one fault: the least and the greatest of each.
func row(fault, kind string, all []measured) string {
	span := func(of func(m measured) time.Duration) string {
		least, most := of(all[0]), of(all[0])
		for _, m := range all {
			least, most = min(least, of(m)), max(most, of(m))
		}
		if least == most {
			return fmt.Sprint(least.Milliseconds())
		}
		return fmt.Sprintf("%d–%d", least.Milliseconds(), most.Milliseconds())
	}
	stale := 0
	for _, m := range all {
		stale += m.stale
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %d |", fault, kind,
		span(func(m measured) time.Duration { return m.takeover }),
		span(func(m measured) time.Duration { return m.stopped }),
		span(func(m measured) time.Duration { return m.overlap }), stale)
}
