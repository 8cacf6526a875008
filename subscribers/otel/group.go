package otelsub

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// taskStates are always reported, so that a state that empties shows 0.
var taskStates = [...]taskvisor.State{
	taskvisor.StatePending, taskvisor.StateRunning, taskvisor.StateBackoff,
	taskvisor.StateWaiting, taskvisor.StatePaused, taskvisor.StateStopping, taskvisor.StateAbandoned,
}

var restartPolicies = [...]string{"never", "on_failure", "always", "scheduled"}

// group is what the tasks of one label have in common: where they differ, the one that
// is worst off.
type group struct {
	ready    int64
	states   [len(taskStates)]int64
	restart  [len(restartPolicies)]int64
	failures int
	delay    time.Duration
	backoff  time.Duration // that is being waited, of all of them
	interval time.Duration // the longest
	periodic bool          // one has an interval

	added, lastSuccess, nextStart, attemptStart time.Time
}

func (g *group) add(t *taskvisor.TaskStatus, now time.Time) {
	if i := int(t.State - taskStates[0]); i >= 0 && i < len(g.states) {
		g.states[i]++
	}
	if t.Ready {
		g.ready++
	}
	g.policy(&t.Spec)
	g.failures = max(g.failures, t.Streak)
	if t.Streak > 0 {
		g.delay = max(g.delay, t.Delay)
	}
	if t.State == taskvisor.StateBackoff {
		g.backoff += max(min(now.Sub(t.Since), t.Delay), 0)
	}
	g.added = earlier(g.added, t.Added)
	g.lastSuccess = earlier(g.lastSuccess, t.LastSuccess)
	g.nextStart = earlier(g.nextStart, t.NextStart)
	g.attemptStart = earlier(g.attemptStart, t.AttemptStart)
}

func (g *group) policy(s *taskvisor.TaskSpec) {
	r := s.Restart()
	interval, always := r.Interval()
	switch {
	case r.Never():
		g.restart[0]++
	case s.Scheduled():
		g.restart[3]++
	case always:
		g.restart[2]++
		g.interval, g.periodic = max(g.interval, interval), true
	default:
		g.restart[1]++
	}
}

// earlier returns the earlier of those that are set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// tasks reports what the snapshot says of the tasks of each label.
func (c *observation) tasks(over map[string]time.Duration) {
	groups := make(map[string]*group)
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		of := label(t.Name, t.Kind)
		g := groups[of]
		if g == nil {
			g = new(group)
			groups[of] = g
		}
		g.add(t, c.snap.Time)
	}
	for of, g := range groups {
		c.group(of, g)
	}
	for of, d := range c.from.spent.show(groups, over) {
		c.float(taskBackoff, d.Seconds(), c.keys.task.String(of))
	}
}

func (c *observation) group(of string, g *group) {
	task := c.keys.task.String(of)
	for i, st := range taskStates {
		c.int(taskState, g.states[i], task, c.keys.taskState.String(st.String()))
	}
	for i, n := range g.restart {
		if n > 0 {
			c.int(taskPolicy, n, task, c.keys.restartPolicy.String(restartPolicies[i]))
		}
	}
	if g.periodic {
		c.float(taskInterval, g.interval.Seconds(), task)
	}
	c.int(taskReady, g.ready, task)
	c.int(taskFailures, int64(g.failures), task)
	c.float(taskBackoffDelay, g.delay.Seconds(), task)
	c.timestamp(taskAdded, g.added, task)
	c.timestamp(taskLastSuccess, g.lastSuccess, task)
	c.timestamp(taskNextStart, g.nextStart, task)
	c.timestamp(taskAttemptStart, g.attemptStart, task)
}
