package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The server begins when the database is ready, and has ended before that is stopped.
func ExampleAfter() {
	part := func(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
		return taskvisor.Restartable(name, func(ctx context.Context) error {
			fmt.Println(name, "is up")
			taskvisor.Ready(ctx)
			if name == "server" {
				return taskvisor.ErrCanceled // so that the example ends
			}
			<-ctx.Done()
			fmt.Println(name, "is down")
			return nil
		}, append(opts, taskvisor.WithReadiness())...)
	}
	err := quiet().Run(context.Background(),
		part("server", taskvisor.After("database"), taskvisor.WithEssential()),
		part("database"),
	)
	fmt.Println(errors.Is(err, taskvisor.ErrCanceled))
	// Output:
	// database is up
	// server is up
	// database is down
	// true
}

// A consumer is ready when it is connected, and not merely running.
func ExampleReady() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	connect, connected := make(chan struct{}), make(chan struct{})
	h, _ := sup.Add(ctx, taskvisor.Restartable("consumer", func(ctx context.Context) error {
		<-connect
		taskvisor.Ready(ctx)
		close(connected)
		<-ctx.Done()
		return nil
	}, taskvisor.WithReadiness()))
	fmt.Println("ready:", h.Status().Ready)
	close(connect)
	<-connected
	fmt.Println("ready:", h.Status().Ready)
	// Output:
	// ready: false
	// ready: true
}

// Start at every full hour. A cron library's Schedule.Next fits as it is.
func ExampleScheduled() {
	ctx := context.Background()
	sup := started()
	defer sup.Shutdown(ctx)

	next := func(prev time.Time) time.Time { return prev.Truncate(time.Hour).Add(time.Hour) }
	h, err := sup.Add(ctx, taskvisor.Scheduled("report", next, func(context.Context) error { return nil }))
	if err != nil {
		fmt.Println(err)
		return
	}
	st := h.Status()
	fmt.Println(st.State, "for", st.NextStart.UTC().Round(time.Second).Format("xx:04:05"))
	// Output: waiting for xx:00:00
}

// A consumer that hangs looks like one that has nothing to do. One that says that it
// is alive is told apart from one that does not.
func ExampleBeat() {
	err := quiet().Run(context.Background(), taskvisor.Restartable("consumer", func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		for n := range 3 {
			taskvisor.Beat(ctx, fmt.Sprint("message ", n)) // shown in the status
			if a.Number == 1 && n == 2 {
				<-ctx.Done() // a read without a deadline, but for ctx
				fmt.Println("hung:", context.Cause(ctx))
				return ctx.Err()
			}
		}
		fmt.Println("attempt", a.Number, "is done")
		return nil
	}, taskvisor.WithIdleTimeout(50*time.Millisecond), taskvisor.ConstantBackoff(time.Millisecond)))
	fmt.Println(err)
	// Output:
	// hung: taskvisor: attempt timed out
	// attempt 2 is done
	// <nil>
}
