package healthsub_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func newOwner(t *testing.T, store lease.Store, id string) *lease.Owner {
	t.Helper()
	o, err := lease.New(store, lease.WithID(id), lease.WithTTL(20*time.Second), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A standby of a real lease is ready, and says who has it; so is the one that takes over,
// and the one that can reach no engine: another instance would not do better.
func TestStandbyOfALease(t *testing.T) {
	var engine leasetest.Memory
	conn := engine.Connect()
	var other lease.Store = engine.Connect()
	owner := newOwner(t, conn, "shop-2")
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "billing"), healthsub.WithLeases(owner))
	running(t, health, func(r *rig) {
		token, err := other.Acquire(t.Context(), "taskvisor/invoices", "shop-1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		r.add(taskvisor.Restartable("billing", block, owner.Singleton("invoices")))
		later(time.Minute)
		r.want(200, 200, fmt.Sprintf(`"leases":[{"key":"invoices","state":"seeking","since":%q,"holder":"shop-1","tasks":["billing"]}]`, since.UTC().Format(time.RFC3339)))

		since = time.Now()
		if err := other.Release(t.Context(), "taskvisor/invoices", token); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		r.want(200, 200, fmt.Sprintf(`{"key":"invoices","state":"held","since":%q,"holder":"shop-2","token":2,"margin_seconds":11,"tasks":["billing"]}`, since.UTC().Format(time.RFC3339)))

		conn.Cut(true)
		later(time.Minute)
		r.want(200, 200, `"state":"seeking"`)
		conn.Cut(false)
		later(time.Minute)
	}, taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(5*time.Second))
}

// There may be any number of leases; that a process is there to have keys is none of a
// task.
func TestLeasesAreBounded(t *testing.T) {
	var engine leasetest.Memory
	owner := newOwner(t, engine.Connect(), "shop-1")
	health := healthsub.New(healthsub.WithLeases(owner))
	running(t, health, func(r *rig) {
		for i := range 103 {
			r.add(taskvisor.Restartable(fmt.Sprint("task ", i), block, owner.Singleton(fmt.Sprint("key ", i))))
		}
		later(time.Second)
		st := health.Status()
		if len(st.Leases) != 100 || st.LeasesLeftOut != 3 {
			t.Errorf("%d leases, %d left out", len(st.Leases), st.LeasesLeftOut)
		}
		if _, text := r.get("/readyz"); strings.Contains(text, "key") {
			t.Errorf("the short answer names leases: %s", text)
		}
		synctest.Wait()
	}, taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(5*time.Second))
}
