package slogsub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// class is what the flood control keeps apart: a panic is never left out because an
// ordinary failure was written a moment ago.
type class uint8

const (
	failing class = iota
	timingOut
	panicking
	stuck
	canceling // interrupted, and failed at that
	triggered
	interrupted
	classes
)

// classOf returns the class of an event that may come often; ok is false for those
// that are always written.
func classOf(e *taskvisor.Event) (c class, ok bool) {
	switch e.Kind {
	case taskvisor.TaskFailed:
		switch e.Result {
		case taskvisor.ResultTimeout:
			return timingOut, true
		case taskvisor.ResultPanic:
			return panicking, true
		}
		return failing, true
	case taskvisor.TaskStuck:
		return stuck, true
	case taskvisor.TaskCanceled:
		return canceling, e.Reason == taskvisor.ErrInterrupted && saysMore(e)
	case taskvisor.TaskTriggered:
		return triggered, true
	case taskvisor.TaskInterrupted:
		return interrupted, true
	}
	return 0, false
}

// interval lets one record pass in each period, measured by the events' times.
type interval struct {
	last time.Time
	used bool
}

func (i *interval) pass(now time.Time, every time.Duration) bool {
	since := now.Sub(i.last)
	if every > 0 && i.used && since >= 0 && since < every {
		return false
	}
	i.last, i.used = now, true
	return true
}

// story is what is kept of one task from its first failure on.
type story struct {
	owner *Subscriber

	mu        sync.Mutex // guards the fields below
	failure   *failure   // that waits for what follows it
	last      *failure   // the latest, if it was left out; it is not among the left
	intervals [classes]interval
	told      bool // of a failure, and of no recovery since
	left      int  // records left out since the last
}

// failure is a failed attempt that waits for the event behind it, which comes at
// once and says when the task goes on, or that it does not.
type failure struct {
	ctx   context.Context
	e     taskvisor.Event
	level slog.Level
	next  taskvisor.Event // BackoffScheduled, ActorExhausted or ActorDead; zero if it was stopped
}

// storyOf returns what is kept of the event's task, and begins that where the event
// needs it. It is nil if there is nothing, and for events that no supervisor
// delivered.
func (s *Subscriber) storyOf(e *taskvisor.Event) *story {
	local := e.Local()
	if local == nil {
		return nil
	}
	kept := local.Load()
	if kept == nil {
		if _, often := classOf(e); !often {
			return nil
		}
		kept = local.LoadOrStore(&story{owner: s})
	}
	// A wrapper that hands its events to several subscribers has one Local for all
	// of them: those that come late do without.
	if t, ok := kept.(*story); ok && t.owner == s {
		return t
	}
	return nil
}

func (t *story) hold(f *failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = f
}

func (t *story) take() *failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failure
	t.failure = nil
	return f
}

// failed decides about the record of a failure. A task's last is always written.
func (t *story) failed(f *failure, every time.Duration, final bool) (suppressed int, pass bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, _ := classOf(&f.e)
	if !t.intervals[c].pass(f.e.Time, every) && !final {
		t.leaveLocked(f)
		return 0, false
	}
	t.told = true
	return t.allLocked(), true
}

// leaveLocked leaves out a failure, unless it turns out to be the last.
func (t *story) leaveLocked(f *failure) {
	if t.last != nil {
		t.left++
	}
	t.last = f
}

// ends reports whether a task ends with such an event: no later attempt fails, but for
// that of an abandoned body.
func ends(k taskvisor.EventKind) bool {
	switch k {
	case taskvisor.ActorExhausted, taskvisor.ActorDead, taskvisor.TaskAbandoned, taskvisor.TaskReturned, taskvisor.TaskRemoved:
		return true
	}
	return false
}

// end returns the last failure, if that is still to be written, and how many were left
// out before it.
func (t *story) end() (f *failure, suppressed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return nil, 0
	}
	f, t.last = t.last, nil
	return f, t.restLocked()
}

// note decides about any other record, and how many it has to account for.
func (t *story) note(ctx context.Context, e *taskvisor.Event, level slog.Level, every time.Duration) (suppressed int, pass bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Kind == taskvisor.TaskRecovered {
		if !t.told {
			return 0, false
		}
		t.told = false
		return t.allLocked(), true
	}
	if ends(e.Kind) || e.Kind == taskvisor.BodyReturned {
		return t.restLocked(), true
	}
	c, often := classOf(e)
	pass = !often || t.intervals[c].pass(e.Time, every)
	switch {
	case !often:
		return 0, true
	case c == canceling && pass:
		return t.allLocked(), true
	case c == canceling:
		t.leaveLocked(&failure{ctx: ctx, e: *e, level: level})
	case pass:
		return t.restLocked(), true
	default:
		t.left++
	}
	return 0, false
}

// allLocked is for a record after which the latest failure is no news.
func (t *story) allLocked() int {
	n := t.restLocked()
	if t.last != nil {
		t.last = nil
		n++
	}
	return n
}

func (t *story) restLocked() int {
	n := t.left
	t.left = 0
	return n
}
