package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// An inline subscriber that ends its caller's goroutine ends nothing else that the
// caller was about: others are rejected, announced, stopped and started all the
// same, every event is delivered, and the shutdown has nothing to wait for.
func TestGoexitInlineOfACaller(t *testing.T) {
	for _, kind := range []taskvisor.EventKind{taskvisor.ControllerSubmitted, taskvisor.ControllerRejected,
		taskvisor.ControllerSlotTransition, taskvisor.TaskAdded, taskvisor.TaskRemoveRequested, taskvisor.TaskStarting, taskvisor.TaskCanceled, taskvisor.TaskRemoved, taskvisor.TaskAddFailed} {
		for name, reject := range map[string]func(sup *taskvisor.Supervisor, h *taskvisor.Handle){
			"superseded": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("newcomer", idle), Slot: "s", Admission: taskvisor.Replace})
			},
			"stopped": func(_ *taskvisor.Supervisor, h *taskvisor.Handle) { h.Stop() },
			"purged":  func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) { sup.StopSlot("s", true) },
			"busy": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("dropped", idle), Slot: "s", Admission: taskvisor.DropIfRunning})
			},
			"taken": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("owner", idle), Slot: "other"})
			},
			"passed on": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.StopSlot("s", false)
				synctest.Wait()
			},
			"passed on before the start": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				for _, name := range []string{"waits for a permit", "behind it"} {
					sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, idle), Slot: "pending"})
				}
				sup.StopSlot("pending", false)
			},
			"batch": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.AddAll(context.Background(), taskvisor.Once("one", idle), taskvisor.Once("two", idle))
			},
			"batch refused": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.AddAll(context.Background(), taskvisor.Once("one", idle), taskvisor.Once("owner", idle), taskvisor.Once("two", idle))
			},
			"joined": func(sup *taskvisor.Supervisor, _ *taskvisor.Handle) {
				sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("joins", idle), Slot: "s", Admission: taskvisor.Join})
			},
		} {
			t.Run(fmt.Sprintf("%v/%s", kind, name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var odd atomic.Bool
					bad := inlineFunc(func(_ context.Context, e taskvisor.Event) {
						if e.Kind == kind && odd.CompareAndSwap(true, false) {
							runtime.Goexit()
						}
					})
					sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad), taskvisor.WithMaxConcurrent(1))
					var h *taskvisor.Handle
					for _, name := range []string{"owner", "waits"} {
						var err error
						h, err = sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, idle), Slot: "s"})
						if err != nil {
							t.Fatal(err)
						}
					}
					synctest.Wait()
					odd.Store(true)
					var caller group
					caller.Go(func() { reject(sup, h) })
					caller.Wait()
					synctest.Wait()
					checkConservation(t, sup.Snapshot())
					ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
					defer cancel()
					begun := time.Now()
					if err := sup.Shutdown(ctx); err != nil || time.Since(begun) != 0 {
						t.Fatalf("Shutdown: %v after %v", err, time.Since(begun))
					}
					if sn := sup.Snapshot(); int(sn.Seq) != len(rec.Events()) || sn.Subscribers[1].Delivered != sn.Seq {
						t.Errorf("%d events, %d recorded, %d delivered", sn.Seq, len(rec.Events()), sn.Subscribers[1].Delivered)
					}
				})
			})
		}
	}
}
