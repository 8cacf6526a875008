package taskvisor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Event is one step in the life of a supervisor or a task. It is a plain value:
// a subscriber may keep and copy it, and nothing in it needs parsing. Kind says
// which fields are set; the others are zero. Seq, Time, Kind and Supervisor are
// always set, Task and TaskID on every event that concerns one task.
type Event struct {
	Seq        uint64    // contiguous from 1 for each supervisor; 0 on SubscriberOverflow
	Time       time.Time // wall clock of the transition
	Supervisor string
	Task       string
	TaskID     TaskID
	Attempt    int // from 1; 0 where no attempt is meant

	Kind      EventKind
	Result    ResultKind    // how the attempt ended
	Outcome   OutcomeKind   // how the task ended
	Reason    Reason        // why it was stopped, refused or canceled
	Source    BackoffSource // what decided the delay
	Admission Admission
	Verdict   Verdict
	From, To  State
	exit      exitCode

	Duration time.Duration // of the attempt or the wait that the kind's doc names
	Delay    time.Duration // until the next attempt
	Timeout  time.Duration // of the attempt

	Err   error
	Stack string // goroutine stacks, as text

	Slot   string
	Owner  TaskID // who owns the slot
	Queued int    // submissions waiting for the slot

	Subscriber                 string
	Dropped, FirstSeq, LastSeq uint64
}

// ExitCode returns the exit status that Err carries, if it carries one: an
// [os/exec.ExitError] or anything else with a method ExitCode() int, in the error
// that a body returned or in one that it panicked with.
func (e Event) ExitCode() (code int, ok bool) { return e.exit.code, e.exit.known }

// EventKind says what happened.
type EventKind uint8

// The kinds. Those marked * end something and are kept for a subscriber that
// falls behind when others are lost; see [EventKind.Terminal].
const (
	// TaskAdded: registered, not yet started. Duration is the time that a
	// submission waited for its Slot; Admission is its policy.
	TaskAdded EventKind = iota + 1
	// TaskAddFailed: Add, AddAll or Run refused the name. Reason; TaskID is 0.
	TaskAddFailed
	// TaskStarting: the attempt begins. Attempt, Timeout if there is one.
	TaskStarting
	// TimeoutHit: the attempt's timeout passed and its context was cancelled;
	// the body still runs. Attempt, Timeout, Duration so far.
	TimeoutHit
	// TaskStuck: the body still runs, long after its deadline or its stop.
	// Attempt, Duration so far, Reason if it was stopped, Stack.
	TaskStuck
	// TaskStopped*: the attempt succeeded. Attempt, Result, Duration.
	TaskStopped
	// TaskFailed*: the attempt failed, timed out, panicked or was fatal.
	// Attempt, Result, Duration, Err, exit code. The stack of a panic is made on
	// demand, by the *PanicError in Err.
	TaskFailed
	// TaskCanceled*: the attempt was canceled. Attempt, Result, Duration, Err,
	// Reason, exit code.
	TaskCanceled
	// BackoffScheduled: another attempt follows. Attempt that ended, Delay,
	// Source; Err if it failed.
	BackoffScheduled
	// TaskRemoveRequested: an individual stop was claimed. Reason, Attempt of the
	// last attempt begun.
	TaskRemoveRequested
	// ActorExhausted*: the policy allows no further attempt. Attempt, Outcome,
	// Err.
	ActorExhausted
	// ActorDead*: a fatal error ended the task. Attempt, Outcome, Err.
	ActorDead
	// TaskAbandoned*: the body outlived its grace and still runs. Attempt,
	// Outcome, Reason, Duration so far, Stack, Err.
	TaskAbandoned
	// TaskReturned*: an abandoned body came back. Attempt, Duration since it was
	// abandoned.
	TaskReturned
	// TaskRemoved*: the task is gone and its name free. Attempt is the number of
	// attempts, Outcome, Reason, Err.
	TaskRemoved

	// ControllerSubmitted: a submission was accepted. Slot, Admission, Verdict,
	// Owner of the slot, Queued. A joined one is no task of its own: Task and
	// TaskID are those of the owner.
	ControllerSubmitted
	// ControllerRejected*: an accepted submission was refused, now or later.
	// Slot, Admission, Reason, Err, Duration that it waited.
	ControllerRejected
	// ControllerSlotTransition: Slot went From one state To another; Owner after
	// it, Queued.
	ControllerSlotTransition

	// ShutdownRequested*: the supervisor stops. Err is the cause.
	ShutdownRequested
	// AllStoppedWithinGrace*: the verdict, and a supervisor's last event: every
	// body returned. Duration since the stop.
	AllStoppedWithinGrace
	// GraceExceeded*: the other verdict. Duration since the stop, Err is a
	// *GraceExceededError.
	GraceExceeded

	// SubscriberOverflow: this Subscriber, which alone gets it, lost Dropped
	// events with numbers from FirstSeq to LastSeq.
	SubscriberOverflow
	// SubscriberPanicked: a Subscriber panicked, called runtime.Goexit or
	// returned a useless context. Err, Stack.
	SubscriberPanicked
)

