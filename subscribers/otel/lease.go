package otelsub

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// WithLeases adds the metrics of the leases that owners take for the subscriber's
// supervisors, if [WithMeterProvider] is given too. They begin when a task of a
// supervisor first wants a lease. A nil owner is an error of [taskvisor.New]. Spans say
// under which lease an attempt ran without this option.
func WithLeases(owners ...*lease.Owner) Option {
	return option(func(c *config) { c.owners = append(c.owners, owners...) })
}

var lossReasons = []lease.LossReason{lease.LostDeadline, lease.LostStolen, lease.LostAbandoned}

// leases is what is known about the leases of one supervisor's tasks.
type leases struct {
	mu     sync.Mutex      // guards the fields below
	owners map[string]bool // whose leases the tasks have wanted, by id
	now    least           // since the last collection
	before least           // between that and the one before
}

// least is the least of some times; of none, if it is not known.
type least struct {
	d     time.Duration
	known bool
}

func (l *least) add(o least) {
	if o.known && (!l.known || o.d < l.d) {
		*l = o
	}
}

// use notes that the tasks have to do with an owner's leases, and reports whether it is
// the first.
func (ls *leases) use(owner string) (first bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.owners == nil {
		ls.owners = make(map[string]bool)
		first = true
	}
	ls.owners[owner] = true
	return first
}

func (ls *leases) used() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.owners != nil
}

// left notes how much time a lease of an owner had left. It reports whether the tasks
// have to do with that owner.
func (ls *leases) left(owner string, d time.Duration) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.owners[owner] {
		ls.now.add(least{d, true})
	}
	return ls.owners[owner]
}

// take returns the least time that was left since the last call but one: of two readers
// that collect in turn each misses nothing.
func (ls *leases) take() least {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	all := ls.now
	all.add(ls.before)
	ls.before, ls.now = ls.now, least{}
	return all
}

// checkOwners reports an owner that is nil.
func (m *metrics) checkOwners() error {
	for _, o := range m.owners {
		if o == nil {
			return errors.New("nil owner of leases")
		}
	}
	return nil
}

// watchLeases has the owners tell what happens to their leases: they have no supervisor's
// events. The return value ends that.
func (m *metrics) watchLeases() (stop func()) {
	var stops []func()
	for _, o := range m.owners {
		stops = append(stops, o.Observe(m.leaseEvent))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// leaseEvent counts. A lease that tasks of several supervisors share counts for one.
func (m *metrics) leaseEvent(e lease.Event) {
	if e.Kind == lease.Renewed {
		for name, from := range m.all() {
			if from.leases.left(e.Owner, e.Margin) {
				m.timers[leaseRenew].Record(context.Background(), e.Took.Seconds(), metric.WithAttributes(m.keys.supervisor.String(name)))
			}
		}
		return
	}
	from := m.source(e.Supervisor)
	if from == nil {
		return
	}
	switch e.Kind {
	case lease.Acquired:
		m.useLeases(from, e.Owner)
		m.addTo(leaseAcquired, 1, from.name)
	case lease.Lost:
		m.useLeases(from, e.Owner)
		if e.Reason == lease.LostDeadline {
			from.leases.left(e.Owner, 0)
		}
		m.addTo(leaseLost, 1, from.name, m.keys.lossReason.String(e.Reason.String()))
	}
}

// useLeases begins the counters with the first use.
func (m *metrics) useLeases(from *observed, owner string) {
	if !from.leases.use(owner) {
		return
	}
	m.begin(leaseAcquired, from.name)
	for _, r := range lossReasons {
		m.begin(leaseLost, from.name, m.keys.lossReason.String(r.String()))
	}
}

// leasesOf are the leases of the tasks of one label, of one mode.
type leasesOf struct {
	label string
	mode  lease.Mode
}

type leaseCount struct{ wanted, owned int64 }

// leased reports the leases of this supervisor's tasks; nothing before one has wanted any.
func (c *observation) leased() {
	if len(c.owners) == 0 {
		return
	}
	labels := make(map[taskvisor.TaskID]string, len(c.snap.Tasks))
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		labels[t.ID] = label(t.Name, t.Kind)
	}
	counts := make(map[leasesOf]*leaseCount)
	var ttl time.Duration
	for _, o := range c.owners {
		concerned := false
		for _, st := range o.Status() {
			concerned = c.countLease(counts, labels, o, &st) || concerned
		}
		if concerned && (ttl == 0 || o.TTL() < ttl) {
			ttl = o.TTL()
		}
	}
	if !c.from.leases.used() {
		return
	}
	for of, n := range counts {
		attrs := []attribute.KeyValue{c.keys.task.String(of.label), c.keys.leaseMode.String(of.mode.String())}
		c.int(leaseOwned, n.owned, attrs...)
		c.int(leaseWanted, n.wanted, attrs...)
	}
	if l := c.from.leases.take(); l.known {
		c.float(leaseMargin, l.d.Seconds())
	}
	if ttl > 0 {
		c.float(leaseTTL, ttl.Seconds())
	}
}

// countLease counts a lease for the labels of those of its tasks that are this
// supervisor's, once for each, and reports whether there are any. One that nobody wants
// any more, as when its task is paused, does not count.
func (c *observation) countLease(counts map[leasesOf]*leaseCount, labels map[taskvisor.TaskID]string, o *lease.Owner, st *lease.Status) bool {
	if st.State == lease.Idle {
		return false
	}
	counted := make(map[string]bool, 1)
	for _, id := range st.IDs {
		task, ours := labels[id]
		if !ours || counted[task] {
			continue
		}
		counted[task] = true
		of := leasesOf{task, st.Mode}
		if counts[of] == nil {
			counts[of] = new(leaseCount)
		}
		counts[of].wanted++
		if st.State == lease.Held {
			counts[of].owned++
		}
	}
	if len(counted) == 0 {
		return false
	}
	c.useLeases(c.from, o.ID())
	if st.State == lease.Held {
		c.from.leases.left(o.ID(), max(st.Deadline.Sub(c.snap.Time), 0))
	}
	return true
}
