package taskvisortest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A task that does what the test needs: it fails, panics, then succeeds.
func ExampleScript() {
	rec := &taskvisortest.Recorder{}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(rec))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sup.Run(context.Background(), taskvisor.Restartable("job", taskvisortest.Script(
		taskvisortest.Fail(errors.New("refused")),
		taskvisortest.Panic("oh no"),
		taskvisortest.Succeed(),
	), taskvisor.ConstantBackoff(0)))
	fmt.Println(err)
	for _, e := range rec.Events("job") {
		if e.Result != 0 {
			fmt.Println("attempt", e.Attempt, e.Result)
		}
	}
	// Output:
	// <nil>
	// attempt 1 failure
	// attempt 2 panic
	// attempt 3 success
}
