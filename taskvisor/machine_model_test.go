package taskvisor

import "time"

// contractTask is a second opinion about a task: what the contract says, written
// without a look at the machine. Times are milliseconds; 0 is "no such time".
type contractTask struct {
	pol *contractPolicy

	where     string // added, announced, pending, beginning, body, ending, aborting, delay, gone
	attempts  int
	failures  int // in a row
	stop      Reason
	abandoned bool

	// of the current attempt
	started  int
	deadline int
	timedOut bool
	endedBy  string // what cancelled its context
	toldToGo int    // when it should have ended: its deadline or its stop
	stuck    bool
	grace    int

	// decided when the body is back
	result  ResultKind
	planned BackoffSource
	delay   int
	due     int
	outcome OutcomeKind

	since    int // in the state that others see
	terminal int // terminal attempt events so far
}

// contractPolicy is what the table's policies say, in milliseconds.
type contractPolicy struct {
	name       string
	opts       []TaskOption
	restart    string // never, on failure, always
	interval   int
	retries    int // -1: unlimited
	timeout    int // 0: none
	resetAfter int // 0: not by time
	noFloor    bool
}

// Common to all policies of the table.
const (
	contractStuckAfter = 5
	contractGrace      = 12
	contractRequested  = 7 // what RetryAfter asks for
)

// contractBackoff is 2, 4, 8, 8, 8 …
func contractBackoff(retriesMade int) int { return min(2<<min(retriesMade, 10), 8) }

// state is what others see.
func (c *contractTask) state() State {
	switch {
	case c.where == "gone":
		return StateFinished
	case c.abandoned:
		return StateAbandoned
	case c.stop != 0:
		return StateStopping
	case c.where == "delay" && c.planned == BackoffSuccess:
		return StateWaiting
	case c.where == "delay":
		return StateBackoff
	case c.where == "body" || c.where == "ending":
		return StateRunning
	}
	return StatePending
}

// atWork reports whether a goroutine exists for the task.
func (c *contractTask) atWork() bool {
	return c.where == "beginning" || c.where == "body" || c.where == "ending" || c.where == "aborting"
}

func (c *contractTask) gone(outcome OutcomeKind) {
	c.where, c.outcome = "gone", outcome
}

func (c *contractTask) cancelContext(by string) string {
	if c.endedBy != "" {
		return "" // the first cancellation wins
	}
	c.endedBy = by
	return " cancel"
}

// claim: exactly one caller claims; Q stands for individual stops; a delay or a
// wait ends at once; a running body is told, its deadline is disarmed, its grace
// counts from now.
func (c *contractTask) claim(why Reason, now int) string {
	if c.stop != 0 || c.where == "gone" {
		return ""
	}
	c.stop = why
	said := ""
	if why != ErrShutdown && c.where != "added" {
		said = " Q"
	}
	switch {
	case c.where == "added": // takes effect once TaskAdded is out
		return said + " claimed"
	case !c.atWork():
		c.gone(OutcomeCanceled)
		return said + " D claimed"
	}
	c.deadline = 0
	if c.toldToGo == 0 && c.where != "beginning" { // an attempt that never starts publishes nothing
		c.toldToGo = now
	}
	if why != ErrShutdown {
		c.grace = now + contractGrace
	}
	return said + c.cancelContext("stop") + " claimed"
}

func (c *contractTask) announce() string {
	c.where = "announced"
	if c.stop == 0 {
		return ""
	}
	c.gone(OutcomeCanceled)
	if c.stop == ErrShutdown {
		return " D"
	}
	return " Q D"
}

func (c *contractTask) begin(now int) {
	c.where, c.started = "beginning", now
	c.deadline, c.timedOut, c.endedBy, c.toldToGo, c.stuck, c.grace = 0, false, "", 0, false, 0
}

// start: a stop claimed before TaskStarting means that the body is not called.
func (c *contractTask) start() string {
	if c.stop != 0 {
		c.where = "aborting"
		return " abort"
	}
	c.where = "body"
	c.attempts++
	if c.pol.timeout > 0 {
		c.deadline = c.started + c.pol.timeout
	}
	return " S run"
}

// tick: at most one thing is due at a time.
func (c *contractTask) tick(now int) string {
	switch {
	case c.where == "delay" && now >= c.due:
		c.where = "pending"
		return " again"
	case c.where == "body" && c.deadline != 0 && now >= c.deadline:
		c.deadline, c.timedOut, c.toldToGo = 0, true, now
		return " T" + c.cancelContext("deadline")
	case !c.atWork() || c.abandoned:
	case c.grace != 0 && now >= c.grace:
		c.grace, c.stuck = 0, true // an abandoned body is not reported as stuck as well
		return " abandon"
	case c.toldToGo != 0 && !c.stuck && now >= c.toldToGo+contractStuckAfter:
		c.stuck = true
		return " stuck"
	}
	return ""
}

// back is a way in which a body ends.
type back struct {
	name      string
	kind      ResultKind // as if there were neither a stop nor a deadline
	goexit    bool
	requested bool
}

