package otelsub_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// What an event says of a stop is in the spans also where it is told after what the stop
// has led to, as by a subscriber before us that takes its time.
func TestStopsThatAreToldLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskRemoveRequested {
				time.Sleep(time.Minute)
			}
		})
		r := &rig{T: t}
		r.provider, r.spans = tracing()
		r.sub = otelsub.New(otelsub.WithTracerProvider(r.provider))
		r.sup, _ = taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(slow, taskvisor.Inline()), taskvisor.WithSubscriber(r.sub))
		r.submit(taskvisor.Periodic("running", time.Hour, steps()), taskvisor.Replace)
		time.Sleep(time.Second)
		r.submit(taskvisor.Periodic("waiting", time.Hour, steps(step{})), taskvisor.Replace)
		time.Sleep(time.Second)
		last := r.submit(taskvisor.Restartable("last", steps()), taskvisor.Replace)
		time.Sleep(time.Second)
		last.StopFor(errors.New("by ann"))
		synctest.Wait()
		expectShape(t, r.spans, `
			trace 1
			  #1 run running 1s
			trace 2
			  #2 run waiting 0s
			     -> replaced_task #1
			trace 3
			  #3 start last 0s
			     -> replaced_task #2
			trace 4
			  #4 run last 1m1s
			     -> start #3
		`)
		if got := draw(t, r.spans); !strings.Contains(got, "cancel.message=by ann") {
			t.Errorf("nobody reads who stopped it:\n%s", got)
		}
		if n := r.sub.Replaced(); n != 0 {
			t.Errorf("%d displaced owners are remembered", n)
		}
	})
}
