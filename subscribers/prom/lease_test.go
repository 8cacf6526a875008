package promsub_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

const leaseTTL = 20 * time.Second // renewed every 4 s, relied on for 15

func ownerOf(t *testing.T, store lease.Store, id string) *lease.Owner {
	t.Helper()
	o, err := lease.New(store, lease.WithID(id), lease.WithTTL(leaseTTL), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newOwner(t *testing.T, engine *leasetest.Memory, id string) *lease.Owner {
	t.Helper()
	return ownerOf(t, engine.Connect(), id)
}

// replica is one process of several, with a registry of its own.
type replica struct {
	*rig

	sup   *taskvisor.Supervisor
	owner *lease.Owner
	conn  *leasetest.Conn
}

func newReplica(t *testing.T, engine *leasetest.Memory, id string) *replica {
	t.Helper()
	conn := engine.Connect()
	p := &replica{owner: ownerOf(t, conn, id), conn: conn}
	p.rig, p.sup, _ = supervisedWith(t, []promsub.Option{promsub.WithLeases(p.owner)},
		taskvisor.WithSubscriber(p.owner.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
	return p
}

// Owner and standby, a handover, and what remains of both.
func TestLeaseMovesInTheMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		a, b := newReplica(t, &engine, "a"), newReplica(t, &engine, "b")
		unused := map[string]float64{
			"lease_acquired_total{}": -1, "lease_lost_total{reason=deadline}": -1, "lease_renew_seconds{}": -1,
			"lease_margin_seconds{}": -1, "lease_ttl_seconds{}": -1, "lease_owned{mode=singleton,task=job}": -1,
		}
		add(t, a.sup, idle("other"))
		a.want(unused)
		held := add(t, a.sup, idle("job", a.owner.Singleton("job")))
		synctest.Wait()
		standby := add(t, b.sup, idle("job", b.owner.Singleton("job")))
		later(time.Minute)
		a.want(map[string]float64{
			"lease_owned{mode=singleton,task=job}": 1, "lease_wanted{mode=singleton,task=job}": 1,
			"lease_owned{mode=singleton,task=other}": -1, "lease_ttl_seconds{}": 20,
			"lease_acquired_total{}": 1, "lease_lost_total{reason=deadline}": 0, "lease_lost_total{reason=stolen}": 0,
			"lease_lost_total{reason=abandoned}": 0, "lease_renew_seconds{}": 15, "lease_margin_seconds{}": 11,
		})
		b.want(map[string]float64{
			"lease_owned{mode=singleton,task=job}": 0, "lease_wanted{mode=singleton,task=job}": 1,
			"lease_acquired_total{}": 0, "lease_lost_total{reason=stolen}": 0, "lease_renew_seconds{}": 0,
			"lease_margin_seconds{}": -1, "lease_ttl_seconds{}": 20,
		})
		standby.Pause(nil)
		later(time.Second)
		b.want(map[string]float64{"lease_owned{mode=singleton,task=job}": -1, "lease_wanted{mode=singleton,task=job}": -1})
		standby.Resume(nil)
		synctest.Wait() // a watch that has not begun tells of no release
		held.Stop()
		later(time.Second)
		a.want(map[string]float64{
			"lease_owned{mode=singleton,task=job}": -1, "lease_wanted{mode=singleton,task=job}": -1,
			"lease_acquired_total{}": 1, "lease_lost_total{reason=stolen}": 0,
		})
		b.want(map[string]float64{"lease_owned{mode=singleton,task=job}": 1, "lease_acquired_total{}": 1})
	})
}

// The margin falls while the engine does not answer, until the lease is lost by its
// deadline, and is that since the last scrape but one.
func TestLeaseMargin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		p := newReplica(t, &engine, "a")
		add(t, p.sup, idle("job", p.owner.Singleton("job")))
		later(time.Minute)                           // and renewed this very moment
		for _, left := range []float64{11, 11, 15} { // two servers have scraped, and one again
			p.want(map[string]float64{"lease_margin_seconds{}": left})
		}
		p.conn.Delay(3 * time.Second)
		later(11 * time.Second)
		p.conn.Delay(0)
		later(9 * time.Second)
		p.want(map[string]float64{"lease_margin_seconds{}": 8}) // the slowest of them is remembered
		p.want(map[string]float64{"lease_margin_seconds{}": 8})
		later(4 * time.Second)
		p.want(map[string]float64{"lease_margin_seconds{}": 11})
		p.conn.Cut(true)
		later(10 * time.Second)
		p.want(map[string]float64{"lease_margin_seconds{}": 5, "lease_owned{mode=singleton,task=job}": 1, "lease_lost_total{reason=deadline}": 0})
		later(10 * time.Second)
		p.want(map[string]float64{"lease_margin_seconds{}": 0, "lease_owned{mode=singleton,task=job}": 0,
			"lease_wanted{mode=singleton,task=job}": 1, "lease_lost_total{reason=deadline}": 1})
		p.want(map[string]float64{"lease_margin_seconds{}": 0})
		p.want(map[string]float64{"lease_margin_seconds{}": -1})
		p.conn.Cut(false)
		later(time.Minute)
		p.want(map[string]float64{"lease_owned{mode=singleton,task=job}": 1, "lease_acquired_total{}": 2})
	})
}

