package promsub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const lossCount = int(lease.LostAbandoned) + 1

// WithLeases adds the metrics of the leases that owners take for the subscriber's
// supervisors. They begin when a task of a supervisor first wants a lease. It is an error
// if an owner is nil.
func WithLeases(owners ...*lease.Owner) Option {
	return option(func(c *config) {
		for _, o := range owners {
			if o == nil {
				c.fail(errors.New("nil owner of leases"))
				return
			}
			c.owners = append(c.owners, o)
		}
	})
}

// leaseSet is what is counted about the leases of one supervisor's tasks.
type leaseSet struct {
	used     atomic.Bool // a task has wanted a lease
	acquired atomic.Uint64
	lost     [lossCount]atomic.Uint64 // index 0 is unused
	renewals atomic.Pointer[timer]    // nil before the first use

	mu     sync.Mutex      // guards the fields below
	owners map[string]bool // whose leases the tasks have wanted, by id
	now    least           // since the last scrape
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

// use notes that a task of the supervisor has to do with an owner's leases.
func (ls *leaseSet) use(owner string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.owners[owner] {
		if ls.owners == nil {
			ls.owners = make(map[string]bool)
		}
		ls.owners[owner] = true
	}
	ls.used.Store(true)
}

// left notes how much time a lease of an owner had left. It reports whether the
// supervisor has to do with that owner.
func (ls *leaseSet) left(owner string, d time.Duration) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.owners[owner] {
		return false
	}
	ls.now.add(least{d, true})
	return true
}

// take returns the least time that was left since the last call but one: of two servers
// that scrape in turn each misses nothing.
func (ls *leaseSet) take() least {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	all := ls.now
	all.add(ls.before)
	ls.before, ls.now = ls.now, least{}
	return all
}

// observeLocked has the owners tell what happens to their leases: they have no
// supervisor's events. It is done once for a subscriber, until unobserveLocked.
func (s *Subscriber) observeLocked() {
	if s.unobserve != nil {
		return
	}
	for _, o := range s.config.owners {
		s.unobserve = append(s.unobserve, o.Observe(s.leaseEvent))
	}
}

// unobserveLocked lets go of the owners when no supervisor is left that can run.
func (s *Subscriber) unobserveLocked() {
	if m := s.sources.Load(); m != nil {
		for _, from := range *m {
			if l := from.life.Load(); l != nil && from.ownedBy(s) && l.snapshot().State != taskvisor.SupervisorStopped {
				return
			}
		}
	}
	for _, stop := range s.unobserve {
		stop()
	}
	s.unobserve = nil
}

// unobserveIdle is unobserveLocked for who does not hold the lock.
func (s *Subscriber) unobserveIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unobserveLocked()
}

// leaseEvent counts, unless another subscriber has taken over, which does. A lease that tasks of several supervisors share counts for one.
func (s *Subscriber) leaseEvent(e lease.Event) {
	if e.Kind == lease.Renewed {
		if m := s.sources.Load(); m != nil {
			for _, from := range *m {
				if from.ownedBy(s) && from.leases.left(e.Owner, e.Margin) {
					from.renewals().observe(context.Background(), e.Took, e.Time, false, nil)
				}
			}
		}
		return
	}
	from := s.sourceOf(e.Supervisor)
	if from == nil || !from.ownedBy(s) {
		return
	}
	ls := &from.leases
	switch e.Kind {
	case lease.Acquired:
		ls.use(e.Owner)
		ls.acquired.Add(1)
	case lease.Lost:
		ls.use(e.Owner)
		if e.Reason == lease.LostDeadline {
			ls.left(e.Owner, 0)
		}
		if int(e.Reason) < lossCount {
			ls.lost[e.Reason].Add(1)
		}
	}
}

// renewals returns the histogram of renewals, which begins with the first use.
func (s *source) renewals() *timer {
	if t := s.leases.renewals.Load(); t != nil {
		return t
	}
	t := newTimer(s.descs[leaseRenew], s.config, timestamppb.New(s.created), s.pairs.joined())
	if !s.leases.renewals.CompareAndSwap(nil, t) {
		return s.leases.renewals.Load()
	}
	return t
}

// leasesOf are the leases of the tasks of one label, of one mode.
type leasesOf struct {
	series *series
	mode   lease.Mode
}

type leaseCount struct{ wanted, owned int }

// leased sends the leases of this supervisor's tasks; nothing before one has wanted any.
func (c *scrape) leased() {
	counts := make(map[leasesOf]*leaseCount)
	var ttl time.Duration
	for _, o := range c.life.config.owners {
		concerned := false
		for _, st := range o.Status() {
			concerned = c.countLease(counts, o, &st) || concerned
		}
		if concerned && (ttl == 0 || o.TTL() < ttl) {
			ttl = o.TTL()
		}
	}
	if !c.leases.used.Load() {
		return
	}
	for of, n := range counts {
		more := []*dto.LabelPair{pair("task", of.series.label), pair("mode", of.mode.String())}
		c.send(leaseOwned, float64(n.owned), more...)
		c.send(leaseWanted, float64(n.wanted), more...)
	}
	c.send(leaseAcquired, float64(c.leases.acquired.Load()))
	for _, r := range lossReasons {
		c.send(leaseLost, float64(c.leases.lost[r].Load()), pair("reason", r.String()))
	}
	c.out[leaseRenew] = append(c.out[leaseRenew], c.renewals())
	if l := c.leases.take(); l.known {
		c.send(leaseMargin, l.d.Seconds())
	}
	if ttl > 0 {
		c.send(leaseTTL, ttl.Seconds())
	}
}

// countLease counts a lease for the labels of those of its tasks that are this
// supervisor's, once for each, and reports whether there are any. One that nobody wants
// any more, as when its task is paused, does not count.
func (c *scrape) countLease(counts map[leasesOf]*leaseCount, o *lease.Owner, st *lease.Status) bool {
	if st.State == lease.Idle {
		return false
	}
	owned := st.State == lease.Held
	counted := make(map[leasesOf]bool, 1)
	for _, id := range st.IDs {
		l := c.byID[id]
		if l == nil {
			continue
		}
		of := leasesOf{l.counted.Load(), st.Mode}
		if counted[of] {
			continue
		}
		counted[of] = true
		n := counts[of]
		if n == nil {
			n = new(leaseCount)
			counts[of] = n
		}
		n.wanted++
		if owned {
			n.owned++
		}
	}
	if len(counted) == 0 {
		return false
	}
	c.leases.use(o.ID())
	if owned {
		c.leases.left(o.ID(), max(st.Deadline.Sub(c.snap.Time), 0))
	}
	return true
}
