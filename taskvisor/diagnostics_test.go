package taskvisor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A panic about a diagnostic event is counted, and nobody is told: the report
// would be the next event to panic about, or to be lost.
func TestPanicAboutADiagnosticIsNotReported(t *testing.T) {
	for _, kind := range []taskvisor.EventKind{taskvisor.SubscriberOverflow, taskvisor.SubscriberPanicked} {
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				panics, capacity := 0, 4
				if kind != taskvisor.SubscriberOverflow {
					capacity = 1024
				}
				bad := queuedFunc(func(_ context.Context, e taskvisor.Event) {
					switch e.Kind {
					case kind:
						panics++
						panic("about a diagnostic")
					case taskvisor.TaskAdded:
						if kind == taskvisor.SubscriberOverflow {
							time.Sleep(time.Second) // falls behind
						}
					}
				})
				begs := queuedFunc(func(_ context.Context, e taskvisor.Event) {
					if e.Kind == taskvisor.TaskAdded && kind == taskvisor.SubscriberPanicked {
						panic("about an event")
					}
				})
				sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad, taskvisor.Queued(capacity), taskvisor.WithName("bad")), taskvisor.WithSubscriber(begs))
				addTo(t, sup, taskvisor.Restartable("a", loop(100), taskvisor.RestartAlways(0)))
				time.Sleep(time.Hour)
				if err := sup.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				reports := 0
				for _, e := range rec.Events() {
					if e.Kind == taskvisor.SubscriberPanicked && e.Subscriber == "bad" {
						reports++
					}
				}
				if st := sup.Snapshot().Subscribers[1]; panics == 0 || st.Panics != uint64(panics) || reports != 0 {
					t.Errorf("%d panics, %d counted, %d reported", panics, st.Panics, reports)
				}
			})
		})
	}
}

// The stack of an abandoned body is always read, also right after another task's.
func TestAbandonedBodiesHaveStacks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		release := make(chan struct{})
		var hs []*taskvisor.Handle
		for i := range 5 {
			hs = append(hs, addTo(t, sup, taskvisor.Once(fmt.Sprint("t", i), func(context.Context) error { return bodyBlocks(release) },
				taskvisor.WithGrace(10*time.Millisecond))))
		}
		synctest.Wait()
		for _, h := range hs {
			before := time.Now()
			if o, err := h.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
				t.Errorf("%s: %v, %v", h.Name(), o.Kind, err)
			}
			same(t, "the outcome comes after", time.Since(before), 10*time.Millisecond) // whenever the stack does
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(3 * time.Second) // captures are rationed
		for _, h := range hs {
			if o, _ := h.Outcome(); !strings.Contains(o.Stack, "bodyBlocks") {
				t.Errorf("%s: stack %q", h.Name(), o.Stack)
			}
		}
		close(release)
		synctest.Wait() // they are back before the shutdown
	})
}
