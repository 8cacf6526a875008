package taskvisortest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The checks of this file are about many of everything at the same time.

// concurrent runs some dozens of restless tasks while others come and go.
func concurrent(r *rig) {
	sup, _ := r.start(taskvisor.WithMaxConcurrent(16))
	for i := range 32 {
		r.add(sup, taskvisor.Restartable(fmt.Sprintf("loop-%d", i),
			Script(Fail(errScripted), Succeed(), Panic(i), Succeed(), Goexit(), Succeed()),
			taskvisor.RestartAlways(5*time.Millisecond), quick))
	}
	var callers group
	for i := range 8 {
		callers.Go(func() {
			for n := range 25 {
				h, err := sup.Add(context.Background(), taskvisor.Once(fmt.Sprintf("visitor-%d-%d", i, n), Script(Block())))
				if err != nil {
					r.t.Errorf("taskvisortest: %v", err)
					return
				}
				sub := taskvisor.Submission{Task: taskvisor.Once(fmt.Sprintf("job-%d-%d", i, n), Script(Succeed())),
					Slot: fmt.Sprintf("slot-%d", n%4), Admission: taskvisor.Admission(n % 5)}
				if _, err := sup.Submit(context.Background(), sub); err != nil {
					r.t.Errorf("taskvisortest: %v", err)
				}
				h.Stop()
			}
		})
	}
	callers.Wait()
	time.Sleep(100 * time.Millisecond)
	r.shutdown(sup, false)
}

// meddler adds tasks to its supervisor where callbacks may, up to a limit.
// Refusals at the end are part of the game.
type meddler struct {
	name string
	sup  *atomic.Pointer[taskvisor.Supervisor]
	n    atomic.Int32
}

func (m *meddler) add() {
	sup, n := m.sup.Load(), m.n.Add(1)
	if sup == nil || n > 50 {
		return
	}
	name := fmt.Sprintf("%s-%d", m.name, n)
	if n%2 == 0 {
		sup.Add(context.Background(), taskvisor.Once(name, Script(Fail(errScripted))))
	} else {
		sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, Script(Succeed())), Slot: m.name})
	}
}

// neighbor is an inline subscriber beside the one under test that does what
// inline subscribers may do, so that events arise while others are delivered.
type neighbor struct{ meddler }

func (m *neighbor) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (m *neighbor) OnEvent(_ context.Context, e taskvisor.Event) {
	sup := m.sup.Load()
	if sup == nil {
		return
	}
	switch e.Kind {
	case taskvisor.TaskStarting:
		sup.Snapshot()
		if h, ok := sup.Lookup(e.Task); ok && e.Attempt > 3 {
			h.Stop()
		}
	case taskvisor.TaskAdded, taskvisor.TaskFailed, taskvisor.TaskRemoved:
		m.add()
	}
}

// talkative is an error whose text is made by code that uses the supervisor,
// as a user's may: whoever prints it must hold no lock that OnEvent needs.
type talkative struct{ *meddler }

func (t talkative) Error() string {
	t.add()
	return "talkative error"
}

// reentrant has events arise inside the delivery of others, to a neighbor and
// in the text of errors.
func reentrant(r *rig) {
	var current atomic.Pointer[taskvisor.Supervisor]
	beside := &neighbor{meddler{name: "beside", sup: &current}}
	inText := &meddler{name: "in-text", sup: &current}
	sup, _ := r.start(taskvisor.WithSubscriber(beside))
	current.Store(sup)
	for i := range 8 {
		r.add(sup,
			taskvisor.Restartable(fmt.Sprintf("talks-%d", i), Script(Fail(talkative{inText})), quick, taskvisor.WithMaxRetries(5)),
			taskvisor.Restartable(fmt.Sprintf("panics-%d", i), Script(Panic(talkative{inText})), quick, taskvisor.WithMaxRetries(5)),
		)
	}
	time.Sleep(time.Minute)
	r.shutdown(sup, false)
}

// overflow has the subscriber called from a queue of one event, whatever it
// prefers, and late: it loses most events and is told so.
func overflow(r *rig) {
	sup, p := r.supervisor([]taskvisor.SubscriberOption{taskvisor.Queued(1)})
	p.hold = make(chan struct{})
	if err := sup.Start(context.Background()); err != nil {
		r.t.Fatalf("taskvisortest: Start: %v", err)
	}
	for i := range 100 {
		r.add(sup, taskvisor.Once(fmt.Sprintf("task-%d", i), Script(Succeed())))
	}
	synctest.Wait()
	close(p.hold)
	synctest.Wait()
	for _, s := range sup.Snapshot().Subscribers {
		if s.Name == p.name && len(s.Dropped) == 0 {
			r.t.Errorf("taskvisortest: a queue of 1 dropped none of %d events", len(p.seen.Events()))
		}
	}
	r.shutdown(sup, false)
}

// thousandSupervisors makes, runs and ends a thousand supervisors, each with a
// fresh subscriber. What each of them leaves behind adds up.
func thousandSupervisors(r *rig) {
	for range 1000 {
		sup, p := r.start()
		r.add(sup, taskvisor.Restartable("task", Script(Fail(errScripted), Succeed()), quick), taskvisor.Once("resident", Script(Block())))
		time.Sleep(time.Second)
		r.shutdown(sup, false)
		p.checkEnd()
		p.seen = Recorder{} // a thousand of them would only be kept
	}
}
