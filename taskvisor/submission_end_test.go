package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The successor of an owner that leaves while the shutdown is announced is rejected, and
// the shutdown does not wait for it. The locks hold both up: first the owner gives its
// slot away, then the shutdown rejects what waits, then the successor asks to be
// registered.
func TestSuccessorMeetsTheShutdown(t *testing.T) {
	sup, rec := newSup(t, taskvisor.WithGrace(5*time.Second))
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{})
	submit := func(name string, fn taskvisor.Func) *taskvisor.Handle {
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, fn)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	owner := submit("owner", func(context.Context) error { <-back; return nil })
	next := submit("next", noWork)
	eventually(t, "it runs", func() bool { return taskvisor.Active(owner) })
	locks := taskvisor.Locks(owner)
	locks["controller"].Lock()
	close(back)
	eventually(t, "its name is free", func() bool { _, taken := sup.Lookup("owner"); return !taken })
	begun := time.Now()
	result := make(chan error, 1)
	go func() { result <- sup.Shutdown(context.Background()) }()
	eventually(t, "it is announced", func() bool { return rec.Trace("") == "H" })
	<-time.After(10 * time.Millisecond) // both wait for the controller
	locks["registry"].Lock()
	locks["controller"].Unlock()
	<-time.After(20 * time.Millisecond)
	locks["registry"].Unlock()
	if err := <-result; err != nil || time.Since(begun) > 4*time.Second {
		t.Errorf("shutdown: %v after %v", err, time.Since(begun))
	}
	if o, known := next.Outcome(); !known || o.Reason != taskvisor.ErrShuttingDown {
		t.Errorf("the successor: %v, known %v", o.Reason, known)
	}
	if got := rec.Trace("next"); got != "U J" {
		t.Errorf("events of the successor: %s", got)
	}
}

// A submission that became no task leaves no dependency behind: the shutdown has no
// stages because of it.
func TestRefusedSubmissionsDependOnNothing(t *testing.T) {
	for name, policy := range map[string]taskvisor.Admission{"joined": taskvisor.Join, "busy": taskvisor.DropIfRunning, "queued": taskvisor.Queue, "replaced": taskvisor.Coalesce} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t)
				if err := sup.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
				addTo(t, sup, taskvisor.Restartable("database", taskvisortest.Script(taskvisortest.Block())))
				submit := func(name string, opts ...taskvisor.TaskOption) *taskvisor.Handle {
					h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: policy,
						Task: taskvisor.Once(name, taskvisortest.Script(taskvisortest.Block()), opts...)})
					if err != nil {
						t.Fatal(err)
					}
					return h
				}
				submit("owner")
				for i := range 3 {
					h := submit(nth("other", i), taskvisor.After("database"))
					if policy == taskvisor.Queue {
						h.Stop()
					}
				}
				if policy == taskvisor.Coalesce {
					submit("last") // takes the place of the one that waits
				}
				synctest.Wait()
				if err := sup.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				wantTrace(t, rec, "", "H V")
			})
		})
	}
}

// What is submitted before the start waits for it.
func TestSubmittedBeforeTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once("a", noWork)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantTrace(t, rec, "a", "U A")
		if st := h.Status(); st.Attempt != 0 || st.State != taskvisor.StatePending {
			t.Errorf("status %v, attempt %d", st.State, st.Attempt)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		outcomeOf(t, h)
		wantTrace(t, rec, "a", "U A S ✓ E D")
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A submission that is refused when its turn comes is out of the accounts: the bound on
// what may be registered is as it was.
func TestRefusedSuccessorsDoNotCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxRegistered(4))
		holder := addTo(t, sup, taskvisor.Once("taken", runsUntilStopped()))
		for range 5 {
			for _, name := range []string{"owner", "taken", "taken"} {
				_, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, worksFor(time.Second))})
				if err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		for i := range 3 {
			addTo(t, sup, taskvisor.Once(nth("more", i), runsUntilStopped()))
		}
		if _, err := sup.Add(context.Background(), taskvisor.Once("one too many", noWork)); !errors.Is(err, taskvisor.ErrTooManyTasks) {
			t.Errorf("the fifth: %v", err)
		}
		holder.Stop()
		synctest.Wait()
		addTo(t, sup, taskvisor.Once("fits", noWork))
	})
}

