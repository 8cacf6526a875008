// Command leader runs tasks on one of several processes only: while it leads.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// lock is what etcd, Consul, Kubernetes or a database offers. Its holder is safe for
// as long as renewals succeed within the term.
type lock interface {
	Acquire(ctx context.Context) error // blocks until we lead
	Renew(ctx context.Context) error
	Release(ctx context.Context) error // may fail: the term then ends by itself
}

// lead is ready while this process leads. It gives up by its own clock, before the
// others can have taken over, and ends with an error: the next attempt stands again.
func lead(l lock, term time.Duration) taskvisor.Func {
	return func(ctx context.Context) error {
		if err := l.Acquire(ctx); err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), term/4)
			defer cancel()
			if err := l.Release(ctx); err != nil {
				log.Print("release: ", err)
			}
		}()
		taskvisor.Ready(ctx)
		for {
			select {
			case <-time.After(term / 4):
			case <-ctx.Done():
				return nil
			}
			renew, cancel := context.WithTimeout(ctx, term/4)
			err := l.Renew(renew)
			cancel()
			if err != nil {
				return fmt.Errorf("leadership lost: %w", err)
			}
		}
	}
}

// tasks are the leader and what runs only beside it: bound to it, they are
// interrupted when it ends and wait until it is ready again; at a shutdown they
// have ended before the lock is released.
func tasks(l lock, term time.Duration, work taskvisor.Func) []taskvisor.TaskSpec {
	return []taskvisor.TaskSpec{
		taskvisor.Restartable("leader", lead(l, term), taskvisor.WithReadiness(), taskvisor.ConstantBackoff(term)),
		taskvisor.Restartable("scheduler", work, taskvisor.BoundTo("leader")),
	}
}

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	err = sup.Run(context.Background(), tasks(alone{}, 15*time.Second, func(ctx context.Context) error {
		fmt.Println("leading")
		<-ctx.Done()
		return nil
	})...)
	if err != nil {
		log.Fatal(err)
	}
}

// alone is the lock of a process that has no others.
type alone struct{}

func (alone) Acquire(context.Context) error { return nil }
func (alone) Renew(context.Context) error   { return nil }
func (alone) Release(context.Context) error { return nil }
