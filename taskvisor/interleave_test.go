package taskvisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// slowBracket takes its time in BeginAttempt of every attempt but the first.
type slowBracket struct{ d time.Duration }

func (slowBracket) OnEvent(context.Context, taskvisor.Event) {}

func (s slowBracket) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	if a.Number > 1 {
		time.Sleep(s.d)
	}
	return ctx
}

func (slowBracket) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// An attempt that a stop finds before its TaskStarting publishes nothing, not
// even that it is stuck, however long that takes.
func TestNothingIsStuckBeforeItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slowBracket{20 * time.Second}))
		h, err := sup.Add(context.Background(), taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)),
			taskvisor.BackoffPolicy{}, taskvisor.WithStuckAfter(5*time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the second attempt is being begun
		h.Stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := rec.Trace("a"), "A S ✗ B Q D"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}
