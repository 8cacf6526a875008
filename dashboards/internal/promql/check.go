package promql

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
)

// Selector is one selection of series within an expression.
type Selector struct {
	Metric   string        // as written, with _bucket or _sum
	Family   string        // as in the catalog; "" if promsub does not export it
	Matchers []string      // names of the labels that are filtered
	Range    time.Duration // of a range selector; 0 for an instant one
	Function string        // the function around a range selector
}

// Report is what Check found in one expression.
type Report struct {
	Selectors []Selector
	Raw       []string // counters and histograms read outside of rate and increase
	Problems  []string
}

// Check parses expr, in which Grafana's variables are already substituted, and
// says what is wrong with it. It is safe for concurrent use.
func (v *Vocabulary) Check(expr string) Report {
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		return Report{Problems: []string{err.Error()}}
	}
	var r Report
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			v.checkSelector(&r, n, path)
		case *parser.AggregateExpr:
			if !n.Without {
				v.checkLabels(&r, n.Expr, n.Grouping, "by")
			}
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil && m.On {
				v.checkLabels(&r, n.LHS, m.MatchingLabels, "on")
				v.checkLabels(&r, n.RHS, m.MatchingLabels, "on")
			}
		}
		return nil
	})
	return r
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (v *Vocabulary) checkSelector(r *Report, n *parser.VectorSelector, path []parser.Node) {
	name := n.Name
	s, ok := v.byName[name]
	if !ok {
		r.problem("no such metric: %q", name)
		return
	}
	sel := Selector{Metric: name, Family: s.family}
	for _, m := range n.LabelMatchers {
		if m.Name == labels.MetricName {
			continue
		}
		sel.Matchers = append(sel.Matchers, m.Name)
		values, ok := s.labels[m.Name]
		if !ok {
			r.problem("%s has no label %q", name, m.Name)
		}
		for _, u := range unknownValues(m.Value, values) {
			r.problem("%s{%s} is never %q", name, m.Name, u)
		}
	}
	sel.Range, sel.Function = enclosing(path)
	checkUse(r, s.typ, sel)
	r.Selectors = append(r.Selectors, sel)
}

// enclosing finds the range and the function that a selector stands in.
func enclosing(path []parser.Node) (rng time.Duration, function string) {
	for _, node := range slices.Backward(path) {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			rng = n.Range
		case *parser.SubqueryExpr:
			rng = n.Range
		case *parser.Call:
			return rng, n.Func.Name
		case *parser.AggregateExpr, *parser.BinaryExpr:
			return rng, ""
		}
	}
	return rng, ""
}

// checkUse holds counters and histograms inside rate or increase, and gauges
// outside. There are uses of raw counters that are right (asking whether a
// series existed; a lifetime mean, which is one counter divided by another), so
// they are reported apart from the problems.
func checkUse(r *Report, typ catalog.Type, s Selector) {
	overTime := s.Function == "rate" || s.Function == "increase"
	switch {
	case typ == catalog.Gauge && overTime:
		r.problem("%s is a gauge, but inside %s", s.Metric, s.Function)
	case typ != catalog.Gauge && !overTime:
		r.Raw = append(r.Raw, s.Metric)
	}
}

// checkLabels says which of the labels no selector below can have. Names that
// are made up on the way (label_replace, count_values) are not used here.
func (v *Vocabulary) checkLabels(r *Report, below parser.Expr, names []string, clause string) {
	parser.Inspect(below, func(node parser.Node, _ []parser.Node) error {
		n, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		s := v.byName[n.Name]
		for _, name := range names {
			if _, ok := s.labels[name]; !ok && s.labels != nil {
				r.problem("%s (%s): %s has no such label", clause, name, n.Name)
			}
		}
		return nil
	})
}
