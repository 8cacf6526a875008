package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/report"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// order is that of a run of everything.
var order = []string{"peers"}

var suites = map[string]func(run) error{
	"peers": func(r run) error { return r.table("peers", peers.Rows()) },
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
