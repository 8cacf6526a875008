package taskvisor_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Times are those of the wall clock as it is when they are shown: one that was set since
// the supervisor was made moves no deadline, outcome, status or event. Times of a bubble
// have no monotonic reading, so this is none.
func TestTimesWhenTheWallClockWasSet(t *testing.T) {
	for _, step := range []time.Duration{-8 * time.Hour, 8 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			sup, rec := newSup(t)
			taskvisor.SetWallClock(sup, step)
			// is says where at lies by the wall clock alone.
			is := func(what string, at time.Time, want time.Duration) {
				t.Helper()
				if d := at.Round(0).Sub(time.Now().Round(0)); d < want-time.Hour || d > want+time.Hour {
					t.Errorf("%s: %v from now, want about %v", what, d, want)
				}
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			fail := make(chan struct{})
			h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
				d, _ := ctx.Deadline()
				is("deadline", d, 4*time.Hour)
				a, _ := taskvisor.FromContext(ctx)
				is("attempt", a.Started, 0)
				<-fail
				return errBoom
			}, taskvisor.WithTimeout(4*time.Hour), taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(2*time.Hour)))
			eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
			st := h.Status()
			is("added", st.Added, 0)
			is("running since", st.Since, 0)
			is("start of the attempt", st.AttemptStart, 0)
			close(fail)
			eventually(t, "it waits", func() bool { return h.Status().State == taskvisor.StateBackoff })
			is("next start", h.Status().NextStart, 2*time.Hour)
			h.RunNow(nil)
			o, err := h.Wait(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			is("started", o.Started, 0)
			is("ended", o.Ended, 0)
			hangs := make(chan struct{})
			h = addTo(t, sup, taskvisor.Once("b", stubborn(hangs), taskvisor.WithGrace(6*time.Hour)))
			eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
			h.Stop()
			is("end of the grace", h.Status().StopBy, 6*time.Hour)
			taskvisor.GiveUp(h)
			o, _ = h.Outcome()
			is("abandoned", o.Ended, 0)
			close(hangs)
			<-h.Returned()
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			for _, ended := range sup.Snapshot().Recent {
				is(ended.Name+" was added", ended.Added, 0)
				is(ended.Name+" started", ended.Started, 0)
				is(ended.Name+" ended", ended.Ended, 0)
			}
			for _, e := range rec.Events() {
				is(e.Kind.String(), e.Time, 0)
			}
		})
	}
}

// The events of a task are in the order of their times, whoever brings them about at the
// same time: a clock that was read before the task's lock was taken would be behind.
func TestEventsAreInTheOrderOfTheirTimesConcurrentSafe(t *testing.T) {
	sup, rec := newSup(t)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	h := addTo(t, sup, taskvisor.Restartable("a", untilDone, taskvisor.WithoutRestartFloor()))
	var steering group
	for range 4 * runtime.GOMAXPROCS(0) {
		steering.Go(func() {
			for range 1000 {
				h.Interrupt(nil)
				h.Pause(nil)
				h.RunNow(nil)
				h.Resume(nil)
			}
		})
	}
	steering.Wait()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	events := rec.Events("a")
	for i, e := range events[1:] {
		if e.Seq <= events[i].Seq || e.Time.Before(events[i].Time) {
			t.Fatalf("%v is %v before %v", e, events[i].Time.Sub(e.Time), events[i])
		}
	}
	if len(events) < 4000 {
		t.Errorf("only %d events", len(events))
	}
}
