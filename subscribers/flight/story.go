package flightsub

import (
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	keptEvents = 16        // of a task
	maxLine    = 256       // bytes of an error among the last events
	maxText    = 4 << 10   // bytes of any other error
	maxStack   = 256 << 10 // bytes of stacks in an incident
)

// story is what is kept of a task, in its [taskvisor.Local]: it goes when the task does.
type story struct {
	mu    sync.Mutex // guards the fields below
	lines []line     // the last events; the oldest is at next once there are keptEvents
	next  int
}

// line is an event without what would keep alive more than itself.
type line struct {
	seq             uint64
	at              time.Time
	kind            taskvisor.EventKind
	result          taskvisor.ResultKind
	attempt         int
	duration, delay time.Duration
	text            string // of the error
}

func storyOf(l *taskvisor.Local) *story {
	if s, ok := l.Load().(*story); ok {
		return s
	}
	s, ok := l.LoadOrStore(&story{}).(*story)
	if !ok {
		s = &story{} // cannot be: it is ours alone
	}
	return s
}

// note remembers an event.
func (s *story) note(e *taskvisor.Event, text func(error) string) {
	l := line{seq: e.Seq, at: e.Time, kind: e.Kind, result: e.Result, attempt: e.Attempt, duration: e.Duration, delay: e.Delay}
	if e.Err != nil && e.Kind != taskvisor.BackoffScheduled { // which repeats the failure's
		l.text = clip(text(e.Err), maxLine)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) < keptEvents {
		s.lines = append(s.lines, l)
		return
	}
	s.lines[s.next] = l
	s.next = (s.next + 1) % keptEvents
}

// last returns the events, oldest first.
func (s *story) last() []line {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]line, 0, len(s.lines))
	return append(append(out, s.lines[s.next:]...), s.lines[:s.next]...)
}

// silent reports whether a timeout is that of silence. An attempt that may take as long
// as it may be silent has taken too long first.
func silent(e *taskvisor.Event) bool {
	spec := e.Spec()
	idle, limited := spec.IdleTimeout()
	whole, also := spec.Timeout()
	return limited && e.Timeout == idle && (!also || whole != idle)
}

// rate is how many incidents there may be.
type rate struct {
	every      time.Duration // 0: no limit
	burst      float64
	tokens     float64
	filled     time.Time
	last       map[task]time.Time // an entry for each of the last period's incidents
	suppressed int                // incidents that are not there, and that none has told of
}

type task struct{ supervisor, name string }

func (r *rate) init(every time.Duration, burst int) {
	r.every, r.burst, r.tokens, r.last = every, float64(burst), float64(burst), map[task]time.Time{}
}

// take reports whether there may be an incident of the task now.
func (r *rate) take(supervisor, name string, now time.Time) bool {
	if r.every == 0 {
		return true
	}
	r.tokens = min(r.burst, r.tokens+r.burst*float64(now.Sub(r.filled))/float64(r.every))
	r.filled = now
	key := task{supervisor, name}
	if last, known := r.last[key]; known && now.Sub(last) < r.every || r.tokens < 1 {
		r.suppressed++
		return false
	}
	for k, at := range r.last { // no more than were let through within the period
		if now.Sub(at) >= r.every {
			delete(r.last, k)
		}
	}
	r.tokens--
	r.last[key] = now
	return true
}

// told follows an incident that says that n were left out; one that could not be kept says
// nothing, and is left out itself.
func (r *rate) told(n int, kept bool) {
	if !kept {
		r.suppressed++
		return
	}
	r.suppressed -= n
}
