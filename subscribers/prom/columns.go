package promsub

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// plain is for the families of tasks whose series have no further label.
var plain = []variant{{}}

// column sends the series of all tasks, by name, of one family, for each value of its
// further label. The registry sorts each family by its label values. What comes in that
// order it only looks through: a third of the time of a scrape of thousands of tasks. What
// lies in memory in that order too is read in one go: a quarter of the rest. value reports
// what to send of a row, if anything.
func (c *scrape) column(id metric, of []variant, value func(r *row, i int) (float64, bool)) {
	c.out[id] = make([]prometheus.Metric, 0, len(of)*len(c.rows))
	for _, v := range of {
		labels := c.labelling(v)
		for i := range c.rows {
			r := &c.rows[i]
			if x, ok := value(r, v.i); ok {
				c.out[id] = append(c.out[id], c.sample(id, x, labels.of(r.series), r.series.created))
			}
		}
	}
}

// labelling makes the labels of one column.
type labelling struct {
	*scrape
	all []*dto.LabelPair // with a gap for that of the task
	gap int
}

func (c *scrape) labelling(v variant) labelling {
	gap := pair("task", "")
	all := c.pairs.joined(gap)
	if v.pair != nil {
		all = c.pairs.joined(gap, v.pair)
	}
	return labelling{c, all, slices.Index(all, gap)}
}

// of returns the labels of a series, in the room for those of many.
func (l *labelling) of(s *series) []*dto.LabelPair {
	n := len(l.all)
	if len(l.room) < n {
		l.room = make([]*dto.LabelPair, roomy*n)
	}
	labels := l.room[:n:n]
	l.room = l.room[n:]
	copy(labels, l.all)
	labels[l.gap] = s.pair
	return labels
}

// roomy is how many samples have room in one piece of memory: a scrape of thousands of
// tasks makes twenty times as many.
const roomy = 256

// sample makes a sample of the kind that its family has.
func (c *scrape) sample(id metric, v float64, labels []*dto.LabelPair, created *timestamppb.Timestamp) prometheus.Metric {
	of := sample{c.descs[id], labels, v}
	if families[id].Type == counter {
		s := next(&c.counters)
		s.sample, s.created = of, created
		return s
	}
	s := next(&c.gauges)
	s.sample = of
	return s
}

func next[S any](room *[]S) *S {
	if len(*room) == 0 {
		*room = make([]S, roomy)
	}
	s := &(*room)[0]
	*room = (*room)[1:]
	return s
}
