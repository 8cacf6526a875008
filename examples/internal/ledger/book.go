package ledger

import "time"

// Book is a ledger as it is written.
type Book struct {
	Began, Ended time.Time
	Supervisors  []*Supervisor
	Tasks        []*Task // in the order in which they were noted
	Submissions  []Submission
	Readings     []Reading // of the metrics, in the order in which they began
	Stalls       []Stall
}

// Reading is the time during which somebody read the metrics.
type Reading struct{ Began, Ended time.Time }

// Stall is a time during which the machine was busy with something else: for Lost of it,
// at one piece or more, something of the program was ready and did not run.
type Stall struct {
	From, To time.Time
	Lost     time.Duration
}

// Span is the identity of a span, in hexadecimal; zero if there is none.
type Span struct{ Trace, ID string }

// Supervisor is what the program did with a supervisor.
type Supervisor struct {
	l *Ledger

	Name              string
	Limit             int
	Grace             time.Duration
	StopAt, StoppedAt time.Time
}

// Task is one task: one registration of a name.
type Task struct {
	l *Ledger

	Supervisor, Name string
	Plan             Plan
	Caller           Span      // active where it was added
	Added, Known     time.Time // just before the call, and just after; Known is zero if that was not noted
	StopAt           time.Time // just before the call that stopped it; zero if nobody did
	StopBy           string    // removed, replaced or shutdown
	Gone             time.Time // when the program was told that it has ended
	Heard            string    // and how
	Attempts         []*Attempt
}

// Plan is what the program asked for, in plain numbers: the policies are stated once
// more here, so that nothing of the supervisor's has to be believed.
type Plan struct {
	Once     bool // never a restart
	Always   bool // a restart after a success, Interval after it
	Interval time.Duration
	Retries  int // allowed in a streak; -1: no limit
	Timeout  time.Duration
	Grace    time.Duration // of an individual stop, if it matters

	First, Max time.Duration // of the backoff, which doubles
	Jitter     bool          // at least the half of it, drawn

	StuckAfter time.Duration
	Resident   bool   // no span over its attempts is asked for
	Slot       string // "" if it is added and not submitted
	Replaces   string // the task that its submission stopped
	Outcome    string // how it has to end; "" if it does not
}

// Backoff returns the least and the most that the delay after the nth failure of a
// streak may be, n from 0.
func (p Plan) Backoff(n int) (least, most time.Duration) {
	d := p.First
	for range n {
		if d = min(2*d, p.Max); d == p.Max {
			break
		}
	}
	if p.Jitter {
		return d / 2, d
	}
	return d, d
}

// The ways in which a body can end.
const (
	ReturnedNil   = "nil"
	ReturnedError = "error"
	Panicked      = "panic"
	Exited        = "exit" // runtime.Goexit
)

// What can be the cause of an attempt's context, or stop a task.
const (
	ReasonTimeout  = "attempt_timeout"
	ReasonRemoved  = "removed"
	ReasonReplaced = "replaced"
	ReasonShutdown = "shutdown"
)

// Attempt is one call of a body.
type Attempt struct {
	t *Task

	Number     int
	Span       Span          // active in its context when it began
	Work       Span          // of the span that the body made itself
	Waited     time.Duration // since the attempt before had ended
	Opened     time.Time     // read by the [Frame] before anything else of the attempt
	Started    time.Time
	CanceledAt time.Time // when its context was, if the body was still running
	Ended      time.Time // zero if it never came back
	Closed     time.Time // read by the Frame when everything else of the attempt was over
	Duration   time.Duration
	Framed     time.Duration // from Opened to Closed
	How        string
	Cause      string // of its context, just before it returned
	Error      string // the text that has to be reported, of an error or a panic
	Func       string // that panicked, as it has to be on the stack
	Fatal      bool
	Canceled   bool // it ended the task itself
	After      time.Duration
	Requested  bool // the delay is After
	Triggered  bool // one more was asked for while it ran

	ending bool // the body has looked at its context for the last time
}

// The results of attempts.
const (
	Success  = "success"
	Failure  = "failure"
	Fatal    = "fatal"
	Timeout  = "timeout"
	Panic    = "panic"
	Canceled = "canceled"
)

// Result is how the supervisor has to classify the attempt: the contract's table, in
// its order. It is "" for an attempt that has not ended.
func (a *Attempt) Result() string {
	switch {
	case a.Ended.IsZero():
		return ""
	case a.How == Panicked:
		return Panic
	case a.How == Exited:
		return Failure
	case a.Cause == ReasonTimeout:
		return Timeout
	case a.How == ReturnedNil:
		return Success
	case a.Fatal:
		return Fatal
	case a.Canceled, a.Stopped():
		return Canceled
	default:
		return Failure
	}
}

// Stopped reports whether the body was told to stop before it returned.
func (a *Attempt) Stopped() bool {
	return a.Cause == ReasonRemoved || a.Cause == ReasonReplaced || a.Cause == ReasonShutdown
}

// Failed reports whether the attempt ended as it should not have.
func (a *Attempt) Failed() bool {
	switch a.Result() {
	case Failure, Fatal, Timeout, Panic:
		return true
	}
	return false
}

// Streak returns the number of failures in a row before attempt i, counted from 0.
func (t *Task) Streak(i int) int {
	n := 0
	for j := i - 1; j >= 0 && t.Attempts[j].Failed(); j-- {
		n++
	}
	return n
}

// TriggeredNext is the cause of an attempt that was asked for while another one ran.
const TriggeredNext = "triggered"

// Next is what has to follow an attempt.
type Next struct {
	Cause       string        // success, failure, requested or triggered; "": nothing follows
	Least, Most time.Duration // of the delay
}

// Next returns what has to follow attempt i, counted from 0, unless the task was
// stopped before the delay was over.
func (t *Task) Next(i int) Next {
	a := t.Attempts[i]
	// Of a body that ran on after its timeout the cause does not tell that it was
	// stopped as well.
	overtaken := a.Cause == ReasonTimeout && !t.StopAt.IsZero() && t.StopAt.Before(a.Ended)
	if a.Ended.IsZero() || a.Stopped() || overtaken {
		return Next{}
	}
	if a.Triggered && (a.Result() == Success || a.Failed() && a.Result() != Fatal) {
		return Next{Cause: TriggeredNext} // whatever the policy says
	}
	switch a.Result() {
	case Success:
		if t.Plan.Always {
			return Next{Success, t.Plan.Interval, t.Plan.Interval}
		}
	case Failure, Timeout, Panic:
		streak := t.Streak(i)
		switch {
		case t.Plan.Once || t.Plan.Retries >= 0 && streak >= t.Plan.Retries:
		case a.Requested && a.Result() == Failure:
			return Next{"requested", a.After, a.After}
		default:
			least, most := t.Plan.Backoff(streak)
			return Next{Failure, least, most}
		}
	}
	return Next{}
}

// Gap returns how long the task really waited after attempt i, until the next one or
// until it was stopped; known is false if neither happened.
func (t *Task) Gap(i int) (d time.Duration, whole, known bool) {
	switch {
	case i+1 < len(t.Attempts):
		return t.Attempts[i+1].Waited, true, true
	case !t.StopAt.IsZero():
		return t.StopAt.Sub(t.Attempts[i].Ended), false, true
	}
	return 0, false, false
}

// Submission is one call of Submit and the answer that it has to get.
type Submission struct {
	Supervisor, Task, Slot string
	Policy                 string
	Verdict                string // started, queued, joined or rejected
	Reason                 string // of the refusal, at once or later; "" if it became a task
	At                     time.Time
}
