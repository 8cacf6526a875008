package healthsub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Health is a subscriber that knows how the process is. Make one with [New] and give it
// to [taskvisor.WithSubscriber] of one or more supervisors: the process is as well as
// the worst of them. It is safe for concurrent use.
type Health struct {
	settings
	facts facts

	mu       sync.Mutex // guards the fields below; held while a snapshot is read
	attached []*attached
	closed   []*attached // had not begun when they were: nobody waits for that
	last     Status
	good     time.Time // until when last is as good as a new one
	turns    uint64    // what facts.turns was when last was read
	news     uint64    // what facts.news was when all tasks were read
	steady   bool      // all supervisors ran then: that one ends is a turn
}

// attached is one supervisor.
type attached struct {
	name     string
	life     int // which of that name it is, from 1
	snapshot func() taskvisor.Snapshot
	last     taskvisor.Snapshot        // without tasks
	matter   []*taskvisor.Handle       // of the tasks that are critical, or were a reason when last read
	ready    map[taskvisor.TaskID]bool // critical tasks that were ready once
}

var (
	_ taskvisor.Subscribe   = (*Health)(nil)
	_ taskvisor.Attacher    = (*Health)(nil)
	_ taskvisor.Preferences = (*Health)(nil)
)

// New returns a Health. Until it is attached to a supervisor it is live and not ready.
func New(opts ...Option) *Health {
	h := &Health{settings: settings{names: map[string]Level{}, limit: defaultLimit}}
	for _, o := range opts {
		o.apply(&h.settings)
	}
	h.facts.init(h.names)
	return h
}

// Preferences asks for the name healthsub and for inline calls: what decides between
// ready and not must not be dropped or late.
func (h *Health) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("healthsub"), taskvisor.Inline()}
}

// Attach keeps the supervisor's snapshot function, and lets go of one of its name that
// has ended: nobody may ever ask for a status. It implements [taskvisor.Attacher] and
// never fails.
func (h *Health) Attach(snapshot func() taskvisor.Snapshot) error {
	name := snapshot().Supervisor
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attached = slices.DeleteFunc(h.attached, func(a *attached) bool {
		return a.name == name && a.snapshot().State == taskvisor.SupervisorStopped
	})
	h.closed = slices.DeleteFunc(h.closed, func(a *attached) bool { return a.name == name })
	h.attached = append(h.attached, &attached{name: name, life: h.facts.attached(name), snapshot: snapshot})
	h.good, h.steady = time.Time{}, false
	return nil
}

// Close forgets the supervisor that was attached last, if nothing has happened in it yet:
// [taskvisor.New] calls it when another subscriber refuses, and nobody else needs to. A
// supervisor that begins all the same is seen again.
func (h *Health) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.attached) - 1
	if last < 0 || h.attached[last].begun() {
		return
	}
	h.closed = append(h.closed, h.attached[last])
	h.attached = slices.Delete(h.attached, last, last+1)
	h.good, h.steady = time.Time{}, false
}

// begun reports whether anything has happened in the supervisor.
func (a *attached) begun() bool {
	sn := a.snapshot()
	return sn.State != taskvisor.SupervisorNew || sn.Seq > 0
}

// reopenLocked takes back those that were closed too soon.
func (h *Health) reopenLocked() {
	h.closed = slices.DeleteFunc(h.closed, func(a *attached) bool {
		begun := a.begun()
		if begun {
			h.attached, h.steady = append(h.attached, a), false
		}
		return begun
	})
}

// OnEvent takes note of what a later snapshot does not tell. It implements
// [taskvisor.Subscribe], and takes a lock only for a task that comes or goes, fails or
// recovers, says that it is ready, or is stuck.
func (h *Health) OnEvent(_ context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskAdded:
		h.facts.taskAdded(&e, h.given(e.Task, e.TaskKind))
	case taskvisor.TaskReady:
		h.facts.saidReady(e.TaskID)
	case taskvisor.TaskStuck:
		h.facts.gotStuck(e.TaskID, e.Attempt, e.Time)
	case taskvisor.TaskRemoved:
		h.facts.removed(&e)
	case taskvisor.TaskFailed:
		h.facts.failed(&e)
	case taskvisor.TaskRecovered:
		h.facts.recovered(&e)
	case taskvisor.TaskAbandoned:
		h.facts.news.Add(1)
	case taskvisor.TaskPaused, taskvisor.TaskResumed, taskvisor.ShutdownAnnounced, taskvisor.ShutdownRequested,
		taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		h.facts.turn()
	case taskvisor.SubscriberOverflow:
		h.facts.lossy.Store(true)
		h.facts.turn()
	}
}

// given is the level that the program gives a task; 0 if it leaves that to us.
func (h *Health) given(name, kind string) (l Level) {
	if l, ok := h.names[name]; ok {
		return l
	}
	if h.levelOf == nil {
		return 0
	}
	defer func() {
		if recover() != nil || !l.known() {
			l = 0
		}
	}()
	return h.levelOf(name, kind)
}

// byDefault is the level of a task that was given none.
func byDefault(essential bool) Level {
	if essential {
		return Critical
	}
	return Degrading
}
