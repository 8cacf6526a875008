package taskvisor

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Reason is why something did not go on as planned: an error for errors.Is and
// a stable label for metrics and logs in one comparable value, as
// [syscall.Errno] is. Causes and errors may wrap a Reason, so compare with
// errors.Is; the zero value is "no reason".
//
// ErrRemoved, ErrReplaced and ErrShutdown are [context.Canceled] for errors.Is,
// and ErrAttemptTimeout is [context.DeadlineExceeded], because libraries return
// the cause of a context where its Err is expected.
type Reason uint8

const (
	// Refusals: the reason of a rejected submission, or the error of a call.

	ErrTaskExists    Reason = iota + 1 // the name is taken (Add, AddAll, Run, Submit)
	ErrBatchRejected                   // another task of the batch was refused (AddAll, Run)
	ErrSlotBusy                        // the slot has an owner and the policy does not wait (Submit)
	ErrQueueFull                       // as many as may wait for the slot wait already (Submit)
	ErrSuperseded                      // a later submission took the place (Submit)

	// Causes: why an attempt's context was cancelled.

	ErrRemoved        // stopped by Handle.Stop, Handle.Cancel or StopSlot
	ErrReplaced       // stopped by a submission with the policy Replace
	ErrShutdown       // stopped because the supervisor shuts down
	ErrAttemptTimeout // the attempt's timeout passed

	// What a body may return, or do.

	ErrCanceled // returned by a body: the task ends itself, as canceled
	ErrGoexit   // the body called runtime.Goexit, as t.FailNow does

	// Refused calls.

	ErrNotStarted       // before Run or Start (Add, AddAll, Submit)
	ErrAlreadyRunning   // a second Run or Start
	ErrWouldWaitForSelf // a wait inside the very thing that is waited for (Wait, Cancel, Run, Shutdown, Await)
	ErrShuttingDown     // after the shutdown began (Run, Start, Add, AddAll, Submit)
)

var reasonLabels = []string{"", "already_exists", "batch_rejected", "slot_busy", "queue_full", "superseded",
	"removed", "replaced", "shutdown", "attempt_timeout", "canceled", "goexit",
	"not_started", "already_running", "would_wait_for_self", "shutting_down"}

var reasonTexts = []string{"no reason", "name in use", "another task of the batch was refused", "slot busy",
	"slot queue full", "superseded by a later submission", "task removed", "task replaced", "supervisor shut down",
	"attempt timed out", "task canceled itself", "body called runtime.Goexit", "supervisor not started",
	"supervisor already running", "would wait for itself", "supervisor is shutting down"}

// Error returns a sentence for people.
func (r Reason) Error() string { return errorPrefix + label(reasonTexts, r) }

// String returns the stable label.
func (r Reason) String() string { return label(reasonLabels, r) }

// Is makes the causes of cancellation match what the context package would
// have said.
func (r Reason) Is(target error) bool {
	switch r {
	case ErrRemoved, ErrReplaced, ErrShutdown:
		return target == context.Canceled
	case ErrAttemptTimeout:
		return target == context.DeadlineExceeded
	}
	return false
}

// Timeout reports whether r is ErrAttemptTimeout, as [net.Error] asks.
func (r Reason) Timeout() bool { return r == ErrAttemptTimeout }

// MarshalText returns the label.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts a label.
func (r *Reason) UnmarshalText(text []byte) error { return parse(r, text, reasonLabels) }

const errorPrefix = "taskvisor: "

// Fatal returns an error that ends the task without a retry, under every
// policy. It wraps err, whose text it keeps; Fatal(nil) is nil.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// RetryAfter returns an error that sets the delay before the next attempt to d
// instead of the backoff's: neither drawn nor capped, though never below the
// restart floor; a negative d is 0. The attempt still counts as a failure, and
// the retry limit applies. It wraps err, whose text it keeps; RetryAfter(d,
// nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{max(d, 0), err}
}

