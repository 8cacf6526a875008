package promsub_test

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// seriesOf returns how many series a registry has of a supervisor.
func seriesOf(t *testing.T, reg prometheus.Gatherer, supervisor string) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "supervisor" && l.GetValue() == supervisor {
					n++
				}
			}
		}
	}
	return n
}

// A subscriber whose supervisor is gone, with its grace, must not take the metrics of
// the next one of that name, which another subscriber has, off the registry.
func TestFormerSubscriberLeavesTheNextOneAlone(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, former *promsub.Subscriber){
		"closed again": func(_ *testing.T, former *promsub.Subscriber) { former.Close() },
		"used again":   func(t *testing.T, former *promsub.Subscriber) { one(t, former, "other") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewPedanticRegistry()
				former := promsub.New(reg, promsub.WithSeriesGrace(0))
				one(t, former, "sup")
				former.Close()
				for seriesOf(t, reg, "sup") > 0 {
				}
				sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(promsub.New(reg)))
				add(t, sup, idle("job"))
				before := seriesOf(t, reg, "sup")
				use(t, former)
				if n := seriesOf(t, reg, "sup"); n != before || n == 0 {
					t.Errorf("a supervisor that runs has %d series, %d before", n, before)
				}
			})
		})
	}
}
