package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// quoted is what was measured elsewhere, and is compared with nothing here.
const quoted = `| Work | crate 0.7 |
|---|--:|
| restart loop | 3 600 ns CPU |
| … with 1 to 16 subscribers | 17 to 80 times dearer than without |
| one-shot: add, run, wait | 11 000 to 37 000 ns |
| run of 100 000 instant tasks, per task, with the largest bus | 14 000 ns |
| panic and restart | 9 600 ns CPU |
| running idle task, RSS | 3 149 B |
| task in backoff, RSS | 2 937 B |
| stop 100 000 idle tasks | 1 080 to 1 690 ms |
| beside a subscriber that sleeps 100 µs per event | drops 79 to 93 % |
| events lost, 500 to 10 000 instant tasks, default settings | 35 to 95 % |
`

// titles are the headings of the peers' table.
var titles = map[string]string{
	"Restart": "restart loop", "RestartTimeout": "restart loop, a timeout per attempt",
	"Subscribers1": "restart loop, 1 queued subscriber", "Subscribers4": "restart loop, 4 queued subscribers",
	"Subscribers16": "restart loop, 16 queued subscribers",
	"Events1To1":    "event, 1 publisher, 1 subscriber", "Events1To16": "event, 1 publisher, 16 subscribers",
	"Events8To1": "event, 8 publishers, 1 subscriber", "Events8To16": "event, 8 publishers, 16 subscribers",
	"OneShot": "one-shot: add, run, wait", "Batch": "run of 100 000 instant tasks, per task",
	"Stop": "stop of 100 000 idle tasks, per task", "Failures": "5 failures, then success",
	"Panic": "panic and restart", "Sleeper": "restart loop beside a sleeping subscriber",
	"Prom": "attempt, Prometheus", "OtelNoop": "attempt, OpenTelemetry, no-op", "OtelSampled": "attempt, OpenTelemetry, sampled",
	"Slog": "record, slog JSON", "Loop": "attempt of a restart loop with a subscriber",
}

