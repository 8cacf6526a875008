package parity_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var errWork = errors.New("work")

// both is a supervisor that promsub and otelsub are subscribed to.
type both struct {
	*taskvisor.Supervisor
	owner    *lease.Owner
	engine   *leasetest.Memory
	registry *prometheus.Registry
	reader   sdkmetric.Reader
}

// supervised starts one.
func supervised(t *testing.T, otelOpts []otelsub.Option, opts ...taskvisor.Option) *both {
	t.Helper()
	b := &both{engine: &leasetest.Memory{}, registry: prometheus.NewRegistry(), reader: sdkmetric.NewManualReader()}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))
	var err error
	b.owner, err = lease.New(b.engine.Connect(), lease.WithID("here"), lease.WithTTL(20*time.Second), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		t.Fatal(err)
	}
	b.Supervisor, _ = taskvisortest.Start(t, append(opts, taskvisor.WithName("sup"), taskvisor.WithSubscriber(b.owner.Subscriber()),
		taskvisor.WithSubscriber(promsub.New(b.registry, promsub.WithLeases(b.owner))),
		taskvisor.WithSubscriber(otelsub.New(append(otelOpts, otelsub.WithMeterProvider(provider), otelsub.WithLeases(b.owner))...)))...)
	return b
}

func (b *both) add(t *testing.T, spec taskvisor.TaskSpec) *taskvisor.Handle {
	t.Helper()
	h, err := b.Add(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// story uses every feature that has a metric.
func story(t *testing.T, otelOpts ...otelsub.Option) *both {
	t.Helper()
	blocked := make(chan struct{})
	t.Cleanup(func() { close(blocked) })
	sink := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		e.ReportFailure(errWork)
		<-blocked
	})
	b := supervised(t, otelOpts, taskvisor.WithMaxConcurrent(10), taskvisor.WithMaxQueue(1), taskvisor.WithGrace(5*time.Second),
		taskvisor.WithRestartBudget(1, 10*time.Minute), taskvisor.WithSubscriber(sink, taskvisor.WithName("log"), taskvisor.Queued(4)))
	door := taskvisor.NewLimit("door", 1)
	if _, err := b.engine.Connect().Acquire(t.Context(), "taskvisor/standby", "elsewhere", time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"elected", "robbed", "standby"} {
		b.add(t, taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.Ignore(13*time.Second)), b.owner.Singleton(name), taskvisor.ConstantBackoff(time.Hour)))
	}
	synctest.Wait()
	b.engine.Expire("taskvisor/robbed")
	stubborn := b.add(t, taskvisor.Once("stubborn", taskvisortest.Script(taskvisortest.Ignore(13*time.Second)), taskvisor.WithGrace(time.Second)))
	synctest.Wait()
	stubborn.Stop()
	b.add(t, taskvisor.Restartable("resident", taskvisortest.Script(taskvisortest.Ignore(14*time.Second))))
	b.add(t, taskvisor.Restartable("retried", taskvisortest.Script(taskvisortest.Panic("no"), taskvisortest.Fail(errWork)),
		taskvisor.ConstantBackoff(2*time.Second)))
	b.add(t, taskvisor.Restartable("backing off", taskvisortest.Script(taskvisortest.Fail(taskvisor.RetryAfter(time.Minute, errWork)))))
	b.add(t, taskvisor.Periodic("poll", time.Minute, taskvisortest.Script(
		taskvisortest.After(20*time.Millisecond, taskvisortest.Succeed()), taskvisortest.Ignore(4*time.Second)))).RunNow(nil)
	for _, name := range []string{"first", "second", "third"} {
		b.add(t, taskvisor.Restartable(name, taskvisortest.Script(taskvisortest.After(7*time.Second, taskvisortest.Succeed())), taskvisor.WithGate(door),
			taskvisor.WithKind("through the door")))
		time.Sleep(100 * time.Millisecond)
	}
	b.add(t, taskvisor.Once("job", taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Fail(taskvisor.Fatal(errWork))))))
	for _, a := range []taskvisor.Admission{taskvisor.Queue, taskvisor.Queue, taskvisor.Queue, taskvisor.DropIfRunning, taskvisor.Join} {
		s := taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("submitted ", len(b.Snapshot().Tasks)), taskvisortest.Script(taskvisortest.Ignore(14*time.Second))), Slot: "key", Admission: a}
		if _, err := b.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Submit(t.Context(), taskvisor.Submission{ // nobody waits for this one
		Task: taskvisor.Once("alone", taskvisortest.Script(taskvisortest.Ignore(14*time.Second))), Slot: "other"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return b
}

// excused are what only one of them has, and why.
var excused = map[string]string{
	"taskvisor_metrics_overflow_tasks": "an SDK has a limit of its own, and marks what is beyond it with otel.metric.overflow",
}

// TestBothSayTheSame compares every series of a supervisor with everything in use, and
// again in the middle of its shutdown: names, labels and values.
func TestBothSayTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := story(t, otelsub.WithPrometheusLabels())
		seen := make(map[string]bool)
		compare := func(when string) {
			scraped, received := scraped(t, b.registry), received(t, b.reader)
			if len(received) < 300 {
				t.Errorf("%s, otelsub has %d series", when, len(received))
			}
			for key, want := range scraped {
				name, _, _ := strings.Cut(key, "{")
				seen[name] = true
				if excused[name] != "" {
					continue
				}
				_, there := scraped[strings.Replace(key, "_backoff_seconds_total{", "_ready{", 1)]
				if _, ok := received[key]; !ok && !there && name == "taskvisor_task_backoff_seconds_total" {
					continue // of a task that is gone: promsub keeps it for some minutes
				}
				if got, ok := received[key]; !ok {
					t.Errorf("%s, otelsub lacks %s", when, key)
				} else if got != want {
					t.Errorf("%s, %s is %v by promsub, %v by otelsub", when, key, want, got)
				}
			}
			for key := range received {
				if _, ok := scraped[key]; !ok {
					t.Errorf("%s, only otelsub has %s", when, key)
				}
			}
		}
		compare("at work")
		go func() { _ = b.Shutdown(context.Background()) }() // ends with the shutdown
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		compare("in the shutdown")
		time.Sleep(time.Minute)
		synctest.Wait()
		compare("at the end")
		for _, f := range promsub.Families() {
			name := f.Name
			if f.Type == "histogram" {
				name += "_count"
			}
			if !seen[name] {
				t.Errorf("the story has no %s", name)
			}
		}
	})
}

