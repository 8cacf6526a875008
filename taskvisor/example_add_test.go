package taskvisor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Tasks come and go while a supervisor runs. A name is taken until the body of
// its task has really returned; the handle tells how that ended.
func ExampleSupervisor_Add() {
	ctx := context.Background()
	sup, _ := taskvisor.New()
	if err := sup.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer sup.Shutdown(ctx)

	worker := taskvisor.Restartable("worker", func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx) // why it was stopped
	})
	h, err := sup.Add(ctx, worker)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sup.Add(ctx, worker)
	fmt.Println(err, errors.Is(err, taskvisor.ErrTaskExists))

	outcome, _ := h.Cancel(ctx)
	fmt.Printf("%v, %s\n", outcome.Kind, outcome.Reason.String())
	// Output:
	// taskvisor: add "worker": name in use true
	// canceled, removed
}
