package lease_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Two replicas, here in one process: the one that has the lease works, and hands it over
// when it stops.
func ExampleOwner_Singleton() {
	engine := &leasetest.Memory{} // etcd or PostgreSQL, in a program
	started := make(chan string)
	replica := func(name string) *taskvisor.Supervisor {
		owner, err := lease.New(engine.Connect(), lease.WithID(name), lease.WithObserver(func(lease.Event) {}))
		if err != nil {
			log.Fatal(err)
		}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(owner.Subscriber()))
		if err != nil {
			log.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			log.Fatal(err)
		}
		_, err = sup.Add(context.Background(), taskvisor.Restartable("billing", func(ctx context.Context) error {
			token, _ := lease.Token(ctx)
			started <- fmt.Sprintf("%s works under token %d", name, token)
			<-ctx.Done()
			return ctx.Err()
		}, owner.Singleton("billing"), taskvisor.WithGrace(3*time.Second)))
		if err != nil {
			log.Fatal(err)
		}
		return sup
	}
	a := replica("a")
	fmt.Println(<-started)
	b := replica("b")
	_ = a.Shutdown(context.Background())
	fmt.Println(<-started)
	_ = b.Shutdown(context.Background())
	// Output:
	// a works under token 1
	// b works under token 2
}
