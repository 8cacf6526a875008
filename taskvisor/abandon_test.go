package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// An individually stopped body that outlives its grace is abandoned while the
// supervisor lives on: who waits is told, what it holds stays taken until it
// returns.
func TestAbandonedWhileLifeGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second), taskvisor.WithMaxConcurrent(1))
		release := make(chan struct{})
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("a", stubborn(release)), Slot: "slot"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		o, err := h.Cancel(context.Background())
		if err != nil || time.Since(begun) != time.Second {
			t.Errorf("Cancel: %v after %v", err, time.Since(begun))
		}
		var late *taskvisor.GraceExceededError
		if o.Kind != taskvisor.OutcomeAbandoned || o.Reason != taskvisor.ErrRemoved || o.Attempts != 1 || !errors.As(o.Err, &late) {
			t.Fatalf("outcome %+v", o)
		}
		if len(late.Tasks) != 1 || late.Tasks[0].ID != h.ID() || late.Tasks[0].Attempt != 1 || late.Grace != time.Second || !late.Tasks[0].Since.Equal(begun) {
			t.Errorf("error %+v", late)
		}
		synctest.Wait() // the outcome does not wait for the stack
		if o, _ := h.Outcome(); !strings.Contains(o.Stack, "stubborn") || !strings.Contains(h.Status().Stack, "stubborn") {
			t.Errorf("stack %q, status %q: want the body's", o.Stack, h.Status().Stack)
		}

		// Name, permit and slot are taken; the task is listed, and not alive.
		if l := sup.List(); len(l) != 1 || l[0] != h || h.Status().State != taskvisor.StateAbandoned || sup.Alive("a") || sup.Count(taskvisor.StateAbandoned) != 1 {
			t.Errorf("list %v, state %v, alive %v", l, h.Status().State, sup.Alive("a"))
		}
		_, err = sup.Add(context.Background(), taskvisor.Once("a", idle))
		wantErr(t, err, taskvisor.ErrTaskExists)
		next := addTo(t, sup, taskvisor.Once("next", taskvisortest.Script(taskvisortest.Succeed())))
		queued, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("queued", taskvisortest.Script(taskvisortest.Succeed())), Slot: "slot"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		wantTrace(t, rec, "next", "A")
		wantTrace(t, rec, "queued", "U")
		if sn := sup.Snapshot(); sn.InUse != 1 || sn.Started != 1 || sn.Ended != 0 {
			t.Errorf("%d permits in use, %d started, %d ended", sn.InUse, sn.Started, sn.Ended)
		}
		close(release)
		outcomeOf(t, next)
		outcomeOf(t, queued)
		wantTrace(t, rec, "a", "U A S Q N F ✓ R D")
		wantTrace(t, rec, "queued", "U A S ✓ E D")
		events := rec.Events("a")
		if r := events[len(events)-2]; r.Kind != taskvisor.TaskReturned || r.Duration != time.Hour {
			t.Errorf("%v, want its return an hour after it was abandoned", r)
		}
		if again, _ := h.Outcome(); again.Kind != taskvisor.OutcomeAbandoned || again.Err != o.Err || again.Ended != o.Ended {
			t.Errorf("the outcome was %+v and is %+v", o, again)
		}
		if h.Stop() {
			t.Error("Stop claimed it a second time")
		}
	})
}

// What an abandoned body returns in the end is on its event, as for any stop.
func TestAbandonedReturnsLate(t *testing.T) {
	for name, tt := range map[string]struct {
		end  taskvisortest.Step
		want string
	}{
		"nil":   {taskvisortest.Succeed(), "A S Q N ✓ R D"},
		"error": {taskvisortest.Fail(errBoom), "A S Q N C R D"},
		"panic": {taskvisortest.Panic("x"), "A S Q N ✗ R D"},
		"exit":  {taskvisortest.Goexit(), "A S Q N ✗ R D"},
		"fatal": {taskvisortest.Fail(taskvisor.Fatal(errBoom)), "A S Q N ✗ R D"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
				end := taskvisortest.Script(tt.end)
				h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
					time.Sleep(time.Minute)
					return end(ctx)
				}))
				synctest.Wait()
				if o, err := h.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
					t.Errorf("Cancel: %v, %v", o.Kind, err)
				}
				time.Sleep(time.Hour)
				wantTrace(t, rec, "a", tt.want)
				if o := rec.Events("a")[len(rec.Events("a"))-1]; o.Outcome != taskvisor.OutcomeAbandoned {
					t.Errorf("TaskRemoved says %v", o)
				}
			})
		})
	}
}

