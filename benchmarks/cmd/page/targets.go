package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/taskvisor/taskvisor-go/benchmarks/footprint"
	"github.com/taskvisor/taskvisor-go/benchmarks/growth"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// check is one condition of a target: got is to be at most limit.
type check struct {
	text       string
	got, limit float64
	format     string // of got
}

func (c check) met() bool { return c.got <= c.limit } // NaN is not

func (c check) measured() bool { return !math.IsNaN(c.got) }

func (c check) String() string {
	switch s := fmt.Sprintf(c.format, c.got); {
	case !c.measured():
		return "not measured"
	case !c.met():
		return "**" + s + "**"
	default:
		return s
	}
}

// target is a row of the table of targets.
type target struct {
	work, figure string
	checks       []check
}

func (t target) met() bool {
	for _, c := range t.checks {
		if !c.met() {
			return false
		}
	}
	return true
}

// verdict is missed as soon as anything is.
func (t target) verdict() string {
	verdict := "met"
	for _, c := range t.checks {
		switch {
		case !c.measured():
			verdict = "not measured"
		case !c.met():
			return "**missed**"
		}
	}
	return verdict
}

// over compares two figures; one that is missing misses.
func over(text string, ours, theirs, limit float64) check {
	if ours == 0 || theirs == 0 {
		ours = math.NaN()
	}
	return check{text, ours / theirs, limit, "%.2f×"}
}

// most compares a figure with a bound; one that is missing misses.
func most(text string, got, limit float64, format string) check {
	if got == 0 {
		got = math.NaN()
	}
	return check{text, got, limit, format}
}

// slack is what an average over a million operations may add to a count of
// allocations.
const slack = 0.05

// none is for what may really be zero.
func none(text string, r rounds.Result) check {
	got, measured := r.Extra[rounds.Lost]
	if !measured {
		got = math.NaN()
	}
	return check{text, got, 0, "%.2g lost"}
}

// allTargets holds the figures against the targets.
func (r results) allTargets() []target {
	all := append(r.loopTargets(), r.lifeTargets()...)
	return append(append(all, r.crowdTargets()...), r.viewTargets()...)
}

func (r results) get(row, side string) rounds.Result {
	for _, set := range [][]rounds.Result{r.Peers, r.Exporters, r.Views} {
		if res, ok := rounds.Find(set, row, side); ok {
			return res
		}
	}
	return rounds.Result{}
}

func (r results) ours(row string) rounds.Result { return r.get(row, "taskvisor") }

// below holds the time of a row against that of another side of it.
func (r results) below(text, row, side string, limit float64) check {
	return over(text, r.ours(row).NsPerOp, r.get(row, side).NsPerOp, limit)
}

func ns(r rounds.Result) string {
	return fmt.Sprintf("%s, %.3g allocs", duration(r.NsPerOp), r.AllocsPerOp)
}

func (r results) loopTargets() []target {
	all := []target{
		{"restart, no delay, no subscriber", ns(r.ours("Restart")), []check{
			r.below("≤ 0.5× suture", "Restart", "suture", 0.5),
			most("≤ 2 allocs", r.ours("Restart").AllocsPerOp, 2+slack, "%.3g"),
		}},
	}
	for _, n := range []int{1, 4, 16} {
		row := fmt.Sprintf("Subscribers%d", n)
		all = append(all, target{fmt.Sprintf("… queued subscribers beside it: %d", n), ns(r.ours(row)), []check{r.below("≤ 0.6× suture", row, "suture", 0.6)}})
	}
	draining := r.get("Slow", "draining").NsPerOp
	for _, side := range [][2]string{{"taskvisor", "sleeps"}, {"spinning", "spins"}} {
		slow := r.get("Slow", side[0])
		all = append(all, target{"… beside a subscriber that " + side[1] + " over each event", ns(slow), []check{
			over("≤ 1.5× beside one that keeps up", slow.NsPerOp, draining, 1.5)}})
	}
	return append(all,
		target{"… with a timeout per attempt", ns(r.ours("RestartTimeout")), []check{r.below("≤ 0.8× failsafe", "RestartTimeout", "failsafe", 0.8)}},
		target{"… without a gate", ns(r.ours("Gate")), []check{r.below("≤ 1.05× with a gate that is free", "Gate", "free gate", 1.05)}},
	)
}

func (r results) lifeTargets() []target {
	return []target{
		{"one-shot: add, run, wait", ns(r.ours("OneShot")), []check{r.below("≤ 0.75× suture", "OneShot", "suture", 0.75)}},
		{"`Run` of 100 000 instant tasks, per task", ns(r.ours("Batch")), []check{
			r.below("≤ 0.5× suture", "Batch", "suture", 0.5),
			none("of 10 000 beside a subscriber nothing lost", r.ours("Batch10k")),
		}},
		{"5 failures, then success", ns(r.ours("Failures")), []check{r.below("≤ 0.4× suture", "Failures", "suture", 0.4)}},
		{"panic and restart, with its stack", ns(r.ours("Panic")), []check{r.below("≤ 0.1× suture", "Panic", "suture", 0.1)}},
		{"stop 100 000 idle tasks", duration(r.ours("Stop").NsPerOp * 100_000), []check{r.below("≤ 0.5× suture", "Stop", "suture", 0.5)}},
	}
}

