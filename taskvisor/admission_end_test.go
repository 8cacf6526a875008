package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// An owner that still waited for a permit leaves its place to its replacement,
// however often that happens.
func TestReplaceInheritsThePlaceForAPermit(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		ctx := context.Background()
		r.sup.Add(ctx, taskvisor.Once("holder", worksFor(time.Minute)))
		r.submit("rev1", asQueue, worksFor(time.Second))
		r.sup.Add(ctx, taskvisor.Once("behind", worksFor(time.Second)))
		r.settle()
		for i := range 3 {
			r.submit(nth("rev", i+2), asReplace, worksFor(time.Second))
			r.settle()
		}
		time.Sleep(time.Hour)
		var starts []string
		for _, e := range r.rec.Events() {
			if e.Kind == taskvisor.TaskStarting {
				starts = append(starts, e.Task)
			}
		}
		if got, want := strings.Join(starts, " "), "holder rev4 behind"; got != want {
			t.Errorf("started %q, want %q", got, want)
		}
		r.trace("rev2", "U A Q D")
		if used := r.sup.Snapshot().InUse; used != 0 {
			t.Errorf("%d permits in use when nothing runs", used)
		}
	}, taskvisor.WithMaxConcurrent(1))
}

// A replacement that is stopped, or refused, before its turn gives the inherited
// place up, also if it has not come to ask, and one that is paused takes none: who is
// behind starts, and the permit is not lost.
func TestInheritedPlaceIsGivenUp(t *testing.T) {
	for _, how := range []string{"stopped", "refused", "delayed", "paused"} {
		t.Run(how, func(t *testing.T) {
			inSlotRig(t, func(r *slotRig) {
				ctx := context.Background()
				r.sup.Add(ctx, taskvisor.Once("holder", worksFor(time.Minute)))
				r.submit("rev1", asQueue, runsUntilStopped())
				behind, _ := r.sup.Add(ctx, taskvisor.Once("behind", worksFor(time.Second)))
				r.settle()
				name := "rev2"
				if how == "refused" {
					name = "holder" // in use
				}
				var opts []taskvisor.TaskOption
				switch how {
				case "delayed":
					opts = append(opts, taskvisor.WithInitialDelay(time.Hour, time.Hour))
				case "paused":
					opts = append(opts, taskvisor.WithStartPaused())
				}
				h := r.submit(name, asReplace, runsUntilStopped(), opts...)
				r.settle()
				switch how {
				case "stopped", "delayed":
					h.Stop()
				case "refused":
					r.rejected(h, taskvisor.ErrTaskExists)
				}
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				if o, known := behind.Outcome(); !known || o.Kind != taskvisor.OutcomeCompleted {
					t.Errorf("behind: %v %v", behind.Status().State, o.Kind)
				}
				if used := r.sup.Snapshot().InUse; used != 0 {
					t.Errorf("%d permits in use when nothing runs", used)
				}
			}, taskvisor.WithMaxConcurrent(1))
		})
	}
}

// Only the one that replaces inherits: who merely comes next takes its turn behind those
// that wait for a permit already.
func TestSuccessorInheritsNoPlaceForAPermit(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		ctx := context.Background()
		r.sup.Add(ctx, taskvisor.Once("holder", worksFor(time.Minute)))
		owner := r.submit("owner", asQueue, worksFor(time.Second))
		r.sup.Add(ctx, taskvisor.Once("behind", worksFor(time.Second)))
		r.settle()
		r.submit("next", asQueue, worksFor(time.Second))
		owner.Stop()
		time.Sleep(time.Hour)
		var starts []string
		for _, e := range r.rec.Events() {
			if e.Kind == taskvisor.TaskStarting {
				starts = append(starts, e.Task)
			}
		}
		if got, want := strings.Join(starts, " "), "holder behind next"; got != want {
			t.Errorf("started %q, want %q", got, want)
		}
	}, taskvisor.WithMaxConcurrent(1))
}

func TestStopOfAWaitingSubmission(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		r.submit("owner", asQueue, worksFor(time.Minute))
		a, b := r.submit("a", asQueue, worksFor(time.Second)), r.submit("b", asQueue, worksFor(time.Second))
		if !a.Stop() || a.Stop() {
			t.Error("the first Stop claims, and no other")
		}
		r.rejected(a, taskvisor.ErrRemoved)
		r.trace("a", "U J")
		if o, err := b.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeRejected {
			t.Errorf("Cancel of a waiting submission: %v, %v", o.Kind, err)
		}
		if st := r.slot(); st.Queued != 0 || !st.Oldest.IsZero() {
			t.Errorf("slot %+v", st)
		}
	})
}

