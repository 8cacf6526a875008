package alertlab_test

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// replica is a program that takes leases.
type replica struct {
	*alertlab.Process

	owner *lease.Owner
	conn  *leasetest.Conn // to the engine
}

// replicaOf starts a program at an address that takes leases from an engine. Its TTL is
// the default, 15 s: renewed every 3, relied on for 11.25.
func replicaOf(l *lab, instance string, engine *leasetest.Memory) *replica {
	conn := engine.Connect()
	owner, err := lease.New(conn, lease.WithID(instance), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		panic(err) // of a misused option
	}
	return &replica{l.StartNamed(instance, "main", []promsub.Option{promsub.WithLeases(owner)},
		taskvisor.WithSubscriber(owner.Subscriber(), taskvisor.WithName("leases")), taskvisor.WithGrace(3*time.Second)), owner, conn}
}

// report is a task of which there is one for all replicas.
func (r *replica) report() *taskvisor.Handle {
	return r.Add(taskvisor.Restartable("report", hang, r.owner.Singleton("report")))
}

// others are what replicas have beside it, which differs from one to the other: keys of a
// shard under one label, and submissions that wait for a slot.
func (r *replica) others(submitted string, keys ...string) {
	shard := func(key string) taskvisor.TaskSpec {
		return taskvisor.Restartable("shard "+key, hang, taskvisor.WithKind("shard"))
	}
	list := func(context.Context) ([]string, error) { return keys, nil }
	r.Add(taskvisor.Restartable("keys", func(ctx context.Context) error { return r.owner.Shard(ctx, r.Supervisor, list, shard) }))
	_, _ = r.owner.Slot(context.Background(), r.Supervisor, taskvisor.Submission{
		Task: taskvisor.Once(submitted, hang), Slot: "tenant", Admission: taskvisor.Queue,
	})
	alertlab.Tick()
}

// crash cuts a program off, from the engine too, and has the discovery notice.
func (r *replica) crash() {
	r.conn.Cut(true)
	r.Kill()
	r.Forget()
}

func ofReport() labels {
	l := service("pod")
	l["task"], l["mode"] = "report", "singleton"
	return l
}

// leasesEveryDay is a service of two, deployed one after the other, of which one dies. It
// has tasks under one label, keys that belong to one or the other, and submissions that
// wait for each other.
var leasesEveryDay = alertlab.Scenario{
	Name: "leases: a standby, a deploy of both replicas, a crash and an engine that is away for a moment",
	Run: func(l *lab) {
		var engine leasetest.Memory
		start := func(instance string) *replica {
			r := replicaOf(l, instance, &engine)
			r.report()
			for _, key := range []string{"one", "two"} {
				r.Add(taskvisor.Restartable(key, hang, taskvisor.WithKind("pair"), r.owner.Singleton(key)))
			}
			return r
		}
		a := start("a:1")
		b := start("b:1")
		a.others("submitted a", "x", "y", "z")
		b.others("submitted b", "x", "y", "z")
		l.Pass(20 * m)
		for _, r := range []**replica{&a, &b} {
			instance := map[*replica]string{a: "a:1", b: "b:1"}[*r]
			(*r).Deploy()
			l.Pass(m)
			*r = start(instance)
			l.Pass(10 * m)
		}
		a.conn.Delay(3 * time.Second) // once
		l.Pass(20 * time.Second)
		a.conn.Delay(0)
		l.Pass(10 * m)
		a.crash()
		l.Pass(20 * m)
	},
}

