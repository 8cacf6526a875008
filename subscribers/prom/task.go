package promsub

import (
	"context"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// task is what is kept about one registered task, in what the supervisor keeps for its
// subscribers: it is gone with the task.
type task struct {
	source *source // never changes, like label and life
	label  *label
	life   *life

	mu      sync.Mutex    // guards the fields below
	since   time.Time     // when its backoff began
	backoff time.Duration // the delay; 0: not in backoff
	gate    *gate         // where it waits; nil: at none
	gated   time.Time     // since when
}

// taskOf returns what is kept about the task of e. An event of a task that was never
// announced, which no order of events that a supervisor promises leads to, is counted
// all the same: by a task that nobody keeps, released when its event has been counted.
func (s *Subscriber) taskOf(e *taskvisor.Event) (t *task, kept bool) {
	local := e.Local()
	if t, _ := local.Load().(*task); t != nil {
		return t, true
	}
	from := s.sourceOf(e.Supervisor)
	if from == nil {
		return nil, false
	}
	l := from.life.Load()
	if l == nil {
		return nil, false
	}
	return &task{source: from, life: l, label: from.labels.hold(l.config.textOf(e.Task, e.TaskKind), e.Time)}, false
}

// added begins what is kept about a task.
func (s *Subscriber) added(e *taskvisor.Event) {
	from := s.sourceOf(e.Supervisor)
	if from == nil {
		return
	}
	l := from.life.Load()
	if l == nil {
		return
	}
	if from.former.Load() != nil {
		from.former.Store(nil)
	}
	if e.Slot != "" {
		from.admissionWait().observe(context.Background(), e.Duration, e.Time, false, nil)
	}
	local := e.Local()
	// Deferred: the task has a label even if the user's function panics, which is then
	// the supervisor's to report.
	text := overflow
	defer func() {
		t := &task{source: from, life: l, label: from.labels.hold(text, e.Time)}
		if local == nil || local.LoadOrStore(t) != any(t) {
			t.release(e.Time)
		}
	}()
	text = l.config.text(e.Task, e.TaskKind)
}

// release lets go of the label, if that has not been done for all tasks of the life.
func (t *task) release(now time.Time) {
	if t.source.life.Load() == t.life {
		t.source.labels.release(t.label, now)
	}
}

// starting ends whatever the task waited for.
func (t *task) starting(now time.Time) {
	t.endBackoff(now)
	t.endGate(now, true)
}

func (t *task) startBackoff(now time.Time, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.backoff = now, delay
}

// endBackoff counts the time since the backoff began, and never more than its delay:
// what comes after is waiting at a gate.
func (t *task) endBackoff(now time.Time) {
	t.mu.Lock()
	spent := min(now.Sub(t.since), t.backoff)
	t.backoff = 0
	t.mu.Unlock()
	if spent > 0 {
		t.label.counted.Load().backoff.Add(int64(spent))
	}
}

// startGate notes that the task waits at a gate from now on.
func (t *task) startGate(at *gate, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gate, t.gated = at, now
}

// endGate ends a wait at a gate, if there is one. passed says that it led to something:
// only such waits are observed.
func (t *task) endGate(now time.Time, passed bool) {
	t.mu.Lock()
	at, waited := t.gate, now.Sub(t.gated)
	t.gate = nil
	t.mu.Unlock()
	if at != nil && passed {
		at.wait.observe(context.Background(), waited, now, false, nil)
	}
}

func (t *task) attemptEnded(ctx context.Context, e *taskvisor.Event) {
	if e.Result == 0 || int(e.Result) >= resultCount {
		return // a result that this module does not know: its label is nobody's
	}
	s := t.label.counted.Load()
	s.attempts[e.Result].Add(1)
	failed := e.Result != taskvisor.ResultSuccess && e.Result != taskvisor.ResultCanceled
	t.source.timer(s, e.Result, t.life.config).observe(ctx, e.Duration, e.Time, failed, t.life.config.exemplars)
}

func (t *task) backoffScheduled(e *taskvisor.Event) {
	if e.Source == 0 || int(e.Source) >= sourceCount {
		return
	}
	if e.Source == taskvisor.BackoffFailure || e.Source == taskvisor.BackoffRequested && e.Err != nil {
		t.startBackoff(e.Time, e.Delay) // an interval is no backoff
	}
	t.label.counted.Load().restarts[e.Source].Add(1)
}

func (t *task) removed(e *taskvisor.Event) {
	t.endBackoff(e.Time)
	t.endGate(e.Time, false)
	if e.Outcome < taskvisor.OutcomeAbandoned {
		t.source.finished[e.Outcome].Add(1)
	}
	if e.Outcome == taskvisor.OutcomeFailed || e.Outcome == taskvisor.OutcomeFatal {
		t.label.counted.Load().gaveUp[e.Outcome].Add(1)
	}
}