// A rejected submission whose handle is kept keeps neither its work nor its values.
func TestRejectedSubmissionKeepsNothing(t *testing.T) {
	sup := newSupervisor(t)
	submit := func(fn taskvisor.Func) *taskvisor.Handle {
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: taskvisor.DropIfRunning, Task: taskvisor.Once("a", fn)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	submit(idle)
	load := &heavyError{}
	heavy := weak.Make(load)
	rejected := submit(func(context.Context) error { return load })
	eventually(t, "its work is garbage", func() bool { runtime.GC(); return heavy.Value() == nil })
	if o, known := rejected.Outcome(); !known || o.Reason != taskvisor.ErrSlotBusy {
		t.Errorf("outcome %v, known %v", o.Reason, known)
	}
}

// Stages follow the longest way, in whichever order the dependencies were given, and
// tasks that have ended make none.
func TestStagesFollowTheLongestWay(t *testing.T) {
	for name, after := range map[string][]string{"far first": {"database", "worker"}, "near first": {"worker", "database"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t)
				until := func(name string, opts ...taskvisor.TaskOption) taskvisor.TaskSpec {
					return taskvisor.Restartable(name, runsUntilStopped(), opts...)
				}
				specs := []taskvisor.TaskSpec{until("database"), until("worker", taskvisor.After("database")), until("server", taskvisor.After(after...))}
				if name == "near first" {
					specs[1], specs[2] = specs[2], specs[1]
				}
				hs, err := sup.AddAll(context.Background(), specs...)
				if err != nil {
					t.Fatal(err)
				}
				if err := sup.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				outcomeOf(t, addTo(t, sup, taskvisor.Once("migration", noWork, taskvisor.After("server")))) // leaves no stage behind
				synctest.Wait()
				if err := sup.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				wantTrace(t, rec, "", "H L L L V")
				var order []string
				for _, e := range rec.Events() {
					if e.Kind == taskvisor.TaskRemoved && e.Task != "migration" {
						order = append(order, e.Task)
					}
				}
				if want := []string{"server", "worker", "database"}; !slices.Equal(order, want) || len(hs) != 3 {
					t.Errorf("ended %q, want %q", order, want)
				}
			})
		})
	}
}

// whyCtx is a context of the user's own that ends, and then panics when it is asked why.
type whyCtx struct {
	context.Context
	done chan struct{}
}

func (c *whyCtx) Done() <-chan struct{} { return c.done }

func (c *whyCtx) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func (c *whyCtx) Value(any) any {
	if c.Err() != nil {
		panic("odd context")
	}
	return nil
}

// A context that panics when it is asked why it ended ends the supervisor as any other.
func TestContextOfStartThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t)
		ctx := &whyCtx{context.Background(), make(chan struct{})}
		if err := sup.Start(ctx); err != nil {
			t.Fatal(err)
		}
		close(ctx.done)
		<-sup.Done()
		wantTrace(t, rec, "", "H V")
	})
}

// What a supervisor says of itself reaches queued subscribers at once, although no task
// says anything.
func TestDiagnosticsReachQueuedSubscribersAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		reported := 0
		bad := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskRemoved {
				time.Sleep(time.Second) // by then the other waits for more
				panic(errBoom)
			}
		})
		good := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == taskvisor.SubscriberPanicked {
				reported++
			}
		})
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(good), taskvisor.WithSubscriber(bad))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", noWork)))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if reported != 1 {
			t.Errorf("%d reports have come", reported)
		}
	})
}

// Run names the failure of an essential task once, whether it was given to it or not.
func TestEssentialFailureIsNamedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t)
		err := sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error { return errBoom }, taskvisor.WithEssential()))
		if n := strings.Count(fmt.Sprint(err), errBoom.Error()); n != 1 || !errors.Is(err, errBoom) {
			t.Errorf("named %d times: %v", n, err)
		}
	})
}

// The cause of a stop stands on its event, and the outcome unwraps to it, also where the
// stop comes before the task: of a submission that waits, and before TaskAdded.
func TestCauseOfAnEarlyStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded && e.Task == "first" {
				h, _ := sup.Lookup("not announced")
				h.StopFor(errWhy)
			}
		})))
		submit := func(name string) *taskvisor.Handle {
			h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once(name, idle)})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		submit("owner")
		queued := submit("queued")
		if !queued.StopFor(errWhy) || queued.StopFor(errBoom) {
			t.Error("the first claims, and no other")
		}
		batch, err := sup.AddAll(context.Background(), taskvisor.Once("first", idle), taskvisor.Once("not announced", idle))
		if err != nil {
			t.Fatal(err)
		}
		for h, want := range map[*taskvisor.Handle]string{queued: "U J", batch[1]: "A Q D"} {
			isAll(t, h.Name(), outcomeOf(t, h).Err, taskvisor.ErrRemoved, errWhy)
			wantTrace(t, rec, h.Name(), want)
			for _, e := range rec.Events(h.Name()) {
				if e.Kind == taskvisor.ControllerRejected || e.Kind == taskvisor.TaskRemoveRequested {
					isAll(t, e.Kind.String(), e.Err, errWhy)
					same(t, "reason", e.Reason, taskvisor.ErrRemoved)
				}
			}
		}
	})
}
