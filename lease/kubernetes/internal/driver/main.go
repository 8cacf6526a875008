// Command driver shows what leases do to real processes with the real kube-apiserver over
// etcd, beside client-go's leader election; see package lease/internal/driver:
//
//	GOWORK=off go run ./internal/driver -rounds 3 -ttl 6s
//
// It needs what scripts/tools.sh kube-apiserver builds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

func main() { program.Main() }

var program = driver.Program{
	Start:      start,
	Contenders: []driver.Contender{{Name: "lease", Run: supervise}, {Name: "election", Run: elect}},
}

// engine is an API server and its etcd.
type engine struct {
	*server.Server
	up bool
}

// start starts one. Nothing depends on its clock: a lease that does not change has
// expired by the clock of whoever has watched it.
func start(n driver.Need) (driver.Engine, error) {
	if n.Members > 1 || n.Clock {
		return nil, driver.ErrNeed
	}
	s, err := server.New()
	if err != nil {
		return nil, err
	}
	return &engine{s, true}, nil
}

// Addrs implements driver.Engine.
func (e *engine) Addrs() []string { return []string{e.Addr()} }

// More implements driver.Engine: it is the certificate.
func (e *engine) More() string { return e.Certificate() }

// Up implements driver.Engine.
func (e *engine) Up() error {
	if e.up {
		return nil
	}
	e.up = true
	return e.Start()
}

// Down implements driver.Engine.
func (e *engine) Down() {
	e.Kill()
	e.up = false
}

func connect(r *driver.Replica) (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(server.Config(r.Addrs[0], r.More, server.Administrator))
}

func supervise(r *driver.Replica) error {
	client, err := connect(r)
	if err != nil {
		return err
	}
	return r.Supervise(kubelease.New(client.CoordinationV1().Leases(meta.NamespaceDefault)))
}

// elect is how client-go's leader election is used, with the proportions of its own
// defaults (15 s, 10 s, 2 s), and released at a shutdown, so that deploys do not wait. It
// hands out no token: the term asks for the lease's transitions.
func elect(r *driver.Replica) error {
	client, err := connect(r)
	if err != nil {
		return err
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  meta.ObjectMeta{Namespace: meta.NamespaceDefault, Name: r.Key},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: r.Name},
	}
	return r.Campaign(func(ctx context.Context) error {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: r.TTL, RenewDeadline: r.TTL * 10 / 15, RetryPeriod: r.TTL * 2 / 15, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					if err := lead(ctx, r, lock); err != nil && ctx.Err() == nil {
						fmt.Fprintln(os.Stderr, r.Name, err)
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return err
		}
		elector.Run(ctx)
		return nil
	})
}

func lead(ctx context.Context, r *driver.Replica, lock *resourcelock.LeaseLock) error {
	record, _, err := lock.Get(ctx)
	if err != nil {
		return err
	}
	if record.HolderIdentity != r.Name {
		return errors.New("it is another's already")
	}
	return r.Work(ctx, uint64(record.LeaderTransitions)+1)
}
