package otelsub_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// meters reads the counters that are observed, with both temporalities, and demands that
// none goes back while it is reported.
type meters struct {
	*testing.T
	sub   *otelsub.Subscriber
	total *sdkmetric.ManualReader
	delta *sdkmetric.ManualReader
	last  map[string]float64 // by name and attributes
	sum   map[string]float64 // of the deltas
}

func newMeters(t *testing.T) *meters {
	m := &meters{T: t, total: sdkmetric.NewManualReader(), sum: map[string]float64{}}
	m.delta = sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(func(sdkmetric.InstrumentKind) metricdata.Temporality {
		return metricdata.DeltaTemporality
	}))
	m.sub = otelsub.New(otelsub.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.total), sdkmetric.WithReader(m.delta))))
	return m
}

// read collects, and returns the counters of that name by their last attribute that is not
// the supervisor's.
func (m *meters) read(name string) map[string]float64 {
	m.Helper()
	deltas := counters(m.T, m.delta)
	for of := range m.sum {
		if _, there := deltas[of]; !there {
			delete(m.sum, of) // an SDK begins anew then, and so must we
		}
	}
	for of, v := range deltas {
		if m.sum[of] += v; v < 0 {
			m.Errorf("%s: delta %v", of, v)
		}
	}
	now := counters(m.T, m.total)
	of := map[string]float64{}
	for key, v := range now {
		if v < m.last[key] {
			m.Errorf("%s went back from %v to %v", key, m.last[key], v)
		}
		if d := m.sum[key] - v; d > 1e-9 || d < -1e-9 {
			m.Errorf("%s is %v, the deltas are %v", key, v, m.sum[key])
		}
		if in, rest, _ := strings.Cut(key, " "); in == name {
			of[rest] = v
		}
	}
	m.last = now
	return of
}

func counters(t *testing.T, reader sdkmetric.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	key := func(m metricdata.Metrics, set attribute.Set) string {
		of := m.Name
		for _, a := range set.ToSlice() {
			if a.Key != "taskvisor.supervisor.name" {
				of += " " + a.Value.String()
			}
		}
		return of
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "taskvisor.task.backoff" && !strings.HasPrefix(m.Name, "taskvisor.subscriber.") {
				continue
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					if d.IsMonotonic {
						found[key(m, p.Attributes)] = float64(p.Value)
					}
				}
			case metricdata.Sum[float64]:
				for _, p := range d.DataPoints {
					found[key(m, p.Attributes)] = p.Value
				}
			}
		}
	}
	return found
}

// failsOnce fails at once, waits, and then works for a second.
func failsOnce(name string, wait time.Duration) taskvisor.TaskSpec {
	return taskvisor.Restartable(name, steps(step{err: taskvisor.RetryAfter(wait, errBoom)}, ok()))
}

// TestBackoffOfALabelGoesOn: where a task of a label comes back before it was missed.
func TestBackoffOfALabelGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeters(t)
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(m.sub))
		r := &rig{T: t, sup: sup}
		once := func(wait time.Duration) {
			r.add(t.Context(), failsOnce("job", wait))
			time.Sleep(time.Minute)
		}
		want := func(seconds float64) {
			t.Helper()
			if got, there := m.read("taskvisor.task.backoff")["job"]; got != seconds || !there {
				t.Errorf("%v s in backoff, want %v", got, seconds)
			}
		}
		once(3 * time.Second)
		want(3) // without a task
		once(2 * time.Second)
		want(5)
		r.add(t.Context(), failsOnce("job", 10*time.Second))
		time.Sleep(4 * time.Second)
		want(9)
		time.Sleep(time.Minute)
		want(15)
		if got := m.read("taskvisor.task.backoff"); len(got) != 0 {
			t.Errorf("it is reported for ever: %v", got)
		}
		once(time.Second)
		want(1)
	})
}

// crowd is what a supervisor of TestNextSupervisorOfTheNameGoesOn does.
func (m *meters) crowd() *taskvisor.Supervisor {
	m.Helper()
	panics := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.TaskStopped {
			panic("no")
		}
	})
	slow := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) { time.Sleep(time.Second) })
	sup, _ := taskvisortest.Start(m.T, taskvisor.WithName("sup"), taskvisor.WithSubscriber(m.sub), taskvisor.WithSubscriberDrain(0),
		taskvisor.WithSubscriber(panics, taskvisor.Inline(), taskvisor.WithName("panics")), taskvisor.WithSubscriber(slow, taskvisor.WithName("slow"), taskvisor.Queued(1)))
	r := &rig{T: m.T, sup: sup}
	r.add(m.Context(), taskvisor.Restartable("job", steps(step{err: taskvisor.RetryAfter(2*time.Second, errBoom)})))
	time.Sleep(time.Minute)
	return sup
}

