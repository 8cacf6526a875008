package taskvisor

import "time"

// Attempt describes an attempt to gates, to brackets and to the body itself; see
// [FromContext]. A gate is shown the attempt that would begin.
type Attempt struct {
	Supervisor string
	Task       string
	Kind       string // what [WithKind] said
	TaskID     TaskID
	Number     int        // from 1, consecutive
	Streak     int        // failures in a row before this attempt; 0 unless it is a retry
	Previous   ResultKind // of the attempt before; zero on the first
	Slot       string     // "" if the task was not submitted
	Admission  Admission
	Replaced   TaskID        // the owner that this task's Replace submission stopped, or found being stopped
	SlotWait   time.Duration // time that the submission waited for its slot
	PermitWait time.Duration // time that this attempt waited at its gates, the concurrency limit among them
	Delay      time.Duration // scheduled between the attempt before and this one
	Started    time.Time
	Spec       TaskSpec // with the policy in force, without the work

	task *task // that it is an attempt of; nil if no supervisor has made it
	sink *sink // that it is shown to, by a bracket; nil elsewhere
}

// Local returns what the subscriber that is shown this attempt in a bracket keeps
// about the task; nil elsewhere.
func (a Attempt) Local() *Local { return a.task.local(a.sink) }

// Handle returns the task, to act on it: a gate that closes while an attempt runs
// interrupts it. It is nil where no supervisor has made the attempt.
func (a Attempt) Handle() *Handle {
	if a.task == nil {
		return nil
	}
	return a.task.h
}

// Result is how an attempt ended.
type Result struct {
	Kind     ResultKind
	Aborted  bool // a stop or an interruption came before the body was called: no event tells of this attempt
	Err      error
	Duration time.Duration
	Reason   Reason        // why it was stopped or interrupted, if it was
	Note     string        // the last one of Beat
	Retry    bool          // another attempt is planned; a stop can still void it
	Delay    time.Duration // before that
}

// ResultKind is how an attempt ended. It is decided once, by the supervisor.
type ResultKind uint8

// The results, in the words of metrics and logs.
const (
	ResultSuccess  ResultKind = iota + 1
	ResultFailure             // an error, or runtime.Goexit; retryable
	ResultFatal               // an error marked by Fatal
	ResultTimeout             // the timeout was what cancelled the attempt; retryable
	ResultPanic               // the body or one of its children panicked; retryable
	ResultCanceled            // stopped, interrupted, or ended itself by ErrCanceled
)

// resultLabels are indexed by kind. The numbers are those of life.Result.
var resultLabels = []string{"", "success", "failure", "fatal", "timeout", "panic", "canceled"}

// String returns the stable label.
func (k ResultKind) String() string { return label(resultLabels, k) }

// MarshalText returns the label.
func (k ResultKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *ResultKind) UnmarshalText(text []byte) error { return parse(k, text, resultLabels) }
