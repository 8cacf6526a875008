package taskvisor_test

import (
	"context"
	"fmt"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Work that is keyed: revision 2 of a tenant replaces revision 1, and starts when
// that has really ended. Other tenants do not notice.
func ExampleSupervisor_Submit() {
	ctx := context.Background()
	sup, _ := taskvisor.New()
	if err := sup.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer sup.Shutdown(ctx)

	running := make(chan struct{})
	rollout := func(name string) taskvisor.Submission {
		return taskvisor.Submission{Slot: "tenant-a", Admission: taskvisor.Replace, Task: taskvisor.Once(name, func(ctx context.Context) error {
			running <- struct{}{}
			<-ctx.Done()
			fmt.Println(name, "stops:", context.Cause(ctx))
			return nil
		})}
	}
	first, _ := sup.Submit(ctx, rollout("revision-1"))
	<-running
	second, _ := sup.Submit(ctx, rollout("revision-2"))
	outcome, _ := first.Wait(ctx)
	<-running
	fmt.Println(first.Name(), "is", outcome.Kind, "and", second.Name(), "is", second.Status().State)

	// Who only wants the work done once while it runs asks to be told so.
	h, _ := sup.Submit(ctx, taskvisor.Submission{Slot: "tenant-a", Admission: taskvisor.DropIfRunning, Task: rollout("revision-3").Task})
	outcome, _ = h.Wait(ctx)
	fmt.Println(outcome.Err)

	sup.StopSlot("tenant-a", true)
	second.Wait(ctx)
	// Output:
	// revision-1 stops: taskvisor: task replaced
	// revision-1 is canceled and revision-2 is running
	// taskvisor: submit "revision-3": slot busy
	// revision-2 stops: taskvisor: task removed
}
