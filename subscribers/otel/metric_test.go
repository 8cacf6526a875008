package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// collect renders all metrics, a line for each point.
func collect(t *testing.T, reader sdkmetric.Reader) string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	line := func(m metricdata.Metrics, set attribute.Set, value any) {
		var labels []string
		for _, a := range set.ToSlice() {
			key := string(a.Key)
			labels = append(labels, key[strings.LastIndex(strings.TrimSuffix(key, ".name"), ".")+1:]+"="+a.Value.String())
		}
		lines = append(lines, fmt.Sprintf("%s{%s} %v %s", strings.TrimPrefix(m.Name, "taskvisor."), strings.Join(labels, " "), value, m.Unit))
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					line(m, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					line(m, p.Attributes, fmt.Sprintf("%d in %vs, bounds %v", p.Count, p.Sum, p.Bounds))
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func metered(opts ...otelsub.Option) (*otelsub.Subscriber, sdkmetric.Reader) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	return otelsub.New(append(opts, otelsub.WithMeterProvider(provider))...), reader
}

func TestMetrics(t *testing.T) {
	sub, reader := metered()
	snapshot := taskvisor.Snapshot{
		Supervisor: "sup",
		Tasks:      []taskvisor.TaskStatus{{State: taskvisor.StateRunning}, {State: taskvisor.StateRunning}, {State: taskvisor.StateBackoff}},
		Subscribers: []taskvisor.SubscriberStatus{
			{Name: "logs", Dropped: map[taskvisor.EventKind]uint64{taskvisor.TaskStarting: 12}},
			{Name: "fast"},
		},
	}
	if err := sub.Attach(func() taskvisor.Snapshot { return snapshot }); err != nil {
		t.Fatal(err)
	}
	p := play(sub, bounded())
	for _, kind := range []taskvisor.ResultKind{taskvisor.ResultFailure, taskvisor.ResultSuccess, taskvisor.ResultSuccess} {
		p.attempt(kind, nil)
		e := taskvisor.Event{Kind: taskvisor.TaskStopped, Supervisor: "sup", Task: "job", TaskID: 7, Result: kind, Duration: time.Second}
		if kind == taskvisor.ResultFailure {
			e.Kind = taskvisor.TaskFailed
		}
		sub.OnEvent(p.ctx, e)
		e = taskvisor.Event{Kind: taskvisor.BackoffScheduled, Supervisor: "sup", Task: "job", TaskID: 7, Source: taskvisor.BackoffSuccess}
		sub.OnEvent(p.ctx, e)
	}
	p.event(taskvisor.TaskRemoved, taskvisor.ErrRemoved)
	// A released body that returns when its task is gone.
	sub.OnEvent(p.ctx, taskvisor.Event{
		Kind: taskvisor.TaskCanceled, Supervisor: "sup", Task: "job", TaskID: 7,
		Result: taskvisor.ResultCanceled, Duration: 100 * time.Second,
	})
	sub.OnEvent(p.ctx, taskvisor.Event{Kind: taskvisor.ControllerRejected, Supervisor: "sup", Reason: taskvisor.ErrQueueFull})

	const bounds = "[0.005 0.025 0.1 0.25 1 2.5 10 30 60 300 1800 3600]"
	want := `admission.rejections{reason=queue_full supervisor.name=sup} 1 {submission}
subscriber.events.dropped{kind=task_starting subscriber.name=logs supervisor.name=sup} 12 {event}
task.attempt.duration{outcome=canceled supervisor.name=sup task.name=job} 1 in 100s, bounds ` + bounds + ` s
task.attempt.duration{outcome=failure supervisor.name=sup task.name=job} 1 in 1s, bounds ` + bounds + ` s
task.attempt.duration{outcome=success supervisor.name=sup task.name=job} 2 in 2s, bounds ` + bounds + ` s
task.attempts{outcome=canceled supervisor.name=sup task.name=job} 1 {attempt}
task.attempts{outcome=failure supervisor.name=sup task.name=job} 1 {attempt}
task.attempts{outcome=success supervisor.name=sup task.name=job} 2 {attempt}
task.count{supervisor.name=sup state=abandoned} 0 {task}
task.count{supervisor.name=sup state=backoff} 1 {task}
task.count{supervisor.name=sup state=pending} 0 {task}
task.count{supervisor.name=sup state=running} 2 {task}
task.count{supervisor.name=sup state=stopping} 0 {task}
task.count{supervisor.name=sup state=waiting} 0 {task}
task.restarts{cause=success supervisor.name=sup task.name=job} 3 {restart}
`
	if got := collect(t, reader); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	expectKnown(t, sub, 0)
}

func TestNoMetricsUnlessAsked(t *testing.T) {
	sub := otelsub.New()
	for range 2 {
		if err := sub.Attach(func() taskvisor.Snapshot { t.Error("snapshot was read"); return taskvisor.Snapshot{} }); err != nil {
			t.Error(err)
		}
	}
	if sub := otelsub.New(otelsub.WithMeterProvider(nil)); sub.Attach(named("a")) != nil {
		t.Error("the global provider was refused")
	}
}

func named(name string) func() taskvisor.Snapshot {
	return func() taskvisor.Snapshot { return taskvisor.Snapshot{Supervisor: name} }
}

func TestAttachTwice(t *testing.T) {
	sub, reader := metered()
	for _, name := range []string{"a", "b"} {
		if err := sub.Attach(named(name)); err != nil {
			t.Error(err)
		}
	}
	err := sub.Attach(named("a"))
	if err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a second supervisor of one name: %v", err)
	}
	if got := collect(t, reader); strings.Count(got, "task.count") != 12 {
		t.Errorf("got:\n%s", got)
	}
}

// TestDetachesAtTheEnd: an ended supervisor is neither reported nor held, and
// its name is free.
func TestDetachesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, reader := metered()
		for _, verdict := range []taskvisor.EventKind{taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded} {
			for range 1000 {
				if err := sub.Attach(named("a")); err != nil {
					t.Fatal(err)
				}
				sub.OnEvent(context.Background(), taskvisor.Event{Kind: verdict, Supervisor: "a"})
			}
			synctest.Wait()
			if got := collect(t, reader); got != "\n" {
				t.Errorf("after %s:\n%s", verdict, got)
			}
		}
	})
}

func TestRefusedInstruments(t *testing.T) {
	refused := errors.New("refused")
	sub := otelsub.New(otelsub.WithMeterProvider(refusing{err: refused}))
	if err := sub.Attach(named("a")); !errors.Is(err, refused) {
		t.Errorf("Attach: %v", err)
	}
	sub = otelsub.New(otelsub.WithMeterProvider(refusing{callbacks: refused}))
	if err := sub.Attach(named("a")); !errors.Is(err, refused) {
		t.Errorf("Attach: %v", err)
	}
}

type refusing struct {
	metricnoop.MeterProvider
	err, callbacks error
}

func (p refusing) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{err: p.err, callbacks: p.callbacks}
}

type refusingMeter struct {
	metricnoop.Meter
	err, callbacks error
}

func (m refusingMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return metricnoop.Int64Counter{}, m.err
}

func (m refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, m.callbacks
}
