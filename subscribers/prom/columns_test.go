package promsub_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What a scrape sends of tasks comes in the order in which the registry wants it: to
// sort it would take a third of the time of a scrape of thousands.
func TestScrapesAreInOrder(t *testing.T) {
	sub := promsub.New(nil)
	taped(t, 100, taskvisor.WithSubscriber(sub)) // which succeed and fail
	ch := make(chan prometheus.Metric)
	go func() { defer close(ch); sub.Collect(ch) }()
	families := map[*prometheus.Desc][]string{}
	for m := range ch {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			t.Error(err)
		}
		var values []string
		ofTask := false
		for _, l := range out.Label {
			values = append(values, l.GetValue())
			ofTask = ofTask || l.GetName() == "task"
		}
		if ofTask {
			families[m.Desc()] = append(families[m.Desc()], strings.Join(values, "\x00"))
		}
	}
	if len(families) < 8 {
		t.Errorf("%d families of tasks", len(families))
	}
	for d, all := range families {
		if !slices.IsSorted(all) {
			t.Errorf("%s is not in order: %.300q", d, all)
		}
	}
}