// TestNextSupervisorOfTheNameGoesOn: as the counters do that events count.
func TestNextSupervisorOfTheNameGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeters(t)
		var delivered, panics, lost float64
		for i, collects := range []struct{ within, after bool }{{true, true}, {true, false}, {false, true}, {false, false}, {true, true}} {
			sup := m.crowd()
			if collects.within {
				m.read("")
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			for _, s := range sup.Snapshot().Subscribers {
				if s.Name == "otelsub" {
					delivered += float64(s.Delivered)
				}
				if s.Name == "slow" {
					lost += float64(s.Dropped[taskvisor.TaskRemoved] + s.Dropped[taskvisor.TaskStarting])
				}
				panics += float64(s.Panics)
			}
			if !collects.after {
				continue
			}
			if got := m.read("taskvisor.subscriber.events")["otelsub"]; got != delivered {
				t.Errorf("after %d, %v events, want %v", i, got, delivered)
			}
			if got := m.last["taskvisor.subscriber.panics panics"]; got != panics || got == 0 {
				t.Errorf("after %d, %v panics, want %v", i, got, panics)
			}
			if got := m.last["taskvisor.subscriber.events.dropped task_removed slow"] + m.last["taskvisor.subscriber.events.dropped task_starting slow"]; got != lost || got == 0 {
				t.Errorf("after %d, %v lost events, want %v", i, got, lost)
			}
			if got := m.last["taskvisor.task.backoff job"]; got != float64(2*(i+1)) {
				t.Errorf("after %d, %v s in backoff", i, got)
			}
		}
		if got := m.read("taskvisor.subscriber.events"); len(got) != 0 {
			t.Errorf("an ended supervisor is reported for ever: %v", got)
		}
	})
}

// TestRefusedNewTakesNothing from a supervisor that was made before and is started after,
// and the name of the refused is free.
func TestRefusedNewTakesNothing(t *testing.T) {
	sub, reader := metered()
	one, err := taskvisor.New(taskvisor.WithName("one"), taskvisor.WithSubscriber(sub))
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if _, err := taskvisor.New(taskvisor.WithName("two"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(refuser{})); !errors.Is(err, errBoom) {
			t.Fatalf("New: %v", err)
		}
	}
	if got := collect(t, reader); strings.Contains(got, "tasks{") {
		t.Errorf("what was given up is reported:\n%s", got)
	}
	if err := one.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := taskvisor.New(taskvisor.WithName("one"), taskvisor.WithSubscriber(sub)); err == nil {
		t.Error("its name was given away")
	}
	for range 2 {
		if got := collect(t, reader); strings.Count(got, "tasks{supervisor.name=one") != 7 || strings.Contains(got, "name=two") {
			t.Errorf("got:\n%s", got)
		}
	}
	if err := one.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); !strings.Contains(got, "supervisor.state{supervisor.name=one state=stopped} 1") {
		t.Errorf("the last state is not reported:\n%s", got)
	}
}

// TestRefusedNewLeavesTheLastState of a supervisor that has ended, for its collection.
func TestRefusedNewLeavesTheLastState(t *testing.T) {
	sub, reader := metered()
	one, _ := taskvisortest.Start(t, taskvisor.WithName("one"), taskvisor.WithSubscriber(sub))
	(&rig{T: t, sup: one}).add(t.Context(), taskvisor.Once("job", steps()))
	if err := one.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, _ = taskvisor.New(taskvisor.WithName("two"), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(refuser{}))
	if got := collect(t, reader); !strings.Contains(got, "supervisor.state{supervisor.name=one state=stopped} 1") {
		t.Errorf("got:\n%s", got)
	}
}

// TestEndedSupervisorsOfANameAreForgotten also where nobody collects.
func TestEndedSupervisorsOfANameAreForgotten(t *testing.T) {
	sub := otelsub.New(otelsub.WithMeterProvider(metricnoop.NewMeterProvider()))
	var all []weak.Pointer[taskvisor.Supervisor]
	for i := range 10 {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // the others end before they run
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		all = append(all, weak.Make(sup))
	}
	poll(t, func() bool {
		runtime.GC()
		kept := 0
		for _, sup := range all {
			if sup.Value() != nil {
				kept++
			}
		}
		return kept <= 1 // the latest
	})
	runtime.KeepAlive(sub)
}

// TestBackoffsThatNobodyReads are kept for a number of labels.
func TestBackoffsThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeters(t)
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(m.sub))
		r := &rig{T: t, sup: sup}
		for i := range 1500 {
			r.add(t.Context(), failsOnce(name("job", i), time.Second))
		}
		time.Sleep(time.Minute)
		got := m.read("taskvisor.task.backoff")
		if len(got) != 1000 || got["job-1499"]+got["job-0"] > 2 {
			t.Errorf("%d labels are kept of tasks that are gone", len(got))
		}
		if got := m.read("taskvisor.task.backoff"); len(got) != 0 {
			t.Errorf("%d labels are kept after they were read", len(got))
		}
	})
}
