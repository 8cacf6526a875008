package promsub

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sample is a counter or a gauge at one instant.
type sample struct {
	desc    *prometheus.Desc
	created *timestamppb.Timestamp // of a counter; nil for a gauge
	labels  []*dto.LabelPair       // shared and never changed, like created
	value   float64
}

func newSample(desc *prometheus.Desc, v float64, labels []*dto.LabelPair) *sample {
	return &sample{desc: desc, labels: labels, value: v}
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.created != nil {
		out.Counter = &dto.Counter{Value: &s.value, CreatedTimestamp: s.created}
	} else {
		out.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// pairTable holds the label pairs that the series of all tasks share.
type pairTable struct {
	static   []*dto.LabelPair // on every series
	results  [resultCount]*dto.LabelPair
	causes   [sourceCount]*dto.LabelPair
	outcomes [outcomeCount]*dto.LabelPair
	states   [len(taskStates)]*dto.LabelPair
	restart  [len(restartPolicies)]*dto.LabelPair
}

// taskPairs are the label pairs of the series of one task, sorted by name, as
// scrapes send them time and again.
type taskPairs struct {
	task     []*dto.LabelPair
	attempts [resultCount][]*dto.LabelPair
	restarts [sourceCount][]*dto.LabelPair
	gaveUp   [outcomeCount][]*dto.LabelPair
	states   [len(taskStates)][]*dto.LabelPair
	restart  [len(restartPolicies)][]*dto.LabelPair
}

func newPairTable(labels prometheus.Labels) *pairTable {
	pt := new(pairTable)
	for name, value := range labels {
		pt.static = append(pt.static, pair(name, value))
	}
	for r := taskvisor.ResultSuccess; int(r) < resultCount; r++ {
		pt.results[r] = pair("result", r.String())
	}
	for _, o := range gaveUp {
		pt.outcomes[o] = pair("outcome", o.String())
	}
	for i, r := range restartPolicies {
		pt.restart[i] = pair("restart", r)
	}
	for b := taskvisor.BackoffSuccess; int(b) < sourceCount; b++ {
		pt.causes[b] = pair("cause", b.String())
	}
	for i, st := range taskStates {
		pt.states[i] = pair("state", st.String())
	}
	return pt
}

func (pt *pairTable) of(label string) *taskPairs {
	task := pair("task", label)
	p := &taskPairs{task: pt.joined(task)}
	for r := 1; r < resultCount; r++ {
		p.attempts[r] = pt.joined(task, pt.results[r])
	}
	for b := 1; b < sourceCount; b++ {
		p.restarts[b] = pt.joined(task, pt.causes[b])
	}
	for _, o := range gaveUp {
		p.gaveUp[o] = pt.joined(task, pt.outcomes[o])
	}
	for i := range restartPolicies {
		p.restart[i] = pt.joined(task, pt.restart[i])
	}
	for i := range taskStates {
		p.states[i] = pt.joined(task, pt.states[i])
	}
	return p
}

// joined returns the given pairs and those of every series, sorted by name.
func (pt *pairTable) joined(more ...*dto.LabelPair) []*dto.LabelPair {
	all := slices.Clip(slices.Concat(pt.static, more))
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