// An abandoned body does not keep Run alive, and its verdict names it.
func TestNaturalEndWithAnAbandonedBody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithGrace(time.Second))
		release := make(chan struct{})
		begun := time.Now()
		err := sup.Run(context.Background(),
			taskvisor.Once("a", stubborn(release)),
			taskvisor.Once("stopper", func(context.Context) error {
				time.Sleep(time.Minute)
				h, _ := sup.Lookup("a")
				h.Stop()
				return nil
			}))
		if got := time.Since(begun); got != time.Minute+time.Second {
			t.Errorf("Run took %v", got)
		}
		var late *taskvisor.GraceExceededError
		if !errors.As(err, &late) || len(late.Tasks) != 1 || late.Tasks[0].Name != "a" || !strings.Contains(late.Tasks[0].Stack, "stubborn") {
			t.Errorf("Run: %v", err)
		}
		wantTrace(t, rec, "a", "A S Q N")
		wantTrace(t, rec, "", "G")
		close(release)
	})
}

// A body that came back before the end is history.
func TestNaturalEndAfterAnAbandonedBodyReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithGrace(time.Second))
		err := sup.Run(context.Background(),
			taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(time.Minute))),
			taskvisor.Once("stopper", func(context.Context) error {
				h, _ := sup.Lookup("a")
				h.Stop()
				time.Sleep(time.Hour)
				return nil
			}))
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		wantTrace(t, rec, "", "V")
	})
}

// WithReleaseOnAbandon frees name, permit and slot at once; the body's own end
// is still told.
func TestReleaseOnAbandon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second), taskvisor.WithMaxConcurrent(1))
		release := make(chan struct{})
		submit := func(fn taskvisor.Func) *taskvisor.Handle {
			h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("a", fn, taskvisor.WithReleaseOnAbandon()), Slot: "slot"})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		h := submit(stubborn(release))
		synctest.Wait()
		if o, err := h.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
			t.Errorf("Cancel: %+v, %v", o, err)
		}
		synctest.Wait()
		if o, _ := h.Outcome(); !strings.Contains(o.Stack, "stubborn") {
			t.Errorf("stack %q", o.Stack)
		}
		if _, ok := sup.Lookup("a"); ok || len(sup.List()) != 0 {
			t.Error("the released task is still registered")
		}
		second := submit(taskvisortest.Script(taskvisortest.Succeed()))
		if o := outcomeOf(t, second); o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("the next in its place: %v", o.Kind)
		}
		close(release)
		synctest.Wait()
		var first string
		for _, e := range rec.Events("a") {
			if e.TaskID == h.ID() {
				first += e.Kind.String() + " "
			}
		}
		want := "controller_submitted task_added task_starting task_remove_requested task_abandoned task_removed body_returned "
		if first != want {
			t.Errorf("events %s, want %s", first, want)
		}
		if sn := sup.Snapshot(); sn.Started != 2 || sn.Ended != 2 || sn.Added != 2 || sn.Removed != 2 || sn.InUse != 0 {
			t.Errorf("snapshot %+v", sn)
		}
	})
}

// A released body that still runs at the end is named like any other: nothing
// remains that the error does not name.
func TestReleasedBodyIsNamedAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		release := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(release), taskvisor.WithReleaseOnAbandon()))
		synctest.Wait()
		if _, err := h.Cancel(context.Background()); err != nil {
			t.Fatal(err)
		}
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != 1 || late.Tasks[0].ID != h.ID() || !strings.Contains(late.Tasks[0].Stack, "stubborn") {
			t.Errorf("Shutdown: %v", err)
		}
		wantTrace(t, rec, "", "H G")
		close(release)
	})
}

// A shutdown's list is sorted, complete and exact: whoever is still running,
// whenever it was stopped, and nobody else.
func TestVerdictListsAllThatRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(10*time.Second))
		release := make(chan struct{})
		var want []taskvisor.TaskID
		var handles []*taskvisor.Handle
		for _, name := range []string{"z", "m", "a", "q"} {
			h := addTo(t, sup, taskvisor.Once(name, stubborn(release)))
			handles = append(handles, h)
			want = append(want, h.ID())
			addTo(t, sup, taskvisor.Once("good "+name, idle))
		}
		back := addTo(t, sup, taskvisor.Once("back", taskvisortest.Script(taskvisortest.Ignore(time.Hour))))
		synctest.Wait()
		handles[2].Stop() // abandoned before the shutdown
		back.Stop()
		time.Sleep(2 * time.Hour)
		handles[1].Stop() // stopped before it, abandoned during it
		time.Sleep(time.Second)
		stopped := time.Now()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != len(want) {
			t.Fatalf("Shutdown: %v", err)
		}
		for i, st := range late.Tasks {
			if st.ID != want[i] || st.Name != handles[i].Name() || st.Attempt != 1 || !strings.Contains(st.Stack, "stubborn") {
				t.Errorf("entry %d is %+v", i, st)
			}
			if !strings.Contains(late.Error(), st.Name) {
				t.Errorf("%q does not name %q", late.Error(), st.Name)
			}
		}
		if !late.Tasks[0].Since.Equal(stopped) {
			t.Errorf("since %v, want the stop at %v", late.Tasks[0].Since, stopped)
		}
		wantTrace(t, rec, "m", "A S Q K N")
		wantTrace(t, rec, "z", "A S K N")
		wantTrace(t, rec, "back", "A S Q K N ✓ R D")
		close(release)
	})
}

