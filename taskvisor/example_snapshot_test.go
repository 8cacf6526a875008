package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Snapshot reads the state from the tasks themselves: what a health page or a
// debugger wants to know.
func ExampleSupervisor_Snapshot() {
	ctx := context.Background()
	sup, _ := taskvisor.New(taskvisor.WithName("shop"))
	if err := sup.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer sup.Shutdown(ctx)

	failed := make(chan struct{})
	sup.Add(ctx, taskvisor.Restartable("mailer", func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}))
	sup.Add(ctx, taskvisor.Restartable("stock", func(context.Context) error {
		close(failed)
		return errors.New("no route to host")
	}, taskvisor.ConstantBackoff(time.Hour)))
	<-failed
	for sup.Count(taskvisor.StateBackoff) < 1 || sup.Count(taskvisor.StateRunning) < 1 {
		runtime.Gosched() // the body is about to return
	}

	sn := sup.Snapshot()
	fmt.Println(sn.Supervisor, sn.State, "with", len(sn.Tasks), "tasks")
	for _, task := range sn.Tasks {
		fmt.Printf("%s: %v, attempt %d, last error: %v\n", task.Name, task.State, task.Attempt, task.LastErr)
	}
	// Output:
	// shop running with 2 tasks
	// mailer: running, attempt 1, last error: <nil>
	// stock: backoff, attempt 1, last error: no route to host
}
