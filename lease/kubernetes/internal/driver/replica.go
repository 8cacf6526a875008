package main

import (
	"context"
	"fmt"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/taskvisor/taskvisor-go/lease"
	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// replica is one process of a program, as far as leases are concerned: it writes to the
// resource while it is the one.
type replica struct {
	number   int
	client   *kubernetes.Clientset
	ttl      time.Duration
	resource *resource
	key      string // of the lease
}

func (r *replica) name() string { return fmt.Sprint("replica-", r.number) }

// run runs until ctx ends.
func (r *replica) run(ctx context.Context, by string) error {
	if by == "election" {
		return r.elect(ctx)
	}
	return r.supervise(ctx)
}

// supervise is how package lease is used.
func (r *replica) supervise(ctx context.Context) error {
	store := kubelease.New(r.client.CoordinationV1().Leases(meta.NamespaceDefault))
	owner, err := lease.New(store, lease.WithID(r.name()), lease.WithPrefix(r.key+"/"), lease.WithTTL(r.ttl), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		return err
	}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithSubscriber(taskvisor.Discard), taskvisor.WithGrace(r.ttl/4))
	if err != nil {
		return err
	}
	return sup.Run(ctx, taskvisor.Restartable("work", func(ctx context.Context) error {
		r.resource.work(ctx, r.number)
		return ctx.Err()
	}, owner.Singleton("work")))
}

// elect is how client-go's leader election is used, with the proportions of its own
// defaults (15 s, 10 s, 2 s), and released at a shutdown, so that deploys do not wait.
func (r *replica) elect(ctx context.Context) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  meta.ObjectMeta{Namespace: meta.NamespaceDefault, Name: r.key},
		Client:     r.client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: r.name()},
	}
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: r.ttl, RenewDeadline: r.ttl * 10 / 15, RetryPeriod: r.ttl * 2 / 15, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { r.resource.work(ctx, r.number) },
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return err
		}
		elector.Run(ctx)
	}
	return nil
}