func peerTable(results []rounds.Result) string {
	var b strings.Builder
	b.WriteString("| Work | side | ns/op | fastest … slowest round | CPU ns/op | allocs/op | B/op | ÷ raw | ÷ taskvisor | |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	last := ""
	for _, r := range results {
		title := titles[r.Row]
		if r.Row == last {
			title = ""
		}
		last = r.Row
		side := r.Side
		if strings.HasPrefix(side, "taskvisor") {
			side = "**" + side + "**"
		}
		var extra []string
		if lost, ok := r.Extra["lost/op"]; ok {
			extra = append(extra, fmt.Sprintf("%.3g lost/op", lost))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s … %s | %s | %s | %s | %s | %s | %s |\n", title, side, figure(r.NsPerOp), figure(r.Low), figure(r.High),
			figure(r.CPUPerOp), small(r.AllocsPerOp), small(r.BytesPerOp), ratio(results, r, "raw"), ratio(results, r, "taskvisor"), strings.Join(extra, ", "))
	}
	return b.String()
}

func ratio(results []rounds.Result, r rounds.Result, side string) string {
	base, ok := rounds.Find(results, r.Row, side)
	if !ok || base.NsPerOp == 0 || base.Side == r.Side {
		return ""
	}
	return fmt.Sprintf("%.3g", r.NsPerOp/base.NsPerOp)
}

func scrapeTable(r results) string {
	var b strings.Builder
	b.WriteString("| Tasks | format | ms | CPU ms | sent, kB | allocs | allocated, kB |\n|--:|---|--:|--:|--:|--:|--:|\n")
	for _, s := range r.Scrape {
		fmt.Fprintf(&b, "| %s | %s | %.3g | %.3g | %.4g | %s | %.5g |\n", strings.TrimPrefix(s.Row, "Scrape"), s.Side,
			s.NsPerOp/1e6, s.CPUPerOp/1e6, s.Extra["sent-B/op"]/1e3, figure(s.AllocsPerOp), s.BytesPerOp/1e3)
	}
	return b.String()
}

func impactTable(r results) string {
	var b strings.Builder
	b.WriteString("| Scrapes | in 5 s | attempts/s | lost | longest gap between attempts | a scrape took |\n|---|--:|--:|--:|--:|--:|\n")
	for _, i := range r.Impact {
		every := map[string]string{"never": "none", "1s": "one per second", "0s": "one after the other"}[i.Every]
		fmt.Fprintf(&b, "| %s | %d | %s | %.1f %% | %.2f ms | %.0f ms |\n", every, i.Scrapes, thousands(i.PerSecond), i.LostPercent, i.LongestGap, i.ScrapeTook)
	}
	return b.String()
}

func lossTable(r results) string {
	var b strings.Builder
	b.WriteString("| Rate | subscribers | each event takes | patience | published/s | delivered | dropped | of these terminal | CPU ns/event | accounts |\n" +
		"|---|--:|--:|---|--:|--:|--:|--:|--:|---|\n")
	for _, l := range r.Loss {
		patience, accounts := "default", "exact"
		if !l.Patient {
			patience = "0"
		}
		if !l.Exact {
			accounts = "**wrong**"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %.2f %% | %.2f %% | %s | %s | %s |\n", l.Rate, l.Subscribers, l.Work, patience, thousands(l.PerSecond),
			100*float64(l.Delivered)/float64(l.Published), 100*float64(l.Dropped)/float64(l.Published), thousands(float64(l.Terminal)), figure(l.CPUPerEvent), accounts)
	}
	return b.String()
}

// rss finds a footprint; tasks 0 takes the first.
func (r results) rss(state, side string, tasks int) footprint.Footprint {
	for _, f := range r.Footprint {
		if f.State == state && f.Side == side && (tasks == 0 || f.Tasks == tasks) {
			return f
		}
	}
	return footprint.Footprint{}
}

func footprintTable(r results) string {
	var b strings.Builder
	b.WriteString("| State | side | tasks | RSS per task | right after the start | goroutines per task |\n|---|---|--:|--:|--:|--:|\n")
	row := func(f footprint.Footprint) {
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f B | %.0f B | %.2g |\n", f.State, f.Side, thousands(float64(f.Tasks)), f.Settled, f.Fresh, math.Round(f.Goroutines*100)/100)
	}
	for i, f := range r.Footprint {
		row(f)
		if f.State == "running, idle" && (i+1 == len(r.Footprint) || r.Footprint[i+1].State != f.State) {
			for _, d := range r.DskitRSS {
				if d.Side == "dskit" {
					row(d)
				}
			}
		}
	}
	return b.String()
}

func periodicTable(r results) string {
	var b strings.Builder
	b.WriteString("| Starts/s asked for | side | interval | starts/s | late p50 | p99 | max | CPU per start | processors in use | RSS per task | at its peak |\n" +
		"|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range r.Periodic {
		fmt.Fprintf(&b, "| %s | %s | %.3g s | %s | %.3g ms | %.3g ms | %.3g ms | %s ns | %.2f | %.0f B | %.0f B |\n", thousands(float64(p.Rate)), p.Side, p.Interval,
			thousands(p.PerSecond), p.P50, p.P99, p.Max, figure(p.CPUPerStart), p.CPUShare, p.Settled, p.Peak)
	}
	return b.String()
}

func growthTable(r results, name string) string {
	var b strings.Builder
	for _, c := range r.Growth {
		if c.Name != name {
			continue
		}
		fmt.Fprintf(&b, "| %s |", c.X)
		for _, p := range c.Series[0].Points {
			fmt.Fprintf(&b, " %s |", thousands(p.X))
		}
		b.WriteString("\n|---|" + strings.Repeat("--:|", len(c.Series[0].Points)) + "\n")
		for _, s := range c.Series {
			fmt.Fprintf(&b, "| %s |", s.Name)
			for _, p := range s.Points {
				fmt.Fprintf(&b, " %s |", figure(p.Ns))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// versions lists what was measured, and with what.
func versions(r results) string {
	all := map[string]string{}
	for _, m := range []map[string]string{r.DskitMeta.Modules, r.Meta.Modules} {
		for path, v := range m {
			all[path] = v
		}
	}
	var out []string
	for _, path := range []string{"github.com/thejerf/suture/v4", "cirello.io/oversight/v2", "github.com/grafana/dskit", "github.com/oklog/run", "golang.org/x/sync",
		"github.com/sourcegraph/conc", "github.com/failsafe-go/failsafe-go", "github.com/cenkalti/backoff/v5",
		"github.com/prometheus/client_golang", "go.opentelemetry.io/otel/sdk"} {
		if v := all[path]; v != "" {
			out = append(out, path+" "+v)
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}