func TestStopSlot(t *testing.T) {
	for _, purge := range []bool{false, true} {
		t.Run(map[bool]string{false: "next starts", true: "purged"}[purge], func(t *testing.T) {
			inSlotRig(t, func(r *slotRig) {
				if r.sup.StopSlot("s", purge) {
					t.Error("an idle slot was stopped")
				}
				owner := r.submit("owner", asQueue, ignoresFor(time.Second))
				a, b := r.submit("a", asQueue, runsUntilStopped()), r.submit("b", asCoalesce, runsUntilStopped())
				r.settle()
				if !r.sup.StopSlot("s", purge) {
					t.Error("nothing was stopped")
				}
				time.Sleep(time.Second)
				r.settle()
				if o, _ := owner.Outcome(); o.Kind != taskvisor.OutcomeCanceled || o.Reason != taskvisor.ErrRemoved {
					t.Errorf("owner: %v %v", o.Kind, o.Reason)
				}
				if !purge {
					if a.Status().State != taskvisor.StateRunning || r.slot().Queued != 1 {
						t.Errorf("a is %v, %d wait", a.Status().State, r.slot().Queued)
					}
					return
				}
				r.rejected(a, taskvisor.ErrRemoved)
				r.rejected(b, taskvisor.ErrRemoved)
				if ea, eb := r.rec.Events("a"), r.rec.Events("b"); ea[len(ea)-1].Seq > eb[len(eb)-1].Seq {
					t.Error("b was rejected before a, which waited longer")
				}
				if len(r.sup.Snapshot().Slots) != 0 {
					t.Error("the slot has an owner")
				}
			})
		})
	}
}

// StopSlot with purge also finds something to do where the owner is stopped
// already and only the queue is left, and nothing where nothing is left.
func TestStopSlotOfAStoppedOwner(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		ownerIn["stopping"](r)
		a := r.submit("a", asQueue, runsUntilStopped())
		if r.sup.StopSlot("s", false) {
			t.Error("stopped twice")
		}
		if !r.sup.StopSlot("s", true) || r.sup.StopSlot("s", true) {
			t.Error("the queue is purged once")
		}
		r.rejected(a, taskvisor.ErrRemoved)
	})
}

// The registry's refusal of a name frees the slot at once, and the next starts.
func TestDuplicateNameFreesTheSlot(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		if _, err := r.sup.Add(context.Background(), taskvisor.Once("taken", runsUntilStopped())); err != nil {
			t.Fatal(err)
		}
		r.settle() // its events come first
		now := r.submit("taken", asQueue, runsUntilStopped())
		r.rejected(now, taskvisor.ErrTaskExists)
		if v := r.rec.Events("taken"); v[len(v)-2].Verdict != taskvisor.VerdictRejected || v[len(v)-1].Slot != "s" {
			t.Errorf("announced as %v", v)
		}
		r.submit("owner", asQueue, worksFor(time.Second))
		later, next := r.submit("taken", asQueue, runsUntilStopped()), r.submit("next", asQueue, runsUntilStopped())
		time.Sleep(time.Second)
		r.settle()
		r.rejected(later, taskvisor.ErrTaskExists)
		if got := next.Status().State; got != taskvisor.StateRunning {
			t.Errorf("next is %v", got)
		}
		for _, e := range r.rec.Events("taken") {
			if e.Kind == taskvisor.TaskAddFailed {
				t.Errorf("a refused submission has its own event: %v", e)
			}
		}
		if got, want := r.moves(), "idle admitting running admitting admitting running"; got != want {
			t.Errorf("slot went %q, want %q", got, want)
		}
	})
}

// Without a key the slot is the task's name.
func TestDefaultSlot(t *testing.T) {
	inSlotRig(t, func(r *slotRig) {
		submit := func(name string) *taskvisor.Handle {
			h, err := r.sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, worksFor(time.Second))})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		submit("a")
		second := submit("a")
		submit("b")
		r.settle()
		if sn := r.sup.Snapshot(); len(sn.Slots) != 2 || sn.Slots[0].Key != "a" || sn.Slots[0].Queued != 1 || sn.Slots[1].Key != "b" {
			t.Errorf("slots %+v", sn.Slots)
		}
		time.Sleep(2 * time.Second)
		r.settle()
		if o, known := second.Outcome(); !known || o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("the second of a name: %v", o.Kind)
		}
	})
}

func TestSubmitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		ended, cancel := context.WithCancelCause(ctx)
		cancel(errBoom)
		good := taskvisor.Submission{Task: taskvisor.Once("a", runsUntilStopped())}
		rec := &taskvisortest.Recorder{}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(rec))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(ctx context.Context, s taskvisor.Submission, want error, text string) {
			t.Helper()
			h, err := sup.Submit(ctx, s)
			if h != nil || err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
				t.Errorf("Submit: %v, %v; want %v, %q", h, err, want, text)
			}
			var call *taskvisor.TaskError
			if !errors.As(err, &call) || call.Op != "submit" {
				t.Errorf("%#v", err)
			}
		}
		if err := sup.Start(ctx); err != nil {
			t.Fatal(err)
		}
		refused(ended, good, errBoom, `"a"`)
		refused(ctx, taskvisor.Submission{}, nil, "empty spec")
		refused(ctx, taskvisor.Submission{Task: good.Task, Slot: "a\nb"}, nil, `slot "a\nb" has a control character`)
		refused(ctx, taskvisor.Submission{Task: good.Task, Slot: strings.Repeat("x", 1025)}, nil, "longer than 1024")
		refused(ctx, taskvisor.Submission{Task: taskvisor.Once("", runsUntilStopped()), Slot: "s"}, nil, "empty name")
		refused(ctx, taskvisor.Submission{Task: good.Task, Admission: 17}, nil, "unknown admission 17")
		refused(ctx, taskvisor.Submission{Task: taskvisor.Once("a", runsUntilStopped(), taskvisor.WithTimeout(-1))}, nil, "timeout")
		if err := sup.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		refused(ctx, good, taskvisor.ErrShuttingDown, `"a"`)
		if sn := sup.Snapshot(); sn.Submitted != 0 || len(sn.Slots) != 0 {
			t.Errorf("refused calls left %d submissions, %d slots", sn.Submitted, len(sn.Slots))
		}
		if got := rec.Trace("a"); got != "" {
			t.Errorf("refused calls published %q", got)
		}
	})
}

// A shutdown rejects what waits, after it was announced and before it stops
// anything.
func TestShutdownRejectsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		r := &slotRig{t: t, sup: sup, rec: rec}
		r.submit("owner", asQueue, runsUntilStopped())
		a, b := r.submit("a", asQueue, runsUntilStopped()), r.submit("b", asCoalesce, runsUntilStopped())
		c := r.submit("c@other", asReplace, runsUntilStopped())
		d := r.submit("d@other", asReplace, runsUntilStopped())
		r.settle()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		r.rejected(a, taskvisor.ErrShuttingDown)
		r.rejected(b, taskvisor.ErrShuttingDown)
		if o, _ := c.Outcome(); o.Reason != taskvisor.ErrReplaced {
			t.Errorf("c: %v", o.Reason)
		}
		if o, _ := d.Outcome(); o.Reason != taskvisor.ErrShutdown {
			t.Errorf("d: %v", o.Reason)
		}
		requested, rejections, stops := -1, 0, 0
		for i, e := range rec.Events() {
			switch {
			case e.Kind == taskvisor.ShutdownRequested:
				requested = i
			case e.Kind == taskvisor.ControllerRejected:
				if rejections++; requested < 0 || stops > 0 {
					t.Errorf("rejection out of order: %v", e)
				}
			case e.Kind == taskvisor.TaskCanceled && requested >= 0:
				stops++
			}
		}
		if rejections != 2 || stops != 2 {
			t.Errorf("%d rejections, %d stops", rejections, stops)
		}
		r.checkSlots()
		r.checkAnnouncements()
		checkConservation(t, sup.Snapshot())
	})
}

// Nothing is rejected because of a shutdown that was not announced yet, even if
// an owner asks for it and ends at once. One processor makes it likely that
// the owner's end overtakes the shutdown.
func TestShutdownIsAnnouncedBeforeItRejects(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			sup, rec := taskvisortest.Start(t)
			r := &slotRig{t: t, sup: sup, rec: rec}
			h := r.submit("owner", asQueue, func(ctx context.Context) error {
				time.Sleep(time.Second)
				return sup.Shutdown(ctx)
			}, taskvisor.RestartNever())
			a := r.submit("a", asQueue, runsUntilStopped())
			<-h.Done()
			<-sup.Done()
			r.rejected(a, taskvisor.ErrShuttingDown)
			announced := false
			for _, e := range rec.Events() {
				announced = announced || e.Kind == taskvisor.ShutdownRequested
				if e.Kind == taskvisor.ControllerRejected && !announced {
					t.Errorf("rejected before the shutdown was announced: %v", e)
				}
			}
		})
	}
}

// Run ends when every slot is quiet: what waits for one is work too (D5).
func TestRunEndsWhenSlotsAreQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &taskvisortest.Recorder{}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(rec))
		if err != nil {
			t.Fatal(err)
		}
		var handles []*taskvisor.Handle
		err = sup.Run(context.Background(), taskvisor.Once("feeder", func(ctx context.Context) error {
			for i := range 50 {
				h, err := sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once(nth("job", i), worksFor(time.Second)), Slot: nth("s", i%3)})
				if err != nil {
					return err
				}
				handles = append(handles, h)
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		for _, h := range handles {
			if o, known := h.Outcome(); !known || o.Kind != taskvisor.OutcomeCompleted {
				t.Errorf("%s: %v %v, known %v", h.Name(), o.Kind, o.Reason, known)
			}
		}
		if sn := sup.Snapshot(); len(handles) != 50 || sn.FromSlots != 50 || len(sn.Slots) != 0 {
			t.Errorf("%d handles, %d admitted, %d slots", len(handles), sn.FromSlots, len(sn.Slots))
		}
		if got := rec.Trace(""); got != "V" {
			t.Errorf("the end was %q, want a natural one", got)
		}
		checkConservation(t, sup.Snapshot())
	})
}
