package promsub

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	policyCount  = int(taskvisor.Join) + 1
	verdictCount = int(taskvisor.VerdictRejected) + 1
	reasonCount  = int(taskvisor.ErrShuttingDown) + 1
)

// source is what is counted about the supervisors of one name, of which one at a time
// is alive: it goes on where the one before has stopped. It is what a registry knows.
// What is indexed by an enum has the same place for each of its labels; indices without
// a meaning are never sent.
type source struct {
	name    string
	config  *config   // of the first supervisor: histograms that are not a task's keep to it
	created time.Time // when counting began
	descs   [metricCount]*prometheus.Desc
	pairs   *pairTable
	build   []*dto.LabelPair // labels of build_info
	labels  labelSet
	gates   gateSet
	leases  leaseSet
	wait    atomic.Pointer[timer] // for a slot; nil before the first submission

	finished   [outcomeCount]atomic.Uint64
	abandoned  [reasonCount]atomic.Uint64
	requests   [policyCount][verdictCount]atomic.Uint64
	rejections [reasonCount]atomic.Uint64

	// life is the supervisor that is shown; nil when its time is over.
	life atomic.Pointer[life]
	// former is the one before; nil when its time is over, and when this one does anything.
	former atomic.Pointer[life]

	scraping sync.Mutex // held while a scrape reads: what it shows never goes back

	mu         sync.Mutex // guards the fields below
	before     totals     // of the lives before this one
	owner      *Subscriber
	registered bool
	closed     taskvisor.SupervisorState // in which there will be no more of this one; 0: it is not closed
	refused    bool                      // closed as the newest of its subscriber, before it ran
	since      time.Time                 // when it was closed
	scrapes    int                       // since then
}

// life is one supervisor.
type life struct {
	config   *config
	snapshot func() taskvisor.Snapshot
	// The first snapshot's: later ones say it by the wall clock of their time, in
	// other microseconds, and what counts its changes counts restarts.
	created time.Time
}

// totals are counters that supervisors keep themselves, each from its own beginning.
type totals struct {
	added, removed uint64
	subscribers    map[string]taskvisor.SubscriberStatus // by name, without what is no counter
}

// plus returns the sum of what was counted before and what s says.
func (t totals) plus(s *taskvisor.Snapshot) totals {
	t.added += s.Added
	t.removed += s.Removed
	t.subscribers = maps.Clone(t.subscribers)
	for _, n := range s.Subscribers {
		sum, ok := t.subscribers[n.Name]
		if !ok {
			sum.Name = n.Name
		}
		sum.Delivered += n.Delivered
		sum.Panics += n.Panics
		sum.Failures += n.Failures
		sum.Dropped = maps.Clone(sum.Dropped)
		for k, lost := range n.Dropped {
			if sum.Dropped == nil {
				sum.Dropped = make(map[taskvisor.EventKind]uint64)
			}
			sum.Dropped[k] += lost
		}
		if t.subscribers == nil {
			t.subscribers = make(map[string]taskvisor.SubscriberStatus)
		}
		t.subscribers[n.Name] = sum
	}
	return t
}

func newSource(c *config, first taskvisor.Snapshot) *source {
	consts := prometheus.Labels{"supervisor": first.Supervisor}
	maps.Copy(consts, c.constLabels)
	s := &source{
		name: first.Supervisor, config: c, created: first.Time,
		descs: describe(c.namespace, identity(first.Supervisor, c.constLabels)),
		pairs: newPairTable(consts),
	}
	s.labels.begin, s.labels.byText = first.Time, make(map[string]*label)
	s.gates.source = s
	version, goVersion := versions()
	s.build = s.pairs.joined(pair("version", version), pair("go_version", goVersion))
	return s
}

// identity is what descriptors say of a supervisor. A registry refuses metrics of one
// name whose descriptors differ in their constant labels, although pages may well
// contain such series; so the labels of the user's are in the value of the one that all
// have, where they keep sources of different labels apart.
func identity(supervisor string, constLabels prometheus.Labels) prometheus.Labels {
	var b strings.Builder
	b.WriteString(supervisor)
	for _, name := range slices.Sorted(maps.Keys(constLabels)) {
		b.WriteString("," + name + "=" + strconv.Quote(constLabels[name]))
	}
	return prometheus.Labels{"supervisor": b.String()}
}

// register has a registry know the source.
func (s *source) register(reg prometheus.Registerer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registered {
		return nil
	}
	err := reg.Register(s)
	s.registered = err == nil
	return err
}

// unregister has a registry forget a source that shows nothing any more, and reports
// whether that is so. It is done once: a registry knows sources by what they describe,
// and would forget the next one of that name.
func (s *source) unregister(reg prometheus.Registerer) (over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Load() != nil {
		return false
	}
	if s.registered {
		reg.Unregister(s)
		s.registered = false
	}
	return true
}

// ownedBy reports whether no other subscriber has taken the source over.
func (s *source) ownedBy(sub *Subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner == sub
}

