package exporters

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// scraped is a supervisor with tasks that have run, and the handler that a
// Prometheus reads.
type scraped struct {
	sup     *taskvisor.Supervisor
	gather  prometheus.Gatherer
	handler http.Handler
}

// newScraped registers n periodic tasks, each of which has succeeded once; every
// tenth fails and is in backoff. Their metrics are in a registry or, with beside set,
// beside one that has the Go runtime's.
func newScraped(n int, beside bool, opts ...promsub.Option) (*scraped, error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(collectors.NewGoCollector()); err != nil {
		return nil, err
	}
	var gather prometheus.Gatherer = reg
	sub := promsub.New(reg, opts...)
	if beside {
		sub = promsub.New(nil, opts...)
		gather = sub.Gatherer(reg)
	}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	s := &scraped{sup, gather, promhttp.HandlerFor(gather, promhttp.HandlerOpts{})}
	specs := make([]taskvisor.TaskSpec, n)
	for i, name := range work.Names(n) {
		fn := func(context.Context) error { return nil }
		if i%10 == 9 {
			fn = func(context.Context) error { return work.ErrFail }
		}
		specs[i] = taskvisor.Periodic(name, time.Hour, fn, taskvisor.ConstantBackoff(time.Hour))
	}
	handles, err := sup.AddAll(ctx, specs...)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, h := range handles {
		for h.Status().NextStart.IsZero() {
			time.Sleep(time.Millisecond)
		}
	}
	return s, nil
}

func (s *scraped) close() error { return s.sup.Shutdown(context.Background()) }

// scrape reads /metrics once and returns the number of bytes sent.
func (s *scraped) scrape(accept, encoding string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", encoding)
	w := nowhere{header: http.Header{}, status: http.StatusOK}
	s.handler.ServeHTTP(&w, req)
	if w.status != http.StatusOK {
		return 0, fmt.Errorf("scrape: status %d", w.status)
	}
	return w.n, nil
}

// nowhere is a response that only counts.
type nowhere struct {
	header    http.Header
	status, n int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// ScrapeRows reads /metrics with each of so many tasks in series of its own, in
// the ways that a Prometheus does, and with so many tasks under the default guard,
// which gives names of their own to the first 500 only.
func ScrapeRows(tasks int) []rounds.Row {
	unguarded, n := promsub.WithMaxTasks(tasks+1), max(3, 30_000/tasks)
	return []rounds.Row{
		{Name: "Scrape", Title: fmt.Sprintf("scrape of %d tasks", tasks), Op: "scrape", N: n, Sides: []rounds.Side{
			{Name: "encoding alone", Run: scrapes(tasks, frozen, "text/plain", "identity", unguarded)},
			{Name: "taskvisor", Run: scrapes(tasks, registered, "text/plain", "identity", unguarded)},
			{Name: "taskvisor, Gatherer", Run: scrapes(tasks, gathered, "text/plain", "identity", unguarded)},
			{Name: "taskvisor, gzip", Run: scrapes(tasks, registered, "text/plain", "gzip", unguarded)},
			{Name: "taskvisor, protobuf, gzip", Run: scrapes(tasks, registered, protobuf, "gzip", unguarded)},
		}},
		{Name: "Guarded", Title: fmt.Sprintf("scrape of %d tasks at the default guard", tasks), Op: "scrape", N: 10 * n, Sides: []rounds.Side{
			{Name: "taskvisor", Run: scrapes(tasks, registered, "text/plain", "identity")},
			{Name: "taskvisor, Gatherer", Run: scrapes(tasks, gathered, "text/plain", "identity")},
			{Name: "taskvisor, gzip", Run: scrapes(tasks, registered, "text/plain", "gzip")},
		}},
	}
}

// way is how the metrics of tasks come onto the page.
type way int

const (
	registered way = iota // promsub is in the registry
	gathered              // promsub.Subscriber.Gatherer, for many tasks
	frozen                // nobody collects anything: what was gathered once is encoded again and again
)

// scrapes reads /metrics n times. What a frozen page takes is the part of a scrape that
// no collector can do anything about.
func scrapes(tasks int, by way, accept, encoding string, opts ...promsub.Option) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		s, err := newScraped(tasks, by == gathered, opts...)
		if err != nil {
			return err
		}
		if by == frozen {
			families, err := s.gather.Gather()
			if err != nil {
				return errors.Join(err, s.close())
			}
			s.handler = promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }), promhttp.HandlerOpts{})
		}
		if _, err := s.scrape(accept, encoding); err != nil { // the first makes the labels
			return errors.Join(err, s.close())
		}
		bytes := 0
		m.Start()
		for range n {
			sent, err := s.scrape(accept, encoding)
			if err != nil {
				return errors.Join(err, s.close())
			}
			bytes += sent
		}
		m.Stop()
		m.Report("sent-B/op", float64(bytes)/float64(n))
		if bytes < n*min(tasks, 500)*10 {
			err = fmt.Errorf("%d bytes for %d scrapes of %d tasks", bytes, n, tasks)
		}
		return errors.Join(err, s.close())
	}
}
