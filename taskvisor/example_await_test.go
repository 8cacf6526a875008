package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A task whose value is needed: Returning keeps what the successful attempt
// returned, Await waits for it.
func ExampleAwait() {
	ctx := context.Background()
	sup, _ := taskvisor.New()
	if err := sup.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer sup.Shutdown(ctx)

	h, err := sup.Add(ctx, taskvisor.Restartable("price", taskvisor.Returning(func(ctx context.Context) (float64, error) {
		if a, _ := taskvisor.FromContext(ctx); a.Number == 1 {
			return 0, taskvisor.RetryAfter(time.Millisecond, errors.New("rate limited"))
		}
		return 41.5, nil
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	price, err := taskvisor.Await[float64](ctx, h)
	fmt.Println(price, err)

	h, _ = sup.Add(ctx, taskvisor.Once("typo", taskvisor.Returning(func(context.Context) (int, error) {
		return 0, taskvisor.Fatal(errors.New("no such symbol"))
	})))
	_, err = taskvisor.Await[int](ctx, h)
	fmt.Println(err)
	// Output:
	// 41.5 <nil>
	// no such symbol
}
