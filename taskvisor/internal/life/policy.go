// Package life is the life of one task: the policy in force and a state machine
// whose methods are pure transitions. It knows no clock, no goroutine, no lock
// and no subscriber, and its fields are unexported, so that nobody else writes
// a task's state.
package life

import "time"

// Time is a point on a supervisor's monotonic clock, in nanoseconds since
// shortly before it was made; 0 is "never". Wall clocks jump; nothing is
// decided by them.
type Time int64

// After is t + d, saturating: delays may be as long as a duration can be, and a wrapped
// sum would be a time that has long come. d must not be negative: a sum below t counts
// as one that has wrapped.
func (t Time) After(d time.Duration) Time {
	if at := t + Time(d); at >= t {
		return at
	}
	return 1<<63 - 1
}

// reached reports whether the time t, if there is one, has come.
func (t Time) reached(now Time) bool { return t != 0 && now >= t }

// Result is how an attempt ended. The numbers are those of the public type.
type Result uint8

// The results. Machine.counts has a place for each, up to the last.
const (
	Success Result = iota + 1
	Failure
	Fatal
	Timeout
	Panic
	Canceled
)

// failed reports whether r is a failure that may be retried.
func (r Result) failed() bool { return r == Failure || r == Timeout || r == Panic }

// Outcome is how a task ended. The numbers are those of the public type.
type Outcome uint8

// The outcomes.
const (
	Completed Outcome = iota + 1
	Failed
	Died
	Stopped
	Abandoned
	Rejected
)

// Source is what decided the delay before an attempt. The numbers are those of
// the public type.
type Source uint8

// The sources.
const (
	AfterSuccess Source = iota + 1
	AfterFailure
	Requested
	Triggered
)

// Restart says what follows an attempt.
type Restart uint8

// The restart policies.
const (
	OnFailure Restart = iota
	Never
	Always
)

// Floor is the least time between the starts of two attempts of a task: a loop
// that fails at once then costs a thousand attempts a second and no more.
const Floor = time.Millisecond

// Unlimited is the Retries of a policy without a limit.
const Unlimited = -1

// Policy is what is in force for a task. It is never written after a machine
// was made with it, and tasks with equal policies share one. It is comparable, and
// validated where it is made: no duration is negative.
type Policy struct {
	Restart    Restart
	Scheduled  bool          // the next start after a success is the wall clock's: Ending.Next; with Always
	NoFloor    bool          // attempts may follow each other without Floor between their starts
	Release    bool          // a body that outlives its grace gives name, slot and gates up at once
	Readiness  bool          // ready is what the body says; false: it is derived, see Machine.Ready
	Interval   time.Duration // after a success; with Always, unless Scheduled
	Backoff    Backoff       // before a retry
	Retries    int           // in a streak; Unlimited
	Timeout    time.Duration // of an attempt; 0: none
	Idle       time.Duration // longest silence of an attempt; 0: any
	ResetAfter time.Duration // an attempt that ran longer starts a new streak; 0: only a success does
	StuckAfter time.Duration // from a deadline, an interruption or a stop until the body counts as stuck; above 0
	Grace      time.Duration // of an individual stop, the shutdown has its own; 0: the body is given up at once
}
