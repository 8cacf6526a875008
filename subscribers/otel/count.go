package otelsub

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What counters begin with, so that the first of each is seen as an increase.
var (
	results = []taskvisor.ResultKind{
		taskvisor.ResultSuccess, taskvisor.ResultFailure, taskvisor.ResultFatal,
		taskvisor.ResultTimeout, taskvisor.ResultPanic, taskvisor.ResultCanceled,
	}
	outcomes = []taskvisor.OutcomeKind{
		taskvisor.OutcomeCompleted, taskvisor.OutcomeFailed, taskvisor.OutcomeFatal,
		taskvisor.OutcomeCanceled, taskvisor.OutcomeAbandoned,
	}
	restartCauses = []taskvisor.BackoffSource{ // nobody takes the wheel of most, so triggered comes with its first
		taskvisor.BackoffSuccess, taskvisor.BackoffFailure, taskvisor.BackoffRequested,
	}
	stopCauses = []taskvisor.Reason{taskvisor.ErrShutdown, taskvisor.ErrRemoved, taskvisor.ErrReplaced}
	verdicts   = []taskvisor.Verdict{
		taskvisor.VerdictStarted, taskvisor.VerdictQueued, taskvisor.VerdictJoined, taskvisor.VerdictRejected,
	}
	rejectReasons = []taskvisor.Reason{
		taskvisor.ErrTaskExists, taskvisor.ErrSlotBusy, taskvisor.ErrQueueFull,
		taskvisor.ErrSuperseded, taskvisor.ErrTooManyTasks, taskvisor.ErrRemoved, taskvisor.ErrShuttingDown,
	}
)

// series are the ready-made measurement options of one task and result.
type series struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func (m *metrics) newSeries(e *taskvisor.Event) series {
	o := metric.WithAttributeSet(attribute.NewSet(
		m.keys.supervisor.String(e.Supervisor), m.keys.task.String(labelOf(e)), m.keys.result.String(e.Result.String())))
	return series{[]metric.AddOption{o}, []metric.RecordOption{o}}
}

// event counts what e tells of.
func (m *metrics) event(ctx context.Context, s *Subscriber, e *taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskAdded:
		m.added(ctx, e)
	case taskvisor.TaskStarting:
		m.starting(ctx, s.taskIn(e.Local()), e)
	case taskvisor.TaskGated:
		t := s.taskIn(e.Local())
		m.starting(ctx, t, e)
		t.startGate(e)
		m.gateSeen(e.Supervisor, e.Gate)
	case taskvisor.TaskPaused:
		s.taskIn(e.Local()).endGate(e.Time)
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		m.ended(ctx, s.taskIn(e.Local()).seriesOf(m, e), e)
	case taskvisor.BodyReturned: // of a task that is no more
		m.ended(ctx, m.newSeries(e), e)
	case taskvisor.BackoffScheduled:
		m.restart(ctx, s.taskIn(e.Local()), e)
	case taskvisor.TaskAbandoned: // and not at TaskRemoved, which comes when the body returns, if it ever does
		m.add(ctx, tasksFinished, e, m.keys.outcome.String(taskvisor.OutcomeAbandoned.String()))
		m.add(ctx, attemptsAbandoned, e, m.keys.stopCause.String(e.Reason.String()))
	case taskvisor.TaskRemoved:
		m.removed(ctx, s.taskIn(e.Local()), e)
	case taskvisor.ControllerSubmitted:
		m.submits(ctx, e, true)
		m.add(ctx, admissionRequests, e, m.keys.policy.String(e.Admission.String()), m.keys.verdict.String(e.Verdict.String()))
	case taskvisor.ControllerRejected:
		m.submits(ctx, e, false)
		m.add(ctx, admissionRejections, e, m.keys.reason.String(e.Reason.String()))
	case taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		m.detach(e.Supervisor)
	}
}

// add counts one, of the supervisor of e.
func (m *metrics) add(ctx context.Context, i id, e *taskvisor.Event, attrs ...attribute.KeyValue) {
	m.tallies[i].Add(ctx, 1, metric.WithAttributes(append(attrs, m.keys.supervisor.String(e.Supervisor))...))
}

// addTo counts what happened in no attempt.
func (m *metrics) addTo(i id, n int64, supervisor string, attrs ...attribute.KeyValue) {
	m.tallies[i].Add(context.Background(), n, metric.WithAttributes(append(attrs, m.keys.supervisor.String(supervisor))...))
}

// begin counts none, so that there is a series from now on.
func (m *metrics) begin(i id, supervisor string, attrs ...attribute.KeyValue) {
	m.addTo(i, 0, supervisor, attrs...)
}

// beginSupervisor begins the counters of a supervisor that is alive. One that was made
// and given up, as New does when another subscriber refuses, leaves no series.
func (m *metrics) beginSupervisor(from *observed) {
	if !from.begun.CompareAndSwap(false, true) {
		return
	}
	name := from.name
	m.begin(tasksAdded, name)
	m.begin(tasksRemoved, name)
	for _, o := range outcomes {
		m.begin(tasksFinished, name, m.keys.outcome.String(o.String()))
	}
	for _, r := range stopCauses {
		m.begin(attemptsAbandoned, name, m.keys.stopCause.String(r.String()))
	}
}

