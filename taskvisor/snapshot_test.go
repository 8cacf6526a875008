package taskvisor_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Every state of a task, as the snapshot, the handle and the counts show it.
func TestSnapshotShowsEveryState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(3), taskvisor.WithGrace(time.Hour))
		time.Sleep(time.Second)
		zero := time.Now()
		release := make(chan struct{})
		backoff := addTo(t, sup, taskvisor.Restartable("backoff", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(errBoom))), taskvisor.ConstantBackoff(time.Hour)))
		waiting := addTo(t, sup, taskvisor.Periodic("waiting", time.Hour, taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed()))))
		time.Sleep(2 * time.Second)
		running := addTo(t, sup, taskvisor.Once("running", idle))
		stopping := addTo(t, sup, taskvisor.Once("stopping", stubborn(release)))
		abandoned := addTo(t, sup, taskvisor.Once("abandoned", stubborn(release), taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		pending := addTo(t, sup, taskvisor.Once("pending", idle))
		time.Sleep(time.Second)
		stopping.Stop()
		abandoned.Stop()
		time.Sleep(10 * time.Second)
		now := time.Now()
		finished := addTo(t, sup, taskvisor.Once("finished", idle))
		finished.Stop()
		synctest.Wait()

		sn := sup.Snapshot()
		at := func(d time.Duration) time.Time { return zero.Add(d) }
		for i, want := range []struct {
			h         *taskvisor.Handle
			state     taskvisor.State
			since     time.Time
			attempt   int
			started   time.Time
			streak    int
			nextStart time.Time
			delay     time.Duration
			alive     bool
			stuck     bool
		}{
			{backoff, taskvisor.StateBackoff, at(time.Second), 1, time.Time{}, 1, at(time.Second + time.Hour), time.Hour, true, false},
			{waiting, taskvisor.StateWaiting, at(time.Second), 1, time.Time{}, 0, at(time.Second + time.Hour), time.Hour, true, false},
			{running, taskvisor.StateRunning, at(2 * time.Second), 1, at(2 * time.Second), 0, time.Time{}, 0, true, false},
			{stopping, taskvisor.StateStopping, at(3 * time.Second), 1, at(2 * time.Second), 0, time.Time{}, 0, true, true},
			{abandoned, taskvisor.StateAbandoned, at(4 * time.Second), 1, at(2 * time.Second), 0, time.Time{}, 0, false, false},
			{pending, taskvisor.StatePending, at(2 * time.Second), 0, time.Time{}, 0, time.Time{}, 0, true, false},
		} {
			st := sn.Tasks[i]
			if st.ID != want.h.ID() || st.Name != want.h.Name() || st.State != want.state || !st.Since.Equal(want.since) {
				t.Errorf("entry %d: %d %q %v since %v, want %q %v since %v", i, st.ID, st.Name, st.State, st.Since.Sub(zero), want.h.Name(), want.state, want.since.Sub(zero))
			}
			if st.Attempt != want.attempt || !st.AttemptStart.Equal(want.started) || st.Streak != want.streak || !st.NextStart.Equal(want.nextStart) || st.Delay != want.delay || st.Stuck != want.stuck {
				t.Errorf("%s: %+v", st.Name, st)
			}
			events := rec.Events(st.Name)
			if st.Seq != events[len(events)-1].Seq {
				t.Errorf("%s: sequence number %d, its last event is %d", st.Name, st.Seq, events[len(events)-1].Seq)
			}
			if sup.Alive(st.Name) != want.alive || sup.Count(want.state) != 1 {
				t.Errorf("%s: alive %v, %d in state %v", st.Name, sup.Alive(st.Name), sup.Count(want.state), want.state)
			}
			if got := want.h.Status(); got.State != st.State || got.Seq != st.Seq || got.Spec.String() != st.Spec.String() {
				t.Errorf("Status says %+v, the snapshot %+v", got, st)
			}
		}
		if sn.Tasks[0].LastErr != errBoom || !sn.Tasks[1].LastSuccess.Equal(at(time.Second)) {
			t.Errorf("last error %v, last success %v", sn.Tasks[0].LastErr, sn.Tasks[1].LastSuccess.Sub(zero))
		}
		if len(sn.Tasks) != 6 || sn.Added != 7 || sn.Removed != 1 || sn.Started != 5 || sn.Ended != 2 || sn.InUse != 3 || !sn.Time.Equal(now) || sn.Seq != uint64(len(rec.Events())) {
			t.Errorf("snapshot %+v", sn)
		}
		if sup.Alive("finished") || finished.Status().State != taskvisor.StateFinished || sup.Alive("unknown") {
			t.Errorf("finished: %v, alive %v", finished.Status().State, sup.Alive("finished"))
		}
		close(release)
		synctest.Wait() // they are back before the shutdown
	})
}

// The policy in force is data, not only what was said.
func TestSnapshotShowsTheEffectivePolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithTaskDefaults(taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(7)))
		addTo(t, sup, taskvisor.Restartable("a", idle, taskvisor.WithMaxRetries(2)))
		spec := sup.Snapshot().Tasks[0].Spec
		d, limited := spec.Timeout()
		n, bounded := spec.MaxRetries()
		if d != time.Minute || !limited || n != 2 || !bounded || spec.Backoff() != taskvisor.ExponentialBackoff(200*time.Millisecond, 30*time.Second) {
			t.Errorf("policy %s", spec)
		}
	})
}

