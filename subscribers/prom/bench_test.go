package promsub_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// tape records what a real supervisor says, to be said again: what is measured is the
// subscriber and not the supervisor. What a task's events carry along lives with the
// task, as ever.
type tape struct {
	sup *taskvisor.Supervisor

	mu       sync.Mutex // guards the fields below
	added    []taskvisor.Event
	attempts map[taskvisor.TaskID]*[2]taskvisor.Event // the latest of each task: its start and its end
}

func (p *tape) OnEvent(_ context.Context, e taskvisor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case taskvisor.TaskAdded:
		p.added = append(p.added, e)
		p.attempts[e.TaskID] = new([2]taskvisor.Event)
	case taskvisor.TaskStarting:
		p.attempts[e.TaskID][0] = e
	case taskvisor.TaskStopped, taskvisor.TaskFailed:
		p.attempts[e.TaskID][1] = e
	}
}

// taped runs n tasks, every tenth of which fails, until each has ended an attempt.
func taped(tb testing.TB, n int, opts ...taskvisor.Option) *tape {
	tb.Helper()
	p := &tape{attempts: make(map[taskvisor.TaskID]*[2]taskvisor.Event)}
	sup, err := taskvisor.New(append(opts, taskvisor.WithName("sup"), taskvisor.WithSubscriber(p, taskvisor.Inline()))...)
	if err != nil {
		tb.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = sup.Shutdown(context.Background()) })
	p.sup = sup
	specs := make([]taskvisor.TaskSpec, n)
	for i := range specs {
		step := taskvisortest.Succeed()
		if i%10 == 9 {
			step = taskvisortest.Fail(errWork)
		}
		specs[i] = taskvisor.Periodic(fmt.Sprintf("task-%d", i), time.Hour, taskvisortest.Script(step), taskvisor.ConstantBackoff(time.Hour))
	}
	handles, err := sup.AddAll(context.Background(), specs...)
	if err != nil {
		tb.Fatal(err)
	}
	for _, h := range handles {
		for h.Status().NextStart.IsZero() {
			time.Sleep(time.Millisecond)
		}
	}
	return p
}

// to plays the tape's beginning to a subscriber: it knows the tasks then.
func (p *tape) to(tb testing.TB, sub *promsub.Subscriber) {
	tb.Helper()
	if err := sub.Attach(p.sup.Snapshot); err != nil {
		tb.Fatal(err)
	}
	for _, e := range p.added {
		e.Local().Store(nil) // an earlier subscriber's
		sub.OnEvent(context.Background(), e)
	}
}

func TestAttemptDoesNotAllocate(t *testing.T) {
	for name, opts := range map[string][]promsub.Option{
		"plain":     nil,
		"exemplars": {promsub.WithExemplars(fromContext)}, // asked for, but nothing is sampled
	} {
		t.Run(name, func(t *testing.T) {
			p := taped(t, 1)
			reg := prometheus.NewRegistry()
			s := promsub.New(reg, opts...)
			p.to(t, s)
			var sub taskvisor.Subscribe = s
			events := p.attempts[p.added[0].TaskID]
			ctx := context.Background()
			sub.OnEvent(ctx, events[1]) // the first makes the native histogram's bucket
			if n := testing.AllocsPerRun(1000, func() {
				sub.OnEvent(ctx, events[0])
				sub.OnEvent(ctx, events[1])
			}); n != 0 {
				t.Errorf("an attempt allocates %v times", n)
			}
			on(t, reg).want(map[string]float64{"task_attempts_total{result=success,task=task-0}": 1002})
		})
	}
}

// BenchmarkAttempt is what an attempt costs: TaskStarting and TaskStopped.
func BenchmarkAttempt(b *testing.B) {
	sampled := traced("4bf92f3577b34da6a3ce929d0e0e4736")
	for _, c := range []struct {
		name string
		opts []promsub.Option
		ctx  context.Context
		kind taskvisor.ResultKind
	}{
		{"plain", nil, context.Background(), taskvisor.ResultSuccess},
		{"classic", []promsub.Option{promsub.WithoutNativeHistograms()}, context.Background(), taskvisor.ResultSuccess},
		{"unsampled", []promsub.Option{promsub.WithExemplars(fromContext)}, context.Background(), taskvisor.ResultSuccess},
		{"sampled", []promsub.Option{promsub.WithExemplars(fromContext)}, sampled, taskvisor.ResultSuccess},
		{"sampled-failure", []promsub.Option{promsub.WithExemplars(fromContext)}, sampled, taskvisor.ResultFailure},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := taped(b, 1)
			s := promsub.New(nil, c.opts...)
			p.to(b, s)
			var sub taskvisor.Subscribe = s
			events := *p.attempts[p.added[0].TaskID]
			events[1].Result = c.kind
			b.ReportAllocs()
			for b.Loop() {
				sub.OnEvent(c.ctx, events[0])
				sub.OnEvent(c.ctx, events[1])
			}
		})
	}
}

// BenchmarkAttemptParallel is the same for a task per goroutine.
func BenchmarkAttemptParallel(b *testing.B) {
	p := taped(b, 1024)
	sub := promsub.New(nil, promsub.WithMaxTasks(1024))
	p.to(b, sub)
	ids := make(chan taskvisor.TaskID, 1024)
	for _, e := range p.added {
		ids <- e.TaskID
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		events := *p.attempts[<-ids]
		for pb.Next() {
			sub.OnEvent(context.Background(), events[0])
			sub.OnEvent(context.Background(), events[1])
		}
	})
}

// BenchmarkTask is what a task costs beside its attempts.
func BenchmarkTask(b *testing.B) {
	p := taped(b, 1)
	sub := promsub.New(nil)
	p.to(b, sub)
	added := p.added[0]
	gone := added
	gone.Kind, gone.Outcome = taskvisor.TaskRemoved, taskvisor.OutcomeCompleted
	b.ReportAllocs()
	for b.Loop() {
		added.Local().Store(nil)
		sub.OnEvent(context.Background(), added)
		sub.OnEvent(context.Background(), gone)
	}
}

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }

func fetch(g prometheus.Gatherer) {
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "text/plain")
	promhttp.HandlerFor(g, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(nowhere{http.Header{}}, req)
}

// BenchmarkScrape reads the series of tasks that have succeeded or failed. "encode" is
// the part that no collector can do anything about, "page" the whole. "guarded" has ten
// times as many tasks as may have series.
func BenchmarkScrape(b *testing.B) {
	for _, c := range []struct {
		name       string
		tasks, max int
	}{{"tasks=500", 500, 500}, {"tasks=10000", 10_000, 10_000}, {"guarded=10000", 10_000, 500}} {
		reg := prometheus.NewRegistry()
		taped(b, c.tasks, taskvisor.WithSubscriber(promsub.New(reg, promsub.WithMaxTasks(c.max))))
		families, err := reg.Gather()
		if err != nil {
			b.Fatal(err)
		}
		for _, part := range []struct {
			name string
			do   func()
		}{
			{"gather", func() { _, _ = reg.Gather() }},
			{"encode", func() {
				fetch(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }))
			}},
			{"page", func() { fetch(reg) }},
		} {
			b.Run(c.name+"/"+part.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					part.do()
				}
			})
		}
	}
}
