package otelsub

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A trace takes no further attempt beyond these. A failure that lasts would
// otherwise grow a trace that no backend can show.
const (
	maxTraceAttempts = 32
	maxTraceAge      = time.Hour
)

// task is what is known of one registered task. The supervisor keeps it with the
// task, and drops it with the task.
type task struct {
	owner *Subscriber

	mu       sync.Mutex // guards the fields below
	shape    *shape     // nil before the first attempt that has spans
	open     *attempt   // nil between attempts
	first    trace.SpanContext
	prev     trace.SpanContext // the latest attempt
	own      extent            // of the trace that prev belongs to
	caller   extent            // of the submitter's trace, with WithCallerAsParent
	moved    bool              // prev was kept for the task that replaced this one
	gone     bool              // it was removed before its first attempt began
	series   map[taskvisor.ResultKind]series
	cause    taskvisor.BackoffSource // of the latest restart
	restarts []metric.AddOption      // for others of that cause
	waiting  waiting
}

// shape is what all spans of a task share. It never changes.
type shape struct {
	label string // the task's kind or name
	name  string // of the spans over its attempts
	mode  SpanMode
	long  bool // its attempts may outgrow a trace
	attrs []attribute.KeyValue
}

// extent is how far a trace has grown.
type extent struct {
	attempts int
	since    time.Time
}

// room reports whether an attempt that starts at now may join.
func (x extent) room(now time.Time) bool {
	return x.attempts == 0 || x.attempts < maxTraceAttempts && now.Sub(x.since) < maxTraceAge
}

func (x *extent) add(now time.Time) {
	if x.attempts == 0 {
		x.since = now
	}
	x.attempts++
}

// taskIn returns what is kept in local, and begins that if nothing is. A wrapper that
// hands its calls to several subscribers has one Local for all of them: those that
// come late, and calls that no supervisor made, get a task that nobody remembers.
func (s *Subscriber) taskIn(local *taskvisor.Local) *task {
	kept := local.Load()
	if kept == nil {
		kept = local.LoadOrStore(&task{owner: s})
	}
	if t, ok := kept.(*task); ok && t.owner == s {
		return t
	}
	return &task{owner: s}
}

// known returns what is kept in local; nil if that is nothing.
func (s *Subscriber) known(local *taskvisor.Local) *task {
	if t, ok := local.Load().(*task); ok && t.owner == s {
		return t
	}
	return nil
}

// taskOf returns what is known of an attempt's task.
func (s *Subscriber) taskOf(a *taskvisor.Attempt) (*task, *shape) {
	t := s.taskIn(a.Local())
	t.mu.Lock()
	of := t.shape
	t.mu.Unlock()
	if of == nil {
		// Attempts of one task never overlap, so nobody else makes it.
		of = s.newShape(a)
		t.mu.Lock()
		t.shape = of
		t.mu.Unlock()
	}
	return t, of
}

func (c *config) newShape(a *taskvisor.Attempt) *shape {
	label := a.Task
	if a.Kind != "" {
		label = a.Kind
	}
	of := &shape{label: label, name: c.nameOf(a.Spec, label), mode: c.modeOf(a.Spec)}
	of.attrs = append(make([]attribute.KeyValue, 0, 3),
		keySupervisor.String(a.Supervisor),
		keyTask.String(a.Task),
		keyTaskID.Int64(int64(a.TaskID)))
	if a.Kind != "" {
		of.attrs = append(of.attrs, keyTaskKind.String(a.Kind))
	}
	d, limited := a.Spec.Timeout()
	if limited {
		of.attrs = append(of.attrs, keyTimeout.Float64(d.Seconds()))
	}
	of.long = !limited || d > maxTraceAge
	if a.Slot != "" {
		of.attrs = append(of.attrs, keyPolicy.String(a.Admission.String()))
	}
	of.attrs = slices.Clip(slices.Clone(of.attrs)) // it is kept as long as the task
	return of
}

// own remembers the owner of a slot until it is removed. It may be removed already: a
// body that was given up and released before its attempt began.
func (s *Subscriber) own(id taskvisor.TaskID, t *task) {
	s.slots.Store(id, t)
	t.mu.Lock()
	gone := t.gone
	t.mu.Unlock()
	if gone {
		s.slots.Delete(id)
	}
}

func (s *Subscriber) disown(e *taskvisor.Event) {
	if e.Outcome == taskvisor.OutcomeAbandoned && e.Attempt == 0 { // its attempt may still come
		t := s.taskIn(e.Local())
		t.mu.Lock()
		t.gone = true
		t.mu.Unlock()
	}
	s.slots.Delete(e.TaskID)
}

// displace keeps the latest span of an owner that a Replace submission stopped, for
// the newcomer to link to: when that is asked for, and once more when the owner is gone,
// in case its attempt was only just being begun.
func (s *Subscriber) displace(e *taskvisor.Event) {
	if t := s.known(e.Local()); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if sc := t.moveLocked(); sc.IsValid() {
			s.replaced.keep(e.TaskID, sc)
		}
	}
}

// moveLocked returns the latest span, once; the zero one if nobody can see that.
func (t *task) moveLocked() (sc trace.SpanContext) {
	if t.moved || !t.prev.IsSampled() {
		return sc
	}
	t.moved = true
	return t.prev
}

// lastOf returns the latest span of a displaced owner. The newcomer may begin before we
// are told of the owner's end: then it still is among the owners.
func (s *Subscriber) lastOf(id taskvisor.TaskID) trace.SpanContext {
	if sc := s.replaced.take(id); sc.IsValid() {
		return sc
	}
	if kept, ok := s.slots.Load(id); ok {
		t := kept.(*task)
		t.mu.Lock()
		sc := t.moveLocked()
		t.mu.Unlock()
		if sc.IsValid() {
			return sc
		}
	}
	return s.replaced.take(id) // we were told meanwhile
}

// memorySize bounds the displaced owners whose newcomers have not begun: they
// may wait for a permit, or never begin at all. Beyond it the oldest link is
// lost.
const memorySize = 1024

// memory keeps the latest memorySize span contexts. The zero value is ready.
type memory struct {
	mu    sync.Mutex // guards the fields below
	spans map[taskvisor.TaskID]trace.SpanContext
	order []taskvisor.TaskID // a ring once it is full
	next  int
}

func (m *memory) keep(id taskvisor.TaskID, sc trace.SpanContext) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spans == nil {
		m.spans = make(map[taskvisor.TaskID]trace.SpanContext)
	}
	if len(m.order) < memorySize {
		m.order = append(m.order, id)
	} else {
		delete(m.spans, m.order[m.next])
		m.order[m.next] = id
		m.next = (m.next + 1) % memorySize
	}
	m.spans[id] = sc
}

func (m *memory) take(id taskvisor.TaskID) trace.SpanContext {
	m.mu.Lock()
	defer m.mu.Unlock()
	sc := m.spans[id]
	delete(m.spans, id)
	return sc
}
