package promsub_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// refusing is a subscriber that New does not get past.
type refusing struct{ taskvisor.Subscribe }

func (refusing) Attach(func() taskvisor.Snapshot) error { return errWork }

// refused makes a supervisor that sub accepts and another subscriber does not.
func refused(t *testing.T, sub *promsub.Subscriber, name string) {
	t.Helper()
	_, err := taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(refusing{taskvisor.Discard}))
	if !errors.Is(err, errWork) {
		t.Fatalf("got %v", err)
	}
}

// New closes what it attached before a subscriber refused. A subscriber that others use
// as well must not lose them by that.
func TestRefusedSupervisorTakesNothingAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		sub := promsub.New(reg)
		waits, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, sub, "refused")
		for range 20 { // it may wait for long
			later(time.Minute)
			seriesOf(t, reg, "sup")
		}
		refused(t, sub, "refused")
		if err := waits.Run(t.Context(), taskvisor.Once("job", taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
			t.Fatal(err)
		}
		sub.Close()
		for range 2 {
			on(t, reg).want(map[string]float64{"tasks_finished_total{outcome=completed}": 1})
			later(5 * time.Minute)
		}
		on(t, reg).want(map[string]float64{"tasks_finished_total{outcome=completed}": -1})
		one(t, sub, "refused") // its name is free
	})
}

func TestRefusedSupervisorsAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &balance{Registry: prometheus.NewRegistry()}
		sub := promsub.New(reg)
		for i := range 100 {
			name := fmt.Sprint("sup-", i)
			refused(t, sub, name)
			if n := seriesOf(t, reg, name); n != 0 {
				t.Errorf("%s has %d series", name, n)
			}
			later(time.Minute)
		}
		if reg.registered > 10 {
			t.Errorf("%d collectors are still registered, of 5 minutes", reg.registered)
		}
	})
}

// What the last supervisor of a name did is shown for as long as if nobody had tried to
// make a next one, and goes on with that.
func TestRefusedSupervisorLeavesTheFormerOne(t *testing.T) {
	for name, closed := range map[string]bool{"closed": true, "not closed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewPedanticRegistry()
				sub := promsub.New(reg)
				one(t, sub, "sup")
				if closed {
					sub.Close()
				}
				before := seriesOf(t, reg, "sup")
				for range 2 {
					refused(t, sub, "sup")
				}
				for range 5 {
					if n := seriesOf(t, reg, "sup"); n != before {
						t.Errorf("%d series, %d before", n, before)
					}
					on(t, reg).want(map[string]float64{
						"tasks_finished_total{outcome=completed}": 1, "supervisor_state{state=stopped}": 1, "tasks_added_total{}": 1,
					})
					later(time.Minute)
				}
				one(t, sub, "sup")
				on(t, reg).want(map[string]float64{"tasks_finished_total{outcome=completed}": 2, "tasks_added_total{}": 2})
				refused(t, sub, "sup")
				seriesOf(t, reg, "sup")
				later(5 * time.Minute)
				seriesOf(t, reg, "sup")
				if n := seriesOf(t, reg, "sup"); n != 0 {
					t.Errorf("%d series after the grace", n)
				}
			})
		})
	}
}
