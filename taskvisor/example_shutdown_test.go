package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A shutdown takes at most its grace. Go has no means to stop a goroutine, so a
// body that ignores its context is left behind, and the error names it.
func ExampleSupervisor_Shutdown() {
	ctx := context.Background()
	sup, _ := taskvisor.New(taskvisor.WithGrace(50 * time.Millisecond))
	if err := sup.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	started := make(chan struct{}, 2)
	polite, _ := sup.Add(ctx, taskvisor.Restartable("polite", func(ctx context.Context) error {
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}))
	deaf, _ := sup.Add(ctx, taskvisor.Restartable("deaf", func(context.Context) error {
		started <- struct{}{}
		time.Sleep(time.Second) // a call that knows no context
		return nil
	}))
	<-started
	<-started

	err := sup.Shutdown(ctx)
	var late *taskvisor.GraceExceededError
	if errors.As(err, &late) {
		for _, task := range late.Tasks {
			fmt.Println("still running:", task.Name)
		}
	}
	for _, h := range []*taskvisor.Handle{polite, deaf} {
		outcome, _ := h.Outcome()
		fmt.Println(h.Name(), outcome.Kind)
	}
	// Output:
	// still running: deaf
	// polite canceled
	// deaf abandoned
}
