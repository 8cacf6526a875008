package otelsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
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
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
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
			case metricdata.Sum[float64]:
				for _, p := range d.DataPoints {
					line(m, p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					line(m, p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
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

// TestMetrics counts what a real supervisor did: a task of a kind and one without, a
// released body, a refused submission and lost events.
func TestMetrics(t *testing.T) {
	sub, reader := metered()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		slow := taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) { <-release })
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriberDrain(0),
			taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(slow, taskvisor.WithName("logs"), taskvisor.Queued(1)))
		r := &rig{T: t, sup: sup}
		h := r.add(t.Context(), bounded(steps(fail(errBoom), ok(), ok())))
		kind := r.add(t.Context(), taskvisor.Once("job-7", steps(fail(errBoom)), taskvisor.WithKind("import")))
		r.submit(taskvisor.Once("deaf", steps(step{took: 5 * time.Second}), taskvisor.WithGrace(0), taskvisor.WithReleaseOnAbandon()), taskvisor.Queue)
		r.submit(taskvisor.Once("second", steps()), taskvisor.DropIfRunning)
		time.Sleep(time.Second / 2)
		sup.StopSlot("slot", true)
		if _, err := kind.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.after(h, 3)

		const bounds = "[0.005 0.025 0.1 0.25 1 2.5 10 30 60 300 1800 3600]"
		want := `admission.rejections{reason=slot_busy supervisor.name=sup} 1 {submission}
task.attempt.duration{result=failure supervisor.name=sup task.name=import} 1 in 1s, bounds ` + bounds + ` s
task.attempt.duration{result=failure supervisor.name=sup task.name=job} 1 in 1s, bounds ` + bounds + ` s
task.attempt.duration{result=success supervisor.name=sup task.name=deaf} 1 in 5s, bounds ` + bounds + ` s
task.attempt.duration{result=success supervisor.name=sup task.name=job} 2 in 2s, bounds ` + bounds + ` s
task.attempts{result=failure supervisor.name=sup task.name=import} 1 {attempt}
task.attempts{result=failure supervisor.name=sup task.name=job} 1 {attempt}
task.attempts{result=success supervisor.name=sup task.name=deaf} 1 {attempt}
task.attempts{result=success supervisor.name=sup task.name=job} 2 {attempt}
task.restarts{cause=failure supervisor.name=sup task.name=job} 1 {restart}
task.restarts{cause=success supervisor.name=sup task.name=job} 2 {restart}
tasks{supervisor.name=sup state=abandoned} 0 {task}
tasks{supervisor.name=sup state=backoff} 0 {task}
tasks{supervisor.name=sup state=paused} 0 {task}
tasks{supervisor.name=sup state=pending} 0 {task}
tasks{supervisor.name=sup state=running} 0 {task}
tasks{supervisor.name=sup state=stopping} 0 {task}
tasks{supervisor.name=sup state=waiting} 1 {task}
`
		var got strings.Builder
		dropped := 0
		for line := range strings.Lines(collect(t, reader)) {
			if strings.HasPrefix(line, "subscriber.events.dropped{") {
				dropped++
				continue
			}
			name, _, _ := strings.Cut(line, "{")
			if name == "tasks" || strings.Contains(want, name+"{") && !strings.Contains(line, "} 0 ") {
				got.WriteString(line)
			}
		}
		if got.String() != want || dropped == 0 {
			t.Errorf("got:\n%s\nwant:\n%s\n%d series of lost events", got.String(), want, dropped)
		}
	})
}

// TestNextSupervisorDuringACollection: a collection, held up by another library's
// callback, and New of the next supervisor need locks of each other.
func TestNextSupervisorDuringACollection(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	sub := otelsub.New(otelsub.WithMeterProvider(provider))
	collecting, goOn := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	_, err := provider.Meter("other").Int64ObservableGauge("other", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
		if hold.CompareAndSwap(true, false) {
			close(collecting)
			<-goOn
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	first, err := taskvisor.New(taskvisor.WithName("first"), taskvisor.WithSubscriber(sub))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, reader); !strings.Contains(got, "supervisor.state{supervisor.name=first state=running} 1") {
		t.Errorf("a supervisor without tasks is not reported:\n%s", got)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, reader); !strings.Contains(got, "supervisor.state{supervisor.name=first state=stopped} 1") {
		t.Errorf("the last source goes, and its callback, but not unseen:\n%s", got)
	}
	collect(t, reader) // once more
	if got := collect(t, reader); strings.Contains(got, "tasks{") {
		t.Errorf("an ended supervisor is reported for ever:\n%s", got)
	}
	hold.Store(true)
	finished := make(chan error, 2)
	go func() { finished <- reader.Collect(context.Background(), &metricdata.ResourceMetrics{}) }()
	<-collecting
	var second *taskvisor.Supervisor
	go func() {
		var err error
		second, err = taskvisor.New(taskvisor.WithName("second"), taskvisor.WithSubscriber(sub))
		finished <- err
	}()
	poll(t, func() bool { return waitsInAttach() }) // it now waits for the collection
	close(goOn)
	for range 2 {
		select {
		case err := <-finished:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("New and the collection wait for each other")
		}
	}
	if got := collect(t, reader); strings.Count(got, "tasks{supervisor.name=second") != 7 {
		t.Errorf("the second supervisor is not observed:\n%s", got)
	}
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// waitsInAttach reports whether a goroutine is registering a callback.
func waitsInAttach() bool {
	buf := make([]byte, 1<<20)
	return strings.Contains(string(buf[:runtime.Stack(buf, true)]), "RegisterCallback")
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
	if got := collect(t, reader); strings.Count(got, "tasks{") != 14 {
		t.Errorf("got:\n%s", got)
	}
}

// TestDetachesAtTheEnd: an ended supervisor is reported twice more and then neither
// reported nor held; of those that nobody collects some are held, and their names are free.
func TestDetachesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, reader := metered()
		for _, verdict := range []taskvisor.EventKind{taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded} {
			for i := range 1000 {
				name := fmt.Sprint(verdict, i%500)
				if err := sub.Attach(named(name)); err != nil {
					t.Fatal(err)
				}
				sub.OnEvent(context.Background(), taskvisor.Event{Kind: verdict, Supervisor: name})
			}
			synctest.Wait()
			if got := strings.Count(collect(t, reader), "stuck.attempts{"); got == 0 || got > 16 {
				t.Errorf("after %s, %d supervisors were held", verdict, got)
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

// TestStartDoesNotMove: changes of the metric tell of restarts, so it must not follow the
// snapshots, which say it by the wall clock of their own time.
func TestStartDoesNotMove(t *testing.T) {
	sub, reader := metered()
	made := time.Unix(1_700_000_000, 0)
	err := sub.Attach(func() taskvisor.Snapshot {
		made = made.Add(3 * time.Microsecond) // one goroutine asks
		return taskvisor.Snapshot{Supervisor: "a", State: taskvisor.SupervisorRunning, Created: made}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := collect(t, reader); !strings.Contains(got, "supervisor.start.timestamp{supervisor.name=a} 1.700000000000003e+09 s") {
			t.Errorf("got:\n%s", got)
		}
	}
}