// However many bodies remain, the error's text names 32 of them, and what becomes of each
// when it is back does not take longer beside the others.
func TestManyAreAbandoned(t *testing.T) {
	const n, each = 1000, 32 << 10
	bubble(t, func(t *testing.T) {
		sup, err := taskvisor.New(taskvisor.WithGrace(time.Second), taskvisor.WithSubscriber(taskvisor.Discard))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		for i := range n {
			addTo(t, sup, taskvisor.Once(fmt.Sprintf("task-%04d", i), stubborn(release)))
		}
		synctest.Wait()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != n {
			t.Fatalf("Shutdown: %.200s", err)
		}
		text := late.Error()
		if !strings.Contains(text, "task-0031") || strings.Contains(text, "task-0032") || !strings.HasSuffix(text, ", and 968 more") {
			t.Errorf("%d bytes: %.200s … %s", len(text), text, text[max(0, len(text)-200):])
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		close(release)
		synctest.Wait()
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / n; took > each {
			t.Errorf("a return beside %d others took %d bytes", n, took)
		}
	})
}

// The stack that is reported is that of the task's goroutines, its children's
// included, and of nobody else's.
func TestStacksAreTheTasksOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		release := make(chan struct{})
		addTo(t, sup, taskvisor.Once("parent", func(ctx context.Context) error {
			taskvisor.Go(ctx, func(context.Context) { childBlocks(release) })
			return bodyBlocks(release)
		}))
		addTo(t, sup, taskvisor.Once("other", stubborn(release)))
		synctest.Wait()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || len(late.Tasks) != 2 {
			t.Fatalf("Shutdown: %v", err)
		}
		for i, want := range []map[string]bool{
			{"bodyBlocks": true, "childBlocks": true, "stubborn": false, "TestStacksAreTheTasksOwn(": false},
			{"bodyBlocks": false, "childBlocks": false, "stubborn": true},
		} {
			for frame, there := range want {
				if got := strings.Contains(late.Tasks[i].Stack, frame); got != there {
					t.Errorf("%s in the stack of %q: %v, want %v:\n%s", frame, late.Tasks[i].Name, got, there, late.Tasks[i].Stack)
				}
			}
		}
		close(release)
	})
}

// So is the stack of one that is abandoned while others run.
func TestStackOfAnIndividualStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		release := make(chan struct{})
		for _, fn := range []taskvisor.Func{stubborn(release), idle} {
			addTo(t, sup, taskvisor.Once(fmt.Sprintf("%p", fn), fn))
		}
		h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { return bodyBlocks(release) }))
		synctest.Wait()
		_, err := h.Cancel(context.Background())
		synctest.Wait()
		o, _ := h.Outcome()
		if err != nil || !strings.Contains(o.Stack, "bodyBlocks") || strings.Contains(o.Stack, "stubborn") || strings.Contains(o.Stack, "idle") {
			t.Errorf("Cancel: %v, stack %s", err, o.Stack)
		}
		close(release)
		synctest.Wait() // it is back before the shutdown
	})
}

//go:noinline
func bodyBlocks(release <-chan struct{}) error { <-release; return nil }

//go:noinline
func childBlocks(release <-chan struct{}) { <-release }

// What the snapshot shows of an abandoned task that ended is its outcome, not what its
// body returned later.
func TestEndedShowsWhyItWasAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { time.Sleep(time.Minute); return errBoom }, taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		h.Stop()
		<-h.Returned()
		synctest.Wait()
		ended := sup.Snapshot().Recent
		if len(ended) != 1 || ended[0].Outcome != taskvisor.OutcomeAbandoned || !strings.Contains(ended[0].Error, "grace") {
			t.Errorf("%+v", ended)
		}
	})
}
