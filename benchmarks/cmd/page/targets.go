package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
)

// check is one condition of a target: got is to be at most limit.
type check struct {
	text       string
	got, limit float64
	format     string // of got
}

// target is a row of the design's table of targets.
type target struct {
	work, figure string
	checks       []check
}

func (t target) met() bool {
	for _, c := range t.checks {
		if !(c.got <= c.limit) { // also NaN
			return false
		}
	}
	return true
}

// over compares two figures; one that is missing misses.
func over(text string, ours, theirs, limit float64) check {
	if ours == 0 {
		ours = math.NaN()
	}
	return check{text, ours / theirs, limit, "%.3g×"}
}

func most(text string, got, limit float64, format string) check {
	return check{text, got, limit, format}
}

// slack is what an average over a million operations may add to a count of
// allocations that is zero for each.
const slack = 0.05

// allTargets holds the figures against the targets.
func (r results) allTargets() []target {
	all := append(r.loopTargets(), r.lifeTargets()...)
	return append(append(all, r.memoryTargets()...), r.exporterTargets()...)
}

func (r results) get(row, side string) rounds.Result {
	for _, set := range [][]rounds.Result{r.Peers, r.Exporters} {
		if res, ok := rounds.Find(set, row, side); ok {
			return res
		}
	}
	return rounds.Result{}
}

func ns(r rounds.Result) string { return fmt.Sprintf("%s, %s", duration(r.NsPerOp), allocs(r)) }

func allocs(r rounds.Result) string {
	if r.AllocsPerOp < slack {
		return fmt.Sprintf("0 allocs (%.3g B)", r.BytesPerOp)
	}
	return fmt.Sprintf("%.3g allocs (%.0f B)", r.AllocsPerOp, r.BytesPerOp)
}

func (r results) loopTargets() []target {
	us, raw := r.get("Restart", "taskvisor"), r.get("Restart", "raw")
	timeout := r.get("RestartTimeout", "taskvisor")
	all := []target{
		{"restart loop, no subscriber", ns(us), []check{
			over("≤ 20× raw", us.NsPerOp, raw.NsPerOp, 20),
			over("≤ 1/12 suture", us.NsPerOp, r.get("Restart", "suture").NsPerOp, 1.0/12),
			over("≤ 1/4 backoff/v5", us.NsPerOp, r.get("Restart", "backoff").NsPerOp, 0.25),
			most("0 allocs", us.AllocsPerOp, slack, "%.2g"), most("≤ 16 B", us.BytesPerOp, 16.5, "%.3g B"),
		}},
		{"… with a timeout per attempt", ns(timeout), []check{
			over("≤ 1/5 failsafe", timeout.NsPerOp, r.get("RestartTimeout", "failsafe").NsPerOp, 0.2),
			most("0 allocs", timeout.AllocsPerOp, slack, "%.2g"),
		}},
	}
	for _, n := range []int{1, 4, 16} {
		row := fmt.Sprintf("Subscribers%d", n)
		us := r.get(row, "taskvisor")
		checks := []check{
			over("≤ 1/5 suture", us.NsPerOp, r.get(row, "suture").NsPerOp, 0.2),
			most("0 allocs", us.AllocsPerOp, slack, "%.2g"), most("lossless", us.Extra["lost/op"], 0, "%.2g lost/op"),
		}
		if limit := map[int]float64{1: 0.35, 16: 0.2}[n]; limit > 0 {
			checks = append(checks, over(fmt.Sprintf("an event ≤ %.2g× one through channels", limit), r.event(row, "taskvisor"), r.event(row, "channels"), limit))
		}
		all = append(all, target{fmt.Sprintf("… with queued subscribers: %d", n), ns(us), checks})
	}
	sleeper := r.get("Sleeper", "taskvisor")
	return append(all, target{"… beside a subscriber that sleeps 100 µs per event", ns(sleeper), []check{
		over("≤ 1.5× the loop with a draining one", sleeper.NsPerOp, r.get("Sleeper", "draining").NsPerOp, 1.5),
	}})
}

// event is the processor time that one event adds to the loop of its side.
func (r results) event(row, side string) float64 {
	bare := "raw"
	if side == "taskvisor" {
		bare = side
	}
	return (r.get(row, side).CPUPerOp - r.get("Restart", bare).CPUPerOp) / 3
}

