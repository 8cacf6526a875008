package promsub_test

import (
	"context"
	"flag"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// rig drives one subscriber the way a supervisor does, at times of its own
// making: now goes into events and snapshots, which is where the subscriber
// reads the time.
type rig struct {
	t   testing.TB
	reg *prometheus.Registry
	sub *promsub.Subscriber

	mu   sync.Mutex // guards the fields below
	now  time.Time
	snap taskvisor.Snapshot
}

func newRig(t testing.TB, opts ...promsub.Option) *rig {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewPedanticRegistry(), now: time.Unix(1_700_000_000, 0)}
	r.snap = taskvisor.Snapshot{Supervisor: "sup", State: taskvisor.SupervisorRunning, Created: r.now.Add(-10 * time.Second)}
	r.sub = promsub.New(r.reg, opts...)
	if err := r.sub.Attach(r.snapshot); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) snapshot() taskvisor.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.snap
	s.Time = r.now
	return s
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) event(e taskvisor.Event) { r.eventIn(context.Background(), e) }

func (r *rig) eventIn(ctx context.Context, e taskvisor.Event) {
	r.mu.Lock()
	e.Time, e.Supervisor = r.now, "sup"
	r.mu.Unlock()
	r.sub.OnEvent(ctx, e)
}

func (r *rig) added(id taskvisor.TaskID, name string) {
	r.event(taskvisor.Event{Kind: taskvisor.TaskAdded, TaskID: id, Task: name})
}

func (r *rig) removed(id taskvisor.TaskID, name string, o taskvisor.OutcomeKind) {
	r.event(taskvisor.Event{Kind: taskvisor.TaskRemoved, TaskID: id, Task: name, Outcome: o})
}

// attempt starts an attempt and ends it d later.
func (r *rig) attempt(id taskvisor.TaskID, name string, k taskvisor.ResultKind, d time.Duration) {
	r.attemptIn(context.Background(), id, name, k, d)
}

func (r *rig) attemptIn(ctx context.Context, id taskvisor.TaskID, name string, k taskvisor.ResultKind, d time.Duration) {
	r.event(taskvisor.Event{Kind: taskvisor.TaskStarting, TaskID: id, Task: name})
	r.pass(d)
	kind := taskvisor.TaskFailed
	switch k {
	case taskvisor.ResultSuccess:
		kind = taskvisor.TaskStopped
	case taskvisor.ResultCanceled:
		kind = taskvisor.TaskCanceled
	}
	r.eventIn(ctx, taskvisor.Event{Kind: kind, TaskID: id, Task: name, Result: k, Duration: d})
}

func (r *rig) backoff(id taskvisor.TaskID, name string, source taskvisor.BackoffSource, delay time.Duration) {
	r.event(taskvisor.Event{Kind: taskvisor.BackoffScheduled, TaskID: id, Task: name, Source: source, Delay: delay})
}

// scrape returns every series, as `name{label="value",…}` without the label
// supervisor, which is checked.
func (r *rig) scrape() map[string]*dto.Metric {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	all := make(map[string]*dto.Metric)
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			supervisor := ""
			for _, l := range m.Label {
				if l.GetName() == "supervisor" {
					supervisor = l.GetValue()
					continue
				}
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if supervisor != "sup" {
				r.t.Errorf("%s has supervisor %q", f.GetName(), supervisor)
			}
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m
		}
	}
	return all
}

func number(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	default:
		return float64(m.Histogram.GetSampleCount())
	}
}

// want scrapes once and compares the given series; -1 means absent.
func (r *rig) want(want map[string]float64) {
	r.t.Helper()
	got := r.scrape()
	for series, w := range want {
		m, ok := got["taskvisor_"+series]
		switch {
		case !ok && w != -1:
			r.t.Errorf("%s is absent, want %v", series, w)
		case ok && w == -1:
			r.t.Errorf("%s is %v, want it absent", series, number(m))
		case ok && number(m) != w:
			r.t.Errorf("%s is %v, want %v", series, number(m), w)
		}
	}
}
