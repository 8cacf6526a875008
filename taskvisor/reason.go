package taskvisor

import "context"

// Reason is why something did not go on as planned: an error for errors.Is and
// a stable label for metrics and logs in one comparable value, as
// [syscall.Errno] is. Causes and errors may wrap a Reason, so compare with
// errors.Is; the zero value is "no reason".
//
// ErrRemoved, ErrReplaced, ErrShutdown and ErrInterrupted are [context.Canceled] for errors.Is,
// and ErrAttemptTimeout is [context.DeadlineExceeded], because libraries return
// the cause of a context where its Err is expected.
type Reason uint8

// The reasons.
const (
	// Refusals: the reason of a rejected submission, or the error of a call.

	ErrTaskExists    Reason = iota + 1 // the name is taken (Add, AddAll, Run, Submit)
	ErrBatchRejected                   // another task of the batch was refused (AddAll, Run)
	ErrSlotBusy                        // the slot has an owner and the policy does not wait (Submit)
	ErrQueueFull                       // as many as may wait for the slot wait already (Submit)
	ErrSuperseded                      // a later submission took the place (Submit)
	ErrTooManyTasks                    // as many as may be registered are (Add, AddAll, Run, Submit); see WithMaxRegistered

	// Causes: why an attempt's context was cancelled.

	ErrRemoved        // stopped by Handle.Stop, StopFor or Cancel, or by StopSlot
	ErrReplaced       // stopped by a submission with the policy Replace
	ErrShutdown       // stopped because the supervisor shuts down
	ErrAttemptTimeout // the attempt's timeout passed, or it was silent for too long
	ErrInterrupted    // interrupted by Handle.Interrupt, or because of what the task is bound to

	// What a body may return, or do.

	ErrCanceled // returned by a body: the task ends itself, as canceled
	ErrGoexit   // the body called runtime.Goexit, as t.FailNow does

	// Outcomes.

	ErrDependency // what the task depends on ended without having been ready; see After

	// Refused calls.

	ErrAlreadyRunning   // a second Run or Start
	ErrWouldWaitForSelf // a wait inside the very thing that is waited for (Wait, Cancel, Run, Shutdown, Await)
	ErrShuttingDown     // after the shutdown began (Run, Start, Add, AddAll, Submit)
)

// reasonLabels are what metrics and logs show; like reasonTexts they are indexed by the
// reason.
var reasonLabels = []string{"", "already_exists", "batch_rejected", "slot_busy", "queue_full", "superseded",
	"too_many_tasks", "removed", "replaced", "shutdown", "attempt_timeout", "interrupted", "canceled", "goexit",
	"dependency", "already_running", "would_wait_for_self", "shutting_down"}

// reasonTexts are whole, prefix and all, and not put together when they are read: a
// shutdown reads one for each task.
var reasonTexts = []string{
	errorPrefix + "no reason",
	errorPrefix + "name in use",
	errorPrefix + "another task of the batch was refused",
	errorPrefix + "slot busy",
	errorPrefix + "slot queue full",
	errorPrefix + "superseded by a later submission",
	errorPrefix + "too many tasks",
	errorPrefix + "task removed",
	errorPrefix + "task replaced",
	errorPrefix + "supervisor shut down",
	errorPrefix + "attempt timed out",
	errorPrefix + "attempt interrupted",
	errorPrefix + "task canceled itself",
	errorPrefix + "body called runtime.Goexit",
	errorPrefix + "dependency ended without having been ready",
	errorPrefix + "supervisor already running",
	errorPrefix + "would wait for itself",
	errorPrefix + "supervisor is shutting down",
}

// Error returns a sentence for people.
func (r Reason) Error() string {
	if int(r) >= len(reasonTexts) {
		return errorPrefix + label(reasonTexts, r)
	}
	return reasonTexts[r]
}

// String returns the stable label.
func (r Reason) String() string { return label(reasonLabels, r) }

// Is makes the causes of cancellation match what the context package would
// have said.
func (r Reason) Is(target error) bool {
	switch r {
	case ErrRemoved, ErrReplaced, ErrShutdown, ErrInterrupted:
		return target == context.Canceled
	case ErrAttemptTimeout:
		return target == context.DeadlineExceeded
	case ErrCanceled: // see ending.look
		_, asked := target.(*cancelOrQuote)
		return asked
	}
	return false
}

// Timeout reports whether r is ErrAttemptTimeout, as [net.Error] asks.
func (r Reason) Timeout() bool { return r == ErrAttemptTimeout }

// MarshalText returns the label.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts a label.
func (r *Reason) UnmarshalText(text []byte) error { return parse(r, text, reasonLabels) }
