package taskvisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A released body that comes back while its task is leaving is announced after
// TaskRemoved. The registry's lock keeps the task from leaving, so this is no bubble: a
// goroutine that waits for a mutex is not at rest there.
func TestReleasedBodyReturnsAfterItsTask(t *testing.T) {
	sup, rec := newSup(t)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{})
	h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { <-back; return nil },
		taskvisor.WithReleaseOnAbandon(), taskvisor.WithGrace(time.Millisecond)))
	eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
	registry := taskvisor.Locks(h)["registry"]
	registry.Lock()
	h.Stop()
	eventually(t, "it is abandoned", func() bool { return h.Status().State == taskvisor.StateAbandoned })
	if _, known := h.Outcome(); known { // not before its name is free
		t.Error("the outcome is known while the name is taken")
	}
	close(back)
	<-time.After(20 * time.Millisecond) // in which it would be announced, if it were
	registry.Unlock()
	<-h.Returned()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := rec.Trace("a"), "A S Q N D Y"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// eventually polls until a condition holds; it fails the test after a while.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// One that was released while a bracket held it has begun no attempt, and its return ends
// none.
func TestReleasedBeforeItStarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			time.Sleep(time.Minute)
			return ctx
		}}
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slow))
		h := addTo(t, sup, taskvisor.Once("a", noWork, taskvisor.WithReleaseOnAbandon(), taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		h.Stop()
		time.Sleep(time.Hour)
		<-h.Returned()
		if sn := sup.Snapshot(); sn.Released != 0 || sn.Started != 0 || sn.Ended != 0 {
			t.Errorf("%d released, %d started, %d ended", sn.Released, sn.Started, sn.Ended)
		}
		wantTrace(t, rec, "a", "A Q N D")
	})
}

// A released body whose task is gone says nothing more of it: neither that it has
// recovered nor that it is ready; its return is all that is announced.
func TestReleasedBodySaysNothingMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		n := 0
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n == 1 {
				return errBoom
			}
			time.Sleep(time.Minute)
			taskvisor.Ready(ctx)
			return nil
		}, taskvisor.ConstantBackoff(time.Second), taskvisor.WithReleaseOnAbandon(), taskvisor.WithGrace(time.Second), taskvisor.WithReadiness()))
		time.Sleep(5 * time.Second)
		h.Stop()
		time.Sleep(time.Hour)
		wantTrace(t, rec, "a", "A S ✗ B S Q N D Y")
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskRecovered || e.Kind == taskvisor.TaskReady {
				t.Errorf("after TaskRemoved: %v", e)
			}
		}
	})
}
