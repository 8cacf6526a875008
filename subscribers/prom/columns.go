package promsub

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// variants is how many values a label beside that of the task may have.
const variants = max(resultCount, sourceCount, outcomeCount, len(taskStates), len(restartPolicies))

// column has the series of all tasks, by name, of one family and, where the series of
// that have a further label, one value of it. The registry sorts each family by its
// label values. What comes in that order it only looks through: a third of the time of
// a scrape of thousands of tasks.
type column struct {
	labels []*dto.LabelPair // of its first series
	series []prometheus.Metric
}

// put adds a series of a task to its column.
func (c *scrape) put(id metric, variant int, labels []*dto.LabelPair, m prometheus.Metric) {
	col := &c.columns[id][variant]
	if col.series == nil {
		col.labels = labels
	}
	col.series = append(col.series, m)
}

// sendColumns sends the families of tasks, each in the order of its label values.
func (c *scrape) sendColumns() {
	for id := range c.columns {
		family := c.columns[id][:]
		slices.SortFunc(family, func(a, b column) int {
			return slices.CompareFunc(a.labels, b.labels, func(x, y *dto.LabelPair) int { return strings.Compare(x.GetValue(), y.GetValue()) })
		})
		for _, col := range family {
			c.out = append(c.out, col.series...)
		}
	}
}
