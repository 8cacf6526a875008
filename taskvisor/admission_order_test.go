package taskvisor_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A shutdown rejects what waits in the order of submission, whatever the slots,
// before it stops a task.
func TestShutdownRejectsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		var waiting []taskvisor.TaskID
		for round := range 4 {
			for slot := range 20 {
				h, err := sup.Submit(context.Background(), taskvisor.Submission{
					Task: taskvisor.Once(fmt.Sprintf("task %d of %d", round, slot), idle), Slot: fmt.Sprint("slot ", slot)})
				if err != nil {
					t.Fatal(err)
				}
				if round > 0 {
					waiting = append(waiting, h.ID())
				}
			}
		}
		synctest.Wait()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		var rejected []taskvisor.TaskID
		for _, e := range rec.Events() {
			switch e.Kind {
			case taskvisor.ControllerRejected:
				rejected = append(rejected, e.TaskID)
			case taskvisor.TaskCanceled:
				if len(rejected) < len(waiting) {
					t.Fatalf("%q was stopped when %d of %d had been rejected", e.Task, len(rejected), len(waiting))
				}
			}
		}
		if !slices.Equal(rejected, waiting) {
			t.Errorf("rejected %v, want %v", rejected, waiting)
		}
	})
}