func TestSnapshotOfTheSupervisor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, err := taskvisor.New(taskvisor.WithName("named"), taskvisor.WithGrace(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		state := func(want taskvisor.SupervisorState) taskvisor.Snapshot {
			t.Helper()
			sn := sup.Snapshot()
			if sn.State != want || sn.Supervisor != "named" || sup.Name() != "named" {
				t.Errorf("%q is %v, want %v", sn.Supervisor, sn.State, want)
			}
			return sn
		}
		state(taskvisor.SupervisorNew)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if sn := state(taskvisor.SupervisorRunning); !sn.StopSince.IsZero() || sn.StopTook != 0 {
			t.Errorf("it stops since %v, took %v", sn.StopSince, sn.StopTook)
		}
		addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(3*time.Second))))
		time.Sleep(time.Second)
		begun := time.Now()
		go sup.Shutdown(context.Background())
		time.Sleep(time.Second)
		if sn := state(taskvisor.SupervisorDraining); !sn.StopSince.Equal(begun) || sn.StopTook != 0 {
			t.Errorf("it stops since %v, took %v", sn.StopSince, sn.StopTook)
		}
		<-sup.Done()
		if sn := state(taskvisor.SupervisorStopped); !sn.StopSince.Equal(begun) || sn.StopTook != 2*time.Second {
			t.Errorf("it stopped at %v, took %v", sn.StopSince, sn.StopTook)
		}
	})
}

// List is sorted by id, also where tasks were registered in another order: a
// submission that waited has its id from the start.
func TestListIsSortedByID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		submit := func(name string, fn taskvisor.Func) *taskvisor.Handle {
			h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, fn), Slot: "slot"})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		owner := submit("owner", idle)
		waiting := submit("waiting", idle)
		for i := range 5 {
			addTo(t, sup, taskvisor.Once(fmt.Sprint(i), idle))
		}
		owner.Stop()
		synctest.Wait()
		list, tasks := sup.List(), sup.Snapshot().Tasks
		if len(list) != 6 || len(tasks) != 6 || list[0] != waiting {
			t.Fatalf("%d listed, %d in the snapshot, the first is %q", len(list), len(tasks), list[0].Name())
		}
		for i := range list {
			if list[i].ID() != tasks[i].ID || i > 0 && list[i].ID() <= list[i-1].ID() {
				t.Errorf("entry %d: %d and %d", i, list[i].ID(), tasks[i].ID)
			}
		}
	})
}

// deaf is an error whose methods must not be called by a snapshot.
type deaf struct{ t *testing.T }

func (e deaf) Error() string {
	if strings.Contains(string(debug.Stack()), ".Snapshot(") {
		e.t.Error("a snapshot called Error")
	}
	return "deaf"
}

// A snapshot neither calls the user's code nor waits for it, inside callbacks
// least of all.
func TestSnapshotNeverWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var n atomic.Int32
		look := func() {
			sup.Snapshot()
			sup.List()
			sup.Count(taskvisor.StateRunning)
			sup.Alive("a")
			n.Add(1)
		}
		sup, _ = startInto(t, &sup, taskvisor.WithSubscriber(&bracket{
			event: func(context.Context, taskvisor.Event) { look() },
			begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context { look(); return ctx },
			end:   func(context.Context, taskvisor.Attempt, taskvisor.Result) { look() },
		}))
		outcomeOf(t, addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(deaf{t}), taskvisortest.Succeed()))))
		if n.Load() < 10 {
			t.Errorf("looked %d times", n.Load())
		}
	})
}

// Snapshots beside everything else are consistent in themselves.
func TestSnapshotConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(3))
		stop := make(chan struct{})
		var churn group
		for i := range 3 {
			churn.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					h := addTo(t, sup, taskvisor.Periodic(fmt.Sprint(i), 0, taskvisortest.Script(taskvisortest.Succeed())))
					if n%2 == 0 {
						time.Sleep(time.Millisecond)
					}
					h.Cancel(context.Background())
				}
			})
		}
		for range 300 {
			sn := sup.Snapshot()
			if sn.InUse > 3 || len(sn.Tasks) > 3 || sn.Ended > sn.Started {
				t.Errorf("%d permits, %d tasks, %d started, %d ended", sn.InUse, len(sn.Tasks), sn.Started, sn.Ended)
			}
			for i, st := range sn.Tasks {
				running := !st.AttemptStart.IsZero()
				if st.State == taskvisor.StateRunning != running && st.State != taskvisor.StateStopping && st.State != taskvisor.StateFinished {
					t.Errorf("%v with the attempt's start %v", st.State, st.AttemptStart)
				}
				if delayed := st.State == taskvisor.StateWaiting; delayed != !st.NextStart.IsZero() {
					t.Errorf("%v with the next start %v", st.State, st.NextStart)
				}
				if i > 0 && st.ID <= sn.Tasks[i-1].ID {
					t.Errorf("ids %d, %d", sn.Tasks[i-1].ID, st.ID)
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
		close(stop)
		churn.Wait()
	})
}
