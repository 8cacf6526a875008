package promsub

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	outcomeCount = int(taskvisor.OutcomeAbandoned) + 1
	policyCount  = int(taskvisor.Join) + 1
	verdictCount = int(taskvisor.VerdictRejected) + 1
	reasonCount  = int(taskvisor.ErrShuttingDown) + 1
)

// metrics is everything that is kept about one supervisor. What is indexed by
// an enum has the same place for each of its labels; indices without a meaning
// are never sent.
type metrics struct {
	config   config
	labels   prometheus.Labels // of every series
	snapshot func() taskvisor.Snapshot
	created  time.Time // when counting began
	descs    [metricCount]*prometheus.Desc
	pairs    *pairTable
	info     prometheus.Metric // build_info
	series   seriesSet
	tasks    taskSet

	finished   [outcomeCount]atomic.Uint64
	abandoned  [reasonCount]atomic.Uint64
	requests   [policyCount][verdictCount]atomic.Uint64
	rejections [reasonCount]atomic.Uint64
	wait       prometheus.Histogram
}

func newMetrics(c config, snapshot func() taskvisor.Snapshot) *metrics {
	first := snapshot()
	labels := prometheus.Labels{"supervisor": first.Supervisor}
	for name, value := range c.constLabels {
		labels[name] = value
	}
	m := &metrics{
		config: c, labels: labels, snapshot: snapshot, created: first.Time,
		descs:  describe(c.namespace, labels),
		pairs:  newPairTable(labels),
		series: seriesSet{max: c.maxTasks, grace: c.grace, byLabel: make(map[string]*series)},
	}
	m.wait = m.newHistogram(admissionWait, labels)
	version, goVersion := versions()
	m.info = prometheus.MustNewConstMetric(m.descs[buildInfo], gauge, 1, version, goVersion)
	return m
}

// newHistogram makes the histogram of a row for one set of labels.
func (m *metrics) newHistogram(id metric, labels prometheus.Labels) prometheus.Histogram {
	o := prometheus.HistogramOpts{
		Namespace: m.config.namespace, Name: families[id].name, Help: families[id].help,
		ConstLabels: labels, Buckets: m.config.buckets,
	}
	if m.config.native {
		// A resolution of 10 % within 160 buckets; one that outgrows them starts
		// anew, at most once per hour, before it becomes coarser.
		o.NativeHistogramBucketFactor = 1.1
		o.NativeHistogramMaxBucketNumber = 160
		o.NativeHistogramMinResetDuration = time.Hour
	}
	return prometheus.NewHistogram(o)
}

// label maps the name of a task; a panic of the user's function goes through.
func (m *metrics) label(name string) string {
	if m.config.taskLabel == nil {
		return name
	}
	return m.config.taskLabel(name)
}

// holdUnknown holds the series of a task that no TaskAdded was seen of. Scrapes
// call it on the registry's goroutine, where a panic of the user's function
// would end the process.
func (m *metrics) holdUnknown(name string, now time.Time) *series {
	label := overflow
	func() {
		defer func() { _ = recover() }()
		label = m.label(name)
	}()
	return m.series.hold(label, now)
}

// seriesOf returns the series of the event's task. Held says that the caller
// has to release it: the task is not known, which no order of events that the
// supervisor promises leads to, and is counted all the same.
func (m *metrics) seriesOf(e *taskvisor.Event) (s *series, held bool) {
	if s := m.tasks.series(e.TaskID); s != nil {
		return s, false
	}
	return m.holdUnknown(e.Task, e.Time), true
}

func (m *metrics) release(s *series, now time.Time) {
	if s != nil {
		m.series.release(s, now)
	}
}

func (m *metrics) taskAdded(e *taskvisor.Event) {
	if e.Slot != "" {
		m.wait.Observe(e.Duration.Seconds())
	}
	// Deferred: the task has a series even if the user's function panics, which
	// is then the supervisor's to report.
	label := overflow
	defer func() { m.release(m.tasks.add(e.TaskID, m.series.hold(label, e.Time)), e.Time) }()
	label = m.label(e.Task)
}

func (m *metrics) attemptEnded(ctx context.Context, e *taskvisor.Event) {
	if e.Result == 0 || int(e.Result) >= resultCount {
		return // a result that this module does not know: its label is nobody's
	}
	s, held := m.seriesOf(e)
	if held {
		defer m.series.release(s, e.Time)
	}
	s.attempts[e.Result].Add(1)
	failed := e.Result != taskvisor.ResultSuccess && e.Result != taskvisor.ResultCanceled
	m.timer(s, e.Result).observe(ctx, e.Duration, e.Time, failed, m.config.exemplars)
}

// timer returns the histogram of an outcome. Each costs a scrape as much as all
// counters of a task together, and most tasks never see most outcomes, so they
// are made when they are needed. Nothing is lost by that: attempts are counted
// by the counters.
func (m *metrics) timer(s *series, r taskvisor.ResultKind) *timer {
	if t := s.timers[r].Load(); t != nil {
		return t
	}
	labels := prometheus.Labels{"task": s.label, "outcome": r.String()}
	for name, value := range m.labels {
		labels[name] = value
	}
	t := &timer{Histogram: m.newHistogram(taskDuration, labels), desc: m.descs[taskDuration]}
	if !s.timers[r].CompareAndSwap(nil, t) {
		return s.timers[r].Load()
	}
	return t
}

func (m *metrics) backoffScheduled(e *taskvisor.Event) {
	if e.Source == 0 || int(e.Source) >= sourceCount {
		return
	}
	if e.Source != taskvisor.BackoffSuccess { // an interval is no backoff
		m.tasks.startBackoff(e.TaskID, e.Time, e.Delay)
	}
	s, held := m.seriesOf(e)
	if held {
		defer m.series.release(s, e.Time)
	}
	s.restarts[e.Source].Add(1)
}

// taskAbandoned counts the outcome here and not at TaskRemoved, which comes
// when the body returns, if it ever does.
func (m *metrics) taskAbandoned(e *taskvisor.Event) {
	m.tasks.abandon(e.TaskID)
	m.finished[taskvisor.OutcomeAbandoned].Add(1)
	if int(e.Reason) < reasonCount {
		m.abandoned[e.Reason].Add(1)
	}
}

func (m *metrics) taskRemoved(e *taskvisor.Event) {
	if e.Outcome < taskvisor.OutcomeAbandoned {
		m.finished[e.Outcome].Add(1)
	}
	m.tasks.endBackoff(e.TaskID, e.Time)
	m.release(m.tasks.remove(e.TaskID), e.Time)
}

func (m *metrics) submitted(p taskvisor.Admission, v taskvisor.Verdict) {
	if int(p) < policyCount && int(v) < verdictCount {
		m.requests[p][v].Add(1)
	}
}

func (m *metrics) rejected(r taskvisor.Reason) {
	if int(r) < reasonCount {
		m.rejections[r].Add(1)
	}
}
