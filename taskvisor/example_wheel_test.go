package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// started returns a supervisor that runs.
func started() *taskvisor.Supervisor {
	sup := quiet()
	if err := sup.Start(context.Background()); err != nil {
		panic(err)
	}
	return sup
}

// A handle is all that is needed of a task: its state, the means to stop it, its
// outcome.
func ExampleHandle() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	up := make(chan struct{})
	h, err := sup.Add(ctx, taskvisor.Restartable("worker", func(ctx context.Context) error {
		close(up)
		<-ctx.Done()
		return errors.New("two messages are not acknowledged") // kept on the outcome
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	<-up
	st := h.Status()
	fmt.Println(st.Name, "is", st.State, "in attempt", st.Attempt)

	fmt.Println("stopped:", h.Stop(), h.Stop()) // one call claims it
	outcome, err := h.Wait(ctx)                 // the error is about the waiting
	fmt.Println(outcome.Kind, "-", outcome.Err, err)
	// Output:
	// worker is running in attempt 1
	// stopped: true false
	// canceled - two messages are not acknowledged <nil>
}

// A refresh that is due in an hour runs now, because somebody asked.
func ExampleHandle_RunNow() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	loaded := make(chan int)
	h, _ := sup.Add(ctx, taskvisor.Periodic("refresh", time.Hour, func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		loaded <- a.Number
		return nil
	}))
	fmt.Println("load", <-loaded)
	fmt.Println(h.RunNow(errors.New("asked by an operator")))
	fmt.Println("load", <-loaded)
	// Output:
	// load 1
	// true
	// load 2
}

// A paused task begins no attempt; what was asked for meanwhile happens afterwards.
func ExampleHandle_Pause() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	loaded := make(chan int, 1)
	h, _ := sup.Add(ctx, taskvisor.Periodic("refresh", time.Hour, func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		loaded <- a.Number
		return nil
	}, taskvisor.WithStartPaused()))
	fmt.Println(h.Status().State, "- paused again:", h.Pause(errors.New("maintenance")))
	fmt.Println("resumed:", h.Resume(errors.New("maintenance is over")))
	fmt.Println("load", <-loaded)
	// Output:
	// paused - paused again: false
	// resumed: true
	// load 1
}

// An interrupted attempt is canceled, which is no failure, and the next begins at
// once: with a new configuration, say.
func ExampleHandle_Interrupt() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	errReload := errors.New("configuration has changed")
	serving := make(chan int)
	h, _ := sup.Add(ctx, taskvisor.Restartable("server", func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		serving <- a.Number
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), errReload) {
			fmt.Println("cause:", context.Cause(ctx))
		}
		return nil
	}))
	fmt.Println("attempt", <-serving)
	h.Interrupt(errReload)
	fmt.Println("attempt", <-serving)
	fmt.Println("failures in a row:", h.Status().Streak)
	// Output:
	// attempt 1
	// cause: taskvisor: attempt interrupted: configuration has changed
	// attempt 2
	// failures in a row: 0
}

// StopSlot stops who owns a key and, if asked, refuses those who wait for it.
func ExampleSupervisor_StopSlot() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	up := make(chan struct{})
	submit := func(name string) *taskvisor.Handle {
		h, _ := sup.Submit(ctx, taskvisor.Submission{Slot: "tenant-a", Task: taskvisor.Once(name, func(ctx context.Context) error {
			close(up)
			<-ctx.Done()
			return nil
		})})
		return h
	}
	owner, waiting := submit("import"), submit("export")
	<-up
	fmt.Println(sup.StopSlot("tenant-a", true))
	for _, h := range []*taskvisor.Handle{owner, waiting} {
		outcome, _ := h.Wait(ctx)
		fmt.Println(h.Name(), outcome.Kind, outcome.Reason.String())
	}
	fmt.Println(sup.StopSlot("tenant-a", true)) // nothing is there
	// Output:
	// true
	// import canceled removed
	// export rejected removed
	// false
}