var leaseNotOwned = alertlab.File{
	Name:    "LeaseNotOwned",
	Comment: "No instance owns the lease of a task that there is one of.",
	Scenarios: []alertlab.Scenario{
		leasesEveryDay,
		{
			Name: "the engine is away for ten minutes",
			Run: func(l *lab) {
				var engine leasetest.Memory
				a := replicaOf(l, "a:1", &engine)
				a.report()
				a.Add(taskvisor.Periodic("minutely", m, work(0)))
				l.Pass(10 * m)
				engine.SetDown(true)
				l.Pass(10 * m)
				engine.SetDown(false)
				l.Pass(10 * m)
			},
			Want: []fires{{Alert: "LeaseNotOwned", Labels: ofReport(), From: 12*m + half, To: 20 * m,
				Summary:     "No instance owns the lease of task report",
				Description: "Instances of app wait for the lease of report of main, and 0 have it: the task does not run."}},
		},
		{
			Name: "somebody else has it, while two of a label do well and keys and slots come and go",
			Run: func(l *lab) {
				var engine leasetest.Memory
				stranger := engine.Connect()
				a, b := replicaOf(l, "a:1", &engine), replicaOf(l, "b:1", &engine)
				for _, r := range []*replica{a, b} {
					for _, key := range []string{"one", "two"} {
						r.Add(taskvisor.Restartable(key, hang, taskvisor.WithKind("pair"), r.owner.Singleton(key)))
					}
				}
				a.others("submitted a", "x", "y", "z")
				b.others("submitted b", "x", "y", "z")
				l.Pass(10 * m)
				_, _ = stranger.Acquire(context.Background(), "taskvisor/report", "stranger", 5*m)
				a.report()
				b.report()
				l.Pass(4 * m)
			},
			Want: []fires{{Alert: "LeaseNotOwned", Labels: ofReport(), From: 12*m + half, To: 14 * m}},
		},
	},
}

var leaseOwnedTwice = alertlab.File{
	Name:    "LeaseOwnedTwice",
	Comment: "More instances own the lease of a task than there are leases.",
	Scenarios: []alertlab.Scenario{
		{
			Name: "a replica that asks another engine, for ten minutes",
			Run: func(l *lab) {
				var engine, other leasetest.Memory
				a := replicaOf(l, "a:1", &engine)
				a.report()
				a.others("submitted a", "w", "x", "y", "z")
				l.Pass(10 * m)
				b := replicaOf(l, "b:1", &other)
				b.report()
				b.others("submitted b", "x", "y", "z")
				l.Pass(10 * m)
				b.Deploy()
				b.Forget()
				l.Pass(10 * m)
			},
			Want: []fires{{Alert: "LeaseOwnedTwice", Labels: ofReport(), From: 12*m + half, To: 20 * m,
				Summary:     "Several instances own the lease of task report",
				Description: "2 leases of report of main are owned by the instances of app, more than there are: the task runs more than once."}},
		},
		{
			Name: "for a minute and a half",
			Run: func(l *lab) {
				var engine, other leasetest.Memory
				replicaOf(l, "a:1", &engine).report()
				l.Pass(10 * m)
				b := replicaOf(l, "b:1", &other).report()
				l.Pass(90 * time.Second)
				b.Stop()
				l.Pass(10 * m)
			},
		},
		{
			Name: "for four minutes",
			Run: func(l *lab) {
				var engine, other leasetest.Memory
				replicaOf(l, "a:1", &engine).report()
				l.Pass(10 * m)
				b := replicaOf(l, "b:1", &other).report()
				l.Pass(4 * m)
				b.Stop()
				l.Pass(10 * m)
			},
			Want: []fires{{Alert: "LeaseOwnedTwice", Labels: ofReport(), From: 12*m + half, To: 14 * m}},
		},
	},
}

// late is a program whose engine answers late for some time.
func late(name string, d, length time.Duration, want ...fires) alertlab.Scenario {
	return alertlab.Scenario{
		Name: name, Want: want,
		Run: func(l *lab) {
			var engine leasetest.Memory
			a := replicaOf(l, "a:1", &engine)
			a.report()
			l.Pass(10 * m)
			a.conn.Delay(d)
			l.Pass(length)
			a.conn.Delay(0)
			l.Pass(10 * m)
		},
	}
}

var leaseMarginLow = alertlab.File{
	Name:    "LeaseMarginLow",
	Comment: "Leases are renewed late.",
	Scenarios: []alertlab.Scenario{
		late("answers take 2.7 s for a quarter of an hour", 2700*time.Millisecond, 15*m,
			fires{Alert: "LeaseMarginLow", From: 15*m + half, To: 27*m + half,
				Summary:     "Leases of main are renewed late",
				Description: "The leases of main on a:1 came to 37% of their TTL before they were renewed; at 0 they are lost."}),
		late("answers take 3.5 s for seven minutes", 3500*time.Millisecond, 7*m,
			fires{Alert: "LeaseMarginLow", From: 15*m + half, To: 19*m + half}),
		late("answers take 1.5 s", 1500*time.Millisecond, 15*m),
		late("answers take 3 s for four minutes", 3*time.Second, 2*m),
	},
}
