package taskvisor

import "time"

// Outcome is how a task ended. Each registered task and each refused submission
// has exactly one.
type Outcome struct {
	Kind     OutcomeKind `json:"outcome"`
	Err      error       `json:"-"`               // nil if and only if completed; the stop's Reason where a stopped body returned nil
	Reason   Reason      `json:"reason,omitzero"` // why canceled, abandoned or rejected
	Value    any         `json:"-"`               // what a Returning task returned; nil unless completed
	Attempts int         `json:"attempts"`
	Started  time.Time   `json:"started,omitzero"` // of the first attempt; zero if none began
	Ended    time.Time   `json:"ended,omitzero"`
	Stack    string      `json:"stack,omitzero"` // of an abandoned body, as far as it was captured by then

	exit exitCode // that the error of the last attempt carries
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

// outcomeLabels are indexed by kind. The numbers are those of life.Outcome.
var outcomeLabels = []string{"", "completed", "failed", "fatal", "canceled", "abandoned", "rejected"}

// String returns the stable label.
func (k OutcomeKind) String() string { return label(outcomeLabels, k) }

// MarshalText returns the label.
func (k OutcomeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts a label.
func (k *OutcomeKind) UnmarshalText(text []byte) error { return parse(k, text, outcomeLabels) }
