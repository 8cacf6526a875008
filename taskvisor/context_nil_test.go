package taskvisor_test

import (
	"context"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// FromContext and Go do not follow a nil context, no more than the methods that
// take one (see TestNilContextPanics).
func TestNilContextOutsidePanics(t *testing.T) {
	var none context.Context
	wantPanic(t, func() { taskvisor.FromContext(none) }, "taskvisor: nil context")
	wantPanic(t, func() { taskvisor.Go(none, func(context.Context) {}) }, "taskvisor: nil context")
	wantPanic(t, func() { taskvisor.Go(context.Background(), nil) }, "taskvisor: nil function for Go")
}
