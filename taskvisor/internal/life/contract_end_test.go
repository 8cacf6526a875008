package life_test

import "github.com/taskvisor/taskvisor-go/taskvisor/internal/life"

// back is a way in which a body ends.
type back struct {
	name   string
	kind   life.Result // as if there were neither a stop nor a deadline
	exited bool
	asked  bool
}

var backs = []back{
	{"nil", life.Success, false, false},
	{"RunAfter", life.Success, false, true},
	{"error", life.Failure, false, false},
	{"RetryAfter", life.Failure, false, true},
	{"Goexit", life.Failure, true, false},
	{"fatal", life.Fatal, false, false},
	{"ErrCanceled", life.Canceled, false, false},
	{"panic", life.Panic, false, false},
	{"panic asks", life.Panic, false, true},
}

// decide is the table of results.
func (c *contract) decide(b back) life.Result {
	switch {
	case b.kind == life.Panic:
		return life.Panic
	case b.exited:
		return life.Failure
	case c.timedOut:
		return life.Timeout
	case b.kind == life.Fatal, b.kind == life.Canceled:
		c.interrupted = false
		return b.kind
	case c.stop != 0 && b.kind == life.Failure:
		return life.Canceled
	case c.stop == 0 && c.interrupted:
		return life.Canceled
	}
	c.interrupted = false
	return b.kind
}

// returned decides the result and plans what follows.
func (c *contract) returned(b back, next, now int) string {
	events, acts := "", []string{}
	if hit, act := c.late(now); hit {
		events, acts = " T", append(acts, act)
	} else if c.healed(now) {
		events = " +"
	}
	c.result = c.decide(b)
	c.counts[c.result-1]++
	c.where, c.over = "ending", now
	c.overdue, c.heals = 0, 0
	c.cancel("end") // a context that somebody has looked at was cancelled before
	c.plan = 0
	switch c.result {
	case life.Success:
		if c.failures > 0 && !c.abandoned { // its task may be gone
			events += " +"
		}
		c.failures, c.success = 0, now
		c.follow(b, next, now)
	case life.Fatal:
		c.failures++
		c.outcome = life.Died
	case life.Canceled:
		if c.outcome = life.Stopped; c.interrupted {
			c.plan, c.delay = life.Triggered, 0
		}
	default:
		c.retry(b, now)
	}
	c.hurry()
	if c.abandoned {
		c.outcome = life.Abandoned // that is known already
	}
	return said(events, acts...)
}

// follow is what comes after a success.
func (c *contract) follow(b back, next, now int) {
	switch {
	case c.rules.restart != life.Always, c.rules.scheduled && next == 0:
		c.outcome = life.Completed
	case b.asked:
		c.plan, c.delay = life.Requested, asks
	case c.rules.scheduled:
		c.plan, c.delay = life.AfterSuccess, max(next-now, 0)
	default:
		c.plan, c.delay = life.AfterSuccess, c.rules.interval
	}
}

// retry is what comes after a failure: at most so many retries in a streak, and an
// attempt that ran longer than ResetAfter starts a new one.
func (c *contract) retry(b back, now int) {
	if c.rules.reset > 0 && now-c.started > c.rules.reset {
		c.failures = 0
	}
	made := c.failures
	c.failures++
	switch {
	case c.rules.restart == life.Never, c.rules.retries >= 0 && made >= c.rules.retries:
		c.outcome = life.Failed
	case b.asked && c.result != life.Timeout:
		c.plan, c.delay = life.Requested, asks
	default:
		c.plan, c.delay = life.AfterFailure, backoffAfter(made)
	}
}

// hurry: RunNow lets one more attempt follow at once, unless the attempt was fatal or
// ended the task itself; a millisecond lies between two starts.
func (c *contract) hurry() {
	if c.triggered && (c.plan != 0 || c.outcome == life.Completed || c.outcome == life.Failed) {
		c.plan, c.delay = life.Triggered, 0
	}
	if c.plan != 0 && !c.rules.noFloor {
		c.delay = max(c.delay, c.started+floor-c.over)
	}
}

var terminals = map[life.Result]string{
	life.Success: "✓", life.Canceled: "C",
	life.Failure: "✗", life.Fatal: "✗", life.Timeout: "✗", life.Panic: "✗",
}

