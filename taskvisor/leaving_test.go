package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What is held up at a lock here is what must come first. A goroutine that waits for a
// mutex is not at rest in a bubble, so these are none.

// The failure of a task is in the result of Run: it is told before the task counts as gone.
// Its permit is free by then.
func TestRunKnowsTheLastFailure(t *testing.T) {
	sup, _ := newSup(t, taskvisor.WithMaxConcurrent(1))
	fail := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error { <-fail; return errBoom }))
	}()
	eventually(t, "it runs", func() bool { h, ok := sup.Lookup("a"); return ok && taskvisor.Active(h) })
	h, _ := sup.Lookup("a")
	lock := taskvisor.Locks(h)["shutdown"]
	lock.Lock()
	close(fail)
	eventually(t, "its failure is to be told", func() bool { return atLocks() > 0 })
	if b, err := sup.Add(context.Background(), taskvisor.Once("b", noWork)); err != nil {
		t.Errorf("the supervisor ends already: %v", err)
	} else {
		eventually(t, "b has run", func() bool { _, known := b.Outcome(); return known })
	}
	lock.Unlock()
	if err := <-result; !errors.Is(err, errBoom) {
		t.Errorf("Run: %v", err)
	}
}

// The end of an essential task asks for the stop before it counts as gone: as the last one
// it would end Run without a word.
func TestEssentialEndIsHeardAsTheLast(t *testing.T) {
	sup, rec := newSup(t)
	fail := make(chan struct{})
	result := make(chan error, 1)
	started := make(chan *taskvisor.Handle, 1)
	go func() {
		result <- sup.Run(context.Background(), taskvisor.Once("first", func(ctx context.Context) error {
			h, err := sup.Add(ctx, taskvisor.Once("a", func(context.Context) error { <-fail; return errBoom }, taskvisor.WithEssential()))
			started <- h
			return err
		}))
	}()
	h := <-started
	eventually(t, "it is the last", func() bool { return taskvisor.Active(h) && len(sup.List()) == 1 })
	lock := taskvisor.Locks(h)["shutdown"]
	lock.Lock()
	close(fail)
	eventually(t, "it is to be heard", func() bool { return atLocks() > 0 })
	if _, err := sup.Add(context.Background(), taskvisor.Once("b", noWork)); err != nil {
		t.Errorf("the supervisor ends already: %v", err)
	}
	lock.Unlock()
	if err := <-result; !errors.Is(err, errBoom) || kindsOf(rec)[taskvisor.ShutdownRequested] != 1 {
		t.Errorf("Run: %v; %d requests", err, kindsOf(rec)[taskvisor.ShutdownRequested])
	}
}

// Who stops a submission that becomes a task at that moment stops the task.
func TestStopOfWhatIsJustAdmitted(t *testing.T) {
	sup, _ := newSup(t)
	must(sup.Start(context.Background()))
	submit := func(name string, fn taskvisor.Func) *taskvisor.Handle {
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, fn)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	end := make(chan struct{})
	owner := submit("owner", func(context.Context) error { <-end; return nil })
	next := submit("next", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	eventually(t, "the owner runs", func() bool { return taskvisor.Active(owner) })
	controller := taskvisor.Locks(owner)["controller"]
	controller.Lock()
	close(end)
	eventually(t, "the owner is leaving", func() bool { return atLocks() > 0 })
	stopped := make(chan bool, 1)
	go func() { stopped <- next.Stop() }()
	eventually(t, "the next is to be stopped", func() bool { return atLocks() > 1 })
	controller.Unlock() // to whoever came first
	if !<-stopped {
		t.Error("nothing was stopped")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if o, err := next.Wait(ctx); err != nil || o.Reason != taskvisor.ErrRemoved {
		t.Errorf("%v (%v), %v", o.Kind, o.Reason, err)
	}
	must(sup.Shutdown(context.Background()))
}

// The verdict follows the refusal of what waited, also if nothing else is left.
func TestVerdictFollowsTheLastRefusal(t *testing.T) {
	sup, rec := newSup(t)
	result := make(chan error, 1)
	back := make(chan struct{})
	defer close(back)
	go func() {
		result <- sup.Run(context.Background(), taskvisor.Once("first", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
	}()
	eventually(t, "it runs", func() bool { h, ok := sup.Lookup("first"); return ok && taskvisor.Active(h) })
	submit := func(name string) *taskvisor.Handle {
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s",
			Task: taskvisor.Once(name, func(context.Context) error { <-back; return nil }, taskvisor.WithGrace(0))})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	owner, waits := submit("owner"), submit("waits")
	eventually(t, "the owner runs", func() bool { return taskvisor.Active(owner) })
	owner.Cancel(context.Background()) // it is abandoned, and keeps its slot
	first, _ := sup.Lookup("first")
	first.Cancel(context.Background())
	lock := taskvisor.Locks(waits)["task"]
	lock.Lock()
	go sup.StopSlot("s", true)
	eventually(t, "it is to be refused", func() bool { return atLocks() > 0 })
	select {
	case err := <-result:
		t.Fatalf("Run did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	lock.Unlock()
	var left *taskvisor.GraceExceededError
	if err := <-result; !errors.As(err, &left) {
		t.Errorf("Run: %v", err)
	}
	events := rec.Events()
	if last := events[len(events)-1]; last.Kind != taskvisor.GraceExceeded || kindsOf(rec)[taskvisor.ControllerRejected] != 1 {
		t.Errorf("%d refused; the last event is %v", kindsOf(rec)[taskvisor.ControllerRejected], last)
	}
}

// A supervisor that is done is shown as stopped.
func TestDoneIsStopped(t *testing.T) {
	verdict, seen := make(chan struct{}), make(chan struct{})
	sup, _ := newSup(t, taskvisor.WithSubscriber(queuedFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.AllStoppedWithinGrace {
			close(verdict)
			<-seen
		}
	})))
	must(sup.Start(context.Background()))
	registry := taskvisor.Locks(addTo(t, sup, taskvisor.Once("a", noWork)))["registry"]
	go sup.Shutdown(context.Background())
	<-verdict
	registry.Lock()
	close(seen)
	select {
	case <-sup.Done():
		t.Error("it is done before it is stopped")
	case <-time.After(50 * time.Millisecond):
	}
	registry.Unlock()
	<-sup.Done()
	if st := sup.Snapshot().State; st != taskvisor.SupervisorStopped {
		t.Errorf("it is %v", st)
	}
}
