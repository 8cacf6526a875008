package alertlab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

// Mutant is a rule with one thing changed.
type Mutant struct {
	What string // what was changed, and where
	Rule rules.Rule
}

// Mutants changes one thing at a time: thresholds and durations, comparisons, set
// operators, labels of aggregations and matches, selected values, functions, and for.
func Mutants(r rules.Rule) ([]Mutant, error) {
	var all []Mutant
	for i := 0; ; i++ {
		expr, err := parser.ParseExpr(r.Expr) // anew: a change is never undone
		if err != nil {
			return nil, err
		}
		nodes := nodesOf(expr)
		if i == len(nodes) {
			break
		}
		for k := 0; ; k++ {
			expr, _ = parser.ParseExpr(r.Expr)
			node := nodesOf(expr)[i]
			before := brief(node)
			changes := changesOf(node, func(to parser.Expr) { expr = replaced(expr, node, to) })
			if k == len(changes) {
				break
			}
			changes[k].make()
			changed := r
			changed.Expr = expr.String()
			all = append(all, Mutant{fmt.Sprintf("%s in %s (%d)", changes[k].what, before, i), changed})
		}
	}
	return append(all, holds(r)...), nil
}

// holds changes how long an alert waits.
func holds(r rules.Rule) (all []Mutant) {
	d, _ := holdOf(r.For)
	for _, to := range []time.Duration{d / 2, 2 * d, 5 * time.Minute} {
		if to != d && (d == 0) == (to == 5*time.Minute) {
			changed := r
			changed.For = to.String()
			all = append(all, Mutant{"for " + to.String(), changed})
		}
	}
	return all
}

func nodesOf(expr parser.Expr) (all []parser.Node) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if n != nil {
			all = append(all, n)
		}
		return nil
	})
	return all
}

// everywhere is on every selection, and says nothing about one.
var everywhere = strings.NewReplacer(`,supervisor!=""`, "", `{supervisor!=""}`, "")

func brief(n parser.Node) string {
	text := everywhere.Replace(strings.Join(strings.Fields(n.String()), " "))
	if len(text) > 90 {
		text = text[:90] + "…"
	}
	return text
}

// change is something that can be done to a node.
type change struct {
	what string
	make func()
}

func changesOf(node parser.Node, replace func(parser.Expr)) (all []change) {
	add := func(what string, make func()) { all = append(all, change{what, make}) }
	switch n := node.(type) {
	case *parser.NumberLiteral:
		for _, v := range near(n.Val) {
			add(fmt.Sprintf("%g for %g", v, n.Val), func() { n.Val = v })
		}
	case *parser.BinaryExpr:
		all = append(all, operators(n, replace)...)
	case *parser.AggregateExpr:
		for i, l := range n.Grouping {
			add("not without "+l, func() { n.Grouping = slices.Delete(slices.Clone(n.Grouping), i, i+1) })
		}
	case *parser.MatrixSelector:
		add("half the range", func() { n.Range /= 2 })
		add("twice the range", func() { n.Range *= 2 })
	case *parser.SubqueryExpr:
		add("half the range", func() { n.Range /= 2 })
		add("twice the range", func() { n.Range *= 2 })
	case *parser.Call:
		if other := map[string]string{"min_over_time": "max_over_time", "histogram_sum": "histogram_count"}[n.Func.Name]; other != "" {
			add(other+" for "+n.Func.Name, func() { n.Func = parser.Functions[other] })
		}
	case *parser.VectorSelector:
		all = append(all, selections(n)...)
	}
	return all
}

// near returns numbers on either side of one.
func near(v float64) []float64 {
	switch {
	case v == 0:
		return []float64{1.5} // one more is 1 and a bit, as increase() has it
	case v == float64(int(v)) && v < 20:
		return []float64{v - 1, v + 1}
	default:
		return []float64{v * 0.8, v * 1.2}
	}
}

func operators(n *parser.BinaryExpr, replace func(parser.Expr)) (all []change) {
	add := func(what string, make func()) { all = append(all, change{what, make}) }
	to := func(op parser.ItemType) {
		add(fmt.Sprintf("%s for %s", op, n.Op), func() { n.Op = op })
	}
	switch n.Op {
	case parser.GTR:
		to(parser.LSS)
		if v, ok := n.RHS.(*parser.NumberLiteral); ok && v.Val == 0 {
			to(parser.GTE)
		}
	case parser.GTE:
		to(parser.GTR)
	case parser.EQLC:
		to(parser.NEQ)
	case parser.SUB:
		to(parser.ADD)
	case parser.DIV:
		to(parser.MUL)
	case parser.MUL:
		to(parser.DIV)
	case parser.LAND:
		to(parser.LUNLESS)
		add("left alone", func() { replace(n.LHS) })
	case parser.LUNLESS:
		to(parser.LAND)
		add("left alone", func() { replace(n.LHS) })
	case parser.LOR:
		add("left alone", func() { replace(n.LHS) })
		add("right alone", func() { replace(n.RHS) })
	}
	if m := n.VectorMatching; m != nil {
		for i, l := range m.MatchingLabels {
			add("not ignoring or on "+l, func() { m.MatchingLabels = slices.Delete(slices.Clone(m.MatchingLabels), i, i+1) })
		}
	}
	return all
}

func selections(n *parser.VectorSelector) (all []change) {
	add := func(what string, make func()) { all = append(all, change{what, make}) }
	if n.OriginalOffset != 0 {
		add("half the offset", func() { n.OriginalOffset /= 2 })
		add("twice the offset", func() { n.OriginalOffset *= 2 })
	}
	for i, m := range n.LabelMatchers {
		if m.Name == labels.MetricName || m.Name == "supervisor" { // all have it: see the rules' tests
			continue
		}
		with := func(typ labels.MatchType, value string) func() {
			return func() { n.LabelMatchers[i] = labels.MustNewMatcher(typ, m.Name, value) }
		}
		add("no matcher of "+m.Name, func() { n.LabelMatchers = slices.Delete(n.LabelMatchers, i, i+1) })
		values := strings.Split(m.Value, "|")
		for k, v := range values {
			if len(values) > 1 {
				rest := slices.Delete(slices.Clone(values), k, k+1)
				add("without "+v, with(m.Type, strings.Join(rest, "|")))
			}
		}
	}
	return all
}

// replaced puts another expression in the place of a node.
func replaced(root parser.Expr, node parser.Node, to parser.Expr) parser.Expr {
	if root == node {
		return to
	}
	parser.Inspect(root, func(n parser.Node, _ []parser.Node) error {
		swap := func(e *parser.Expr) {
			if *e == node {
				*e = to
			}
		}
		switch n := n.(type) {
		case *parser.ParenExpr:
			swap(&n.Expr)
		case *parser.BinaryExpr:
			swap(&n.LHS)
			swap(&n.RHS)
		case *parser.AggregateExpr:
			swap(&n.Expr)
		case *parser.SubqueryExpr:
			swap(&n.Expr)
		case *parser.Call:
			for i := range n.Args {
				swap(&n.Args[i])
			}
		}
		return nil
	})
	return root
}