var eventLabels = []string{"", "task_added", "task_add_failed", "task_starting", "timeout_hit", "task_stuck",
	"task_stopped", "task_failed", "task_canceled", "backoff_scheduled", "task_remove_requested",
	"actor_exhausted", "actor_dead", "task_abandoned", "task_returned", "task_removed",
	"controller_submitted", "controller_rejected", "controller_slot_transition",
	"shutdown_requested", "all_stopped_within_grace", "grace_exceeded", "subscriber_overflow", "subscriber_panicked"}

// kindCount sizes tables that are indexed by kind.
const kindCount = int(SubscriberPanicked) + 1

const terminalKinds = 1<<TaskStopped | 1<<TaskFailed | 1<<TaskCanceled | 1<<ActorExhausted | 1<<ActorDead |
	1<<TaskAbandoned | 1<<TaskReturned | 1<<TaskRemoved | 1<<ControllerRejected |
	1<<ShutdownRequested | 1<<AllStoppedWithinGrace | 1<<GraceExceeded

// Terminal reports whether events of this kind end something. A queued
// subscriber that overflows keeps the latest of them.
func (k EventKind) Terminal() bool { return k < 32 && terminalKinds>>k&1 != 0 }

// String returns the stable label.
func (k EventKind) String() string { return label(eventLabels, k) }

// MarshalText returns the label.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *EventKind) UnmarshalText(text []byte) error { return parse(k, text, eventLabels) }

// Verdict is what became of a submission when it was made.
type Verdict uint8

// The verdicts.
const (
	VerdictStarted  Verdict = iota + 1 // the slot was free
	VerdictQueued                      // it waits for the slot
	VerdictJoined                      // the handle is the owner's
	VerdictRejected                    // see the Reason
)

var verdictLabels = []string{"", "started", "queued", "joined", "rejected"}

// String returns the stable label.
func (v Verdict) String() string { return label(verdictLabels, v) }

// MarshalText returns the label.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText accepts a label.
func (v *Verdict) UnmarshalText(text []byte) error { return parse(v, text, verdictLabels) }

// BackoffSource is what decided the delay before an attempt.
type BackoffSource uint8

// The sources.
const (
	BackoffSuccess   BackoffSource = iota + 1 // the interval of RestartAlways
	BackoffFailure                            // the BackoffPolicy
	BackoffRequested                          // RetryAfter
)

var sourceLabels = []string{"", "success", "failure", "requested"}

// String returns the stable label.
func (b BackoffSource) String() string { return label(sourceLabels, b) }

// MarshalText returns the label.
func (b BackoffSource) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText accepts a label.
func (b *BackoffSource) UnmarshalText(text []byte) error { return parse(b, text, sourceLabels) }

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

// attrs lists the fields that are set, under the keys that logs use.
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
	number("task_id", uint64(e.TaskID))
	number("attempt", uint64(e.Attempt))
	text("result", e.Result.String())
	text("outcome", e.Outcome.String())
	text("reason", e.Reason.String())
	text("source", e.Source.String())
	text("slot", e.Slot)
	if e.Slot != "" {
		text("admission", e.Admission.String())
	}
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
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	text("stack", e.Stack)
	return attrs
}

// Subscribe is the one extension interface: whatever wants to know what a
// supervisor does implements it and is given to [WithSubscriber].
//
// OnEvent gets every event, in the order of each task. By default it is called
// from a worker of its own, one call at a time, and may block: it then loses
// events, counted, and disturbs nobody. Under steady load the worker collects
// events for up to a millisecond. With [Inline] it is called by the
// goroutine that made the transition: never dropped, concurrently for different
// tasks, and it must neither block nor take longer than about a microsecond. It
// may call Stop, Add, Submit and Snapshot there, and nothing that waits.
//
// ctx carries the values of the attempt's context, so that trace ids reach log
// handlers; it is not the attempt's context, and may be kept. It is cancelled
// when the deadline for draining subscribers passes at shutdown. A panic is
// contained, counted and reported; [runtime.Goexit] too.
//
// A subscriber may also implement [AttemptBracket], [Attacher] and
// [Preferences].
type Subscribe interface {
	OnEvent(ctx context.Context, e Event)
}

// AttemptBracket is implemented by subscribers that must surround each attempt,
// such as those that open a span. Both methods are called on the attempt's
// goroutine, so the rules for inline subscribers apply.
type AttemptBracket interface {
	// BeginAttempt is called before the attempt is announced and returns the
	// context that the following brackets and the body get. It must be derived
	// from ctx; another one is ignored and reported as SubscriberPanicked.
	BeginAttempt(ctx context.Context, a Attempt) context.Context
	// EndAttempt is called once for every BeginAttempt that returned, in reverse
	// order of the subscribers, after the result was decided and before it is
	// announced. ctx is what this subscriber's BeginAttempt returned.
	EndAttempt(ctx context.Context, a Attempt, r Result)
}

// Attacher is implemented by subscribers that read state instead of counting
// events. [New] calls Attach once, with a function that may be called at any
// time, from any goroutine, and returns its error. If a later subscriber refuses,
// New fails, and calls Close on those attached before that have a method Close().
type Attacher interface {
	Attach(snapshot func() Snapshot) error
}

// Preferences is implemented by subscribers that are made for one way of being
// called. Options given to [WithSubscriber] win over it.
type Preferences interface {
	Preferences() []SubscriberOption
}
