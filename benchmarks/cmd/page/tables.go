package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/load"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// comparisons are the rows of the peers' table.
var comparisons = []struct{ title, row string }{
	{"restart, no delay, no subscriber", "Restart"},
	{"… with a timeout per attempt", "RestartTimeout"},
	{"… beside 1 subscriber", "Subscribers1"},
	{"… beside 4", "Subscribers4"},
	{"… beside 16", "Subscribers16"},
	{"… beside one that sleeps over each event", "Slow"},
	{"one-shot: add, run, wait", "OneShot"},
	{"run of 100 000 instant tasks, per task", "Batch"},
	{"5 failures, then success", "Failures"},
	{"panic and restart", "Panic"},
	{"stop of 100 000 idle tasks, per task", "Stop"},
}

// others are the peers that have no column of their own.
var others = []struct{ side, name string }{
	{"backoff", "backoff/v5"}, {"failsafe", "failsafe"}, {"oversight", "oversight"}, {"errgroup", "errgroup"}, {"oklog", "oklog/run"}, {"conc", "conc"},
}

// peerTable has a row for each kind of work and a column for who does it; value
// returns the empty string for a side that does not.
func peerTable(r results) string {
	var b strings.Builder
	b.WriteString("| Work | taskvisor | suture | dskit | others | bare Go |\n|---|--:|--:|--:|---|--:|\n")
	line := func(title string, value func(side string) string) {
		var rest []string
		for _, o := range others {
			if v := value(o.side); v != "" {
				rest = append(rest, o.name+" "+v)
			}
		}
		bare := value("raw")
		if bare == "" {
			bare = value("channels")
		}
		fmt.Fprintf(&b, "| %s | **%s** | %s | %s | %s | %s |\n", title, value("taskvisor"), value("suture"), value("dskit"), strings.Join(rest, ", "), bare)
	}
	for _, c := range comparisons {
		line(c.title, func(side string) string {
			set := r.Peers
			if side == "dskit" {
				set = r.Dskit
			}
			if res, ok := rounds.Find(set, c.row, side); ok {
				return duration(res.NsPerOp)
			}
			return ""
		})
	}
	for _, state := range []string{footprint.Running, footprint.Backoff, footprint.Waiting, footprint.AtGate, footprint.InSlot} {
		line("memory: "+state, func(side string) string {
			if f := r.rss(state, side, 0); f.Tasks > 0 {
				return size(f.Settled)
			}
			return ""
		})
	}
	return b.String()
}

// lossTable shows what subscribers get.
func lossTable(r results) string {
	var b strings.Builder
	b.WriteString("| Events asked for | subscribers | which take | events/s | delivered | dropped | of these final | CPU per event | accounts |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, l := range r.Loss {
		accounts, work, rate := "exact", l.Work, "as many as can be"
		if !l.Exact {
			accounts = "**wrong**"
		}
		if work == "0s" {
			work = "next to nothing"
		}
		work = strings.ReplaceAll(work, "µs", " µs")
		if l.Asked > 0 {
			rate = thousands(float64(l.Asked)) + "/s"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %.2f %% | %.2f %% | %s | %s | %s |\n", rate, l.Subscribers, work, thousands(l.PerSecond),
			100*float64(l.Delivered)/float64(l.Published), 100*float64(l.Dropped)/float64(l.Published), thousands(float64(l.Terminal)), duration(l.CPUPerEvent), accounts)
	}
	return b.String()
}

// capacity is how far a subscriber of the table may fall behind.
func capacity(r results) string {
	if len(r.Loss) == 0 {
		return "?"
	}
	return thousands(float64(r.Loss[0].Capacity))
}

func publishers() int { return load.Publishers }

// versus says how the time of a row compares with a peer's.
func (r results) versus(row, side, name string) string {
	q := r.get(row, side).NsPerOp / r.ours(row).NsPerOp
	switch {
	case math.IsNaN(q):
		return "not measured beside " + name
	case q > 0.95 && q < 1.05:
		return "as fast as with " + name
	case q < 1:
		return fmt.Sprintf("%.2g times slower than with %s", 1/q, name)
	default:
		return fmt.Sprintf("%.2g times faster than with %s", q, name)
	}
}

// slowness is how much longer an attempt takes beside a slow subscriber.
func slowness(r results, side string) string {
	return fmt.Sprintf("%.2f", r.get("Slow", side).NsPerOp/r.get("Slow", "draining").NsPerOp)
}

// memory is what a task in a state takes.
func memory(r results, state, side string, tasks int) string {
	return size(r.rss(state, side, tasks).Settled)
}

// growing is how much dearer a series is beside a million than beside a thousand.
func growing(r results, series string) string {
	return fmt.Sprintf("%.2f", r.Growth.At(series, million)/r.Growth.At(series, 1000))
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
			if _, revision, ok := strings.Cut(v, "v0.0.0-"); ok {
				v = revision
			}
			out = append(out, path+" "+v)
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}

// loads returns the least and the most load average before a part of the run.
func (r results) loads() (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, s := range r.Runs {
		var v float64
		if _, err := fmt.Sscan(s.Meta.LoadAvg, &v); err == nil {
			least, most = min(least, v), max(most, v)
		}
	}
	return least, most
}

// busy says on how busy a machine the parts were measured.
func busy(r results) string {
	least, most := r.loads()
	return fmt.Sprintf("%.1f to %.1f", least, most)
}

// warning is for figures that say more about the machine than about what was
// measured on it. A run of one part leaves some load for the next.
func warning(r results) string {
	if _, most := r.loads(); most <= 1.5*float64(r.Meta.Cores) {
		return ""
	}
	return fmt.Sprintf(" **These were measured while other programs kept the machine busy (load average %s on %d processors), and times are many times what they are on an idle one."+
		" Of this run, trust memory, allocations and accounts.**", busy(r), r.Meta.Cores)
}
