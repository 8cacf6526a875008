// Package promql checks expressions against what promsub exports: that they
// parse, name existing metrics, labels and label values, and treat counters as
// counters.
package promql

import (
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
)

// scrapeLabels are on every series: the first come from Prometheus, some of them only
// where an operator adds them, and the last from promsub.
var scrapeLabels = []string{"cluster", "namespace", "job", "instance", "pod", "supervisor"}

// attempts is the one histogram whose observations have a counter of their own.
const attempts = "taskvisor_task_attempt_duration_seconds"

// series is what an expression may select: one metric name with its labels.
type series struct {
	family string
	typ    catalog.Type
	labels map[string][]string // label to its values; nil values: any
}

// Vocabulary is the set of series that expressions may use. It is made by
// NewVocabulary and read-only afterwards.
type Vocabulary struct {
	byName map[string]series
}

// NewVocabulary returns the vocabulary of the exported metrics. A histogram can
// be selected by its name (native) and as _bucket and _sum (classic), and
// as _count, except for attempts: their number is a counter of its own, which survives
// every way of scraping.
func NewVocabulary(metrics []catalog.Metric) *Vocabulary {
	v := &Vocabulary{byName: map[string]series{}}
	for _, m := range metrics {
		labels := map[string][]string{}
		for _, l := range scrapeLabels {
			labels[l] = nil
		}
		for _, l := range m.Labels {
			labels[l.Name] = l.Values
		}
		v.byName[m.Name] = series{family: m.Name, typ: m.Type, labels: labels}
		if m.Type == catalog.Histogram {
			v.addClassic(m.Name, labels)
		}
	}
	return v
}

func (v *Vocabulary) addClassic(name string, labels map[string][]string) {
	bucket := map[string][]string{"le": nil}
	for l, values := range labels {
		bucket[l] = values
	}
	v.byName[name+"_bucket"] = series{family: name, typ: catalog.Counter, labels: bucket}
	if name != attempts {
		v.byName[name+"_count"] = series{family: name, typ: catalog.Counter, labels: labels}
	}
	v.byName[name+"_sum"] = series{family: name, typ: catalog.Counter, labels: labels}
}

// AddForeign admits a series that promsub does not export, such as up, with the
// labels that it has beside job and instance.
func (v *Vocabulary) AddForeign(name string, labels ...string) {
	all := map[string][]string{"cluster": nil, "namespace": nil, "job": nil, "instance": nil, "pod": nil}
	for _, l := range labels {
		all[l] = nil
	}
	v.byName[name] = series{typ: catalog.Gauge, labels: all}
}

// grafana holds a value for each variable of Grafana that a board may use, the
// longer names first.
var grafana = strings.NewReplacer(
	"$__rate_interval", "1m", "$__interval", "15s", "$__range", "1h",
	"$supervisor", ".+", "$instance", ".+", "$task", ".+", "$job", ".+",
	"$cluster", ".*", "$namespace", ".*", "$pod", ".*",
)

// Substitute replaces Grafana's variables by values that make the expression
// one that Prometheus can parse.
func Substitute(expr string) string { return grafana.Replace(expr) }

// unknownValues returns the alternatives of a matcher's value that no series
// can have. A pattern that is more than a list of words is not judged.
func unknownValues(value string, known []string) []string {
	if known == nil || value == "" {
		return nil
	}
	var unknown []string
	for _, alternative := range strings.Split(value, "|") {
		if strings.ContainsAny(alternative, ".*+?()[]{}^$\\") {
			continue
		}
		if !slices.Contains(known, alternative) {
			unknown = append(unknown, alternative)
		}
	}
	return unknown
}
