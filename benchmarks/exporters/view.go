package exporters

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// past is how many attempts each task has behind it when its page is asked for:
// as many as the page remembers.
const past = 32

// ViewRows look at a supervisor of so many tasks: at its state, and at the live
// page, as somebody does who opens it for the first time.
func ViewRows(tasks int) []rounds.Row {
	return []rounds.Row{
		{Name: "Snapshot", Title: fmt.Sprintf("Snapshot of %d tasks", tasks), Op: "snapshot", N: 100, Sides: []rounds.Side{{Name: "taskvisor", Run: snapshots(tasks)}}},
		{Name: "Live", Title: fmt.Sprintf("first view of the live page with %d tasks", tasks), Op: "view", N: 50, Sides: []rounds.Side{{Name: "taskvisor", Run: views(tasks)}}},
	}
}

func snapshots(tasks int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		_, sup, err := watched(tasks, 1)
		if err != nil {
			return err
		}
		seen := 0
		m.Start()
		for range n {
			seen += len(sup.Snapshot().Tasks)
		}
		m.Stop()
		return errors.Join(work.Counted("tasks", seen, n*tasks), sup.Shutdown(context.Background()))
	}
}

func views(tasks int) func(*rounds.Meter, int) error {
	return func(m *rounds.Meter, n int) error {
		page, sup, err := watched(tasks, past)
		if err != nil {
			return err
		}
		size := 0
		m.Start()
		for range n {
			w := httptest.NewRecorder()
			page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if w.Code != http.StatusOK {
				return errors.Join(fmt.Errorf("live page: status %d", w.Code), sup.Shutdown(context.Background()))
			}
			size += w.Body.Len()
		}
		m.Stop()
		m.Report("sent-B/op", float64(size)/float64(n))
		return sup.Shutdown(context.Background())
	}
}

// watched is a supervisor of periodic tasks with so many attempts behind each, and
// a live page that has heard of all of them.
func watched(tasks, attempts int) (http.Handler, *taskvisor.Supervisor, error) {
	page := livesub.New(livesub.WithMaxHistory(tasks))
	sup, err := taskvisor.New(taskvisor.WithSubscriber(page))
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return nil, nil, err
	}
	specs := make([]taskvisor.TaskSpec, tasks)
	for i, name := range work.Names(tasks) {
		specs[i] = taskvisor.Periodic(name, time.Hour, func(context.Context) error { return nil }, taskvisor.WithoutRestartFloor())
	}
	handles, err := sup.AddAll(ctx, specs...)
	if err != nil {
		return nil, nil, errors.Join(err, sup.Shutdown(ctx))
	}
	for round := range attempts {
		for _, h := range handles {
			for h.Status().Results.Success <= uint64(round) || h.Status().State != taskvisor.StateWaiting {
				runtime.Gosched()
			}
			if round+1 < attempts {
				h.RunNow(nil)
			}
		}
	}
	for { // the page reads on a goroutine of its own
		if s := sup.Snapshot(); s.Subscribers[0].Queued == 0 && s.Subscribers[0].Delivered >= s.Seq {
			return page, sup, nil
		}
		time.Sleep(time.Millisecond)
	}
}
