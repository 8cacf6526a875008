package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// value returns what reg has of a metric of the session, added up; ok is false if there is
// nothing.
func value(t *testing.T, reg prometheus.Gatherer, name string) (sum float64, ok bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum, true
	}
	return 0, false
}

func TestSessionsFollowEachOtherInOneRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		for n := range 3 {
			if err := session(t.Context(), reg, taskvisor.Once("work", func(context.Context) error { return nil })); err != nil {
				t.Fatal(err)
			}
			if got, _ := value(t, reg, "taskvisor_task_attempts_total"); got != float64(n+1) {
				t.Errorf("%v attempts are counted after session %d", got, n+1)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		for range 3 { // two scrapes see the end in any case
			value(t, reg, "taskvisor_supervisor_state")
		}
		if _, shown := value(t, reg, "taskvisor_supervisor_state"); shown {
			t.Error("the last session is shown for ever")
		}
	})
}

// What the recipe is about: a supervisor that was made and not run keeps its name until
// its subscriber is closed.
func TestWithoutCloseTheNameIsTaken(t *testing.T) {
	reg := prometheus.NewRegistry()
	build := func(sub *promsub.Subscriber) error {
		_, err := taskvisor.New(taskvisor.WithName("session"), taskvisor.WithSubscriber(sub))
		return err
	}
	first := promsub.New(reg)
	if err := build(first); err != nil {
		t.Fatal(err)
	}
	if err := build(promsub.New(reg)); err == nil {
		t.Error("two of one name in one registry")
	}
	first.Close()
	if err := build(promsub.New(reg)); err != nil {
		t.Errorf("after Close: %v", err)
	}
}
