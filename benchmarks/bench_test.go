package benchmarks_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/exporters"
	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/growth"
	"github.com/taskvisor/taskvisor-go/benchmarks/load"
	"github.com/taskvisor/taskvisor-go/benchmarks/peers"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

func TestMain(m *testing.M) {
	footprint.Child(footprint.Kinds...)
	os.Exit(m.Run())
}

// BenchmarkPeers is the table of docs/benchmarks.md, a row and a side per
// benchmark. cmd/bench alternates them, which go test does not.
func BenchmarkPeers(b *testing.B) { rounds.Bench(b, peers.Rows()) }

func BenchmarkExporters(b *testing.B) { rounds.Bench(b, exporters.Rows()) }

func BenchmarkScrape(b *testing.B) { rounds.Bench(b, exporters.ScrapeRows(100, 1000)) }

// The benchmarks below run what cmd/bench runs, with sizes for a look at whether
// it still works; one operation is one run of all of it.

func BenchmarkScrapeImpact(b *testing.B) {
	for b.Loop() {
		impacts, err := exporters.Impacts(100, 100*time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(impacts[2].LostPercent, "%lost")
	}
}

func BenchmarkLoss(b *testing.B) {
	for _, c := range load.Cases() {
		b.Run(fmt.Sprintf("rate=%d/subscribers=%d/work=%s/patient=%v", c.Rate, c.Subscribers, c.Work, !c.Impatient), func(b *testing.B) {
			for b.Loop() {
				l, err := load.Run(c, 20*time.Millisecond)
				if err != nil {
					b.Fatal(err)
				}
				if !l.Exact {
					b.Fatalf("not accounted for: %+v", l)
				}
				b.ReportMetric(l.PerSecond, "events/s")
			}
		})
	}
}

func BenchmarkFootprint(b *testing.B) {
	for b.Loop() {
		all, err := footprint.Measure(b.Context(), 2000, 1, footprint.Kinds)
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range all {
			if f.State == "backoff" && f.Side == "taskvisor" && f.Goroutines > 0.01 {
				b.Errorf("%v goroutines per task in backoff", f.Goroutines)
			}
		}
	}
}

func BenchmarkPeriodic(b *testing.B) {
	for _, side := range []string{"raw", "taskvisor"} {
		b.Run(side, func(b *testing.B) {
			for b.Loop() {
				p, err := footprint.RunPeriodic(b.Context(), side, 1000, 10_000, 1)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(p.PerSecond, "starts/s")
				b.ReportMetric(p.P99, "ms-late-p99")
			}
		})
	}
}

func BenchmarkGrowth(b *testing.B) {
	for name, run := range map[string]func() (growth.Chart, error){
		"Tasks":       func() (growth.Chart, error) { return growth.Tasks(1, 100, 1000) },
		"Subscribers": func() (growth.Chart, error) { return growth.Subscribers(1, 1000, 0, 1, 16) },
		"Slots":       func() (growth.Chart, error) { return growth.Slots(1, 100, 1000) },
		"Cores":       func() (growth.Chart, error) { return growth.Cores(1, 1000, 1, 2) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
