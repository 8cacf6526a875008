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

// An attempt that a stop finds before its TaskStarting publishes nothing but that it
// is stuck, if a bracket holds it for so long.
func TestStuckBeforeItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Minute), taskvisor.WithSubscriber(slowBracket{20 * time.Second}))
		h, err := sup.Add(context.Background(), taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)),
			taskvisor.BackoffPolicy{}, taskvisor.WithStuckAfter(5*time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the second attempt is being begun
		h.Stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := rec.Trace("a"), "A S ✗ B Q K D"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// onEvent is an inline subscriber made of a function.
type onEvent func(e taskvisor.Event)

func (f onEvent) OnEvent(_ context.Context, e taskvisor.Event) { f(e) }

func (onEvent) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// A task that was registered when the grace of a shutdown is over, but could not
// be announced yet, is announced and removed before the verdict.
func TestShutdownFindsTasksThatWereNotAnnounced(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Second} {
		t.Run(grace.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { shutdownDuringAnnouncements(t, grace) })
		})
	}
}

func shutdownDuringAnnouncements(t *testing.T, grace time.Duration) {
	pause := onEvent(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskAdded && e.Task == "first" {
			time.Sleep(time.Minute) // as if the goroutine of AddAll were not scheduled
		}
	})
	sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(grace), taskvisor.WithSubscriber(pause))
	var handles []*taskvisor.Handle
	added := make(chan struct{})
	go func() {
		defer close(added)
		handles, _ = sup.AddAll(context.Background(), taskvisor.Once("first", runsUntilStopped()), taskvisor.Once("second", runsUntilStopped()))
	}()
	synctest.Wait()
	began := time.Now()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > grace+6*time.Second { // one for the subscriber that blocks
		t.Errorf("shutdown took %v", took)
	}
	if sn := sup.Snapshot(); len(sn.Tasks) != 0 || sn.Removed != 2 {
		t.Errorf("%d tasks left, %d removed", len(sn.Tasks), sn.Removed)
	}
	<-added
	synctest.Wait()
	for _, h := range handles {
		o, known := h.Outcome()
		if trace := rec.Trace(h.Name()); !known || o.Reason != taskvisor.ErrShutdown || trace != "A D" {
			t.Errorf("%s: %v, known %v, events %q", h.Name(), o.Reason, known, trace)
		}
	}
	checkConservation(t, sup.Snapshot())
}

// A task of a batch that is stopped between its TaskAdded and the start of the
// batch says so, as every stopped task does.
func TestStopBetweenAnnouncementAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		stop := onEvent(func(e taskvisor.Event) {
			if h, ok := sup.Lookup(e.Task); ok && e.Kind == taskvisor.TaskAdded {
				h.Stop()
			}
		})
		var rec *taskvisortest.Recorder
		sup, rec = taskvisortest.Start(t, taskvisor.WithSubscriber(stop))
		body := runsUntilStopped()
		handles, err := sup.AddAll(context.Background(), taskvisor.Once("a", body), taskvisor.Once("b", body))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, h := range handles {
			o, known := h.Outcome()
			if trace := rec.Trace(h.Name()); !known || o.Reason != taskvisor.ErrRemoved || o.Attempts != 0 || trace != "A Q D" {
				t.Errorf("%s: %v %v after %d attempts, known %v, events %q", h.Name(), o.Kind, o.Reason, o.Attempts, known, trace)
			}
		}
	})
}
