package promsub_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// served is what a server gets from g.
func served(t *testing.T, g prometheus.Gatherer) (body string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// busy runs a supervisor whose tasks do everything that they can.
func busy(t *testing.T, name string, subs ...taskvisor.Option) {
	t.Helper()
	sup, _ := taskvisortest.Start(t, append(subs, taskvisor.WithName(name), taskvisor.WithMaxConcurrent(3))...)
	fail := taskvisortest.Fail(errWork)
	specs := []taskvisor.TaskSpec{
		every("quick", time.Second), every("slow", time.Hour), failing("fails", 10*time.Second), idle("idle"),
		taskvisor.Once("gives up", taskvisortest.Script(fail)), taskvisor.Once("panics", taskvisortest.Script(taskvisortest.Panic("no"))),
	}
	for _, s := range specs {
		if _, err := sup.Add(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sup.Submit(t.Context(), taskvisor.Submission{Task: taskvisor.Once("submitted", taskvisortest.Script(fail)), Slot: "s"}); err != nil {
		t.Fatal(err)
	}
}

// other is a registry with something that comes before, and something that comes behind
// the metrics of tasks.
func other() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	for _, name := range []string{"app_requests", "taskvisor_task_something", "zoo"} {
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "mine"}))
	}
	return reg
}

// A gatherer gives the page that a registry gives, of one supervisor and of several, and
// where another subscriber has some of the same families.
func TestGathererGivesThePageOfARegistry(t *testing.T) {
	for name, c := range map[string]struct{ ours, theirs []string }{
		"one":               {ours: []string{"a"}},
		"several":           {ours: []string{"b", "a", "c"}},
		"none":              {},
		"beside another":    {ours: []string{"b"}, theirs: []string{"a"}},
		"none beside other": {theirs: []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				beside, all := other(), other()
				opts := []promsub.Option{promsub.WithMaxTasks(5), promsub.WithConstLabels(prometheus.Labels{"zone": "x"}), promsub.WithExemplars(fromContext)}
				sub := promsub.New(nil, opts...)
				for _, name := range c.ours {
					busy(t, name, taskvisor.WithSubscriber(sub))
				}
				for _, name := range c.theirs {
					busy(t, name, taskvisor.WithSubscriber(promsub.New(beside, opts...)), taskvisor.WithSubscriber(promsub.New(all, opts...)))
				}
				if len(c.ours) > 0 {
					all.MustRegister(sub)
				}
				later(time.Minute)
				want := served(t, all)
				if got := served(t, sub.Gatherer(beside)); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				for _, part := range []string{"app_requests", "zoo"} {
					if !strings.Contains(want, part) {
						t.Errorf("the page has no %s", part)
					}
				}
				if has := strings.Contains(want, `task="fails"`); has != (len(c.ours)+len(c.theirs) > 0) {
					t.Errorf("the page has series of tasks: %t", has)
				}
			})
		})
	}
}

// What is wrong with the rest is reported, with all that could be gathered.
func TestGathererReportsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		sub := promsub.New(nil)
		busy(t, "a", taskvisor.WithSubscriber(sub))
		later(time.Second)
		families := func(g prometheus.Gatherer, want string) int {
			t.Helper()
			all, err := g.Gather()
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
			return len(all)
		}
		alone := families(sub.Gatherer(nil), "")
		if alone < 20 {
			t.Errorf("%d families", alone)
		}
		broken := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("no disk") })
		if n := families(sub.Gatherer(broken), "no disk"); n != alone {
			t.Errorf("%d families, want %d", n, alone)
		}
		reg.MustRegister(sub) // twice on one page, then
		if n := families(sub.Gatherer(reg), "collected before"); n != alone {
			t.Errorf("%d families, want %d", n, alone)
		}
	})
}

// The rest may be in any order.
func TestGathererSortsTheRest(t *testing.T) {
	named := func(name string) *dto.MetricFamily {
		return &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: new(float64)}}}}
	}
	rest := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return []*dto.MetricFamily{named("zoo"), named("app"), named("taskvisor_task_something")}, nil
	})
	sub := promsub.New(nil)
	taped(t, 2, taskvisor.WithSubscriber(sub))
	all, err := sub.Gatherer(rest).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].GetName() >= all[i].GetName() {
			t.Errorf("%s comes before %s", all[i-1].GetName(), all[i].GetName())
		}
	}
	if all[0].GetName() != "app" || all[len(all)-1].GetName() != "zoo" {
		t.Errorf("from %s to %s", all[0].GetName(), all[len(all)-1].GetName())
	}
}
