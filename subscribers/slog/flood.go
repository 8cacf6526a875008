package slogsub

import (
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// note is what the flood control has to say about an event.
type note struct {
	silent     bool   // write no record
	suppressed int    // failures left out before this record
	recovered  bool   // a failure was written, and this is the first success since
	dropped    uint64 // lost events that no record has told of; only at the end
	subscriber string // that lost them
}

// flood is the flood control of one task that has failed.
type flood struct {
	supervisor string
	seen       time.Time // of the last event that mattered
	failure    gate
	stuck      gate
	told       bool // of a failure, and of no recovery since
	left       int  // records left out since the last
}

// gate lets one record pass in each interval, measured by the events' times.
type gate struct {
	last time.Time
	used bool
}

func (g *gate) pass(now time.Time, every time.Duration) bool {
	since := now.Sub(g.last)
	if g.used && since >= 0 && since < every {
		return false
	}
	g.last, g.used = now, true
	return true
}

// sweepAt is the number of failing tasks beyond which those that have been
// quiet are forgotten. It matters only where the event that a task was removed
// got lost, or never came because its body outlived the supervisor.
const sweepAt = 4096

// floods holds the flood control of all tasks that have failed. It is safe for
// concurrent use.
type floods struct {
	every time.Duration // 0 or less: write everything

	mu    sync.Mutex // guards the fields below
	tasks map[taskvisor.TaskID]*flood
	limit int // forget the quiet ones at this many
	drops gate
	lost  uint64 // events that this subscriber lost since the last record about it
	name  string // that it is known by
}

// note takes an event into account; enabled says whether its level is written
// at all.
func (f *floods) note(e *taskvisor.Event, enabled bool) (n note) {
	switch e.Kind {
	case taskvisor.TaskFailed, taskvisor.TaskStuck:
		if enabled && f.every > 0 {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.failedLocked(e)
		}
		if enabled && e.Kind == taskvisor.TaskFailed {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.getLocked(e).told = true
		}
	case taskvisor.TaskStopped:
		f.mu.Lock()
		defer f.mu.Unlock()
		if t := f.tasks[e.TaskID]; t != nil {
			t.seen = e.Time
			if t.told {
				n.recovered, n.suppressed = true, t.left
				t.told, t.left = false, 0
			}
		}
	case taskvisor.ActorExhausted, taskvisor.ActorDead, taskvisor.TaskRemoved, taskvisor.TaskReturned:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.endLocked(e, enabled)
	case taskvisor.SubscriberOverflow:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.droppedLocked(e)
	case taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.forgetLocked(func(t *flood) bool { return t.supervisor == e.Supervisor })
		n.dropped, n.subscriber = f.lost, f.name
		f.lost = 0
	}
	return n
}

// failedLocked decides about the record of a failure or a stuck attempt.
func (f *floods) failedLocked(e *taskvisor.Event) (n note) {
	t := f.getLocked(e)
	t.seen = e.Time
	g := &t.failure
	if e.Kind == taskvisor.TaskStuck {
		g = &t.stuck
	}
	if !g.pass(e.Time, f.every) {
		t.left++
		return note{silent: true}
	}
	n.suppressed, t.left = t.left, 0
	if e.Kind == taskvisor.TaskFailed {
		t.told = true
	}
	return n
}

// endLocked hands what was left out to the record of a task's end, and forgets
// the task with the last event that it has.
func (f *floods) endLocked(e *taskvisor.Event, enabled bool) (n note) {
	t := f.tasks[e.TaskID]
	if t == nil {
		return n
	}
	if enabled {
		n.suppressed, t.left = t.left, 0
	}
	if e.Kind == taskvisor.TaskRemoved || e.Kind == taskvisor.TaskReturned {
		delete(f.tasks, e.TaskID)
	}
	return n
}

// droppedLocked adds up the losses of this subscriber between two records.
func (f *floods) droppedLocked(e *taskvisor.Event) note {
	f.name = e.Subscriber
	f.lost += e.Dropped
	if f.every > 0 && !f.drops.pass(e.Time, f.every) {
		return note{silent: true}
	}
	e.Dropped, f.lost = f.lost, 0
	return note{}
}

func (f *floods) getLocked(e *taskvisor.Event) *flood {
	t := f.tasks[e.TaskID]
	if t != nil {
		return t
	}
	if f.tasks == nil {
		f.tasks = make(map[taskvisor.TaskID]*flood)
		f.limit = sweepAt
	}
	if len(f.tasks) >= f.limit {
		f.forgetLocked(func(t *flood) bool { return e.Time.Sub(t.seen) >= f.every })
		f.limit = max(sweepAt, 2*len(f.tasks)) // so that sweeping costs little each
	}
	t = &flood{supervisor: e.Supervisor, seen: e.Time}
	f.tasks[e.TaskID] = t
	return t
}

func (f *floods) forgetLocked(which func(t *flood) bool) {
	for id, t := range f.tasks {
		if which(t) {
			delete(f.tasks, id)
		}
	}
}
