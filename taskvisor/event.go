package taskvisor

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Event is one step in the life of a supervisor or a task. It is a plain value:
// a subscriber may keep and copy it, and nothing in it needs parsing. Kind says
// which fields are set; the others are zero. Seq, Time, Kind and Supervisor are
// always set, Task, TaskID and TaskKind on every event that concerns one task.
//
// It marshals to a JSON object of the fields that are set, under the names that
// logs use: durations are seconds, as numbers, under a name that ends in _seconds,
// and errors are their text.
type Event struct {
	Seq        uint64    // contiguous from 1 for each supervisor; 0 on SubscriberOverflow
	Time       time.Time // of the transition
	Supervisor string    // its name; also of one in a task of another: see [Supervisor.AsTask]
	Task       string
	TaskKind   string // what [WithKind] said
	TaskID     TaskID
	Attempt    int // from 1; 0 where no attempt is meant

	Kind      EventKind
	Result    ResultKind    // how the attempt ended
	Outcome   OutcomeKind   // how the task ended
	Reason    Reason        // why it was stopped, refused or canceled
	Source    BackoffSource // what decided the delay
	Admission Admission
	Verdict   Verdict
	From, To  SlotState
	exit      exitCode // that Err carries

	Duration time.Duration // of the attempt or the wait that the kind's doc names
	Delay    time.Duration // until the next attempt
	Timeout  time.Duration // of the attempt

	Err   error  // of the attempt or the task, or the cause that the caller gave
	Stack string // goroutine stacks, as text

	Slot          string
	Owner         TaskID // the task that owns the slot
	Queued        int    // submissions waiting for the slot
	Gate          string // what the attempt waits for
	Stage, Stages int    // of an ordered shutdown, from 1

	Subscriber                 string
	Dropped, FirstSeq, LastSeq uint64

	task *task // that it is about; nil: none. It is kept for Local and Spec
	sink *sink // that it is delivered to, set for each delivery; nil on an event that the user made
}

// ExitCode returns the exit status that Err carries, if it carries one: an
// [os/exec.ExitError] or anything else with a method ExitCode() int, in the error
// that a body returned or in one that it panicked with.
func (e Event) ExitCode() (code int, ok bool) { return e.exit.code, e.exit.known }

// Local returns what the subscriber that e is delivered to keeps about the task;
// nil, which keeps nothing, if e concerns none.
func (e Event) Local() *Local { return e.task.local(e.sink) }

// Spec returns the spec of the task that e is about, with the policy in force and
// without the work, also when the task is gone by now; the zero TaskSpec if e is about
// none.
func (e Event) Spec() TaskSpec {
	if e.task == nil {
		return TaskSpec{}
	}
	return e.task.shownSpec()
}

// ReportFailure counts that the subscriber that e is delivered to could not do
// what it does with events, as a log handler that returns an error: see
// [SubscriberStatus]. It is safe for concurrent use, and does nothing if err is nil
// or e was not delivered by a supervisor.
func (e Event) ReportFailure(err error) {
	if e.sink != nil && err != nil {
		e.sink.failures.Add(1)
	}
}

// String describes the event on one line, without its stack.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.Seq, e.Kind)
	for _, a := range e.attrs() {
		if a.Key != "stack" {
			fmt.Fprintf(&b, " %s=%s", a.Key, a.Value)
		}
	}
	return b.String()
}

// LogValue implements [slog.LogValuer]: a group of the fields that are set.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.Uint64("seq", e.Seq), slog.String("kind", e.Kind.String())}, e.attrs()...)...)
}

// MarshalJSON implements [json.Marshaler]; see [Event]. It calls the Error method
// of Err.
func (e Event) MarshalJSON() ([]byte, error) {
	o := object{}
	if e.Seq != 0 {
		o.set("seq", e.Seq)
	}
	o.set("time", e.Time)
	o.set("kind", e.Kind)
	for _, a := range e.attrs() {
		switch v := a.Value.Any().(type) {
		case time.Duration:
			o.set(a.Key+"_seconds", v.Seconds())
		case error:
			o.set(a.Key, v.Error())
		default:
			o.set(a.Key, v)
		}
	}
	return o.bytes()
}

// attrs lists the fields that are set, under the keys that logs use: those of logs and of
// JSON, in one order. It calls no code of the user's; the error is handed on as it is.
func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, v string) {
		if v != "" {
			attrs = append(attrs, slog.String(key, v))
		}
	}
	number := func(key string, v uint64) {
		if v != 0 {
			attrs = append(attrs, slog.Uint64(key, v))
		}
	}
	duration := func(key string, v time.Duration) {
		if v != 0 {
			attrs = append(attrs, slog.Duration(key, v))
		}
	}
	text("supervisor", e.Supervisor)
	text("task", e.Task)
	text("task_kind", e.TaskKind)
	number("task_id", uint64(e.TaskID))
	number("attempt", uint64(e.Attempt))
	text("result", e.Result.String())
	text("outcome", e.Outcome.String())
	text("reason", e.Reason.String())
	text("source", e.Source.String())
	text("slot", e.Slot)
	if e.Slot != "" { // the zero Admission is a policy too, so it cannot say by itself that it is not set
		text("admission", e.Admission.String())
	}
	text("gate", e.Gate)
	number("stage", uint64(e.Stage))
	number("stages", uint64(e.Stages))
	text("verdict", e.Verdict.String())
	text("from", e.From.String())
	text("to", e.To.String())
	number("owner", uint64(e.Owner))
	number("queued", uint64(e.Queued))
	duration("duration", e.Duration)
	duration("delay", e.Delay)
	duration("timeout", e.Timeout)
	if e.exit.known {
		attrs = append(attrs, slog.Int("exit_code", e.exit.code))
	}
	text("subscriber", e.Subscriber)
	number("dropped", e.Dropped)
	number("first_seq", e.FirstSeq)
	number("last_seq", e.LastSeq)
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	text("stack", e.Stack)
	return attrs
}
