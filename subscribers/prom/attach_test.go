package promsub_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func named(name string) func() taskvisor.Snapshot {
	return func() taskvisor.Snapshot {
		return taskvisor.Snapshot{Supervisor: name, State: taskvisor.SupervisorRunning, Time: time.Unix(1_700_000_000, 0)}
	}
}

func TestSupervisorsShareARegistryByName(t *testing.T) {
	reg := prometheus.NewRegistry()
	a, b, again := promsub.New(reg), promsub.New(reg), promsub.New(reg)
	for name, sub := range map[string]*promsub.Subscriber{"a": a, "b": b} {
		if err := sub.Attach(named(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []*promsub.Subscriber{a, again} {
		err := sub.Attach(named("a"))
		if !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			t.Fatalf("got %v, want an AlreadyRegisteredError", err)
		}
		for _, part := range []string{`"a"`, "WithName"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not mention %s", err, part)
			}
		}
	}
	again.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskAdded, Supervisor: "a", TaskID: 1, Task: "x"}) // belongs to nobody
	again.Close()                                                                                                          // must not unregister the first one
	if n := testutil.CollectAndCount(a); n == 0 {
		t.Error("the first subscriber is gone")
	}
	if n, err := testutil.GatherAndCount(reg, "taskvisor_tasks_added_total", "taskvisor_task_attempts_total"); n != 2 || err != nil {
		t.Errorf("%d series, %v; want 2", n, err)
	}
}

func TestAttachReportsWhatTheRegistererSays(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "taskvisor_tasks", Help: "mine"}))
	err := promsub.New(reg).Attach(named("a"))
	if err == nil || errors.As(err, new(prometheus.AlreadyRegisteredError)) || !strings.Contains(err.Error(), "taskvisor_tasks") {
		t.Errorf("got %v, want the conflict with taskvisor_tasks", err)
	}
	if n, err := testutil.GatherAndCount(reg); n != 1 || err != nil {
		t.Errorf("%d series, %v; want the user's own", n, err)
	}
}

func TestWithoutRegistererTheSubscriberIsACollector(t *testing.T) {
	sub := promsub.New(nil)
	if n := testutil.CollectAndCount(sub); n != 0 {
		t.Errorf("%d metrics before Attach", n)
	}
	sub.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskAdded, TaskID: 1, Task: "x"})
	if err := sub.Attach(named("a")); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	if err := prometheus.WrapRegistererWith(prometheus.Labels{"app": "x"}, reg).Register(sub); err != nil {
		t.Fatal(err)
	}
	sub.Close() // what Attach did not register, Close does not unregister
	if n, err := testutil.GatherAndCount(reg, "taskvisor_tasks_added_total"); n != 1 || err != nil {
		t.Errorf("%d series, %v; want 1", n, err)
	}
}

func TestWrongOptionsAreErrorsOfAttach(t *testing.T) {
	for name, opt := range map[string]promsub.Option{
		"namespace empty":      promsub.WithNamespace(""),
		"namespace":            promsub.WithNamespace("task-visor"),
		"const label name":     promsub.WithConstLabels(prometheus.Labels{"a-b": "1"}),
		"const label reserved": promsub.WithConstLabels(prometheus.Labels{"__a": "1"}),
		"const label own":      promsub.WithConstLabels(prometheus.Labels{"supervisor": "1"}),
		"const label task":     promsub.WithConstLabels(prometheus.Labels{"task": "1"}),
		"const label value":    promsub.WithConstLabels(prometheus.Labels{"a": "\xff"}),
		"no buckets":           promsub.WithBuckets(nil),
		"buckets fall":         promsub.WithBuckets([]float64{1, 1}),
		"buckets infinite":     promsub.WithBuckets([]float64{1, math.Inf(1)}),
		"buckets NaN":          promsub.WithBuckets([]float64{math.NaN()}),
		"nil exemplars":        promsub.WithExemplars(nil),
		"nil task label":       promsub.WithTaskLabel(nil),
		"negative maximum":     promsub.WithMaxTasks(-1),
		"negative grace":       promsub.WithSeriesGrace(-1),
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			err := promsub.New(reg, opt, promsub.WithMaxTasks(1)).Attach(named("a"))
			if err == nil || !strings.HasPrefix(err.Error(), "promsub: ") {
				t.Errorf("got %v", err)
			}
			if n, _ := testutil.GatherAndCount(reg); n != 0 {
				t.Error("registered all the same")
			}
		})
	}
}

func TestOptionsKeepNothingOfTheCallers(t *testing.T) {
	labels, buckets := prometheus.Labels{"region": "north"}, []float64{1, 2}
	reg := prometheus.NewRegistry()
	sub := promsub.New(reg, promsub.WithConstLabels(labels), promsub.WithBuckets(buckets))
	labels["region"], buckets[0] = "south", 5
	if err := sub.Attach(named("a")); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if l := families[0].Metric[0].Label; !strings.Contains(l[0].String()+l[1].String(), "north") {
		t.Errorf("labels %v", l)
	}
}

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestThousandSupervisorsLeaveNothing makes, uses and closes a subscriber a
// thousand times on one registry.
func TestThousandSupervisorsLeaveNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	goroutines := runtime.NumGoroutine()
	cycle := func() {
		state, now := taskvisor.SupervisorRunning, time.Unix(1_700_000_000, 0)
		sub := promsub.New(reg)
		if err := sub.Attach(func() taskvisor.Snapshot { return taskvisor.Snapshot{Supervisor: "a", State: state, Time: now} }); err != nil {
			t.Fatal(err)
		}
		for id := range taskvisor.TaskID(5) {
			e := taskvisor.Event{Kind: taskvisor.TaskAdded, Supervisor: "a", TaskID: id, Task: string(rune('a' + id)), Time: now}
			sub.OnEvent(context.Background(), e)
			e.Kind, e.Result = taskvisor.TaskFailed, taskvisor.ResultFailure
			sub.OnEvent(context.Background(), e)
		}
		state = taskvisor.SupervisorStopped
		sub.Close()
		for range 3 {
			if _, err := reg.Gather(); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Hour)
		}
		if n, _ := testutil.GatherAndCount(reg); n != 0 {
			t.Fatalf("%d series are left", n)
		}
		sub.Close() // after the grace: what is registered goes too
	}
	for range 100 {
		cycle()
	}
	before := heap()
	for range 1000 {
		cycle()
	}
	// One subscriber with five tasks is about 60 KiB: a hundred that stayed are
	// 6 MiB.
	if after := heap(); after > before+6<<20 {
		t.Errorf("the heap grew from %d to %d", before, after)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}
