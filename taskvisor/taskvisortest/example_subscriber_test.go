package taskvisortest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// failures is a user's subscriber, which counts.
type failures struct{ n atomic.Uint64 }

func (f *failures) OnEvent(_ context.Context, e taskvisor.Event) {
	if e.Kind == taskvisor.TaskFailed {
		f.n.Add(1)
	}
}

func (*failures) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// A subscriber's own test hands it to the suite, which brings about everything that
// a supervisor can do to it.
func ExampleTestSubscriber() {
	// In a file whose name ends in _test.go:
	TestFailures := func(t *testing.T) {
		taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe { return &failures{} })
	}
	_ = TestFailures
}