type retryAfterError struct {
	delay time.Duration
	err   error
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// PanicError is a recovered panic of a body, one of its children, or a
// subscriber.
type PanicError struct {
	Value any // what was given to panic

	pcs []uintptr
}

// newPanicError is called by the deferred function that recovered v, while the
// frames that panicked are still there. Program counters are some thirty times
// cheaper than text, and most stacks are never read.
func newPanicError(v any) *PanicError {
	var pcs [64]uintptr
	n := runtime.Callers(3, pcs[:])
	return &PanicError{Value: v, pcs: append([]uintptr(nil), pcs[:n]...)}
}

// Error returns the panic's value as the runtime prints it: values other than
// errors and basic types show as their type, since formatting a live value of
// the user's would read it while others write it.
func (e *PanicError) Error() string { return "panic: " + panicText(e.Value) }

func panicText(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64, complex64, complex128:
		return fmt.Sprint(v)
	default:
		return fmt.Sprintf("(%T)", v)
	}
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Stack returns the stack at the panic, innermost call first, two lines a
// frame as [runtime/debug.Stack] prints them. The text is made anew at each call.
func (e *PanicError) Stack() string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.pcs)
	inRuntime := true // recovering and panicking, before the call that panicked
	for {
		f, more := frames.Next()
		if inRuntime = inRuntime && strings.HasPrefix(f.Function, "runtime."); f.Function != "" && !inRuntime {
			fmt.Fprintf(&b, "%s(...)\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// TimeoutError is the error of an attempt whose timeout passed. It is
// [ErrAttemptTimeout] and [context.DeadlineExceeded] for errors.Is.
type TimeoutError struct {
	Timeout time.Duration
	Err     error // what the body returned then; may be nil
}

// Error names the timeout and what the body made of it.
func (e *TimeoutError) Error() string {
	if e.Err == nil || e.Err == error(ErrAttemptTimeout) || e.Err == context.DeadlineExceeded { // would say it twice
		return fmt.Sprintf("attempt timed out after %s", e.Timeout)
	}
	return fmt.Sprintf("attempt timed out after %s: %v", e.Timeout, e.Err)
}

// Unwrap returns ErrAttemptTimeout and the body's error.
func (e *TimeoutError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrAttemptTimeout}
	}
	return []error{ErrAttemptTimeout, e.Err}
}

// GraceExceededError names the bodies that were still running when the grace
// after their stop had passed. It is the error of abandoned outcomes, of
// [Supervisor.Run] and of [Supervisor.Shutdown]. Go has no means to stop a
// goroutine: these still run.
type GraceExceededError struct {
	Grace time.Duration
	Tasks []TaskStatus // sorted by id; Stack holds what could be captured within half a second
}

// Error names the tasks, without their stacks.
func (e *GraceExceededError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "taskvisor: grace of %s exceeded by", e.Grace)
	for i, t := range e.Tasks {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %q (id %d, attempt %d)", t.Name, t.ID, t.Attempt)
	}
	return b.String()
}

// TaskError is a refused call: what was asked, for which task, and why, in the
// manner of [io/fs.PathError].
type TaskError struct {
	Op   string // the call: "add", "run", "submit", …
	Task string // the task's name as it was given; may be empty
	Err  error
}

// Error returns, for example, `taskvisor: add "mailer": name in use`.
func (e *TaskError) Error() string {
	why := strings.TrimPrefix(e.Err.Error(), errorPrefix)
	if e.Task == "" {
		return errorPrefix + e.Op + ": " + why
	}
	return fmt.Sprintf("%s%s %q: %s", errorPrefix, e.Op, e.Task, why)
}

// Unwrap returns e.Err.
func (e *TaskError) Unwrap() error { return e.Err }

// exitCode is the exit status that an error carries: that of [os/exec.ExitError]
// and of anything else with a method ExitCode() int.
type exitCode struct {
	code  int
	known bool
}