// returned is the table of results, and what is planned then.
func (c *contractTask) returned(b back, now int) {
	c.where = "ending"
	c.deadline = 0
	c.cancelContext("end")
	switch {
	case b.kind == ResultPanic:
		c.result = ResultPanic
	case b.goexit:
		c.result = ResultFailure
	case c.timedOut:
		c.result = ResultTimeout
	case b.kind == ResultFailure && c.stop != 0:
		c.result = ResultCanceled
	default:
		c.result = b.kind
	}
	c.planned = 0
	switch c.result {
	case ResultSuccess:
		c.failures = 0
		if c.outcome = OutcomeCompleted; c.pol.restart == "always" {
			c.planned, c.delay = BackoffSuccess, c.pol.interval
		}
	case ResultFatal:
		c.failures++
		c.outcome = OutcomeFatal
	case ResultCanceled:
		c.outcome = OutcomeCanceled
	default:
		if c.pol.resetAfter > 0 && now-c.started > c.pol.resetAfter {
			c.failures = 0
		}
		retriesMade := c.failures
		c.failures++
		if c.outcome = OutcomeFailed; c.pol.restart == "never" || c.pol.retries >= 0 && retriesMade >= c.pol.retries {
			return
		}
		c.planned, c.delay = BackoffFailure, contractBackoff(retriesMade)
		if b.requested && c.result == ResultFailure {
			c.planned, c.delay = BackoffRequested, contractRequested
		}
	}
	if floor := c.started + 1 - now; c.planned != 0 && !c.pol.noFloor && c.delay < floor {
		c.delay = floor
	}
	c.due = now + c.delay
}

// settle: the terminal event, and then what follows, unless a stop voids it.
func (c *contractTask) settle() string {
	c.terminal++
	said := map[ResultKind]string{ResultSuccess: " ✓", ResultCanceled: " C"}[c.result]
	if said == "" {
		said = " ✗"
	}
	switch {
	case c.abandoned:
		c.gone(OutcomeAbandoned)
		return said + " R D"
	case c.stop != 0:
		c.gone(OutcomeCanceled)
		return said + " D"
	case c.planned == 0:
		c.gone(c.outcome)
		switch c.outcome {
		case OutcomeCanceled:
			return said + " D"
		case OutcomeFatal:
			return said + " X D"
		}
		return said + " E D"
	case c.delay == 0:
		c.where = "pending"
		return said + " B again"
	}
	c.where = "delay"
	return said + " B wait"
}

// aborted: the attempt publishes nothing.
func (c *contractTask) aborted() string {
	if c.abandoned {
		c.gone(OutcomeAbandoned)
		return " R D"
	}
	c.gone(OutcomeCanceled)
	return " D"
}

// abandon: only a stopped body that is not back.
func (c *contractTask) abandon() bool {
	if c.abandoned || c.stop == 0 || !c.atWork() {
		return false
	}
	c.abandoned, c.outcome = true, OutcomeAbandoned
	return true
}

// contractPolicies cover every branch.
func contractPolicies() []*contractPolicy {
	const ms = time.Millisecond
	floorless := WithoutRestartFloor()
	return []*contractPolicy{
		{name: "never", restart: "never", retries: -1, resetAfter: 60_000, opts: []TaskOption{RestartNever()}},
		{name: "never, timeout", restart: "never", retries: -1, timeout: 10, opts: []TaskOption{RestartNever(), WithTimeout(10 * ms)}},
		{name: "on failure", restart: "on failure", retries: -1, resetAfter: 60_000},
		{name: "one retry", restart: "on failure", retries: 1, resetAfter: 20, opts: []TaskOption{WithMaxRetries(1), WithResetAfter(20 * ms)}},
		{name: "no retries", restart: "on failure", retries: 0, timeout: 10, opts: []TaskOption{WithMaxRetries(0), WithTimeout(10 * ms)}},
		{name: "timeout, no reset", restart: "on failure", retries: 2, timeout: 30, opts: []TaskOption{WithMaxRetries(2), WithTimeout(30 * ms)}},
		{
			name: "timeout, reset", restart: "on failure", retries: 1, timeout: 30, resetAfter: 20,
			opts: []TaskOption{WithMaxRetries(1), WithTimeout(30 * ms), WithResetAfter(20 * ms)},
		},
		{
			name: "always, at once", restart: "always", retries: 1, resetAfter: 60_000, noFloor: true,
			opts: []TaskOption{RestartAlways(0), WithMaxRetries(1), floorless},
		},
		{name: "always, floor", restart: "always", retries: -1, resetAfter: 60_000, opts: []TaskOption{RestartAlways(0)}},
		{
			name: "always, interval", restart: "always", interval: 10, retries: 2, timeout: 10,
			opts: []TaskOption{RestartAlways(10 * ms), WithMaxRetries(2), WithTimeout(10 * ms)},
		},
	}
}

// policy is the same for the machine.
func (p *contractPolicy) policy() *policy {
	own := &policy{}
	opts := append([]TaskOption{
		WithStuckAfter(contractStuckAfter * time.Millisecond), WithGrace(contractGrace * time.Millisecond),
		BackoffPolicy{First: 2 * time.Millisecond, Max: 8 * time.Millisecond, Factor: 2},
	}, p.opts...)
	for _, o := range opts {
		o.applyTask(own)
	}
	return resolve(nil, own)
}
