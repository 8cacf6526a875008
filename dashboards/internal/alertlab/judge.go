package alertlab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

// Recording is a run that is over, for rules to be judged by: with the engine of
// Prometheus itself, so that hundreds of changed rules can be, while promtool holds the
// unchanged.
type Recording struct {
	Name string
	Want []Firing

	objective bool // made for the alerts of objectives alone: they ask for days at a time
	variant   variant
	start     time.Time
	length    time.Duration
	series    memory
	metrics   map[string]bool
}

// Record runs the scenarios of a file, each without and with further labels where
// something fires.
func (f File) Record(t *testing.T, all []rules.Rule) (made []Recording) {
	names := map[string]bool{"up": true}
	for _, r := range all {
		for name := range metricsOf(r.Expr) {
			names[name] = true
		}
	}
	wanted := func(name string, _ map[string]string) bool { return names[name] } // a changed rule may select more
	for _, s := range f.Scenarios {
		for _, extra := range []map[string]string{nil, extra} {
			if extra != nil && len(s.Want) == 0 {
				continue
			}
			v := variant{name: s.Name, extra: extra, native: s.Native, every: f.every(), wanted: wanted}
			l := v.run(t, s.Run)
			r := Recording{
				objective: f.Objective, Name: f.Name + ": " + s.Name, Want: s.Want, variant: v, start: l.start,
				length: time.Duration(l.steps-1) * v.every, metrics: map[string]bool{},
			}
			for _, name := range l.names() {
				if err := r.add(name, l.series[name].String()); err != nil {
					t.Fatal(err)
				}
			}
			made = append(made, r)
		}
	}
	return made
}

func (r *Recording) add(name, values string) error {
	metric, samples, err := parser.ParseSeriesDesc(name + " " + values)
	if err != nil {
		return err
	}
	r.metrics[metric.Get(labels.MetricName)] = true
	s := promql.Series{Metric: metric}
	for i, v := range samples {
		at := r.start.Add(time.Duration(i) * r.variant.every).UnixMilli()
		switch {
		case v.Omitted:
		case v.Histogram != nil:
			s.Histograms = append(s.Histograms, promql.HPoint{T: at, H: v.Histogram})
		default:
			s.Floats = append(s.Floats, promql.FPoint{T: at, F: v.Value})
		}
	}
	r.series = append(r.series, s)
	return nil
}

// Feeds reports whether the run has one of the metrics that an expression asks for.
func (r *Recording) Feeds(expr string, all []rules.Rule) bool {
	expr, err := expanded(expr, all)
	if err != nil || r.objective != metricsOf(expr)["taskvisor_task_objective_ratio"] {
		return false
	}
	for name := range metricsOf(expr) {
		if r.metrics[name] {
			return true
		}
	}
	return false
}

func metricsOf(expr string) map[string]bool {
	names := map[string]bool{}
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		return names
	}
	for _, ms := range parser.ExtractSelectors(parsed) {
		for _, m := range ms {
			if m.Name == labels.MetricName {
				names[m.Value] = true
			}
		}
	}
	return names
}

// expanded puts recording rules in the place of what they record.
func expanded(expr string, all []rules.Rule) (string, error) {
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		return "", err
	}
	for _, node := range nodesOf(parsed) {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			continue
		}
		for _, r := range all {
			if r.Record == selector.Name {
				recorded, err := parser.ParseExpr(r.Expr)
				if err != nil {
					return "", err
				}
				parsed = replaced(parsed, selector, &parser.ParenExpr{Expr: recorded})
			}
		}
	}
	return parsed.String(), nil
}

// firing is when an alert fired for one set of labels.
type firing struct {
	first, last time.Duration
	count       int
}

// Judge says what is wrong with an alert in this run: "" if it fires when it should, for
// what it should, and not otherwise.
func (r *Recording) Judge(engine *promql.Engine, a rules.Rule, all []rules.Rule) string {
	hold, err := holdOf(a.For)
	if err != nil {
		return err.Error()
	}
	expr, err := expanded(a.Expr, all)
	if err != nil {
		return err.Error()
	}
	query, err := engine.NewRangeQuery(context.Background(), r.series, nil, expr, r.start, r.start.Add(r.length), r.variant.every)
	if err != nil {
		return err.Error()
	}
	defer query.Close()
	result := query.Exec(context.Background())
	matrix, err := result.Matrix()
	if err != nil {
		return err.Error()
	}
	points := map[string][]promql.FPoint{}
	for _, s := range matrix {
		of := s.Metric.Map()
		delete(of, labels.MetricName) // an alert has none, whichever part of the rule it comes from
		maps.Copy(of, a.Labels)
		key := seriesName("", of)
		points[key] = append(points[key], s.Floats...)
	}
	got := map[string]firing{}
	for key, of := range points {
		slices.SortFunc(of, func(a, b promql.FPoint) int { return cmp.Compare(a.T, b.T) })
		for i := 1; i < len(of); i++ {
			if of[i].T == of[i-1].T {
				return "two alerts at once with the labels " + key
			}
		}
		if f := r.fired(of, hold); f.count > 0 {
			got[key] = f
		}
	}
	return r.compare(got, a, all)
}

func holdOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

// fired says when a condition had held for long enough.
func (r *Recording) fired(points []promql.FPoint, hold time.Duration) (f firing) {
	var since, before int64
	for _, p := range points {
		if before == 0 || p.T-before > r.variant.every.Milliseconds() {
			since = p.T
		}
		before = p.T
		if p.T-since < hold.Milliseconds() {
			continue
		}
		at := time.UnixMilli(p.T).Sub(r.start)
		if f.count == 0 {
			f.first = at
		}
		f.last = at
		f.count++
	}
	return f
}

func (r *Recording) compare(got map[string]firing, a rules.Rule, all []rules.Rule) string {
	for _, w := range r.Want {
		if "Taskvisor"+w.Alert != a.Alert {
			continue
		}
		key := seriesName("", r.variant.labels(w, all))
		want := firing{w.From, w.To, int((w.To-w.From)/r.variant.every) + 1 - w.Rest}
		if got[key] != want {
			return fmt.Sprintf("%s: %+v, want %+v", key, got[key], want)
		}
		delete(got, key)
	}
	for key, f := range got {
		return fmt.Sprintf("%s fires: %+v", key, f)
	}
	return ""
}

// memory is series to ask.
type memory []promql.Series

// Querier implements storage.Queryable.
func (m memory) Querier(from, to int64) (storage.Querier, error) { return window{m, from, to}, nil }

// window is a part of memory.
type window struct {
	memory
	from, to int64
}

// Select implements storage.Querier.
func (w window) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &found{at: -1}
next:
	for _, s := range w.memory {
		for _, m := range matchers {
			if !m.Matches(s.Metric.Get(m.Name)) {
				continue next
			}
		}
		set.series = append(set.series, promql.NewStorageSeries(s))
	}
	return set
}

// LabelValues implements storage.Querier; nobody asks.
func (window) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; nobody asks.
func (window) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (window) Close() error { return nil }

// found implements storage.SeriesSet.
type found struct {
	series []storage.Series
	at     int
}

func (f *found) Next() bool                        { f.at++; return f.at < len(f.series) }
func (f *found) At() storage.Series                { return f.series[f.at] }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }
