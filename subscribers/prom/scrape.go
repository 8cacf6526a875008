package promsub

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var (
	supervisorStates = []taskvisor.State{taskvisor.StateRunning, taskvisor.StateDraining, taskvisor.StateStopped}
	taskStates       = [...]taskvisor.State{
		taskvisor.StatePending, taskvisor.StateRunning, taskvisor.StateBackoff,
		taskvisor.StateWaiting, taskvisor.StateStopping, taskvisor.StateAbandoned,
	}
	slotStates = []taskvisor.State{
		taskvisor.StateAdmitting, taskvisor.StateRunning, taskvisor.StateTerminating, taskvisor.StateAbandoned,
	}
	abandonCauses = []taskvisor.Reason{taskvisor.ErrShutdown, taskvisor.ErrRemoved, taskvisor.ErrReplaced}
	rejectReasons = []taskvisor.Reason{
		taskvisor.ErrTaskExists, taskvisor.ErrSlotBusy, taskvisor.ErrQueueFull,
		taskvisor.ErrSuperseded, taskvisor.ErrRemoved, taskvisor.ErrShuttingDown,
	}
)

// stateCounts counts by state. A state of a newer core is nobody's.
type stateCounts [taskvisor.StateStopped + 1]int

func (n *stateCounts) add(s taskvisor.State) {
	if int(s) < len(n) {
		n[s]++
	}
}

// scrape is one pass over one snapshot.
type scrape struct {
	*metrics
	ch   chan<- prometheus.Metric
	snap taskvisor.Snapshot
}

// collect reads everything first, in short locked steps, and sends afterwards,
// when a slow reader can hold up nobody.
func (m *metrics) collect(ch chan<- prometheus.Metric) {
	c := scrape{metrics: m, ch: ch, snap: m.snapshot()}
	m.tasks.settle(c.snap.Time)
	tasks := c.byLabel()
	series := m.series.scrape(c.snap.Time)

	ch <- m.info
	c.supervisor()
	c.totals()
	c.counts()
	c.slots()
	c.subscribers()
	overflowed := 0
	for s, t := range tasks {
		c.taskGauges(s, t)
		if s.label == overflow {
			overflowed = t.count
		}
	}
	c.send(overflowTasks, float64(overflowed))
	for _, s := range series {
		c.taskCounters(s)
	}
}

// send is for series of which there are few. Their counters are as old as the
// subscriber.
func (c *scrape) send(id metric, v float64, labels ...string) {
	if families[id].kind == counter {
		c.ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(c.descs[id], counter, v, c.created, labels...)
		return
	}
	c.ch <- prometheus.MustNewConstMetric(c.descs[id], families[id].kind, v, labels...)
}

// timestamp sends nothing for a zero time: an age computed from 0 would be that
// of the epoch.
func (c *scrape) timestamp(id metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		c.send(id, unixSeconds(t), labels...)
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func (c *scrape) states(id metric, states []taskvisor.State, count stateCounts) {
	for _, st := range states {
		c.send(id, float64(count[st]), st.String())
	}
}

func (c *scrape) supervisor() {
	s := &c.snap
	var state stateCounts
	state.add(s.State)
	c.states(supervisorState, supervisorStates, state)
	c.send(tasksAdded, float64(s.Added))
	c.send(tasksRemoved, float64(s.Removed))
	if s.MaxConcurrent > 0 {
		c.send(concurrencyLimit, float64(s.MaxConcurrent))
	}
	c.send(concurrencyInUse, float64(s.InUse))
	if s.StopSince.IsZero() {
		return
	}
	c.timestamp(shutdownStart, s.StopSince)
	took := s.StopTook
	if s.State != taskvisor.StateStopped {
		took = max(s.Time.Sub(s.StopSince), 0)
	}
	c.send(shutdownDuration, took.Seconds())
}

// totals counts tasks. Bodies whose tasks were removed from under them are in no
// entry of the snapshot any more, only in its total.
func (c *scrape) totals() {
	var states stateCounts
	stuck := 0
	for i := range c.snap.Tasks {
		states.add(c.snap.Tasks[i].State)
		if c.snap.Tasks[i].Stuck {
			stuck++
		}
	}
	c.states(tasksByState, taskStates[:], states)
	c.send(stuckAttempts, float64(stuck))
	c.send(abandonedAttempts, float64(states[taskvisor.StateAbandoned]+c.snap.Released))
}

// counts sends what events count for the supervisor as a whole, each series from
// the start, so that increase() sees the first of its kind.
func (c *scrape) counts() {
	for o := taskvisor.OutcomeCompleted; int(o) < outcomeCount; o++ {
		c.send(tasksFinished, float64(c.finished[o].Load()), o.String())
	}
	for _, r := range abandonCauses {
		c.send(attemptsAbandoned, float64(c.abandoned[r].Load()), r.String())
	}
	for p := taskvisor.Queue; int(p) < policyCount; p++ {
		for v := taskvisor.VerdictStarted; int(v) < verdictCount; v++ {
			c.send(admissionRequests, float64(c.requests[p][v].Load()), p.String(), v.String())
		}
	}
	for _, r := range rejectReasons {
		c.send(admissionRejections, float64(c.rejections[r].Load()), r.String())
	}
	c.ch <- c.wait
}

func (c *scrape) slots() {
	var states stateCounts
	var oldest time.Time
	queued, most := 0, 0
	for _, s := range c.snap.Slots {
		states.add(s.State)
		queued += s.Queued
		most = max(most, s.Queued)
		oldest = earlier(oldest, s.Oldest)
	}
	c.states(slotsByState, slotStates, states)
	c.send(slotQueueLength, float64(queued))
	c.send(slotQueueMax, float64(most))
	c.timestamp(slotQueueOldest, oldest)
}

// subscribers adds those of one name up. Supervisors number equal names, but
// somebody may have chosen such a number, and a series that is sent twice fails
// the whole scrape.
func (c *scrape) subscribers() {
	byName := make(map[string]taskvisor.SubscriberStatus)
	for _, s := range c.snap.Subscribers {
		sum, ok := byName[s.Name]
		if !ok {
			s.Dropped = maps.Clone(s.Dropped)
			byName[s.Name] = s
			continue
		}
		sum.Inline = sum.Inline && s.Inline
		sum.Queued += s.Queued
		sum.Capacity += s.Capacity
		sum.Delivered += s.Delivered
		sum.Panics += s.Panics
		for k, n := range s.Dropped {
			if sum.Dropped == nil {
				sum.Dropped = make(map[taskvisor.EventKind]uint64)
			}
			sum.Dropped[k] += n
		}
		byName[s.Name] = sum
	}
	for name, s := range byName {
		c.subscriber(name, s)
	}
}

func (c *scrape) subscriber(name string, s taskvisor.SubscriberStatus) {
	c.send(subscriberEvents, float64(s.Delivered), name)
	c.send(subscriberPanics, float64(s.Panics), name)
	if s.Inline {
		return // it has no queue, and nothing to lose
	}
	c.send(subscriberQueueLength, float64(s.Queued), name)
	c.send(subscriberQueueCapacity, float64(s.Capacity), name)
	for k := taskvisor.TaskAdded; k <= taskvisor.SubscriberPanicked; k++ {
		if k != taskvisor.SubscriberOverflow { // made for the one who lost something
			c.send(subscriberDropped, float64(s.Dropped[k]), name, k.String())
		}
	}
}
