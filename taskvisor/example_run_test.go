package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Run registers tasks, retries the ones that fail and returns when none is left: nil
// if all of them have succeeded in the end, or else their errors.
func ExampleSupervisor_Run() {
	sup, err := taskvisor.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	tries := 0
	err = sup.Run(context.Background(),
		taskvisor.Restartable("import", func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("connection refused")
			}
			fmt.Println("imported at attempt", tries)
			return nil
		}, taskvisor.ExponentialBackoff(time.Millisecond, time.Second)),
	)
	fmt.Println("run:", err)
	// Output:
	// imported at attempt 3
	// run: <nil>
}
