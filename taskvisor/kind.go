package taskvisor

// EventKind says what happened. In the names of kinds an actor is the state machine of a
// task, whose end they tell, and the controller is what lets submissions into slots.
type EventKind uint8

// The kinds. Those marked * end something and are kept for a subscriber that
// falls behind when others are lost; see [EventKind.Terminal].
const (
	// TaskAdded: registered, not yet started. Duration is the time that a
	// submission waited for its Slot; Admission is its policy.
	TaskAdded EventKind = iota + 1
	// TaskAddFailed: Add, AddAll or Run refused the task, because its name is taken, there
	// are too many, or another of the batch is refused. Reason; TaskID is 0.
	TaskAddFailed
	// TaskGated: the next attempt, whose number is Attempt, waits at a Gate.
	TaskGated
	// TaskStarting: the attempt begins. Attempt, Timeout if there is one, Duration
	// that it waited at gates.
	TaskStarting
	// TaskReady: a task with WithReadiness says that it is ready. Attempt,
	// Duration so far.
	TaskReady
	// TimeoutHit: the attempt's timeout passed and its context was cancelled;
	// the body still runs. Attempt, Timeout, Duration so far.
	TimeoutHit
	// TaskStuck: the body still runs, long after its deadline, its interruption or
	// its stop. Attempt, Duration so far, Reason, Stack.
	TaskStuck
	// TaskStopped*: the attempt succeeded. Attempt, Result, Duration.
	TaskStopped
	// TaskFailed*: the attempt failed, timed out, panicked or was fatal.
	// Attempt, Result, Duration, Err, exit code. Stack of a panic.
	TaskFailed
	// TaskCanceled*: the attempt was canceled. Attempt, Result, Duration, Err,
	// Reason, exit code.
	TaskCanceled
	// TaskRecovered: a streak of failures is over, by a success or because the
	// attempt has run for so long. Attempt, Duration so far.
	TaskRecovered
	// BackoffScheduled: another attempt follows. Attempt that ended, Delay,
	// Source; Err if it failed.
	BackoffScheduled
	// TaskTriggered: RunNow. Err is the caller's cause.
	TaskTriggered
	// TaskInterrupted: Interrupt. Attempt, which is 0 if it ended a delay; Err is the
	// caller's cause.
	TaskInterrupted
	// TaskPaused: Pause. Err is the caller's cause.
	TaskPaused
	// TaskResumed: Resume. Err is the caller's cause.
	TaskResumed
	// TaskRemoveRequested: an individual stop was claimed. Reason, Attempt of the
	// last attempt begun, Err is the caller's cause.
	TaskRemoveRequested
	// ActorExhausted*: the policy allows no further attempt, or what the task
	// depends on has ended. Attempt, Outcome, Err.
	ActorExhausted
	// ActorDead*: a fatal error ended the task. Attempt, Outcome, Err.
	ActorDead
	// TaskAbandoned*: the body outlived its grace and still runs. Attempt,
	// Outcome, Reason, Duration so far, Stack, Err.
	TaskAbandoned
	// TaskReturned*: an abandoned body came back. Attempt, Duration since it was
	// abandoned.
	TaskReturned
	// TaskRemoved*: the task is gone and its name free; its last event. Attempt is
	// the number of attempts, Outcome, Reason, Err.
	TaskRemoved
	// BodyReturned*: the body of a task that was removed when it was abandoned came
	// back; see WithReleaseOnAbandon. Attempt, Result, Duration of the attempt, Err.
	BodyReturned

	// ControllerSubmitted: a submission was accepted. Slot, Admission, Verdict,
	// Owner of the slot, Queued. A joined one is no task of its own: Task and
	// TaskID are those of the owner.
	ControllerSubmitted
	// ControllerRejected*: a submission was refused, now or later.
	// Slot, Admission, Reason, Err, Duration that it waited.
	ControllerRejected
	// ControllerSlotTransition: Slot went From one state To another; Owner after
	// it, Queued.
	ControllerSlotTransition

	// ShutdownAnnounced: a signal came, and the supervisor stops after the time of
	// WithPreStopDelay. Delay, Err says which signal.
	ShutdownAnnounced
	// ShutdownRequested*: the supervisor stops. Err is the cause.
	ShutdownRequested
	// ShutdownStage: the tasks of one stage of an ordered shutdown are stopped.
	// Stage, Stages, Queued is their number.
	ShutdownStage
	// AllStoppedWithinGrace*: the verdict, and a supervisor's last event: every
	// body returned. Duration since the stop.
	AllStoppedWithinGrace
	// GraceExceeded*: the other verdict. Duration since the stop, Err is a
	// *GraceExceededError.
	GraceExceeded

	// SubscriberOverflow: this Subscriber, which alone gets it, lost Dropped
	// events with numbers from FirstSeq to LastSeq.
	SubscriberOverflow
	// SubscriberPanicked: a Subscriber, or a gate, panicked, called runtime.Goexit
	// or returned a useless context. Err, Stack.
	SubscriberPanicked
)

// eventLabels are indexed by kind; their number is that of the kinds.
var eventLabels = []string{"", "task_added", "task_add_failed", "task_gated", "task_starting", "task_ready",
	"timeout_hit", "task_stuck", "task_stopped", "task_failed", "task_canceled", "task_recovered", "backoff_scheduled",
	"task_triggered", "task_interrupted", "task_paused", "task_resumed", "task_remove_requested",
	"actor_exhausted", "actor_dead", "task_abandoned", "task_returned", "task_removed", "body_returned",
	"controller_submitted", "controller_rejected", "controller_slot_transition",
	"shutdown_announced", "shutdown_requested", "shutdown_stage", "all_stopped_within_grace", "grace_exceeded",
	"subscriber_overflow", "subscriber_panicked"}

// Terminal reports whether events of this kind end something. A queued
// subscriber that overflows keeps the latest of them.
func (k EventKind) Terminal() bool {
	// A list, since it must not depend on the position of a kind, or on their number.
	switch k {
	case TaskStopped, TaskFailed, TaskCanceled, ActorExhausted, ActorDead, TaskAbandoned, TaskReturned, TaskRemoved,
		BodyReturned, ControllerRejected, ShutdownRequested, AllStoppedWithinGrace, GraceExceeded:
		return true
	}
	return false
}

// String returns the stable label.
func (k EventKind) String() string { return label(eventLabels, k) }

// MarshalText returns the label.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *EventKind) UnmarshalText(text []byte) error { return parse(k, text, eventLabels) }
