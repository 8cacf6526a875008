package otelsub

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// observed is a supervisor that is observed.
type observed struct {
	name     string
	snapshot func() taskvisor.Snapshot
	created  time.Time    // by the first snapshot: later ones differ by microseconds, and would be restarts
	before   totals       // of the supervisors of that name before
	spent    *spending    // theirs too
	ended    atomic.Bool  // it has said so
	told     atomic.Int32 // how often that was reported
	closed   atomic.Bool  // it was given up before it ran
	begun    atomic.Bool  // it was seen alive, and its counters are there
	submits  atomic.Bool  // somebody has submitted something
	policies [int(taskvisor.Join) + 1]atomic.Bool
	leases   leases

	mu    sync.Mutex          // guards the field below
	gates map[string]struct{} // at which somebody has waited
}

// mayRun reports whether a supervisor that is in state may still count. One that was shut
// down before it ran has ended without a word.
func (o *observed) mayRun(state taskvisor.SupervisorState) bool {
	switch state {
	case taskvisor.SupervisorStopped:
		return false
	case taskvisor.SupervisorNew:
		return !o.closed.Load()
	default:
		return !o.ended.Load()
	}
}

// maxGates bounds the gates that are told apart when nobody waits at them.
const maxGates = 200

func (o *observed) gateSeen(gate string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gates == nil {
		o.gates = make(map[string]struct{})
	}
	if len(o.gates) < maxGates {
		o.gates[strings.ToValidUTF8(gate, "\uFFFD")] = struct{}{}
	}
}

func (o *observed) allGates() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]int, len(o.gates))
	for g := range o.gates {
		all[g] = 0
	}
	return all
}

// observation is one supervisor in one collection.
type observation struct {
	*metrics
	to   metric.Observer
	from *observed
	snap taskvisor.Snapshot
	name attribute.KeyValue
}

// observe reads the state of every supervisor.
func (m *metrics) observe(_ context.Context, o metric.Observer) error {
	for _, from := range m.all() {
		// What has been waited is read before what is being waited: a backoff that
		// ends meanwhile is not counted twice.
		over := from.spent.over()
		c := observation{metrics: m, to: o, from: from, snap: from.snapshot()}
		switch c.snap.State {
		case taskvisor.SupervisorNew:
			if from.closed.Load() {
				continue
			}
		case taskvisor.SupervisorRunning, taskvisor.SupervisorDraining:
			m.beginSupervisor(from)
		case taskvisor.SupervisorStopped:
			if !from.begun.Load() || from.told.Add(1) > lastReports {
				m.remove(from)
				continue
			}
		}
		c.name = m.keys.supervisor.String(c.snap.Supervisor)
		c.supervisor()
		c.totals()
		c.admission()
		c.subscribers()
		c.tasks(over)
		c.leased()
	}
	return nil
}

func (c *observation) int(i id, v int64, attrs ...attribute.KeyValue) {
	c.to.ObserveInt64(c.ints[i], v, metric.WithAttributes(append(attrs, c.name)...))
}

func (c *observation) float(i id, v float64, attrs ...attribute.KeyValue) {
	c.to.ObserveFloat64(c.floats[i], v, metric.WithAttributes(append(attrs, c.name)...))
}

// timestamp reports nothing for a zero time: an age computed from 0 would be that of
// the epoch.
func (c *observation) timestamp(i id, t time.Time, attrs ...attribute.KeyValue) {
	if !t.IsZero() {
		c.float(i, float64(t.UnixMicro())/1e6, attrs...)
	}
}

var supervisorStates = []taskvisor.SupervisorState{
	taskvisor.SupervisorRunning, taskvisor.SupervisorDraining, taskvisor.SupervisorStopped,
}

var slotStates = []taskvisor.SlotState{
	taskvisor.SlotAdmitting, taskvisor.SlotRunning, taskvisor.SlotTerminating, taskvisor.SlotAbandoned,
}

func (c *observation) supervisor() {
	s := &c.snap
	core, goVersion := versions()
	c.int(buildInfo, 1, c.keys.version.String(core), c.keys.goVersion.String(goVersion))
	for _, st := range supervisorStates {
		var v int64
		if st == s.State {
			v = 1
		}
		c.int(supervisorState, v, c.keys.supervisorState.String(st.String()))
	}
	c.timestamp(supervisorStart, c.from.created)
	if s.MaxConcurrent > 0 {
		c.int(concurrencyLimit, int64(s.MaxConcurrent))
	}
	c.int(concurrencyInUse, int64(s.InUse))
	if s.StopSince.IsZero() {
		return
	}
	c.timestamp(shutdownStart, s.StopSince)
	took := s.StopTook
	if s.State != taskvisor.SupervisorStopped {
		took = max(s.Time.Sub(s.StopSince), 0)
	}
	c.float(shutdownDuration, took.Seconds())
}

// totals counts tasks. Bodies whose tasks were removed from under them are in no entry
// of the snapshot any more, only in its total.
func (c *observation) totals() {
	states := make(map[taskvisor.State]int)
	waiting := c.from.allGates()
	stuck := 0
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		states[t.State]++
		if t.Stuck {
			stuck++
		}
		if t.Gate != "" && t.State == taskvisor.StatePending {
			waiting[strings.ToValidUTF8(t.Gate, "\uFFFD")]++
		}
	}
	for _, st := range taskStates {
		c.int(tasksByState, int64(states[st]), c.keys.taskState.String(st.String()))
	}
	c.int(stuckAttempts, int64(stuck))
	c.int(abandonedAttempts, int64(states[taskvisor.StateAbandoned]+c.snap.Released))
	for gate, n := range waiting {
		c.int(gateWaiting, int64(n), c.keys.gate.String(gate))
	}
}

// admission reports nothing where nobody submits.
func (c *observation) admission() {
	if !c.from.submits.Load() {
		return
	}
	states := make(map[taskvisor.SlotState]int)
	var oldest time.Time
	queued, most := 0, 0
	for _, s := range c.snap.Slots {
		states[s.State]++
		queued += s.Queued
		most = max(most, s.Queued)
		oldest = earlier(oldest, s.Oldest)
	}
	for _, st := range slotStates {
		c.int(slotsByState, int64(states[st]), c.keys.slotState.String(st.String()))
	}
	c.int(slotQueueLength, int64(queued))
	c.int(slotQueueMax, int64(most))
	c.timestamp(slotQueueOldest, oldest)
}

// subscribers reports what is known of each name; those of equal names count together.
func (c *observation) subscribers() {
	queues := make(map[string]taskvisor.SubscriberStatus)
	for _, s := range c.snap.Subscribers {
		if s.Inline {
			continue // it has no queue
		}
		q := queues[s.Name]
		q.Queued += s.Queued
		q.Capacity += s.Capacity
		queues[s.Name] = q
	}
	for name, q := range queues {
		of := c.keys.subscriber.String(strings.ToValidUTF8(name, "\uFFFD"))
		c.int(subscriberQueueLength, int64(q.Queued), of)
		c.int(subscriberQueueCapacity, int64(q.Capacity), of)
	}
	for name, s := range c.from.before.plus(&c.snap) {
		of := c.keys.subscriber.String(strings.ToValidUTF8(name, "\uFFFD"))
		c.int(subscriberEvents, int64(s.Delivered), of)
		c.int(subscriberPanics, int64(s.Panics), of)
		c.int(subscriberFailures, int64(s.Failures), of)
		for k, n := range s.Dropped {
			if n > 0 && k != taskvisor.SubscriberOverflow { // made for the one who lost something
				c.int(subscriberDropped, int64(n), of, c.keys.eventKind.String(k.String()))
			}
		}
	}
}
