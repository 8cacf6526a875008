package life_test

import (
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// contract is a second opinion about a task: what the contract says, written without a
// look at the machine, in words. Times are units of half a millisecond; 0 is "never".
type contract struct {
	rules *rules

	where     string // queued, added, held, delay, due, begun, body, ending, aborting, gone
	stop      uint8
	shutdown  bool
	paused    bool
	triggered bool // RunNow asked for an attempt that has not begun
	abandoned bool
	attempts  int
	failures  int // in a row
	counts    [6]uint64
	wasReady  bool

	// Of the current attempt.
	started     int
	deadline    int
	heals       int // the failures before are forgotten after that
	beat        int
	timedOut    bool
	silent      bool
	interrupted bool
	ready       bool
	canceled    string // what cancelled its context first
	overdue     int    // a body that still runs then is stuck
	hangs       bool   // its stacks were asked for
	stuck       bool   // that was announced
	grace       int
	waited      int

	// Decided when the body is back.
	result  life.Result
	plan    life.Source
	delay   int
	over    int
	outcome life.Outcome

	due     int // delay: the next start; due: since when
	since   int // in the state that others see
	first   int
	success int
}

// rules are a policy in the contract's words.
type rules struct {
	name      string
	restart   life.Restart
	interval  int
	retries   int
	timeout   int
	idle      int
	reset     int // 0: only a success resets the streak
	noFloor   bool
	release   bool
	readiness bool
	gated     bool
	scheduled bool
	paused    bool // from the start
}

// Common to all rules. The backoff is 4, 8, 16, 16 … units.
const (
	unit       = 500 * time.Microsecond
	floor      = 2
	stuckAfter = 10
	grace      = 24
	asks       = 14 // for RetryAfter and RunAfter
)

func backoffAfter(retries int) int { return min(4<<min(retries, 10), 16) }

// said is what a call is to lead to: events in their order, then everything else.
func said(events string, acts ...string) string {
	slices.Sort(acts)
	list := append(strings.Fields(events), "|")
	for _, a := range acts {
		if a != "" {
			list = append(list, a)
		}
	}
	return strings.Join(list, " ")
}

const nothing = "|"

func (c *contract) state() life.State {
	switch {
	case c.where == "gone":
		return life.StateFinished
	case c.abandoned:
		return life.StateAbandoned
	case c.stop != 0:
		return life.StateStopping
	case c.where == "body" || c.where == "ending" || c.where == "aborting":
		return life.StateRunning
	case c.paused && c.where != "begun":
		return life.StatePaused
	case c.where == "delay" && c.attempts > 0 && (c.result == life.Failure || c.result == life.Timeout || c.result == life.Panic):
		return life.StateBackoff
	case c.where == "delay":
		return life.StateWaiting
	}
	return life.StatePending
}

// isReady: what the body says; else a Once when completed, others while an attempt
// runs or if the last one has succeeded.
func (c *contract) isReady() bool {
	switch {
	case c.rules.readiness:
		return c.where == "body" && c.ready
	case c.rules.restart == life.Never:
		return c.where == "gone" && c.outcome == life.Completed
	case c.where == "body":
		return c.stop == 0
	}
	return c.attempts > 0 && c.result == life.Success
}

// atWork reports whether a goroutine exists for the task.
func (c *contract) atWork() bool {
	return slices.Contains([]string{"begun", "body", "ending", "aborting"}, c.where)
}

func (c *contract) gone(outcome life.Outcome) string {
	c.where, c.outcome, c.paused = "gone", outcome, false
	return "leave"
}

func (c *contract) cancel(by string) string {
	if c.canceled != "" {
		return "" // the first one stands
	}
	c.canceled = by
	return "cancel"
}

// announce: nothing precedes TaskAdded, a stop that came before it takes effect now.
func (c *contract) announce() string {
	switch {
	case c.where != "added":
		return nothing
	case c.stop != 0 && c.shutdown:
		return said("A", c.gone(life.Stopped))
	case c.stop != 0:
		return said("A Q", c.gone(life.Stopped))
	}
	c.where = "held"
	if c.paused {
		return said("A ‖")
	}
	return said("A")
}

func (c *contract) launch(initial, now int) string {
	switch {
	case c.where != "held":
		return nothing
	case initial > 0 && !c.triggered:
		c.where, c.delay, c.due = "delay", initial, now+initial
		return nothing
	}
	return said("", c.come(now))
}

// come: the next attempt may begin, as soon as no pause and no gate is in the way.
func (c *contract) come(now int) string {
	c.where, c.due = "due", now
	if !c.paused {
		c.since = now // how long it waits at a gate is counted from here
	}
	switch {
	case c.paused:
		return ""
	case c.rules.gated:
		return "enter"
	}
	return c.letIn(now)
}

func (c *contract) letIn(now int) string {
	c.where, c.since, c.waited = "begun", now, now-c.due
	c.triggered, c.timedOut, c.silent, c.interrupted, c.ready, c.hangs, c.stuck = false, false, false, false, false, false, false
	c.canceled, c.deadline, c.heals, c.overdue, c.grace = "", 0, 0, 0, 0
	return "run"
}

// passed: the gates have let the task in, or it is not there any more.
func (c *contract) passed(now int) string {
	if c.where != "due" || c.paused {
		return said("", "quit")
	}
	return said("", c.letIn(now))
}

// start: a stop that was claimed before means that the body is not called.
func (c *contract) start(now int) string {
	if c.stop != 0 {
		c.where = "aborting"
		return said("", "abort")
	}
	c.where, c.started, c.beat, c.since = "body", now, now, now
	c.attempts++
	if c.first == 0 {
		c.first = now
	}
	if c.rules.timeout > 0 && c.canceled == "" {
		c.deadline = now + c.rules.timeout
	}
	if c.failures > 0 && c.rules.reset > 0 {
		c.heals = now + c.rules.reset
	}
	return said("S", "call")
}

// halt: one caller claims; what waits ends at once, what runs is told and has its grace
// from now, its deadline disarmed.
func (c *contract) halt(why uint8, shutdown bool, now int) string {
	if c.stop != 0 || c.where == "gone" {
		return nothing
	}
	c.stop, c.shutdown = why, shutdown
	q := map[bool]string{false: "Q"}[shutdown]
	switch {
	case c.where == "added":
		return said("", "changed")
	case c.where == "due":
		return said(q, "changed", "quit", c.gone(life.Stopped))
	case !c.atWork():
		return said(q, "changed", c.gone(life.Stopped))
	}
	c.deadline, c.heals = 0, 0
	if !shutdown {
		c.grace = now + grace
	}
	if c.overdue == 0 && !c.hangs && c.where != "ending" {
		c.overdue = now + stuckAfter
	}
	return said(q, "changed", c.cancel("stop"))
}

// late: the deadline, or the longest silence, has passed.
func (c *contract) late(now int) (hit bool, act string) {
	if c.where != "body" || c.stop != 0 || c.timedOut || c.interrupted {
		return false, ""
	}
	silent := c.rules.idle > 0 && now >= c.beat+c.rules.idle && c.canceled != "end"
	if dead := c.deadline != 0 && now >= c.deadline; !dead && !silent {
		return false, ""
	} else if !dead {
		c.silent = true
	}
	c.timedOut, c.deadline, c.heals = true, 0, 0
	c.overdue = now + stuckAfter
	return true, c.cancel("deadline")
}

// healed: the attempt has run for so long that the failures before are forgotten.
func (c *contract) healed(now int) bool {
	if c.where != "body" || c.heals == 0 || now <= c.heals {
		return false
	}
	c.heals, c.failures = 0, 0
	return true
}

// tick: of what is due, one thing at a time.
func (c *contract) tick(now int) string {
	switch {
	case c.where == "delay" && now >= c.due:
		return said("", c.come(now))
	case !c.atWork() || c.abandoned:
		return nothing
	case c.grace != 0 && now >= c.grace:
		c.grace, c.overdue = 0, 0
		return said("", "abandon")
	case c.overdue != 0 && now >= c.overdue:
		c.overdue = 0
		if c.where == "aborting" {
			return nothing
		}
		c.hangs = true
		return said("", "stuck")
	}
	if hit, act := c.late(now); hit {
		return said("T", act)
	}
	if c.healed(now) {
		return said("+")
	}
	return nothing
}
