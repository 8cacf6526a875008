package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/exporters"
	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/growth"
	"github.com/taskvisor/taskvisor-go/benchmarks/load"
	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/report"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// order is that of a run of everything.
var order = []string{"peers", "exporters", "views", "loss", "footprint", "periodic", "growth"}

var suites = map[string]func(run) error{
	"peers":     func(r run) error { return r.table("peers", peers.Rows()) },
	"exporters": func(r run) error { return r.table("exporters", exporters.Rows()) },
	"views": func(r run) error {
		tasks := r.size(10_000)
		return r.table("views", append(exporters.ScrapeRows(tasks), exporters.ViewRows(tasks)...))
	},
	"loss":      run.loss,
	"footprint": run.footprint,
	"periodic":  run.periodic,
	"growth":    run.growth,
}

// table measures rows in turns, writes what benchstat reads to name.txt, the
// medians to name.json, and a table to the screen.
func (r run) table(name string, rows []rounds.Row) (err error) {
	for i := range rows {
		if n := rows[i].N; rows[i].Fixed {
			rows[i].N = r.size(n)
		} else {
			rows[i].N = r.ops(n)
		}
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, name+".txt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	samples, err := rounds.Run(rows, r.rounds, io.MultiWriter(f, os.Stdout))
	if err != nil {
		return err
	}
	results := rounds.Medians(samples)
	if err := rounds.Table(os.Stdout, results); err != nil {
		return err
	}
	return report.Save(r.out, name, r.meta, results)
}

func (r run) loss() error {
	var all []load.Loss
	for _, c := range load.Cases() {
		l, err := load.Run(c, time.Duration(r.seconds(3))*time.Second)
		if err != nil {
			return err
		}
		fmt.Printf("%+v\n", l)
		all = append(all, l)
	}
	return report.Save(r.out, "loss", r.meta, all)
}

// footprint starts a process for each kind and round; two rounds differ by little.
func (r run) footprint() error {
	ctx := context.Background()
	times := max(1, r.rounds/2)
	all, err := footprint.Measure(ctx, r.size(100_000), times, footprint.Kinds)
	if err != nil {
		return err
	}
	million, err := footprint.Measure(ctx, r.size(1_000_000), times, footprint.Only("taskvisor", footprint.Waiting, footprint.AtGate))
	if err != nil {
		return err
	}
	all = append(all, million...)
	for _, f := range all {
		fmt.Printf("%+v\n", f)
	}
	return report.Save(r.out, "footprint", r.meta, all)
}

func (r run) periodic() error {
	var all []footprint.Periodic
	for _, rate := range []int{100_000, 200_000} {
		p, err := footprint.RunPeriodic(context.Background(), r.size(1_000_000), r.size(rate), r.seconds(10))
		if err != nil {
			return err
		}
		fmt.Printf("%+v\n", p)
		all = append(all, p)
	}
	return report.Save(r.out, "periodic", r.meta, all)
}

func (r run) growth() error {
	chart, err := growth.Sizes(r.rounds, r.size(1000), r.size(10_000), r.size(100_000), r.size(1_000_000))
	if err != nil {
		return err
	}
	for _, s := range chart.Series {
		fmt.Printf("%s: %s %v\n", chart.Name, s.Name, s.Points)
	}
	return report.Save(r.out, "growth", r.meta, chart)
}