func (r results) lifeTargets() []target {
	oneShot, batch, beside := r.get("OneShot", "taskvisor"), r.get("Batch", "taskvisor"), r.get("Batch", "taskvisor+1")
	failures, panics, stop := r.get("Failures", "taskvisor"), r.get("Panic", "taskvisor"), r.get("Stop", "taskvisor")
	return []target{
		{"one-shot: add, run, wait", ns(oneShot), []check{
			over("≤ 2.5× raw", oneShot.NsPerOp, r.get("OneShot", "raw").NsPerOp, 2.5),
			over("≤ 0.4× suture", oneShot.NsPerOp, r.get("OneShot", "suture").NsPerOp, 0.4),
			most("≤ 4 allocs", oneShot.AllocsPerOp, 4+slack, "%.3g"),
		}},
		{"`Run` of 100 000 instant tasks, per task", ns(batch), []check{
			over("≤ 3× raw", batch.NsPerOp, r.get("Batch", "raw").NsPerOp, 3),
			most("nothing lost with a subscriber", beside.Extra["lost/op"], 0, "%.2g lost/op"),
		}},
		{"5 failures, then success", ns(failures), []check{
			over("≤ 3× raw", failures.NsPerOp, r.get("Failures", "raw").NsPerOp, 3),
			over("≤ 0.7× backoff/v5", failures.NsPerOp, r.get("Failures", "backoff").NsPerOp, 0.7),
		}},
		{"panic and restart, with its stack", ns(panics), []check{
			over("≤ 1/15 suture", panics.NsPerOp, r.get("Panic", "suture").NsPerOp, 1.0/15),
		}},
		{"stop 100 000 idle tasks", duration(stop.NsPerOp * 100_000), []check{
			over("≤ 2× raw", stop.NsPerOp, r.get("Stop", "raw").NsPerOp, 2),
			over("≤ 0.35× suture", stop.NsPerOp, r.get("Stop", "suture").NsPerOp, 0.35),
		}},
	}
}

func (r results) memoryTargets() []target {
	running, backoff := r.rss("running, idle", "taskvisor", 0), r.rss("backoff", "taskvisor", 0)
	waiting := r.rss("waiting for its interval", "taskvisor", 1_000_000)
	var fastest float64
	for _, p := range r.Periodic {
		if p.Side == "taskvisor" && p.Rate == 300_000 {
			fastest = p.PerSecond
		}
	}
	add := map[float64]float64{}
	for _, c := range r.Growth {
		for _, s := range c.Series {
			for _, p := range s.Points {
				if c.Name == "tasks" && s.Name == "Add" {
					add[p.X] = p.Ns
				}
			}
		}
	}
	return []target{
		{"running idle task, RSS", fmt.Sprintf("%.0f B", running.Settled), []check{
			over("≤ 1.2× raw", running.Settled, r.rss("running, idle", "raw", 0).Settled, 1.2),
			over("below suture", running.Settled, r.rss("running, idle", "suture", 0).Settled, 1),
		}},
		{"task in backoff, RSS", fmt.Sprintf("%.0f B", backoff.Settled), []check{
			most("≤ 640 B", backoff.Settled, 640, "%.0f B"), most("no goroutine", backoff.Goroutines, 0.01, "%.2g"),
		}},
		{"1 000 000 periodic tasks", fmt.Sprintf("%.0f B each, %s starts/s", waiting.Settled, thousands(fastest)), []check{
			most("≤ 800 B each", waiting.Settled, 800, "%.0f B"), over("300 000 starts/s keep up", 300_000, fastest, 1.005),
		}},
		{"`Add` with 10⁶ registered tasks", duration(add[1e6]), []check{over("≤ 1.5× `Add` with 10³", add[1e6], add[1e3], 1.5)}},
	}
}

func (r results) exporterTargets() []target {
	var all []target
	for _, row := range [][2]string{{"Prom", "promsub, per attempt"}, {"OtelNoop", "otelsub with a no-op tracer, per attempt"},
		{"OtelSampled", "otelsub, sampled, per attempt"}, {"Slog", "slogsub as JSON, per record"}} {
		us := r.get(row[0], "taskvisor")
		all = append(all, target{row[1], ns(us), []check{over("≤ 1.5× the SDK", us.NsPerOp, r.get(row[0], "raw").NsPerOp, 1.5)}})
	}
	return all
}

// targets is the table of all of them.
func targets(r results) string {
	var b strings.Builder
	b.WriteString("| Work | taskvisor | target | measured | |\n|---|--:|---|---|---|\n")
	for _, t := range r.allTargets() {
		var want, got []string
		for _, c := range t.checks {
			want = append(want, c.text)
			s := fmt.Sprintf(c.format, c.got)
			if !(c.got <= c.limit) {
				s = "**" + s + "**"
			}
			got = append(got, s)
		}
		verdict := "met"
		if !t.met() {
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", t.work, t.figure, strings.Join(want, "; "), strings.Join(got, "; "), verdict)
	}
	return b.String()
}

// misses counts what is not met.
func misses(r results) string {
	all := r.allTargets()
	n := 0
	for _, t := range all {
		if !t.met() {
			n++
		}
	}
	return fmt.Sprintf("%d of %d", len(all)-n, len(all))
}