// rss finds a footprint; tasks 0 takes the first.
func (r results) rss(state, side string, tasks int) footprint.Footprint {
	for _, set := range [][]footprint.Footprint{r.Footprint, r.DskitRSS} {
		for _, f := range set {
			if f.State == state && f.Side == side && (tasks == 0 || f.Tasks == tasks) {
				return f
			}
		}
	}
	return footprint.Footprint{}
}

// resident is a target of memory alone, for tasks without a goroutine.
func (r results) resident(work, state string, tasks int) target {
	f := r.rss(state, "taskvisor", tasks)
	return target{work, size(f.Settled), []check{most("≤ 800 B", f.Settled, 800, "%.0f B"), {"no goroutine", f.Goroutines, 0.01, "%.2g"}}}
}

func (r results) periodic(rate int) footprint.Periodic {
	for _, p := range r.Periodic {
		if p.Rate == rate {
			return p
		}
	}
	return footprint.Periodic{}
}

const million = 1_000_000

func (r results) crowdTargets() []target {
	running := r.rss(footprint.Running, "taskvisor", 0)
	slower, faster := r.periodic(100_000), r.periodic(200_000)
	add, admission := r.Growth.At(growth.Add, million), r.Growth.At(growth.Admission, million)
	return []target{
		{"running idle task, RSS", size(running.Settled), []check{
			over("≤ 1.2× suture", running.Settled, r.rss(footprint.Running, "suture", 0).Settled, 1.2),
			over("≤ 0.6× dskit", running.Settled, r.rss(footprint.Running, "dskit", 0).Settled, 0.6),
		}},
		r.resident("task in backoff, RSS", footprint.Backoff, 0),
		r.resident("task that waits for its interval, RSS", footprint.Waiting, 0),
		r.resident("each of 1 000 000 tasks at one gate, RSS", footprint.AtGate, million),
		{"1 000 000 periodic tasks", size(r.rss(footprint.Waiting, "taskvisor", million).Settled) + " each", []check{
			most("≤ 800 B each", r.rss(footprint.Waiting, "taskvisor", million).Settled, 800, "%.0f B"),
			over("200 000 starts/s keep up", 200_000, faster.PerSecond, 1.005), // asked for, and done
			most("at 100 000/s p99 ≤ 50 ms late", slower.P99, 50, "%.3g ms"),
		}},
		{"`Add` beside 1 000 000 tasks", duration(add), []check{over("≤ 2× beside 1 000", add, r.Growth.At(growth.Add, 1000), 2)}},
		{"a task let in by a gate at which 1 000 000 wait, in order", duration(admission), []check{
			over("≤ 2× where 1 000 wait", admission, r.Growth.At(growth.Admission, 1000), 2)}},
	}
}

// slowest of two sides of a row, in milliseconds.
func (r results) slowest(row, side, other string) float64 {
	return max(r.get(row, side).NsPerOp, r.get(row, other).NsPerOp) / 1e6
}

func (r results) viewTargets() []target {
	observed := r.ours("Observed").CPUPerOp
	guarded, snapshot, live := r.slowest("Guarded", "taskvisor", "taskvisor, gzip"), r.ours("Snapshot").NsPerOp, r.ours("Live")
	return []target{
		{"metrics, traces (10 % sampled) and log together, CPU of a successful attempt", duration(observed), []check{
			over("≤ 1.3× the same by hand", observed, r.get("Observed", "by hand").CPUPerOp, 1.3),
			most("≤ 3 µs", observed/1e3, 3, "%.2f µs"),
		}},
		{"`/metrics` of 10 000 tasks", duration(r.ours("Scrape").NsPerOp), []check{
			r.below("≤ 1.6× encoding alone", "Scrape", "encoding alone", 1.6),
			most("at the default guard of 500 names ≤ 25 ms", guarded, 25, "%.3g ms"),
		}},
		{"`Snapshot` of 10 000 tasks", duration(snapshot), []check{most("≤ 5 ms", snapshot/1e6, 5, "%.3g ms")}},
		{"live page of 10 000 tasks, first view", fmt.Sprintf("%s CPU, %.0f KB", duration(live.CPUPerOp), live.Extra["sent-B/op"]/1e3), []check{
			most("≤ 25 ms CPU", live.CPUPerOp/1e6, 25, "%.3g ms"), most("≤ 200 KB", live.Extra["sent-B/op"]/1e3, 200, "%.0f KB"),
		}},
	}
}

// targetTable is the table of all of them.
func targetTable(r results) string {
	var b strings.Builder
	b.WriteString("| Work | taskvisor | target | measured | |\n|---|--:|---|---|---|\n")
	for _, t := range r.allTargets() {
		var want, got []string
		for _, c := range t.checks {
			want, got = append(want, c.text), append(got, c.String())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", t.work, t.figure, strings.Join(want, "; "), strings.Join(got, "; "), t.verdict())
	}
	return b.String()
}

// score says how many are met.
func score(r results) string {
	all, n := r.allTargets(), 0
	for _, t := range all {
		if t.met() {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", n, len(all))
}
