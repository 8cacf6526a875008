package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A periodic task runs at once and then each time the interval has passed since
// its last success. The timeout holds for each attempt, and ErrCanceled ends the
// task from inside.
func ExamplePeriodic() {
	sup, _ := taskvisor.New()
	n := 0
	poll := taskvisor.Periodic("poll", 10*time.Millisecond, func(ctx context.Context) error {
		switch n++; n {
		case 2:
			<-ctx.Done() // a server that does not answer
			fmt.Println("poll 2:", errors.Is(context.Cause(ctx), taskvisor.ErrAttemptTimeout))
			return ctx.Err()
		case 4:
			return taskvisor.ErrCanceled
		}
		fmt.Printf("poll %d: ok\n", n)
		return nil
	}, taskvisor.WithTimeout(50*time.Millisecond), taskvisor.ConstantBackoff(time.Millisecond))
	fmt.Println(poll)
	if err := sup.Run(context.Background(), poll); err != nil {
		fmt.Println(err)
	}
	// Output:
	// poll: restart always(10ms), backoff 1ms, unlimited retries, timeout 50ms
	// poll 1: ok
	// poll 2: true
	// poll 3: ok
}
