package promsub

import (
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// taskGauges is what the tasks of one label have in common: where they differ,
// the one that is worst off.
type taskGauges struct {
	count                                int
	states                               stateCounts
	failures                             int
	delay                                time.Duration
	lastSuccess, nextStart, attemptStart time.Time
}

func (g *taskGauges) add(t *taskvisor.TaskStatus) {
	g.count++
	g.states.add(t.State)
	g.failures = max(g.failures, t.Streak)
	if t.Streak > 0 {
		g.delay = max(g.delay, t.Delay)
	}
	g.lastSuccess = earlier(g.lastSuccess, t.LastSuccess)
	g.nextStart = earlier(g.nextStart, t.NextStart)
	g.attemptStart = earlier(g.attemptStart, t.AttemptStart)
}

// earlier returns the earlier of those that are set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// byLabel groups the snapshot's tasks.
func (c *scrape) byLabel() map[*series]*taskGauges {
	groups := make(map[*series]*taskGauges)
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		s := c.tasks.series(t.ID)
		if s == nil {
			// The snapshot is ahead of the events, or behind them.
			s = c.holdUnknown(t.Name, c.snap.Time)
			c.release(s, c.snap.Time)
		}
		g := groups[s]
		if g == nil {
			g = new(taskGauges)
			groups[s] = g
		}
		g.add(t)
	}
	return groups
}

// taskGauges sends what the snapshot says of the tasks of one label.
func (c *scrape) taskGauges(s *series, g *taskGauges) {
	p := c.pairsOf(s)
	for i, st := range taskStates {
		c.sendWith(taskState, float64(g.states[st]), p.states[i])
	}
	c.sendWith(taskFailures, float64(g.failures), p.task)
	c.sendWith(taskBackoffDelay, g.delay.Seconds(), p.task)
	c.timestampWith(taskLastSuccess, g.lastSuccess, p.task)
	c.timestampWith(taskNextStart, g.nextStart, p.task)
	c.timestampWith(taskAttemptStart, g.attemptStart, p.task)
}

// taskCounters sends what events counted for one label.
func (c *scrape) taskCounters(s *series) {
	p := c.pairsOf(s)
	for r := taskvisor.ResultSuccess; int(r) < resultCount; r++ {
		c.count(taskAttempts, s, float64(s.attempts[r].Load()), p.attempts[r])
		t := s.timers[r].Load()
		if t == nil && r == taskvisor.ResultSuccess {
			t = c.timer(s, r) // rate() of successes is what people look at first
		}
		if t != nil {
			c.ch <- t
		}
	}
	for b := taskvisor.BackoffSuccess; int(b) < sourceCount; b++ {
		c.count(taskRestarts, s, float64(s.restarts[b].Load()), p.restarts[b])
	}
	c.count(taskBackoffSeconds, s, time.Duration(s.backoff.Load()).Seconds(), p.task)
}

// pairsOf returns the label pairs of a task's series, made when the first scrape
// sees them. Two scrapes may both make them.
func (c *scrape) pairsOf(s *series) *taskPairs {
	p := s.pairs.Load()
	if p == nil {
		p = c.pairs.of(s.label)
		s.pairs.Store(p)
	}
	return p
}

// sendWith is for gauges of which there are many: label pairs that exist already
// make it half as dear.
func (c *scrape) sendWith(id metric, v float64, labels []*dto.LabelPair) {
	c.ch <- &sample{desc: c.descs[id], labels: labels, value: v}
}

// count is sendWith for counters of a task.
func (c *scrape) count(id metric, s *series, v float64, labels []*dto.LabelPair) {
	c.ch <- &sample{desc: c.descs[id], created: s.created, labels: labels, value: v}
}

// timestampWith sends nothing for a zero time; see timestamp.
func (c *scrape) timestampWith(id metric, t time.Time, labels []*dto.LabelPair) {
	if !t.IsZero() {
		c.sendWith(id, unixSeconds(t), labels)
	}
}
