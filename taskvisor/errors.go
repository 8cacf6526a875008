package taskvisor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// errorPrefix begins the text of every error of the package once: a TaskError takes it
// off the text of the error inside.
const errorPrefix = "taskvisor: "

// TimeoutError is the error of an attempt whose timeout passed. It is
// [ErrAttemptTimeout] and [context.DeadlineExceeded] for errors.Is.
type TimeoutError struct {
	Timeout time.Duration // that passed: of the attempt, or of its silence
	Idle    bool          // it was silent for too long; see [WithIdleTimeout]
	Err     error         // what the body returned then; may be nil
}

// Error names the timeout and what the body made of it.
func (e *TimeoutError) Error() string {
	if e.Err == nil {
		return e.text("")
	}
	return e.text(e.Err.Error())
}

// text is Error where that of Err is known: it is not asked for under a lock.
func (e *TimeoutError) text(of string) string {
	text := "attempt timed out after " + e.Timeout.String()
	if e.Idle {
		text += " without a sign of life"
	}
	if e.Err == nil || e.Err == error(ErrAttemptTimeout) || e.Err == context.DeadlineExceeded { // would say it twice
		return text
	}
	return text + ": " + of
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

// maxNamed is how many tasks the text of a GraceExceededError names. It stands in a log
// line and in the record of each task that it is about: of 100 000 it would have 3 MB.
const maxNamed = 32

// Error names the tasks, the first 32 of many, without their stacks.
func (e *GraceExceededError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "taskvisor: grace of %s exceeded by", e.Grace)
	for i, t := range e.Tasks[:min(len(e.Tasks), maxNamed)] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %q (id %d, attempt %d)", t.Name, t.ID, t.Attempt)
	}
	if more := len(e.Tasks) - maxNamed; more > 0 {
		fmt.Fprintf(&b, ", and %d more", more)
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
func (e *TaskError) Error() string { return e.text(e.Err.Error()) }

// text is the text of e with why in place of the text of Err, which may be the user's: see
// ownText.
func (e *TaskError) text(why string) string {
	why = strings.TrimPrefix(why, errorPrefix)
	if e.Task == "" {
		return errorPrefix + e.Op + ": " + why
	}
	return fmt.Sprintf("%s%s %q: %s", errorPrefix, e.Op, e.Task, why)
}

// Unwrap returns e.Err.
func (e *TaskError) Unwrap() error { return e.Err }
