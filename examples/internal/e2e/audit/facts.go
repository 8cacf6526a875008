package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// facts are the ledger and everything that was reported about the same run. Nothing
// of it changes any more: the checks are pure functions of it.
type facts struct {
	book      ledger.Book
	series    map[string][]ask.Series // by name without the namespace
	scrapes   []scrape                // that succeeded, until the ledger was closed
	spans     ask.Spans
	exemplars []ask.Exemplar
	log       []line // of everything
	short     []line
}

// line is one line of a log.
type line map[string]any

func (l line) text(key string) string { s, _ := l[key].(string); return s }

func (l line) number(key string) float64 { n, _ := l[key].(float64); return n }

func (l line) msg() string { return l.text("msg") }

// duration reads what slog writes as nanoseconds.
func (l line) duration(key string) time.Duration { return time.Duration(l.number(key)) }

// sources are where the facts come from.
type sources struct {
	prometheus         ask.Prometheus
	jaeger             ask.Jaeger
	service, job       string
	ledger, log, short string
	wait               time.Duration // for the ledger
	patience           time.Duration // for the last scrape and the last span
}

// collect waits until everything has arrived.
func (s sources) collect(ctx context.Context) (*facts, error) {
	f := &facts{}
	var err error
	if f.book, err = s.awaitLedger(ctx); err != nil {
		return nil, err
	}
	if err = s.settle(ctx, f); err != nil {
		return nil, err
	}
	f.exemplars, err = s.prometheus.Exemplars(ctx, fmt.Sprintf(`{job=%q}`, s.job), f.book.Began, time.Now())
	if err != nil {
		return nil, err
	}
	if f.log, err = readLog(s.log); err != nil {
		return nil, err
	}
	f.short, err = readLog(s.short)
	return f, err
}

func (s sources) awaitLedger(ctx context.Context) (ledger.Book, error) {
	for began := time.Now(); ; checklist.Pause(ctx, 200*time.Millisecond) {
		book, err := ledger.Read(s.ledger)
		if !os.IsNotExist(err) {
			return book, err
		}
		if time.Since(began) > s.wait || ctx.Err() != nil {
			return book, fmt.Errorf("%s did not appear within %s", s.ledger, s.wait)
		}
	}
}

// settle reads series and spans until a scrape is newer than the ledger and no more
// spans arrive.
func (s sources) settle(ctx context.Context, f *facts) error {
	spans, reason := -1, error(nil)
	for began := time.Now(); time.Since(began) < s.patience && ctx.Err() == nil; checklist.Pause(ctx, time.Second) {
		if reason = s.readSeries(ctx, f); reason != nil {
			continue
		}
		if f.spans, reason = s.jaeger.Spans(ctx, s.service, f.book.Began.Add(-time.Second), time.Now()); reason != nil {
			continue
		}
		if len(f.spans.All) == spans {
			return nil
		}
		spans = len(f.spans.All)
		reason = errors.New("spans still arrive")
	}
	return fmt.Errorf("nothing to audit: %w", reason)
}

func (s sources) readSeries(ctx context.Context, f *facts) error {
	span := int(time.Since(f.book.Began).Seconds()) + 1
	all, err := s.prometheus.Range(ctx, fmt.Sprintf(`{job=%q}[%ds]`, s.job, span))
	if err != nil {
		return err
	}
	f.series = map[string][]ask.Series{}
	for name, list := range all {
		for _, one := range list {
			for len(one.Points) > 0 && one.Points[0].At.Before(f.book.Began) {
				one.Points = one.Points[1:] // of an earlier run
			}
			if len(one.Points) > 0 {
				name = strings.TrimPrefix(name, metricNamespace)
				f.series[name] = append(f.series[name], one)
			}
		}
	}
	last := time.Time{}
	for _, up := range f.series["up"] {
		for _, p := range up.Points {
			if p.Value == 1 {
				last = p.At
			}
		}
	}
	if !last.After(f.book.Ended) {
		return errors.New("no scrape since the end")
	}
	f.scrapes = f.readings()
	return nil
}

// readings finds in the ledger what the scrapes are, but for those that were under way or
// came when it was closed.
func (f *facts) readings() (list []scrape) {
	for _, one := range f.series[readingMetric] {
		for _, p := range one.Points {
			if n := int(p.Value); n <= len(f.book.Readings) && !f.book.Readings[n-1].Ended.IsZero() {
				list = append(list, scrape{p.At, f.book.Readings[n-1]})
			}
		}
	}
	return list
}

func readLog(file string) ([]line, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines []line
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

// tasks returns the tasks that were registered: not the submissions that were refused.
func (f *facts) tasks() []*ledger.Task {
	var list []*ledger.Task
	for _, t := range f.book.Tasks {
		if t.Plan.Outcome != "rejected" {
			list = append(list, t)
		}
	}
	return list
}

// limited reports whether a task may have to wait for a permit.
func (f *facts) limited(t *ledger.Task) bool {
	for _, s := range f.book.Supervisors {
		if s.Name == t.Supervisor {
			return s.Limit > 0
		}
	}
	return false
}

// given reports whether attempt i is the one that was given up, body and all.
func given(t *ledger.Task, i int) bool {
	return t.Plan.Outcome == "abandoned" && i == len(t.Attempts)-1
}

// final returns the last values of a metric by labels, joined by a slash, without
// those that are zero. Counters of a run do not vanish before its last scrape.
func (f *facts) final(name string, labels ...string) map[string]float64 {
	m := map[string]float64{}
	for _, s := range f.series[name] {
		if v := s.Last().Value; v != 0 && !s.Native {
			m[keyOf(s.Labels, labels...)] += v
		}
	}
	return m
}

func keyOf(labels map[string]string, names ...string) string {
	var key []string
	for _, n := range names {
		key = append(key, labels[n])
	}
	return strings.Join(key, "/")
}

// agree compares what was reported with the ledger.
func agree(what string, got, want map[string]float64) error {
	bounds := map[string]extent{}
	for k, w := range want {
		bounds[k] = extent{w, w}
	}
	return lie(what, got, bounds)
}

// extent is from the least that something may be to the most.
type extent struct{ least, most float64 }

// holds allows for what is lost in adding up.
func (x extent) holds(v float64) bool { return v >= x.least-1e-6 && v <= x.most+1e-6 }

func (x extent) String() string {
	if x.least == x.most {
		return fmt.Sprintf("%.6g", x.least)
	}
	return fmt.Sprintf("%.6g to %.6g", x.least, x.most)
}

func (x extent) plus(least, most time.Duration) extent {
	return extent{x.least + least.Seconds(), x.most + most.Seconds()}
}

// lie compares what was reported with what the ledger says that it lies between.
func lie(what string, got map[string]float64, want map[string]extent) error {
	if len(want) == 0 {
		return fmt.Errorf("the ledger has no %s: the script does not ask for it", what)
	}
	var diffs []string
	for k, w := range want {
		if !w.holds(got[k]) {
			diffs = append(diffs, fmt.Sprintf("%s: reported %.6g, by the ledger %s", k, got[k], w))
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s: reported %.6g, not in the ledger", k, g))
		}
	}
	return some(what, diffs)
}

// some is the error of a list of differences, nil if there are none.
func some(what string, diffs []string) error {
	if len(diffs) == 0 {
		return nil
	}
	sort.Strings(diffs)
	return fmt.Errorf("%d %s differ: %s", len(diffs), what, strings.Join(diffs[:min(3, len(diffs))], "; "))
}
