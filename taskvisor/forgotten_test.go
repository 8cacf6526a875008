package taskvisor_test

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A task that is gone is garbage once nobody has its handle, also if it was
// stopped in the middle of a delay of hours: no timer keeps it.
func TestGoneTasksAreForgotten(t *testing.T) {
	sup := newSupervisor(t)
	for name, spec := range map[string]taskvisor.TaskSpec{
		"completed": taskvisor.Once("completed", noWork),
		"running":   taskvisor.Once("running", idle, taskvisor.WithTimeout(time.Hour)),
		"backoff":   taskvisor.Restartable("backoff", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour)),
		"waiting":   taskvisor.Periodic("waiting", time.Hour, noWork),
	} {
		gone := endOf(t, sup, spec)
		endOf(t, sup, taskvisor.Once("the next", idle)) // the last one started may still be known
		for try := 0; gone.Value() != nil; try++ {
			if try == 100 {
				t.Errorf("%s: the task is still there", name)
				break
			}
			runtime.Gosched()
			runtime.GC()
		}
	}
}

// endOf adds a task, stops it unless it ends, and keeps nothing of it.
//
//go:noinline
func endOf(t *testing.T, sup *taskvisor.Supervisor, spec taskvisor.TaskSpec) weak.Pointer[taskvisor.Handle] {
	t.Helper()
	h, err := sup.Add(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for st := h.Status(); st.Attempt == 0 || st.State == taskvisor.StateRunning && spec.Restart() != taskvisor.RestartNever(); st = h.Status() {
		runtime.Gosched()
	}
	if _, err := h.Cancel(context.Background()); err != nil {
		t.Error(err)
	}
	return weak.Make(h)
}
