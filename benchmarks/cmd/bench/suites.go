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
var order = []string{"peers", "exporters", "scrape", "loss", "footprint", "periodic", "growth"}

var suites = map[string]func(run) error{
	"peers":     func(r run) error { return r.table("peers", peers.Rows()) },
	"exporters": func(r run) error { return r.table("exporters", exporters.Rows()) },
	"scrape":    run.scrape,
	"loss":      run.loss,
	"footprint": run.footprint,
	"periodic":  run.periodic,
	"growth":    run.growth,
}

// table measures rows in turns, writes what benchstat reads to name.txt, the
// medians to name.json, and a table to the screen.
func (r run) table(name string, rows []rounds.Row) (err error) {
	for i := range rows {
		rows[i].N = r.size(rows[i].N)
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

func (r run) scrape() error {
	if err := r.table("scrape", exporters.ScrapeRows(r.size(100), r.size(1000), r.size(10_000))); err != nil {
		return err
	}
	impacts, err := exporters.Impacts(r.size(10_000), r.time(5*time.Second))
	if err != nil {
		return err
	}
	for _, i := range impacts {
		fmt.Printf("%+v\n", i)
	}
	return report.Save(r.out, "impact", r.meta, impacts)
}

func (r run) loss() error {
	var all []load.Loss
	for _, c := range load.Cases() {
		l, err := load.Run(c, r.time(3*time.Second))
		if err != nil {
			return err
		}
		fmt.Printf("%+v\n", l)
		all = append(all, l)
	}
	return report.Save(r.out, "loss", r.meta, all)
}

func (r run) footprint() error {
	all, err := footprint.Measure(context.Background(), r.size(100_000), max(1, r.rounds/2), footprint.Kinds)
	if err != nil {
		return err
	}
	million, err := footprint.Measure(context.Background(), r.size(1_000_000), max(1, r.rounds/2),
		footprint.Only("waiting for its interval", "taskvisor"))
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
	for _, c := range []struct {
		tasks, rate int
	}{{1_000_000, 30_000}, {1_000_000, 100_000}, {1_000_000, 300_000}} {
		for _, side := range []string{"raw", "taskvisor"} {
			p, err := footprint.RunPeriodic(context.Background(), side, r.size(c.tasks), r.size(c.rate), int(max(1, r.time(10*time.Second)/time.Second)))
			if err != nil {
				return err
			}
			fmt.Printf("%+v\n", p)
			all = append(all, p)
		}
	}
	return report.Save(r.out, "periodic", r.meta, all)
}

func (r run) growth() error {
	var charts []growth.Chart
	for _, make := range []func() (growth.Chart, error){
		func() (growth.Chart, error) {
			return growth.Tasks(r.rounds, r.size(1000), r.size(10_000), r.size(100_000), r.size(1_000_000))
		},
		func() (growth.Chart, error) { return growth.Subscribers(r.rounds, r.size(200_000), 0, 1, 2, 4, 8, 16) },
		func() (growth.Chart, error) {
			return growth.Slots(r.rounds, r.size(1000), r.size(10_000), r.size(100_000), r.size(1_000_000))
		},
		func() (growth.Chart, error) { return growth.Cores(r.rounds, r.size(200_000), 1, 2) },
	} {
		chart, err := make()
		if err != nil {
			return err
		}
		for _, s := range chart.Series {
			fmt.Printf("%s: %s %v\n", chart.Name, s.Name, s.Points)
		}
		charts = append(charts, chart)
	}
	return report.Save(r.out, "growth", r.meta, charts)
}