// A lease that somebody else took, and one whose body was abandoned.
func TestLeaseLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		p := newReplica(t, &engine, "a")
		add(t, p.sup, idle("stolen", p.owner.Singleton("stolen")))
		deaf := add(t, p.sup, taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Minute)), p.owner.Singleton("deaf")))
		synctest.Wait()
		engine.Expire("taskvisor/stolen")
		deaf.Stop()
		later(40 * time.Second)
		p.want(map[string]float64{
			"lease_lost_total{reason=stolen}": 1, "lease_lost_total{reason=abandoned}": 1, "lease_lost_total{reason=deadline}": 0,
			"lease_owned{mode=singleton,task=stolen}": 1, "lease_owned{mode=singleton,task=deaf}": 0,
		})
		later(time.Hour)
	})
}

// Tasks that share a label count together, those that share a lease as one, a paused one
// not at all; the keys of shards and slots have a mode of their own, and what an owner has
// for another supervisor is not this one's.
func TestLeaseLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		p := newReplica(t, &engine, "a")
		other, _ := taskvisortest.Start(t, taskvisor.WithName("other"), taskvisor.WithSubscriber(p.owner.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
		add(t, other, idle("theirs", p.owner.Singleton("theirs")))
		kind := taskvisor.WithKind("sync")
		add(t, p.sup, idle("one", kind, p.owner.Singleton("first")))
		add(t, p.sup, idle("two", kind, p.owner.Singleton("first")))
		add(t, p.sup, idle("three", kind, p.owner.Singleton("second")))
		paused := add(t, p.sup, idle("paused", p.owner.Singleton("third"), taskvisor.WithStartPaused()))
		key := func(key string) taskvisor.TaskSpec { return idle(key, kind) }
		keys := func(context.Context) ([]string, error) { return strings.Fields("x y z"), nil }
		add(t, p.sup, taskvisor.Restartable("keys", func(ctx context.Context) error { return p.owner.Shard(ctx, p.sup, keys, key) }))
		if _, err := p.owner.Slot(t.Context(), p.sup, taskvisor.Submission{Task: idle("submitted"), Slot: "tenant"}); err != nil {
			t.Fatal(err)
		}
		later(time.Minute)
		p.want(map[string]float64{
			"lease_owned{mode=singleton,task=sync}": 2, "lease_wanted{mode=singleton,task=sync}": 2,
			"lease_owned{mode=shard,task=sync}": 3, "lease_wanted{mode=shard,task=sync}": 3,
			"lease_owned{mode=slot,task=submitted}": 1, "lease_owned{mode=singleton,task=paused}": -1,
			"lease_owned{mode=singleton,task=theirs}": -1, "lease_acquired_total{}": 6,
		})
		paused.Resume(nil)
		later(time.Second)
		paused.Pause(nil)
		later(time.Second)
		p.want(map[string]float64{"lease_owned{mode=singleton,task=paused}": 1}) // kept, for when it goes on
	})
}

// A subscriber listens to the owners for as long as it has supervisors, and starts no
// goroutine for it.
func TestLeasesAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		owner := newOwner(t, &engine, "a")
		sub := promsub.New(prometheus.NewRegistry(), promsub.WithLeases(owner), promsub.WithSeriesGrace(0))
		run := func() {
			sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := sup.Run(ctx, idle("job", owner.Singleton("job"))); err != nil {
				t.Fatal(err)
			}
		}
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(sub)
		count := func() float64 {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "taskvisor_lease_acquired_total" {
					return f.Metric[0].Counter.GetValue()
				}
			}
			return -1
		}
		run()
		run() // the counters go on
		if n := count(); n != 2 {
			t.Errorf("%v leases were acquired, want 2", n)
		}
		sub.Close()
		other, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
		add(t, other, idle("job", owner.Singleton("job")))
		later(time.Second)
		if n := count(); n != 2 {
			t.Errorf("after Close %v leases were acquired, want 2", n)
		}
		if err := other.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		run() // a new supervisor is listened to again
		if n := count(); n != 3 {
			t.Errorf("after another run %v leases were acquired, want 3", n)
		}
	})
}

// What renews for another supervisor alone is not this one's.
func TestLeasesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		slow := engine.Connect()
		slow.Delay(2 * time.Second)
		mine, theirs := newOwner(t, &engine, "mine"), ownerOf(t, slow, "theirs")
		r, sup, _ := supervisedWith(t, []promsub.Option{promsub.WithLeases(mine, theirs)},
			taskvisor.WithSubscriber(mine.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
		other, _ := taskvisortest.Start(t, taskvisor.WithName("other"), taskvisor.WithSubscriber(theirs.Subscriber()), taskvisor.WithGrace(leaseTTL/4))
		add(t, other, idle("theirs", theirs.Singleton("theirs")))
		add(t, sup, idle("mine", mine.Singleton("mine")))
		later(time.Minute)
		r.want(map[string]float64{"lease_renew_seconds{}": 15, "lease_margin_seconds{}": 11, "lease_acquired_total{}": 1,
			"lease_owned{mode=singleton,task=theirs}": -1})
	})
}

func TestNilOwnerIsAnError(t *testing.T) {
	err := promsub.New(nil, promsub.WithLeases(nil)).Attach(named("sup"))
	if err == nil || !strings.Contains(err.Error(), "nil owner") {
		t.Errorf("got %v", err)
	}
}
