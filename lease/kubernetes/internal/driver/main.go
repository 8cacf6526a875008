// Command driver compares package lease on Kubernetes with client-go's leader election. It
// starts the real API server and three replicas, each behind a proxy of its own, waits
// until one works, brings a fault about, and measures who writes when:
//
//	GOWORK=off go run ./internal/driver -rounds 3 2>/dev/null # client-go logs there
//
// "cut" is that the proxy of the one that works swallows everything, "term" that it is
// told to stop. It needs what scripts/tools.sh kube-apiserver builds.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

func main() {
	rounds := flag.Int("rounds", 3, "of each fault")
	ttl := flag.Duration("ttl", 6*time.Second, "of the leases")
	faults := flag.String("fault", "cut,term", "the faults to bring about, separated by commas")
	kinds := flag.String("by", "lease,election", "what the replicas use, separated by commas")
	flag.Parse()
	if err := drive(*rounds, *ttl, strings.Split(*faults, ","), strings.Split(*kinds, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// drive runs all rounds and prints the table.
func drive(rounds int, ttl time.Duration, faults, kinds []string) error {
	s, err := server.New()
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Printf("| fault | by | takeover, ms | old stops after, ms | overlap, ms | writes in it |\n|---|---|--:|--:|--:|--:|\n")
	for _, fault := range faults {
		for _, by := range kinds {
			var all []measured
			for range rounds {
				m, err := round(s, by, fault, ttl)
				if err != nil {
					return fmt.Errorf("%s by %s: %w", fault, by, err)
				}
				all = append(all, m)
			}
			fmt.Println(row(fault, by, all))
		}
	}
	return nil
}

// row sums up the rounds of one fault: the least and the greatest of each.
func row(fault, by string, all []measured) string {
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
	doubled := 0
	for _, m := range all {
		doubled += m.doubled
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %d |", fault, by,
		span(func(m measured) time.Duration { return m.takeover }),
		span(func(m measured) time.Duration { return m.stopped }),
		span(func(m measured) time.Duration { return m.overlap }), doubled)
}
