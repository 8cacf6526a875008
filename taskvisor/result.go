package taskvisor

import "time"

// Attempt describes an attempt to brackets and to the body itself; see
// [FromContext].
type Attempt struct {
	Supervisor string
	Task       string
	TaskID     TaskID
	Number     int        // from 1, consecutive
	Streak     int        // failures in a row before this attempt; 0 unless it is a retry
	Previous   ResultKind // of the attempt before; zero on the first
	Slot       string     // "" if the task was not submitted
	Admission  Admission
	Replaced   TaskID        // the owner that this task's Replace submission stopped
	SlotWait   time.Duration // time that the submission waited for its slot
	PermitWait time.Duration // time that this attempt waited for a permit; 0 if one was free
	Delay      time.Duration // scheduled between the attempt before and this one
	Started    time.Time
	Spec       TaskSpec // with the policy in force
}

// Result is how an attempt ended.
type Result struct {
	Kind     ResultKind
	Err      error
	Duration time.Duration
	Reason   Reason        // why it was stopped, if it was
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
	ResultCanceled            // stopped, or ended itself by ErrCanceled
)

var resultLabels = []string{"", "success", "failure", "fatal", "timeout", "panic", "canceled"}

// String returns the stable label.
func (k ResultKind) String() string { return label(resultLabels, k) }

// MarshalText returns the label.
func (k ResultKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *ResultKind) UnmarshalText(text []byte) error { return parse(k, text, resultLabels) }

// Outcome is how a task ended. Each registered task and each refused submission
// has exactly one.
type Outcome struct {
	Kind           OutcomeKind
	Err            error  // nil if and only if completed; the Reason where a stopped body returned nil
	Reason         Reason // why canceled, abandoned or rejected
	Value          any    // what a Returning task returned; nil unless completed
	Attempts       int
	Started, Ended time.Time // Started is the first attempt's; zero if none began
	Stack          string    // of an abandoned body

	exit exitCode
}

// ExitCode returns the exit status that the error of the last attempt carries,
// if it carries one; see [Event.ExitCode].
func (o Outcome) ExitCode() (code int, ok bool) { return o.exit.code, o.exit.known }

// OutcomeKind is how a task ended.
type OutcomeKind uint8

// The outcomes.
const (
	OutcomeCompleted OutcomeKind = iota + 1 // the last attempt succeeded and the policy asks for no more
	OutcomeFailed                           // the last attempt failed and the policy allows no more
	OutcomeFatal                            // an attempt was fatal
	OutcomeCanceled                         // stopped, or ended itself by ErrCanceled
	OutcomeAbandoned                        // stopped, and its body outlived the grace
	OutcomeRejected                         // a submission that never became a task
)

var outcomeLabels = []string{"", "completed", "failed", "fatal", "canceled", "abandoned", "rejected"}

// String returns the stable label.
func (k OutcomeKind) String() string { return label(outcomeLabels, k) }

// MarshalText returns the label.
func (k OutcomeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *OutcomeKind) UnmarshalText(text []byte) error { return parse(k, text, outcomeLabels) }