// TestDefinitionsAreThoseOfTheTable: instruments, units and descriptions.
func TestDefinitionsAreThoseOfTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := story(t)
		got := instruments(t, b)
		for _, f := range promsub.Families() {
			if excused[f.Name] != "" {
				continue
			}
			of, ok := got[f.Instrument]
			delete(got, f.Instrument)
			switch {
			case f.Name == "taskvisor_shutdown_start_timestamp_seconds", f.Name == "taskvisor_shutdown_duration_seconds": // not yet
			case !ok:
				t.Errorf("no instrument %s", f.Instrument)
			case of.Unit != f.Unit || of.Description != f.Help || kind(of) != f.Type:
				t.Errorf("%s is a %s in %q: %s\nthe table says %+v", of.Name, kind(of), of.Unit, of.Description, f)
			}
		}
		if len(got) > 0 {
			t.Errorf("the table lacks %v", slices.Sorted(maps.Keys(got)))
		}
	})
}

// TestConventionalAttributesAreApart: without the option nothing of otelsub has a label
// that boards and alerts select by, so that nothing is counted twice where both arrive;
// and an attribute has a namespace.
func TestConventionalAttributesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := story(t)
		n := 0
		for key := range received(t, b.reader) {
			_, labels, _ := strings.Cut(key, "{")
			for label := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ", ") {
				name, _, _ := strings.Cut(label, "=")
				n++
				if name != "le" && !strings.HasPrefix(name, "taskvisor_") && name != "process_runtime_version" {
					t.Errorf("%s has the label %s", key, name)
				}
			}
		}
		if n < 500 {
			t.Errorf("%d labels were looked at", n)
		}
	})
}
