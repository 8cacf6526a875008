package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// quiet is a supervisor that writes no failures to the standard log: in these
// examples they are meant.
func quiet(opts ...taskvisor.Option) *taskvisor.Supervisor {
	sup, err := taskvisor.New(append(opts, taskvisor.WithSubscriber(taskvisor.Discard))...)
	if err != nil {
		panic(err)
	}
	return sup
}

// What no retry will help is fatal: the task ends at once, and its error is the one
// that was marked.
func ExampleFatal() {
	errNoConfig := errors.New("no configuration")
	sup := quiet()
	err := sup.Run(context.Background(), taskvisor.Restartable("worker", func(context.Context) error {
		fmt.Println("tried once")
		return taskvisor.Fatal(errNoConfig)
	}))
	fmt.Println(err)
	fmt.Println(errors.Is(err, errNoConfig))
	// Output:
	// tried once
	// taskvisor: run "worker": no configuration
	// true
}

// A server that says when to come back is believed, instead of the backoff.
func ExampleRetryAfter() {
	sup := quiet()
	var last time.Time
	err := sup.Run(context.Background(), taskvisor.Restartable("poll", func(context.Context) error {
		if last.IsZero() {
			last = time.Now()
			return taskvisor.RetryAfter(50*time.Millisecond, errors.New("429 Too Many Requests"))
		}
		fmt.Println("waited as asked:", time.Since(last) >= 50*time.Millisecond)
		return nil
	}, taskvisor.ConstantBackoff(time.Hour)))
	fmt.Println(err)
	// Output:
	// waited as asked: true
	// <nil>
}

// Goroutines of a body belong to its attempt: their panics count as the body's, and
// no further attempt begins before they have ended. A body that wants their work
// waits for it.
func ExampleGo() {
	sup := quiet()
	err := sup.Run(context.Background(), taskvisor.Restartable("sum", func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		parts := make(chan int, 2)
		for n := range 2 {
			err := taskvisor.Go(ctx, func(context.Context) {
				if a.Number == 1 && n == 1 {
					panic("a bug in a helper") // contained; with a plain go the process would end
				}
				parts <- n + 20
			})
			if err != nil {
				return err
			}
		}
		sum := 0
		for range 2 {
			select {
			case part := <-parts:
				sum += part
			case <-ctx.Done(): // one of them panicked
				return context.Cause(ctx)
			}
		}
		fmt.Println("attempt", a.Number, "sum", sum)
		return nil
	}, taskvisor.ConstantBackoff(time.Millisecond)))
	fmt.Println(err)
	// Output:
	// attempt 2 sum 41
	// <nil>
}

// When the task that the process exists for has failed for good, the others are
// stopped, and Run returns its error.
func ExampleWithEssential() {
	sup := quiet()
	err := sup.Run(context.Background(),
		taskvisor.Restartable("helper", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}),
		taskvisor.Restartable("server", func(context.Context) error {
			return errors.New("cannot listen")
		}, taskvisor.WithMaxRetries(2), taskvisor.ConstantBackoff(time.Millisecond), taskvisor.WithEssential()),
	)
	fmt.Println(err)
	// Output: taskvisor: run "server": cannot listen
}
