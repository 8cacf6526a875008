// Command bench measures everything that docs/benchmarks.md shows:
//
//	go run ./cmd/bench [-short] [-rounds n] [-scale f] [-out dir] [suite ...]
//
// Suites are peers, exporters, views, loss, footprint, periodic and growth; all of
// them without arguments, which takes about 20 minutes on two cores that have
// nothing else to do, and five with -short. Each writes a file of results; "go run
// ./cmd/page" makes the page of them.
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
	short  bool    // fewer operations and shorter windows, of the same sizes
	scale  float64 // of every size
	out    string
	meta   report.Meta
}

func main() {
	footprint.Child(footprint.Kinds...)
	r := run{meta: report.NewMeta()}
	flag.IntVar(&r.rounds, "rounds", 5, "rounds of everything that is repeated")
	flag.BoolVar(&r.short, "short", false, "3 rounds of a fifth of the work each, for a first impression")
	flag.Float64Var(&r.scale, "scale", 1, "factor to all sizes, to try things out")
	flag.StringVar(&r.out, "out", "results", "directory for the results")
	flag.Parse()
	if r.short {
		r.rounds = min(r.rounds, 3)
	}
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

// size scales n, a size that the page names.
func (r run) size(n int) int { return max(1, int(float64(n)*r.scale)) }

// ops scales n, a number of operations in a round.
func (r run) ops(n int) int {
	if r.short {
		n /= 5
	}
	return r.size(n)
}

// seconds scales a number of seconds.
func (r run) seconds(n int) int {
	if r.short {
		n /= 3
	}
	return max(1, int(float64(n)*r.scale))
}
