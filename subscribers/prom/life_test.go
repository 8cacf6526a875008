package promsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// one runs a supervisor of a name with one job, from its making to its end.
func one(t *testing.T, sub taskvisor.Subscribe, name string) {
	t.Helper()
	sup, err := taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(sub))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Run(t.Context(), taskvisor.Once("job", taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
		t.Fatal(err)
	}
}

// on is a rig for what a registry has of the supervisor "sup".
func on(t *testing.T, reg *prometheus.Registry) *rig { return &rig{t: t, reg: reg} }

// A supervisor that is made anew, as one in a task that is restarted, counts on where
// the one before has ended.
func TestCountersOfEarlierLivesStay(t *testing.T) {
	for name, next := range map[string]func(reg prometheus.Registerer, sub *promsub.Subscriber) *promsub.Subscriber{
		"one subscriber":      func(_ prometheus.Registerer, sub *promsub.Subscriber) *promsub.Subscriber { return sub },
		"one, closed":         func(_ prometheus.Registerer, sub *promsub.Subscriber) *promsub.Subscriber { sub.Close(); return sub },
		"another, not closed": func(reg prometheus.Registerer, _ *promsub.Subscriber) *promsub.Subscriber { return promsub.New(reg) },
		"another after Close": func(reg prometheus.Registerer, sub *promsub.Subscriber) *promsub.Subscriber {
			sub.Close()
			return promsub.New(reg)
		},
		"the first one closes late": func(reg prometheus.Registerer, sub *promsub.Subscriber) *promsub.Subscriber {
			again := promsub.New(reg)
			if err := again.Attach(func() taskvisor.Snapshot {
				return taskvisor.Snapshot{Supervisor: "sup", State: taskvisor.SupervisorStopped, Time: time.Now()}
			}); err != nil {
				t.Error(err)
			}
			sub.Close()
			return again
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewPedanticRegistry()
				sub := promsub.New(reg)
				for life := range 4 {
					one(t, sub, "sup")
					on(t, reg).want(map[string]float64{
						"task_attempts_total{result=success,task=job}": float64(life + 1),
						"tasks_finished_total{outcome=completed}":      float64(life + 1),
						"supervisor_state{state=stopped}":              1,
						"tasks_added_total{}":                          float64(life + 1),
						"tasks_removed_total{}":                        float64(life + 1),
						"subscriber_panics_total{subscriber=promsub}":  0,
					})
					time.Sleep(time.Minute)
					sub = next(reg, sub)
				}
			})
		})
	}
}

func TestTwoAliveOfOneNameAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		shared := promsub.New(reg)
		make := func(name string, sub *promsub.Subscriber) (*taskvisor.Supervisor, bool) {
			sup, err := taskvisor.New(taskvisor.WithName(name), taskvisor.WithSubscriber(sub))
			refused := errors.As(err, new(prometheus.AlreadyRegisteredError))
			if err != nil && !refused {
				t.Fatal(err)
			}
			return sup, !refused
		}
		a, ok := make("a", shared)
		if _, other := make("b", shared); !ok || !other {
			t.Fatal("names that differ were refused")
		}
		for _, sub := range []*promsub.Subscriber{shared, promsub.New(reg)} {
			if _, ok := make("a", sub); ok {
				t.Error("a second one was accepted beside one that has not started")
			}
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		shared.Close() // says nothing of those that run
		for _, sub := range []*promsub.Subscriber{shared, promsub.New(reg)} {
			if _, ok := make("a", sub); ok {
				t.Error("a second one was accepted beside one that runs")
			}
		}
		if err := a.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, ok := make("a", promsub.New(reg)); !ok {
			t.Error("refused although the first has ended")
		}
	})
}

// balance is a registry that knows how many collectors it has.
type balance struct {
	*prometheus.Registry
	registered int
}

func (b *balance) Register(c prometheus.Collector) error {
	err := b.Registry.Register(c)
	if err == nil {
		b.registered++
	}
	return err
}

func (b *balance) Unregister(c prometheus.Collector) bool {
	ok := b.Registry.Unregister(c)
	if ok {
		b.registered--
	}
	return ok
}

func TestCloseKeepsSeriesThroughTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &balance{Registry: prometheus.NewRegistry()}
		sub := promsub.New(reg)
		sub.Close() // before anything is attached: nothing
		one(t, sub, "sup")
		sub.Close()
		finished, stopped := "tasks_finished_total{outcome=completed}", "supervisor_state{state=stopped}"
		for range 20 { // a scrape each 15 s
			on(t, reg.Registry).want(map[string]float64{finished: 1, stopped: 1})
			sub.Close() // again: does not prolong it
			time.Sleep(15 * time.Second)
		}
		on(t, reg.Registry).want(map[string]float64{finished: -1, stopped: -1})
		sub.Close()
		if reg.registered != 0 {
			t.Errorf("%d collectors are still registered", reg.registered)
		}
	})
}

func TestCloseIsScrapedTwiceWhateverTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		sub := promsub.New(reg, promsub.WithSeriesGrace(0))
		one(t, sub, "sup")
		sub.Close()
		time.Sleep(time.Hour)
		for i, want := range []float64{1, 1, -1} {
			t.Log("scrape", i+1)
			on(t, reg).want(map[string]float64{"tasks_finished_total{outcome=completed}": want})
		}
	})
}

func TestSupervisorsMayDifferInConstantLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		for i, labels := range []prometheus.Labels{nil, {"region": "north"}, {"region": "south"}, {"region": "north", "tier": "1"}} {
			sub := promsub.New(reg, promsub.WithConstLabels(labels))
			one(t, sub, "sup")
			if n, err := testutil.GatherAndCount(reg, "taskvisor_tasks_added_total"); n != i+1 || err != nil {
				t.Errorf("%d supervisors, %v; want %d", n, err, i+1)
			}
		}
		_, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(promsub.New(reg, promsub.WithConstLabels(prometheus.Labels{"region": "south"}))))
		if err != nil {
			t.Errorf("the place of one that has ended was refused: %v", err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range families[0].Metric {
			for _, l := range m.Label {
				if l.GetName() == "supervisor" && l.GetValue() != "sup" {
					t.Errorf("supervisor %q", l.GetValue())
				}
			}
		}
	})
}

// Tasks that a shutdown gave up never report their end: the next life must not wait for
// them to let go of their series.
func TestTasksOfAnEarlierLifeKeepNoSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		sub := promsub.New(reg)
		sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		add(t, sup, taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Minute)), taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		expired, cancel := context.WithCancel(t.Context())
		cancel()
		_ = sup.Shutdown(expired)
		time.Sleep(40 * time.Second)
		one(t, sub, "sup")
		success := "task_attempts_total{result=success,task=deaf}"
		on(t, reg).want(map[string]float64{success: 0})
		on(t, reg).want(map[string]float64{success: 0})
		time.Sleep(10 * time.Minute)
		on(t, reg).want(map[string]float64{success: -1, "task_attempts_total{result=success,task=job}": -1})
	})
}

// TestLivesConcurrentSafe has supervisors of few names come and go on one registry, by
// shared subscribers and by their own, while it is scraped: no attempt may be lost.
func TestLivesConcurrentSafe(t *testing.T) {
	reg := prometheus.NewRegistry()
	shared := promsub.New(reg)
	var all sync.WaitGroup
	const lives = 100
	for w := range 4 {
		all.Go(func() {
			sub := shared
			for i := range lives {
				if w%2 == 0 {
					sub = promsub.New(reg)
				}
				one(t, sub, fmt.Sprintf("sup-%d", w))
				if i%3 == 0 {
					sub.Close()
				}
			}
		})
	}
	stop := make(chan struct{})
	scraped := make(chan struct{})
	go func() { // ends with stop
		defer close(scraped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	all.Wait()
	close(stop)
	<-scraped
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		if f.GetName() != "taskvisor_task_attempts_total" {
			continue
		}
		for _, m := range f.Metric {
			if strings.Contains(m.String(), "success") {
				n++
				if m.Counter.GetValue() != lives {
					t.Errorf("%v, want %d", m, lives)
				}
			}
		}
	}
	if n != 4 {
		t.Errorf("%d supervisors have attempts, want 4", n)
	}
}
