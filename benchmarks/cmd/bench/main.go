// Command bench measures everything that docs/benchmarks.md shows:
//
//	go run ./cmd/bench [-rounds n] [-scale f] [-out dir] [suite ...]
//
// Suites are peers, exporters, growth, loss, footprint, periodic and scrape; all
// of them without arguments, which takes about half an hour on two cores that
// have nothing else to do. Each writes a file of results; "go run ./cmd/page"
// makes the page of them.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/report"
)

// run is what was asked for.
type run struct {
	rounds int
	scale  float64 // of every size
	out    string
	meta   report.Meta
}

func main() {
	footprint.Child(footprint.Kinds...)
	r := run{meta: report.NewMeta()}
	flag.IntVar(&r.rounds, "rounds", 7, "rounds of everything that is repeated")
	flag.Float64Var(&r.scale, "scale", 1, "factor to all sizes, to try things out")
	flag.StringVar(&r.out, "out", "results", "directory for the results")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = order
	}
	for _, name := range names {
		suite, ok := suites[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "bench: unknown suite %q\n", name)
			os.Exit(2)
		}
		began := time.Now()
		fmt.Printf("== %s\n", name)
		if err := suite(r); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, err)
			os.Exit(1)
		}
		fmt.Printf("== %s: %s\n", name, time.Since(began).Round(time.Second))
	}
}

// size scales n.
func (r run) size(n int) int { return max(1, int(float64(n)*r.scale)) }

// time scales d, as far as a rate can still be measured.
func (r run) time(d time.Duration) time.Duration {
	return max(d/4, time.Duration(float64(d)*r.scale))
}
