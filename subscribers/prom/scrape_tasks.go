package promsub

import (
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// group is what the tasks of one label have in common: where they differ, the one that
// is worst off.
type group struct {
	count, ready int
	states       [len(taskStates)]int
	restart      [len(restartPolicies)]int
	failures     int
	attempts     uint64
	delay        time.Duration
	backoff      time.Duration // that is being waited, of all of them
	interval     time.Duration // the longest
	periodic     bool          // one has an interval

	added, lastSuccess, nextStart, attemptStart time.Time
}

func (g *group) add(t *taskvisor.TaskStatus, now time.Time) {
	g.count++
	if i := int(t.State - taskStates[0]); i >= 0 && i < len(g.states) {
		g.states[i]++
	}
	if t.Ready {
		g.ready++
	}
	g.policy(&t.Spec)
	r := &t.Results
	g.attempts += r.Success + r.Failure + r.Fatal + r.Timeout + r.Panic + r.Canceled
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

// group groups the snapshot's tasks by their labels.
func (c *scrape) group() map[*label]*group {
	groups := make(map[*label]*group, min(len(c.snap.Tasks), c.life.config.maxTasks)+1)
	if len(c.life.config.owners) > 0 {
		c.byID = make(map[taskvisor.TaskID]*label, len(c.snap.Tasks))
	}
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		l := c.labels.get(c.textOf(c.life, t.Name, t.Kind), c.snap.Time)
		if c.byID != nil {
			c.byID[t.ID] = l
		}
		g := groups[l]
		if g == nil {
			g = new(group)
			groups[l] = g
		}
		g.add(t, c.snap.Time)
	}
	return groups
}

// merge adds what is said of the tasks of another label.
func (g *group) merge(o *group) {
	g.count += o.count
	g.ready += o.ready
	for i := range g.states {
		g.states[i] += o.states[i]
	}
	for i := range g.restart {
		g.restart[i] += o.restart[i]
	}
	g.failures = max(g.failures, o.failures)
	g.delay = max(g.delay, o.delay)
	g.backoff += o.backoff
	g.interval, g.periodic = max(g.interval, o.interval), g.periodic || o.periodic
	g.added = earlier(g.added, o.added)
	g.lastSuccess = earlier(g.lastSuccess, o.lastSuccess)
	g.nextStart = earlier(g.nextStart, o.nextStart)
	g.attemptStart = earlier(g.attemptStart, o.attemptStart)
}

// tasks sends gauges and counters of each label, those without series of their own
// together.
func (c *scrape) tasks(groups map[*label]*group, all []*series, ended map[*series]time.Duration) {
	bySeries := make(map[*series]*group, len(all))
	for l, g := range groups {
		s := l.counted.Load()
		if into := bySeries[s]; into != nil {
			into.merge(g)
		} else {
			bySeries[s] = g
		}
	}
	slices.SortFunc(all, func(a, b *series) int { return strings.Compare(a.label, b.label) })
	overflowed := 0
	for _, s := range all {
		g := bySeries[s]
		var waited time.Duration
		if g != nil {
			c.taskGauges(s, g)
			waited = g.backoff
			if s.label == overflow {
				overflowed = g.count
			}
		}
		c.taskCounters(s)
		s.backoffShown = max(s.backoffShown, ended[s]+waited)
		c.count(taskBackoffSeconds, 0, s, s.backoffShown.Seconds(), c.pairsOf(s).task)
	}
	c.send(overflowTasks, float64(overflowed))
	c.sendColumns()
}

// taskGauges sends what the snapshot says of the tasks of one label.
func (c *scrape) taskGauges(s *series, g *group) {
	p := c.pairsOf(s)
	for i := range taskStates {
		c.sendWith(taskState, i, float64(g.states[i]), p.states[i])
	}
	for i, n := range g.restart {
		if n > 0 {
			c.sendWith(taskPolicy, i, float64(n), p.restart[i])
		}
	}
	if g.periodic {
		c.sendWith(taskInterval, 0, g.interval.Seconds(), p.task)
	}
	c.sendWith(taskReady, 0, float64(g.ready), p.task)
	c.sendWith(taskFailures, 0, float64(g.failures), p.task)
	c.sendWith(taskBackoffDelay, 0, g.delay.Seconds(), p.task)
	c.timestampWith(taskAdded, g.added, p.task)
	c.timestampWith(taskLastSuccess, g.lastSuccess, p.task)
	c.timestampWith(taskNextStart, g.nextStart, p.task)
	c.timestampWith(taskAttemptStart, g.attemptStart, p.task)
}

// taskCounters sends what events counted for one label.
func (c *scrape) taskCounters(s *series) {
	p := c.pairsOf(s)
	for _, r := range results {
		c.count(taskAttempts, int(r), s, float64(s.attempts[r].Load()), p.attempts[r])
		t := s.timers[r].Load()
		if t == nil && r == taskvisor.ResultSuccess {
			t = c.timer(s, r, c.life.config) // rate() of successes is what people look at first
		}
		if t != nil {
			c.put(taskDuration, int(r), p.attempts[r], t)
		}
	}
	for _, b := range restartCauses {
		if n := s.restarts[b].Load(); n > 0 || b != taskvisor.BackoffTriggered { // nobody takes the wheel of most
			c.count(taskRestarts, int(b), s, float64(n), p.restarts[b])
		}
	}
	for _, o := range gaveUp {
		if n := s.gaveUp[o].Load(); n > 0 {
			c.count(taskGaveUp, int(o), s, float64(n), p.gaveUp[o])
		}
	}
}

// pairsOf returns the label pairs of a task's series, made when the first scrape
// sees them.
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
func (c *scrape) sendWith(id metric, variant int, v float64, labels []*dto.LabelPair) {
	c.put(id, variant, labels, newSample(c.descs[id], v, labels))
}

// count is sendWith for counters of a task.
func (c *scrape) count(id metric, variant int, s *series, v float64, labels []*dto.LabelPair) {
	c.put(id, variant, labels, &sample{desc: c.descs[id], created: s.created, labels: labels, value: v})
}

// timestampWith sends nothing for a zero time; see timestamp.
func (c *scrape) timestampWith(id metric, t time.Time, labels []*dto.LabelPair) {
	if !t.IsZero() {
		c.sendWith(id, 0, unixSeconds(t), labels)
	}
}
