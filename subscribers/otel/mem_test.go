package otelsub_test

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestMemoryPerTask holds the kilobyte that the package comment names.
func TestMemoryPerTask(t *testing.T) {
	const tasks = 10_000
	sub := otelsub.New(otelsub.WithTracerProvider(sdktrace.NewTracerProvider()))
	p := play(sub, bounded())
	before := heap()
	for id := range taskvisor.TaskID(tasks) {
		p.next.TaskID = id + 1
		p.attempt(taskvisor.ResultSuccess, nil)
	}
	each := float64(int64(heap())-int64(before)) / tasks
	t.Logf("%.0f bytes a task", each)
	if each > 1024 {
		t.Errorf("%.0f bytes a task", each)
	}
	expectKnown(t, sub, tasks)
}
