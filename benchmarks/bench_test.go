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

func BenchmarkScrape(b *testing.B) { rounds.Bench(b, exporters.ScrapeRows(1000)) }

func BenchmarkView(b *testing.B) { rounds.Bench(b, exporters.ViewRows(1000)) }

// The benchmarks below run what cmd/bench runs, with sizes for a look at whether
// it still works; one operation is one run of all of it.

func BenchmarkLoss(b *testing.B) {
	for _, c := range load.Cases() {
		b.Run(fmt.Sprintf("rate=%d/subscribers=%d/work=%s", c.Rate, c.Subscribers, c.Work), func(b *testing.B) {
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
	for b.Loop() {
		p, err := footprint.RunPeriodic(b.Context(), 1000, 10_000, 1)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(p.PerSecond, "starts/s")
		b.ReportMetric(p.P99, "ms-late-p99")
	}
}

func BenchmarkGrowth(b *testing.B) {
	for b.Loop() {
		if _, err := growth.Sizes(1, 100, 1000); err != nil {
			b.Fatal(err)
		}
	}
}
