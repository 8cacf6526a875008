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

// Who waits for the restart budget and is stopped gives its turn up, and time without
// retries fills the bucket no further than to its brim.
func TestRestartBudgetWastesAndHoardsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithRestartBudget(1, time.Second))
		begun := time.Now()
		add := func(name string, fails time.Duration) *taskvisor.Handle {
			return addTo(t, sup, taskvisor.Restartable(name, taskvisortest.Script(
				taskvisortest.After(fails, taskvisortest.Fail(taskvisor.RetryAfter(0, errBoom))), taskvisortest.Succeed()), taskvisor.WithoutRestartFloor()))
		}
		const idle = time.Minute // the bucket holds one token nevertheless
		add("t0", idle)
		stopped := add("t1", idle+1)
		add("t2", idle+2)
		time.Sleep(idle + 100*time.Millisecond)
		stopped.Stop()
		time.Sleep(time.Hour)
		order := ""
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.TaskStarting && e.Attempt == 2 {
				order += " " + e.Task + " " + (e.Time.Sub(begun) - idle).Round(time.Millisecond).String()
			}
		}
		if want := " t0 0s t2 1s"; order != want {
			t.Errorf("second attempts%s, want%s", order, want)
		}
	})
}

// The end of an attempt that a task is bound to leaves the delays of that task alone.
func TestBoundToLeavesDelaysAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		_, err := sup.AddAll(context.Background(),
			taskvisor.Periodic("connection", time.Second, worksFor(10*time.Second)),
			taskvisor.Restartable("consumer", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block()),
				taskvisor.BoundTo("connection"), taskvisor.ConstantBackoff(time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		wantTrace(t, rec, "consumer", "A S ✗ B")
		time.Sleep(2 * time.Second)
		wantTrace(t, rec, "consumer", "A S ✗ B S")
	})
}

// The context of an event is not the attempt's: the end of that, or of what a bracket has
// made of it, is no end of the event's.
func TestEventContextDoesNotEndWithTheAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := 0
		derive := &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Millisecond, func() { cancel(errBoom) })
			return ctx
		}}
		look := inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			if e.Kind != taskvisor.TaskStopped && e.Kind != taskvisor.BackoffScheduled {
				return
			}
			seen++
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			if ctx.Err() != nil || context.Cause(ctx) != nil || child.Err() != nil {
				t.Errorf("%v: %v, cause %v; below it %v", e.Kind, ctx.Err(), context.Cause(ctx), child.Err())
			}
		})
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(derive), taskvisor.WithSubscriber(look))
		addTo(t, sup, taskvisor.Periodic("a", time.Hour, ignoresFor(time.Second)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if seen != 2 {
			t.Errorf("%d events seen", seen)
		}
	})
}

// The handle of an owner that has left its slot does not keep those that owned it later.
func TestFormerOwnerKeepsNoSuccessor(t *testing.T) {
	sup := newSupervisor(t)
	release := make(chan struct{})
	first := submitTo(t, sup, "first", release)
	next := weak.Make(submitTo(t, sup, "next", release))
	close(release)
	<-first.Done()
	eventually(t, "the slot is idle", func() bool { return len(sup.Snapshot().Slots) == 0 })
	last := addTo(t, sup, taskvisor.Once("the next", noWork)) // the last one started may still be known
	<-last.Done()
	for range 70 { // and those that ended lately, by their outcomes
		<-addTo(t, sup, taskvisor.Once("another", noWork)).Done()
		eventually(t, "it is gone", func() bool { _, there := sup.Lookup("another"); return !there })
	}
	eventually(t, "the successor is garbage", func() bool { runtime.GC(); return next.Value() == nil })
	runtime.KeepAlive(first)
}

//go:noinline
func submitTo(t *testing.T, sup *taskvisor.Supervisor, name string, release chan struct{}) *taskvisor.Handle {
	h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, func(context.Context) error { <-release; return nil })})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
