package taskvisortest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A task that is refused twice, and what was announced about it.
func ExampleRecorder() {
	rec := &taskvisortest.Recorder{}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(rec))
	if err != nil {
		fmt.Println(err)
		return
	}
	refused := taskvisortest.Fail(errors.New("refused"))
	err = sup.Run(context.Background(), taskvisor.Restartable("mail",
		taskvisortest.Script(refused, refused, taskvisortest.Succeed()),
		taskvisor.ConstantBackoff(0)))
	fmt.Println(rec.Trace("mail"), err)
	// Output: A S ✗ B S ✗ B S ✓ E D <nil>
}
