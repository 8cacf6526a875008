package promsub

import (
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// group is what the tasks of one label have in common: where they differ, the one that
// is worst off.
type group struct {
	count, ready int
	states       [len(taskStates)]int
	restart      [len(restartPolicies)]int
	failures     int
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

// row is what a scrape says of the tasks of one label, or of all that have no series of
// their own.
type row struct {
	series *series
	group
}

// find returns the label of each of the snapshot's tasks.
func (c *scrape) find() []*label {
	found := make([]*label, len(c.snap.Tasks))
	if len(c.life.config.owners) > 0 {
		c.byID = make(map[taskvisor.TaskID]*label, len(c.snap.Tasks))
	}
	texts := c.life.config.textsOf(len(found), func(i int) (name, kind string) { return c.snap.Tasks[i].Name, c.snap.Tasks[i].Kind })
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		l := c.labels.get(texts[i], c.snap.Time)
		l.found.add(t)
		found[i] = l
		if c.byID != nil {
			c.byID[t.ID] = l
		}
	}
	return found
}

// group makes the rows, by name, of the series that there are, and adds the tasks to
// those that they count in.
func (c *scrape) group(found []*label, all []*series) {
	slices.SortFunc(all, func(a, b *series) int { return strings.Compare(a.label, b.label) })
	c.rows = make([]row, len(all))
	for i, s := range all {
		c.rows[i].series, s.row = s, i
		if s.pair == nil {
			s.pair = pair("task", s.label)
		}
	}
	for i, l := range found {
		s := l.counted.Load()
		if s.row < len(all) && all[s.row] == s { // or its grace has ended just now
			c.rows[s.row].add(&c.snap.Tasks[i], c.snap.Time)
		}
	}
}

// tasks sends gauges and counters of each label, those without series of their own
// together.
func (c *scrape) tasks() {
	overflowed := 0
	for i := range c.rows {
		r := &c.rows[i]
		r.series.backoffShown = max(r.series.backoffShown, r.series.backoffEnded+r.backoff)
		if r.series.label == overflow {
			overflowed = r.count
		}
	}
	c.send(overflowTasks, float64(overflowed))
	c.taskGauges()
	c.taskCounters()
}

// taskGauges sends what the snapshot says of the tasks of each label that has any.
func (c *scrape) taskGauges() {
	gauges := func(id metric, of []variant, value func(r *row, i int) (float64, bool)) {
		c.column(id, of, func(r *row, i int) (v float64, ok bool) {
			if r.count > 0 {
				v, ok = value(r, i)
			}
			return v, ok
		})
	}
	gauges(taskState, c.pairs.states, func(r *row, i int) (float64, bool) { return float64(r.states[i]), true })
	gauges(taskPolicy, c.pairs.restart, func(r *row, i int) (float64, bool) { return float64(r.restart[i]), r.restart[i] > 0 })
	gauges(taskInterval, plain, func(r *row, _ int) (float64, bool) { return r.interval.Seconds(), r.periodic })
	gauges(taskReady, plain, func(r *row, _ int) (float64, bool) { return float64(r.ready), true })
	gauges(taskFailures, plain, func(r *row, _ int) (float64, bool) { return float64(r.failures), true })
	gauges(taskBackoffDelay, plain, func(r *row, _ int) (float64, bool) { return r.delay.Seconds(), true })
	// An age computed from 0 would be that of the epoch.
	gauges(taskAdded, plain, func(r *row, _ int) (float64, bool) { return unixSeconds(r.added), !r.added.IsZero() })
	gauges(taskLastSuccess, plain, func(r *row, _ int) (float64, bool) { return unixSeconds(r.lastSuccess), !r.lastSuccess.IsZero() })
	gauges(taskNextStart, plain, func(r *row, _ int) (float64, bool) { return unixSeconds(r.nextStart), !r.nextStart.IsZero() })
	gauges(taskAttemptStart, plain, func(r *row, _ int) (float64, bool) { return unixSeconds(r.attemptStart), !r.attemptStart.IsZero() })
}

// taskCounters sends what events counted for each label.
func (c *scrape) taskCounters() {
	c.column(taskAttempts, c.pairs.results, func(r *row, i int) (float64, bool) { return float64(r.series.attempts[results[i]].Load()), true })
	for _, v := range c.pairs.results {
		for i := range c.rows {
			if t := c.timerOf(c.rows[i].series, results[v.i]); t != nil {
				c.out[taskDuration] = append(c.out[taskDuration], t)
			}
		}
	}
	c.column(taskRestarts, c.pairs.causes, func(r *row, i int) (float64, bool) {
		n := r.series.restarts[restartCauses[i]].Load()
		return float64(n), n > 0 || restartCauses[i] != taskvisor.BackoffTriggered // nobody takes the wheel of most
	})
	c.column(taskGaveUp, c.pairs.outcomes, func(r *row, i int) (float64, bool) {
		n := r.series.gaveUp[gaveUp[i]].Load()
		return float64(n), n > 0
	})
	c.column(taskBackoffSeconds, plain, func(r *row, _ int) (float64, bool) { return r.series.backoffShown.Seconds(), true })
}

// timerOf returns the histogram of a result; nil if there is none yet. That of successes
// is always there: their rate is what people look at first.
func (c *scrape) timerOf(s *series, r taskvisor.ResultKind) *timer {
	if t := s.timers[r].Load(); t != nil || r != taskvisor.ResultSuccess {
		return t
	}
	return c.timer(s, r, c.life.config)
}
