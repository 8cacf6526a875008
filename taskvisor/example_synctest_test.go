package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// refresh is a user's code: a periodic task that must not give up.
func refresh(fetch taskvisor.Func) taskvisor.TaskSpec {
	return taskvisor.Periodic("refresh", time.Minute, fetch, taskvisor.WithTimeout(10*time.Second),
		taskvisor.ExponentialBackoff(time.Second, time.Minute))
}

// A user's unit test of the schedule: in a synctest bubble a minute takes no time,
// every step is recorded, and a goroutine that stays behind fails the test.
func TestExampleRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t) // shuts down when the test ends
		h, err := sup.Add(context.Background(), refresh(taskvisortest.Script(
			taskvisortest.Fail(errors.New("down")), // at first, then
			taskvisortest.Block(),                  // no answer until the timeout, then
			taskvisortest.Succeed(),                // all is well
		)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		synctest.Wait() // everything that was due has happened
		if got, want := rec.Trace("refresh"), "A S ✗ B S T ✗ B S ✓ B S ✓ B"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if st := h.Status(); st.State != taskvisor.StateWaiting || st.NextStart.Before(time.Now()) {
			t.Errorf("%v until %v", st.State, st.NextStart)
		}
	})
}
