package alertlab

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// Ask runs a script and returns what an expression says at its end: the value for each
// set of labels, as in {job="app"}.
func Ask(t *testing.T, engine *promql.Engine, expr string, script func(*Lab)) map[string]float64 {
	t.Helper()
	v := variant{every: File{}.every(), wanted: func(string, map[string]string) bool { return true }}
	l := v.run(t, script)
	r := Recording{variant: v, start: l.start, metrics: map[string]bool{}}
	for _, name := range l.names() {
		if err := r.add(name, l.series[name].String()); err != nil {
			t.Fatal(err)
		}
	}
	query, err := engine.NewInstantQuery(context.Background(), r.series, nil, expr, l.start.Add(v.every*time.Duration(l.steps-1)))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range vector {
		got[seriesName("", s.Metric.Map())] = s.F
	}
	return got
}
