package parity_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// scraped returns the value of each series that a registry exports.
func scraped(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, text(l.GetName(), l.GetValue()))
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				put(all, f.GetName(), labels, m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				put(all, f.GetName(), labels, m.GetGauge().GetValue())
			case dto.MetricType_HISTOGRAM:
				h := m.GetHistogram()
				if h.GetSampleCount() == 0 {
					continue // the first one has not come: promsub shows successes before
				}
				put(all, f.GetName()+"_count", labels, float64(h.GetSampleCount()))
				put(all, f.GetName()+"_sum", labels, h.GetSampleSum())
				for _, b := range h.Bucket {
					put(all, f.GetName()+"_bucket", with(labels, "le", b.GetUpperBound()), float64(b.GetCumulativeCount()))
				}
			}
		}
	}
	return all
}

// received returns the value of each series that Prometheus makes of an SDK's metrics.
func received(t *testing.T, from sdkmetric.Reader) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, m := range collected(t, from) {
		name := strings.ReplaceAll(m.Name, ".", "_")
		if m.Unit == "s" {
			name += "_seconds"
		}
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			points(all, name+total(d.IsMonotonic), d.DataPoints)
		case metricdata.Sum[float64]:
			points(all, name+total(d.IsMonotonic), d.DataPoints)
		case metricdata.Gauge[int64]:
			points(all, name, d.DataPoints)
		case metricdata.Gauge[float64]:
			points(all, name, d.DataPoints)
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				labels := labelsOf(p.Attributes)
				put(all, name+"_count", labels, float64(p.Count))
				put(all, name+"_sum", labels, p.Sum)
				var sum uint64
				for i, le := range p.Bounds {
					sum += p.BucketCounts[i]
					put(all, name+"_bucket", with(labels, "le", le), float64(sum))
				}
			}
		default:
			t.Errorf("%s is a %T", m.Name, d)
		}
	}
	return all
}

func points[N int64 | float64](all map[string]float64, name string, from []metricdata.DataPoint[N]) {
	for _, p := range from {
		put(all, name, labelsOf(p.Attributes), float64(p.Value))
	}
}

func total(monotonic bool) string {
	if monotonic {
		return "_total"
	}
	return ""
}

func labelsOf(set attribute.Set) (labels []string) {
	for _, a := range set.ToSlice() {
		labels = append(labels, text(strings.ReplaceAll(string(a.Key), ".", "_"), a.Value.String()))
	}
	return labels
}

func text(name string, value any) string { return fmt.Sprintf("%s=%v", name, value) }

func with(labels []string, name string, value any) []string {
	return append(slices.Clone(labels), text(name, value))
}

func put(all map[string]float64, name string, labels []string, v float64) {
	labels = slices.Sorted(slices.Values(labels))
	all[name+"{"+strings.Join(labels, ", ")+"}"] = v
}

func collected(t *testing.T, from sdkmetric.Reader) (all []metricdata.Metrics) {
	t.Helper()
	var found metricdata.ResourceMetrics
	if err := from.Collect(context.Background(), &found); err != nil {
		t.Fatal(err)
	}
	for _, scope := range found.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// instruments returns the metrics by the names of their instruments.
func instruments(t *testing.T, b *both) map[string]metricdata.Metrics {
	t.Helper()
	all := make(map[string]metricdata.Metrics)
	for _, m := range collected(t, b.reader) {
		all[m.Name] = m
	}
	return all
}

// kind is the type that Prometheus gives a metric.
func kind(m metricdata.Metrics) string {
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		if d.IsMonotonic {
			return "counter"
		}
	case metricdata.Sum[float64]:
		if d.IsMonotonic {
			return "counter"
		}
	case metricdata.Histogram[float64]:
		return "histogram"
	}
	return "gauge"
}
