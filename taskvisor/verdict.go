package taskvisor

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
	BackoffRequested                          // RetryAfter or RunAfter
	BackoffTriggered                          // RunNow or Interrupt
)

var sourceLabels = []string{"", "success", "failure", "requested", "triggered"}

// String returns the stable label.
func (b BackoffSource) String() string { return label(sourceLabels, b) }

// MarshalText returns the label.
func (b BackoffSource) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText accepts a label.
func (b *BackoffSource) UnmarshalText(text []byte) error { return parse(b, text, sourceLabels) }
