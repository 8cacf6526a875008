// Command page makes docs/benchmarks.md and its plots from what cmd/bench and
// the module dskit have written:
//
//	go run ./cmd/page [-results dir] [-docs dir]
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/taskvisor/taskvisor-go/benchmarks/exporters"
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
	Scrape    []rounds.Result
	Dskit     []rounds.Result
	DskitMeta report.Meta
	Impact    []exporters.Impact
	Loss      []load.Loss
	Footprint []footprint.Footprint
	DskitRSS  []footprint.Footprint
	Periodic  []footprint.Periodic
	Growth    []growth.Chart
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
	docs := flag.String("docs", "../docs", "where the page goes, and its plots to img below it")
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
	img := filepath.Join(docs, "img")
	if err := os.MkdirAll(img, 0o755); err != nil {
		return err
	}
	for _, c := range r.Growth {
		if err := os.WriteFile(filepath.Join(img, "bench-"+c.Name+".svg"), plot(c), 0o644); err != nil {
			return err
		}
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"targets": targets, "quoted": func() string { return quoted }, "peers": peerTable, "scrape": scrapeTable, "impact": impactTable,
		"loss": lossTable, "footprint": footprintTable, "periodic": periodicTable, "growth": growthTable, "versions": versions,
		"misses": misses, "why": why,
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
		{"peers", into(dir, &r.Peers)}, {"exporters", into(dir, &r.Exporters)}, {"scrape", into(dir, &r.Scrape)},
		{"impact", into(dir, &r.Impact)}, {"loss", into(dir, &r.Loss)}, {"footprint", into(dir, &r.Footprint)},
		{"periodic", into(dir, &r.Periodic)}, {"growth", into(dir, &r.Growth)},
		{"dskit", into(dir, &r.Dskit)}, {"dskit-footprint", into(dir, &r.DskitRSS)},
	} {
		meta, err := f.read(f.name)
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
