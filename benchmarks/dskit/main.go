// Command dskit compares taskvisor with the services of grafana/dskit. It is a
// module of its own, outside of the workspace, as dskit needs a newer Go than
// taskvisor does:
//
//	cd benchmarks/dskit && GOWORK=off go run . [-short] [-rounds n] [-scale f]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/report"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

func main() {
	footprint.Child(kinds()...)
	n := flag.Int("rounds", 5, "rounds")
	short := flag.Bool("short", false, "3 rounds of a fifth of the work each, for a first impression")
	scale := flag.Float64("scale", 1, "factor to all sizes, to try things out")
	out := flag.String("out", "../results", "directory for the results")
	flag.Parse()
	if *short {
		*n = min(*n, 3)
	}
	if err := run(*n, *short, *scale, *out); err != nil {
		fmt.Fprintln(os.Stderr, "dskit:", err)
		os.Exit(1)
	}
}

func run(n int, short bool, scale float64, out string) (err error) {
	meta := report.NewMeta()
	all := rows()
	for i := range all {
		if short && !all[i].Fixed {
			all[i].N /= 5
		}
		all[i].N = max(1, int(float64(all[i].N)*scale))
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(out, "dskit.txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	samples, err := rounds.Run(all, n, io.MultiWriter(f, os.Stdout))
	if err != nil {
		return err
	}
	results := rounds.Medians(samples)
	if err := rounds.Table(os.Stdout, results); err != nil {
		return err
	}
	if err := report.Save(out, "dskit", meta, results); err != nil {
		return err
	}
	memory, err := footprint.Measure(context.Background(), max(1, int(100_000*scale)), max(1, n/2), kinds())
	if err != nil {
		return err
	}
	for _, m := range memory {
		fmt.Printf("%+v\n", m)
	}
	return report.Save(out, "dskit-footprint", meta, memory)
}
