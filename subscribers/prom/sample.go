package promsub

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A sample is a gauge or a counter at one instant. It has room for what it is written
// into: the registry asks for that once.
type sample struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair // shared and never changed
	value  float64
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.desc }

type gaugeSample struct {
	sample
	out dto.Gauge
}

// Write implements prometheus.Metric.
func (s *gaugeSample) Write(out *dto.Metric) error {
	s.out.Value = &s.value
	out.Label, out.Gauge = s.labels, &s.out
	return nil
}

type counterSample struct {
	sample
	created *timestamppb.Timestamp // shared and never changed
	out     dto.Counter
}

// Write implements prometheus.Metric.
func (s *counterSample) Write(out *dto.Metric) error {
	s.out.Value, s.out.CreatedTimestamp = &s.value, s.created
	out.Label, out.Counter = s.labels, &s.out
	return nil
}

// pairTable holds the label pairs that the series of all tasks share.
type pairTable struct {
	static   []*dto.LabelPair // on every series
	results  []variant
	causes   []variant
	outcomes []variant
	states   []variant
	restart  []variant
}

// variant is a value of the label that the series of a task have beside its name.
type variant struct {
	i    int            // where the value is in its list
	pair *dto.LabelPair // nil: there is no further label
}

func newPairTable(labels prometheus.Labels) *pairTable {
	pt := &pairTable{
		results:  variants("result", words(results)),
		causes:   variants("cause", words(restartCauses)),
		outcomes: variants("outcome", words(gaveUp)),
		states:   variants("state", words(taskStates[:])),
		restart:  variants("restart", restartPolicies[:]),
	}
	for name, value := range labels {
		pt.static = append(pt.static, pair(name, value))
	}
	return pt
}

// variants returns those of a label, in the order of its values.
func variants(name string, values []string) []variant {
	all := make([]variant, len(values))
	for i, v := range values {
		all[i] = variant{i, pair(name, v)}
	}
	slices.SortFunc(all, func(a, b variant) int { return strings.Compare(a.pair.GetValue(), b.pair.GetValue()) })
	return all
}

// joined returns the given pairs and those of every series, sorted by name.
func (pt *pairTable) joined(more ...*dto.LabelPair) []*dto.LabelPair {
	all := slices.Clip(slices.Concat(pt.static, more))
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