// take gives the source to a new supervisor, if the one before has ended, and returns the
// subscriber of that one. What was counted stays.
func (s *source) take(owner *Subscriber, l *life, now time.Time) (former *Subscriber, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.life.Load()
	var state taskvisor.Snapshot
	if last != nil {
		if state = last.snapshot(); s.aliveLocked(state.State) {
			return nil, prometheus.AlreadyRegisteredError{ExistingCollector: s, NewCollector: s}
		}
	}
	if !s.registered && owner.reg != nil { // its grace has ended this very moment
		if err := owner.reg.Register(s); err != nil {
			return nil, err
		}
		s.registered = true
	}
	if last == nil || state.State != taskvisor.SupervisorNew {
		s.former.Store(last)
	}
	if state.State != taskvisor.SupervisorNew || state.Added > 0 {
		s.before = s.before.plus(&state)
	}
	s.labels.adopt(l.config.maxTasks, l.config.grace, now)
	former, s.owner = s.owner, owner
	s.closed, s.refused, s.scrapes = 0, false, 0
	s.life.Store(l)
	return former, nil
}

// aliveLocked reports whether a supervisor in this state may still count. One that was
// made and closed has been given up before it ran, as New does when another subscriber
// refuses.
func (s *source) aliveLocked(state taskvisor.SupervisorState) bool {
	switch state {
	case taskvisor.SupervisorStopped:
		return false
	case taskvisor.SupervisorNew:
		return s.closed == 0
	default:
		return true
	}
}

// close begins the grace of a supervisor that does not run. newest says that it is the one
// that its owner was attached to last: so is one that New makes and gives up, and of those
// that others still may run, it is hardly one.
func (s *source) close(owner *Subscriber, newest bool) {
	l := s.life.Load()
	if l == nil {
		return
	}
	now := l.snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != owner || s.closed == now.State {
		return
	}
	if now.State == taskvisor.SupervisorNew || now.State == taskvisor.SupervisorStopped {
		s.closed, s.since, s.scrapes = now.State, now.Time, 0
		s.refused = newest && now.State == taskvisor.SupervisorNew
	}
}

// shown returns what a scrape of this state shows, nil for nothing, and the totals of all
// lives: what one that was closed before it ran has in its place is the one before, as
// long as that has its grace. The last scrape after the grace lets go of everything.
func (s *source) shown(l *life, now *taskvisor.Snapshot) (of *life, sum totals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Load() != l {
		return nil, totals{} // another one has taken its place this very moment
	}
	if now.State != taskvisor.SupervisorNew {
		s.former.Store(nil)
	}
	if s.closed != now.State {
		if s.closed == taskvisor.SupervisorNew { // it was started after all
			s.closed = 0
		}
		return l, s.before.plus(now)
	}
	if s.overLocked(l.config.grace, now.Time) {
		s.former.Store(nil)
		if s.refused && now.Added == 0 || now.State == taskvisor.SupervisorStopped {
			s.life.Store(nil)
		}
		return nil, totals{}
	}
	s.scrapes++
	if now.State == taskvisor.SupervisorNew {
		return s.former.Load(), s.before
	}
	return l, s.before.plus(now)
}

func (s *source) overLocked(grace time.Duration, now time.Time) bool {
	return s.scrapes >= 2 && now.Sub(s.since) >= grace
}

// Describe implements [prometheus.Collector].
func (s *source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *source) Collect(ch chan<- prometheus.Metric) {
	if l := s.life.Load(); l != nil {
		s.collect(l, ch)
	}
}

// timer returns the histogram of a result. Each costs a scrape as much as all counters
// of a task together, and most tasks never see most results, so they are made when they
// are needed. Nothing is lost by that: attempts are counted by the counters.
func (s *source) timer(of *series, r taskvisor.ResultKind, c *config) *timer {
	if t := of.timers[r].Load(); t != nil {
		return t
	}
	t := newTimer(s.descs[taskDuration], c, of.created, s.pairs.joined(pair("task", of.label), pair("result", r.String())))
	if !of.timers[r].CompareAndSwap(nil, t) {
		return of.timers[r].Load()
	}
	return t
}

// admissionWait returns the histogram of waits for slots, which begins with the first
// submission.
func (s *source) admissionWait() *timer {
	if t := s.wait.Load(); t != nil {
		return t
	}
	t := newTimer(s.descs[admissionWait], s.config, timestamppb.New(s.created), s.pairs.joined())
	if !s.wait.CompareAndSwap(nil, t) {
		return s.wait.Load()
	}
	return t
}

func (s *source) submitted(p taskvisor.Admission, v taskvisor.Verdict) {
	if int(p) < policyCount && int(v) < verdictCount {
		s.requests[p][v].Add(1)
		s.admissionWait()
	}
}

func (s *source) rejected(r taskvisor.Reason) {
	if int(r) < reasonCount {
		s.rejections[r].Add(1)
		s.admissionWait()
	}
}

// abandonedOne counts the outcome here and not at TaskRemoved, which comes when the
// body returns, if it ever does.
func (s *source) abandonedOne(r taskvisor.Reason) {
	s.finished[taskvisor.OutcomeAbandoned].Add(1)
	if int(r) < reasonCount {
		s.abandoned[r].Add(1)
	}
}
