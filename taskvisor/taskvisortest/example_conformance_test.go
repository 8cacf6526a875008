package taskvisortest_test

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// What ExampleTestSubscriber shows, run.
func TestExampleOfASubscriber(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe { return &failures{} })
}
