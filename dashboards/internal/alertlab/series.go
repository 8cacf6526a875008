package alertlab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// line is one series: what was scraped at each step, in promtool's notation.
type line struct{ values []string }

func (l *line) set(step int, value string) {
	for len(l.values) < step {
		l.values = append(l.values, "_")
	}
	if len(l.values) == step {
		l.values = append(l.values, value)
	} else {
		l.values[step] = value // a new process at the address of an old one
	}
}

// String shortens runs of equal values, and of whole numbers that grow evenly.
func (l *line) String() string {
	var all []string
	for i := 0; i < len(l.values); {
		v := l.values[i]
		same := run(l.values[i:], func(a, b string) bool { return a == b })
		grow, by := growth(l.values[i:])
		switch {
		case v == "_" && same > 1:
			all = append(all, fmt.Sprintf("_x%d", same))
			i += same
		case v == "_" || v == "stale":
			all = append(all, v)
			i++
		case same > 1:
			all = append(all, fmt.Sprintf("%sx%d", v, same-1))
			i += same
		case grow > 2:
			all = append(all, fmt.Sprintf("%s+%dx%d", v, by, grow-1))
			i += grow
		default:
			all = append(all, v)
			i++
		}
	}
	return strings.Join(all, " ")
}

func run(values []string, goes func(a, b string) bool) int {
	n := 1
	for n < len(values) && goes(values[n-1], values[n]) {
		n++
	}
	return n
}

func growth(values []string) (n, by int) {
	number := func(s string) int {
		v, err := strconv.Atoi(s)
		if err != nil {
			return -1
		}
		return v
	}
	if len(values) < 2 || number(values[0]) < 0 {
		return 1, 0
	}
	by = number(values[1]) - number(values[0])
	if by <= 0 {
		return 1, 0
	}
	return run(values, func(a, b string) bool { return number(b) >= 0 && number(b)-number(a) == by }), by
}

// flatten gives record each series of a family, as Prometheus stores it.
func flatten(f *dto.MetricFamily, native bool, record func(name string, labels map[string]string, value string)) {
	for _, m := range f.Metric {
		labels := func(more ...string) map[string]string {
			all := map[string]string{}
			for _, p := range m.Label {
				all[p.GetName()] = p.GetValue()
			}
			for i := 0; i < len(more); i += 2 {
				all[more[i]] = more[i+1]
			}
			return all
		}
		switch {
		case m.Gauge != nil:
			record(f.GetName(), labels(), number(m.Gauge.GetValue()))
		case m.Counter != nil:
			record(f.GetName(), labels(), number(m.Counter.GetValue()))
		case native:
			record(f.GetName(), labels(), histogram(m.Histogram))
		default:
			h := m.Histogram
			for _, b := range h.Bucket {
				record(f.GetName()+"_bucket", labels("le", number(b.GetUpperBound())), number(float64(b.GetCumulativeCount())))
			}
			record(f.GetName()+"_bucket", labels("le", "+Inf"), number(float64(h.GetSampleCount())))
			record(f.GetName()+"_sum", labels(), number(h.GetSampleSum()))
			record(f.GetName()+"_count", labels(), number(float64(h.GetSampleCount())))
		}
	}
}

// histogram writes a native histogram; what attempts take is never negative.
func histogram(h *dto.Histogram) string {
	var counts []string
	count, first := int64(0), int32(0)
	delta := h.PositiveDelta
	for i, span := range h.PositiveSpan {
		if i == 0 {
			first = span.GetOffset()
		} else {
			counts = append(counts, slices.Repeat([]string{"0"}, int(span.GetOffset()))...)
		}
		for range span.GetLength() {
			count += delta[0]
			delta = delta[1:]
			counts = append(counts, strconv.FormatInt(count, 10))
		}
	}
	text := fmt.Sprintf("{{schema:%d sum:%s count:%d z_bucket:%d z_bucket_w:%s",
		h.GetSchema(), number(h.GetSampleSum()), h.GetSampleCount(), h.GetZeroCount(), number(h.GetZeroThreshold()))
	if len(counts) > 0 {
		text += fmt.Sprintf(" offset:%d buckets:[%s]", first, strings.Join(counts, " "))
	}
	return text + "}}"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func seriesName(name string, labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", n, labels[n]))
	}
	return name + "{" + strings.Join(pairs, ", ") + "}"
}
