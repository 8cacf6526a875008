package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/benchmarks/report"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

const docs = "../../../docs"

// TestPageIsMadeFromResults: what is committed is what the committed results make.
func TestPageIsMadeFromResults(t *testing.T) {
	dir := t.TempDir()
	if err := run("../../results", dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"benchmarks.md", "img/bench-growth.svg"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what results make of it: run go run ./cmd/page", name)
		}
		for _, hole := range []string{"NaN", "Inf", "<no value>"} {
			if bytes.Contains(want, []byte(hole)) {
				t.Errorf("%s in %s", hole, name)
			}
		}
	}
}

// measured is a figure as somebody types it who has just seen it on a screen.
var measured = regexp.MustCompile(`\d ?(ns|µs|B|KB|allocs?|×)(\W|$)`)

// TestNoFigureIsTyped: in prose a measured number is out of date with the next run.
func TestNoFigureIsTyped(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, prose := range map[string]string{"page.md": text, "README.md": string(readme)} {
		code := false
		for line := range strings.Lines(prose) {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			if code { // what a program writes is what it wrote
				continue
			}
			if found := measured.FindString(line); found != "" {
				t.Errorf("%s: %q in %s", name, found, line)
			}
		}
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		check check
		met   bool
	}{
		{over("half", 1, 2, 0.5), true},
		{over("half", 1.1, 2, 0.5), false},
		{over("not measured", 0, 2, 0.5), false},
		{over("nothing to compare with", 1, 0, 0.5), false},
		{most("bound", 800, 800, ""), true},
		{most("bound", 801, 800, ""), false},
		{most("not measured", 0, 800, ""), false},
		{none("lossless", rounds.Result{Extra: map[string]float64{rounds.Lost: 0}}), true},
		{none("lost", rounds.Result{Extra: map[string]float64{rounds.Lost: 1e-5}}), false},
		{none("not measured", rounds.Result{}), false},
	} {
		if c.check.met() != c.met {
			t.Errorf("%+v: met %v", c.check, c.check.met())
		}
	}
	for want, target := range map[string]target{
		"met":          {checks: []check{{got: 1, limit: 1}}},
		"not measured": {checks: []check{{got: 1, limit: 1}, {got: math.NaN()}}},
		"**missed**":   {checks: []check{{got: 2, limit: 1}, {got: math.NaN()}}},
	} {
		if got := target.verdict(); got != want {
			t.Errorf("verdict %s, want %s", got, want)
		}
	}
	if (target{checks: []check{{limit: 1}, {got: math.NaN()}}}).met() {
		t.Error("a target is met of which a part is not")
	}
}

// TestResultsThatLackEverything: a page of nothing has no target met.
func TestResultsThatLackEverything(t *testing.T) {
	for _, target := range (results{}).allTargets() {
		if target.met() {
			t.Errorf("met without a measurement: %s", target.work)
		}
	}
}

func TestBusyMachine(t *testing.T) {
	for load, warned := range map[string]bool{"0.30": false, "2.90": false, "12.5": true} {
		r := results{Meta: report.Meta{Cores: 2}, Runs: []suiteRun{{"peers", report.Meta{LoadAvg: "0.1"}}, {"growth", report.Meta{LoadAvg: load}}}}
		if got := warning(r); (got != "") != warned {
			t.Errorf("at a load of %s the page says %q", load, got)
		}
	}
}

func TestFigures(t *testing.T) {
	for ns, want := range map[float64]string{0.5: "0.50 ns", 71.6: "71.6 ns", 1084: "1 084 ns", 24924: "24.9 µs", 356e6: "356 ms", 80.7e6: "80.7 ms"} {
		if got := duration(ns); got != want {
			t.Errorf("duration(%v) is %q, want %q", ns, got, want)
		}
	}
	if got := thousands(1234567.4); got != "1 234 567" {
		t.Errorf("thousands: %q", got)
	}
}
