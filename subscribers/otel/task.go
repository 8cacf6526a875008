package otelsub

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A trace takes no further attempt beyond these. A failure that lasts would
// otherwise grow a trace that no backend can show.
const (
	maxTraceAttempts = 32
	maxTraceAge      = time.Hour
)

// task is what is known of one registered task from its first attempt until it
// is removed.
type task struct {
	id         taskvisor.TaskID
	supervisor string
	label      string // the task's name
	name       string // of the spans over its attempts
	mode       SpanMode
	attrs      []attribute.KeyValue // those that all its spans share; never written again

	mu     sync.Mutex // guards the fields below
	span   trace.Span // over the open attempt; nil otherwise
	open   bool       // BeginAttempt was called, EndAttempt not yet
	gone   bool       // no further attempt will come: forget it with the open one
	first  trace.SpanContext
	prev   trace.SpanContext // the latest attempt
	start  trace.SpanContext // of the open resident attempt
	parent trace.SpanContext // likewise, if it has one
	own    extent            // of the trace that prev belongs to
	caller extent            // of the submitter's trace, with WithCallerAsParent
	series map[taskvisor.ResultKind]series
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

func (c *config) newTask(a *taskvisor.Attempt) *task {
	t := &task{
		id:         a.TaskID,
		supervisor: a.Supervisor,
		label:      a.Task,
		name:       c.nameOf(a.Spec, a.Task),
		mode:       c.modeOf(a.Spec),
	}
	t.attrs = make([]attribute.KeyValue, 0, 5)
	t.attrs = append(t.attrs,
		keySupervisor.String(a.Supervisor),
		keyTask.String(a.Task),
		keyTaskID.Int64(int64(a.TaskID)))
	if d, limited := a.Spec.Timeout(); limited {
		t.attrs = append(t.attrs, keyTimeout.Float64(d.Seconds()))
	}
	if a.Slot != "" {
		t.attrs = append(t.attrs, keyPolicy.String(a.Admission.String()))
	}
	return t
}

// shardCount spreads tasks over locks that are held for one map operation.
const shardCount = 16

// registry holds the tasks by id. The zero value is ready; it is safe for
// concurrent use.
type registry struct {
	shards   [shardCount]shard
	replaced memory
}

type shard struct {
	mu    sync.Mutex // guards the field below
	tasks map[taskvisor.TaskID]*task
}

func (r *registry) shard(id taskvisor.TaskID) *shard { return &r.shards[id%shardCount] }

func (r *registry) get(id taskvisor.TaskID) *task {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id]
}

func (r *registry) put(t *task) {
	s := r.shard(t.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks == nil {
		s.tasks = make(map[taskvisor.TaskID]*task)
	}
	s.tasks[t.id] = t
}

func (r *registry) forget(id taskvisor.TaskID) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, id)
}

// retire forgets a task that will not begin another attempt, at once or, if an
// attempt is still open because its body was abandoned, when that ends.
func (r *registry) retire(id taskvisor.TaskID) {
	t := r.get(id)
	if t == nil {
		return
	}
	t.mu.Lock()
	t.gone = true
	open := t.open
	t.mu.Unlock()
	if !open {
		r.forget(id)
	}
}

// displace retires the owner that a Replace submission stopped, and keeps what
// the newcomer will link to. It is kept before the task is forgotten: who looks
// in lastSpan's order finds it in one place or the other.
func (r *registry) displace(id taskvisor.TaskID) {
	if sc := r.lastSpan(id); sc.IsSampled() {
		r.replaced.keep(id, sc)
	}
	r.retire(id)
}

// lastSpan returns the span context of a task's latest attempt, registered or
// displaced; the zero value if it is not known.
func (r *registry) lastSpan(id taskvisor.TaskID) trace.SpanContext {
	if t := r.get(id); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.prev
	}
	return r.replaced.take(id)
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
