// Command page makes docs/benchmarks.md and its plot from what cmd/bench and
// the module dskit have written:
//
//	go run ./cmd/page [-results dir] [-docs dir]
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/growth"
	"github.com/taskvisor/taskvisor-go/benchmarks/load"
	"github.com/taskvisor/taskvisor-go/benchmarks/report"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

//go:embed page.md
var text string

// results is everything that was measured.
type results struct {
	Meta      report.Meta
	Peers     []rounds.Result
	Exporters []rounds.Result
	Views     []rounds.Result
	Dskit     []rounds.Result
	DskitMeta report.Meta
	Loss      []load.Loss
	Footprint []footprint.Footprint
	DskitRSS  []footprint.Footprint
	Periodic  []footprint.Periodic
	Growth    growth.Chart
	Runs      []suiteRun
}

// suiteRun is one file of results. They are of one run unless a part was
// measured anew.
type suiteRun struct {
	Name string
	Meta report.Meta
}

func main() {
	dir := flag.String("results", "results", "what cmd/bench has written")
	docs := flag.String("docs", "../docs", "where the page goes, and its plot to img below it")
	flag.Parse()
	if err := run(*dir, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run(dir, docs string) error {
	r, err := readAll(dir)
	if err != nil {
		return err
	}
	if len(r.Peers) == 0 {
		return fmt.Errorf("no results of peers in %s", dir)
	}
	img := filepath.Join(docs, "img")
	if err := os.MkdirAll(img, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(img, "bench-"+r.Growth.Name+".svg"), plot(r.Growth), 0o644); err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"targets": targetTable, "score": score, "peers": peerTable, "loss": lossTable, "versions": versions, "busy": busy, "warning": warning, "capacity": capacity,
		"publishers": publishers, "versus": results.versus, "slowness": slowness, "memory": memory, "growing": growing,
	}).Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, r); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), b.Bytes(), 0o644)
}

// readAll reads all files of dir.
func readAll(dir string) (r results, err error) {
	for _, f := range []struct {
		name string
		read func(name string) (report.Meta, error)
	}{
		{"peers", into(dir, &r.Peers)}, {"exporters", into(dir, &r.Exporters)}, {"views", into(dir, &r.Views)},
		{"loss", into(dir, &r.Loss)}, {"footprint", into(dir, &r.Footprint)},
		{"periodic", into(dir, &r.Periodic)}, {"growth", into(dir, &r.Growth)},
		{"dskit", into(dir, &r.Dskit)}, {"dskit-footprint", into(dir, &r.DskitRSS)},
	} {
		meta, err := f.read(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the page says that it was not measured
		}
		if err != nil {
			return r, err
		}
		switch f.name {
		case "peers":
			r.Meta = meta
		case "dskit":
			r.DskitMeta = meta
		}
		r.Runs = append(r.Runs, suiteRun{f.name, meta})
	}
	return r, nil
}

func into[T any](dir string, to *T) func(name string) (report.Meta, error) {
	return func(name string) (report.Meta, error) {
		f, err := report.Load[T](dir, name)
		*to = f.Data
		return f.Meta, err
	}
}
