package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// printer shows the life of tasks. It is called from a worker of its own, one
// event at a time, and may take as long as it likes.
type printer struct{}

func (printer) OnEvent(_ context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.BackoffScheduled:
		fmt.Printf("%s: %v, again in %v\n", e.Task, e.Err, e.Delay)
	case taskvisor.TaskRemoved:
		fmt.Printf("%s: %v after %d attempts\n", e.Task, e.Outcome, e.Attempt)
	case taskvisor.AllStoppedWithinGrace:
		fmt.Println("all stopped")
	}
}

// A subscriber is any type with an OnEvent method. Before Run returns it has
// seen the last event.
func ExampleSubscribe() {
	sup, _ := taskvisor.New(taskvisor.WithSubscriber(printer{}))
	err := sup.Run(context.Background(), taskvisor.Restartable("sync", func(ctx context.Context) error {
		if a, _ := taskvisor.FromContext(ctx); a.Number == 1 {
			return errors.New("connection reset")
		}
		return nil
	}, taskvisor.ConstantBackoff(2*time.Millisecond)))
	fmt.Println(err)
	// Output:
	// sync: connection reset, again in 2ms
	// sync: completed after 2 attempts
	// all stopped
	// <nil>
}
