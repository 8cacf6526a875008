package taskvisor_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
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

// An inner supervisor that ended with a body left running is kept until that is back: by
// then, or at the latest when the next one begins, the outer one has forgotten it.
func TestInnerSupervisorsAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer := newSupervisor(t) // without a recorder, which would keep the errors that name the tasks
		var inners []weak.Pointer[taskvisor.Supervisor]
		h := addTo(t, outer, taskvisor.Restartable("host", func(ctx context.Context) error {
			inner, err := taskvisor.New(taskvisor.WithGrace(0), taskvisor.WithSubscriber(taskvisor.Discard))
			if err != nil {
				return err
			}
			inners = append(inners, weak.Make(inner))
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return inner.Run(ctx, taskvisor.Once("late", func(context.Context) error { time.Sleep(2 * time.Second); return nil }))
		}, taskvisor.ConstantBackoff(time.Minute)))
		time.Sleep(10*time.Minute + 30*time.Second)
		synctest.Wait()
		kept := 0
		for range 3 {
			runtime.GC()
		}
		for _, w := range inners {
			if w.Value() != nil {
				kept++
			}
		}
		if len(inners) < 9 || kept > 2 {
			t.Errorf("%d of %d inner supervisors are kept", kept, len(inners))
		}
		h.Stop()
	})
}
