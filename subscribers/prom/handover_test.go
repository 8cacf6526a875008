package promsub_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
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
				synctest.Wait()
				before := seriesOf(t, reg, "sup")
				use(t, former)
				if n := seriesOf(t, reg, "sup"); n != before || n == 0 {
					t.Errorf("a supervisor that runs has %d series, %d before", n, before)
				}
			})
		})
	}
}

// A subscriber for each supervisor of a name, as where a task makes both anew, and none of
// them closed: a lease that is acquired once counts once.
func TestLeasesOfNextSubscribersCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		owner := newOwner(t, &engine, "a")
		r := on(t, prometheus.NewPedanticRegistry())
		for life := range 4 {
			sub := promsub.New(r.reg, promsub.WithLeases(owner))
			sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
			if err := sup.Run(ctx, idle("job", owner.Singleton("job"))); err != nil {
				t.Fatal(err)
			}
			cancel()
			r.want(map[string]float64{"lease_acquired_total{}": float64(life + 1), "lease_renew_seconds{}": float64(15 * (life + 1))})
		}
	})
}

// An owner of leases does not keep the subscribers of supervisors that have a next one.
func TestOwnersForgetFormerSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		owner := newOwner(t, &engine, "a")
		reg := prometheus.NewRegistry()
		var subs []weak.Pointer[promsub.Subscriber]
		for range 4 {
			sub := promsub.New(reg, promsub.WithLeases(owner))
			one(t, sub, "sup")
			subs = append(subs, weak.Make(sub))
		}
		synctest.Wait()
		runtime.GC()
		runtime.GC()                    // what pools had as well
		for i, sub := range subs[1:3] { // what is counted has the options of the first
			if sub.Value() != nil {
				t.Errorf("subscriber %d is still known", i+1)
			}
		}
		runtime.KeepAlive(owner)
		runtime.KeepAlive(reg)
	})
}
