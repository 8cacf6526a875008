// Package catalog lists what the subscribers produce: metrics, span attributes
// and log keys. It is the one table from which docs/observability.md is made,
// and against which every expression of the boards and rules is checked.
package catalog

import promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"

// Type is a Prometheus metric type.
type Type string

// The types in use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Namespace is the prefix of every metric, unless an option changes it.
const Namespace = "taskvisor_"

// Label is a label of a metric and the values that it takes; none listed means
// that they are the user's.
type Label struct {
	Name   string
	Values []string
}

// Metric is one family as promsub exports it. The label supervisor is on every
// family and not repeated in Labels.
type Metric struct {
	Name     string // with the namespace
	Type     Type
	Unit     string // as in the name; "" for a plain number
	Labels   []Label
	Help     string // what it counts or shows, one sentence
	Question string // what an operator asks when looking at it
}

// Metrics returns every family that promsub exports, grouped as the docs show them.
func Metrics() []Metric {
	var all []Metric
	for _, f := range promsub.Families() {
		m := Metric{Name: f.Name, Type: Type(f.Type), Help: f.Help, Question: f.Question}
		if f.Unit == "s" {
			m.Unit = "seconds"
		}
		for _, l := range f.Labels {
			m.Labels = append(m.Labels, Label{l.Name, l.Values})
		}
		all = append(all, m)
	}
	return all
}