// settle: the attempt's terminal event, then what follows, unless a stop voids it. An
// attempt that was aborted has published nothing, and has no terminal event.
func (c *contract) settle(now int) string {
	ended := map[bool]string{false: terminals[c.result]}[c.where == "aborting"]
	switch {
	case c.abandoned && c.rules.release:
		c.gone(life.Abandoned)
		if ended != "" {
			ended = "Y" // its task is gone: the event stands alone
		}
		return said(ended, "back")
	case c.abandoned:
		return said(ended+" R", "back", "quit", c.gone(life.Abandoned))
	case c.stop != 0:
		return said(ended, "quit", c.gone(life.Stopped))
	case c.plan != 0 || c.triggered && (c.outcome == life.Completed || c.outcome == life.Failed):
		c.hurry()
		if c.over+c.delay > now {
			c.where, c.due = "delay", c.over+c.delay
			return said(ended+" B", "quit")
		}
		return said(ended+" B", "quit", c.come(now))
	case c.outcome == life.Died:
		return said(ended+" X", "quit", c.gone(life.Died))
	case c.outcome == life.Stopped:
		return said(ended, "quit", c.gone(life.Stopped))
	}
	return said(ended+" E", "quit", c.gone(c.outcome))
}

// abandon: only a stopped body that is not back.
func (c *contract) abandon() string {
	if c.abandoned || c.stop == 0 || !c.atWork() {
		return nothing
	}
	c.abandoned, c.outcome, c.grace = true, life.Abandoned, 0
	k := ""
	if c.hangs && !c.stuck && (c.where == "begun" || c.where == "body") {
		k, c.stuck = "K", true // its stacks come too late
	}
	if c.rules.release {
		return said(k, "changed", "leave", "quit")
	}
	return said(k, "changed")
}

// fail: what the task depends on has ended.
func (c *contract) fail() string {
	switch {
	case c.where == "due":
		return said("E", "quit", c.gone(life.Failed))
	case c.where == "held", c.where == "delay":
		return said("E", c.gone(life.Failed))
	}
	return nothing
}

// hasten ends a delay, or moves the start to the end of the restart floor.
func (c *contract) hasten(event string, now int) string {
	if at := c.started + floor; c.attempts > 0 && !c.rules.noFloor && at > now {
		c.triggered, c.due = true, at
		return said(event, "changed")
	}
	return said(event, "changed", c.come(now))
}

func (c *contract) runNow(now int) string {
	switch {
	case c.stop != 0 || c.triggered:
		return nothing
	case c.where == "delay":
		return c.hasten("!", now)
	case c.where == "ending" && c.plan == 0 && (c.outcome == life.Died || c.outcome == life.Stopped):
		return nothing // none follows
	case c.atWork(), c.where == "held":
		c.triggered = true
		return said("!", "changed")
	}
	return nothing
}

func (c *contract) interrupt(now int) string {
	switch {
	case c.stop != 0:
	case c.where == "delay" && !c.triggered:
		return c.hasten("I", now)
	case (c.where == "begun" || c.where == "body") && c.canceled == "":
		c.interrupted, c.deadline = true, 0
		c.overdue = now + stuckAfter
		return said("I", "changed", c.cancel("interrupt"))
	}
	return nothing
}

func (c *contract) pause() string {
	if c.paused || c.stop != 0 || c.where == "gone" {
		return nothing
	}
	c.paused = true
	if c.where == "added" {
		return said("", "changed") // TaskAdded comes first, and says it
	}
	return said("‖", "changed", map[bool]string{true: "quit"}[c.where == "due"])
}

func (c *contract) resume(now int) string {
	if !c.paused || c.stop != 0 {
		return nothing
	}
	c.paused = false
	if c.where == "queued" || c.where == "added" {
		return said("", "changed")
	}
	if c.where == "due" {
		return said("▶", "changed", c.come(now))
	}
	return said("▶", "changed")
}

// sayReady is what the body calls.
func (c *contract) sayReady() string {
	if c.where != "body" || c.ready || c.abandoned || !c.rules.readiness {
		return nothing
	}
	c.ready = true
	return said("r", "changed")
}

// reported: the body's stacks are there. One that is back, given up, or was reported
// before, is not.
func (c *contract) reported(attempt int) bool {
	current := c.where == "begun" && attempt == c.attempts+1 || c.where == "body" && attempt == c.attempts
	if !current || c.stuck || c.abandoned {
		return false
	}
	c.stuck = true
	return true
}