// submits begins the counters of admission: all reasons with the first submission, and
// whatever can become of one with the first of its policy.
func (m *metrics) submits(ctx context.Context, e *taskvisor.Event, policy bool) {
	from := m.source(e.Supervisor)
	if from == nil {
		return
	}
	if from.submits.CompareAndSwap(false, true) {
		for _, r := range rejectReasons {
			m.begin(admissionRejections, e.Supervisor, m.keys.reason.String(r.String()))
		}
	}
	if policy && int(e.Admission) < len(from.policies) && from.policies[e.Admission].CompareAndSwap(false, true) {
		for _, v := range verdicts {
			m.begin(admissionRequests, e.Supervisor, m.keys.policy.String(e.Admission.String()), m.keys.verdict.String(v.String()))
		}
	}
}

func (m *metrics) added(ctx context.Context, e *taskvisor.Event) {
	if from := m.source(e.Supervisor); from != nil {
		m.beginSupervisor(from)
	}
	m.add(ctx, tasksAdded, e)
	if e.Slot != "" {
		m.submits(ctx, e, false)
		m.timers[admissionWait].Record(ctx, e.Duration.Seconds(), metric.WithAttributes(m.keys.supervisor.String(e.Supervisor)))
	}
	task := m.keys.task.String(labelOf(e))
	for _, r := range results {
		m.begin(taskAttempts, e.Supervisor, task, m.keys.result.String(r.String()))
	}
	for _, c := range restartCauses {
		m.begin(taskRestarts, e.Supervisor, task, m.keys.restartCause.String(c.String()))
	}
}

// starting ends whatever the task waited for.
func (m *metrics) starting(ctx context.Context, t *task, e *taskvisor.Event) {
	m.endBackoff(t, e)
	gate, waited := t.endGate(e.Time)
	if gate != "" {
		m.timers[gateWait].Record(ctx, waited.Seconds(),
			metric.WithAttributes(m.keys.supervisor.String(e.Supervisor), m.keys.gate.String(gate)))
	}
}

func (m *metrics) ended(ctx context.Context, of series, e *taskvisor.Event) {
	m.tallies[taskAttempts].Add(ctx, 1, of.add...)
	m.timers[taskDuration].Record(ctx, e.Duration.Seconds(), of.record...)
}

func (m *metrics) restart(ctx context.Context, t *task, e *taskvisor.Event) {
	if e.Source == taskvisor.BackoffFailure || e.Source == taskvisor.BackoffRequested && e.Err != nil {
		t.startBackoff(e.Time, e.Delay) // an interval is no backoff
	}
	m.tallies[taskRestarts].Add(ctx, 1, t.restartsOf(m, e)...)
}

func (m *metrics) removed(ctx context.Context, t *task, e *taskvisor.Event) {
	m.endBackoff(t, e)
	t.endGate(e.Time) // which led to nothing
	m.add(ctx, tasksRemoved, e)
	if e.Outcome < taskvisor.OutcomeAbandoned {
		m.add(ctx, tasksFinished, e, m.keys.outcome.String(e.Outcome.String()))
	}
	if e.Outcome == taskvisor.OutcomeFailed || e.Outcome == taskvisor.OutcomeFatal {
		m.add(ctx, taskGaveUp, e, m.keys.task.String(labelOf(e)), m.keys.outcome.String(e.Outcome.String()))
	}
}

// endBackoff counts the time since the backoff began, and never more than its delay:
// what comes after is waiting at a gate.
func (m *metrics) endBackoff(t *task, e *taskvisor.Event) {
	if spent := t.endBackoff(e.Time); spent > 0 {
		if from := m.source(e.Supervisor); from != nil {
			from.spent.add(labelOf(e), spent)
		}
	}
}

func (m *metrics) gateSeen(supervisor, gate string) {
	if from := m.source(supervisor); from != nil {
		from.gateSeen(gate)
	}
}

// labelOf is what a task is known by: names may be many, kinds are few.
func labelOf(e *taskvisor.Event) string { return label(e.Task, e.TaskKind) }

// label makes valid text of it: one wrong byte would cost the export of everything.
func label(name, kind string) string {
	if kind != "" {
		name = kind
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}

func (t *task) seriesOf(m *metrics, e *taskvisor.Event) series {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, ok := t.series[e.Result]
	if !ok {
		if t.series == nil {
			t.series = make(map[taskvisor.ResultKind]series)
		}
		of = m.newSeries(e)
		t.series[e.Result] = of
	}
	return of
}

// restartsOf returns the options for a restart. Those of the latest cause are kept: a
// healthy task has one for ever.
func (t *task) restartsOf(m *metrics, e *taskvisor.Event) []metric.AddOption {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.restarts == nil || t.cause != e.Source {
		t.cause, t.restarts = e.Source, []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(
			m.keys.supervisor.String(e.Supervisor), m.keys.task.String(labelOf(e)), m.keys.restartCause.String(e.Source.String())))}
	}
	return t.restarts
}

// waiting is what a task waits for, as far as it is counted.
type waiting struct {
	since   time.Time     // when its backoff began
	backoff time.Duration // the delay; 0: not in backoff
	gate    string        // where it waits; "": at none
	gated   time.Time     // since when
}

func (t *task) startBackoff(now time.Time, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting.since, t.waiting.backoff = now, delay
}

func (t *task) endBackoff(now time.Time) (spent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	spent = min(now.Sub(t.waiting.since), t.waiting.backoff)
	t.waiting.backoff = 0
	return spent
}

func (t *task) startGate(e *taskvisor.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting.gate, t.waiting.gated = strings.ToValidUTF8(e.Gate, "\uFFFD"), e.Time
}

func (t *task) endGate(now time.Time) (gate string, waited time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gate, waited = t.waiting.gate, now.Sub(t.waiting.gated)
	t.waiting.gate = ""
	return gate, waited
}
