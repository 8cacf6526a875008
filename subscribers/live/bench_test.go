package livesub_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// crowd is a supervisor of n tasks, each of which has 32 attempts behind it.
func crowd(b testing.TB, n, attempts int) *livesub.Page {
	b.Helper()
	page := livesub.New(livesub.WithMaxHistory(n), livesub.WithActions(allowed))
	sup := newSupervisor(b, page)
	if err := sup.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sup.Shutdown(context.Background()) })
	specs := make([]taskvisor.TaskSpec, 0, n)
	for i := range n {
		specs = append(specs, taskvisor.Periodic(fmt.Sprintf("import-of-folder-%d", i), time.Hour, succeed))
	}
	handles, err := sup.AddAll(context.Background(), specs...)
	if err != nil {
		b.Fatal(err)
	}
	heard := func() { // all of it, before more comes than the page's queue holds
		for {
			if s := sup.Snapshot(); s.Subscribers[0].Queued == 0 && s.Subscribers[0].Delivered >= s.Seq {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
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
		heard()
	}
	return page
}

func BenchmarkPage(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		page := crowd(b, n, 32)
		for name, target := range map[string]string{"html": "/x/", "json": "/x/?format=json", "unchanged": "/x/"} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				tag := ""
				if name == "unchanged" {
					tag = ask(page, "GET", target).Header().Get("ETag")
				}
				size := 0
				for b.Loop() {
					size = ask(page, "GET", target, "If-None-Match", tag).Body.Len()
				}
				b.ReportMetric(float64(size), "bytes/answer")
			})
		}
	}
}

func BenchmarkTaskPage(b *testing.B) {
	page := crowd(b, 10000, 32)
	for b.Loop() {
		ask(page, "GET", "/x/?task=import-of-folder-9999")
	}
}

func BenchmarkOnEvent(b *testing.B) {
	page := livesub.New()
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		page.OnEvent(ctx, taskvisor.Event{Seq: uint64(i + 2), Time: time.Now(), Supervisor: "shop", Task: "t", TaskID: taskvisor.TaskID(i%1000 + 1),
			Kind: taskvisor.TaskStopped, Attempt: i, Result: taskvisor.ResultSuccess, Duration: time.Millisecond})
	}
}

// TestFirstViewIsSmall: at 10 000 tasks, those of the page included, whatever their
// past.
func TestFirstViewIsSmall(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	started(t, page, func(sup *taskvisor.Supervisor) {
		var specs []taskvisor.TaskSpec
		for i := range 10000 {
			i := i
			runs := 0
			specs = append(specs, taskvisor.Periodic(fmt.Sprintf("import-of-folder-%d", i), time.Hour, func(context.Context) error {
				if runs++; i < 200 && runs%2 == 0 { // a past of two colours is the longest
					return errBoom
				}
				return nil
			}, taskvisor.ConstantBackoff(time.Hour)))
		}
		handles := add(t, sup, specs...)
		for range 34 {
			for _, h := range handles[:200] {
				h.RunNow(nil)
			}
			time.Sleep(time.Millisecond) // no two attempts start within one
			synctest.Wait()
		}
		body := get(t, page, "/x/")
		if rows := strings.Count(body, "<tr id="); rows != 200 || strings.Count(body, "32 attempts, 16 failed") != 200 {
			t.Errorf("%d rows", rows)
		}
		if len(body) > 200_000 {
			t.Errorf("%d bytes", len(body))
		}
		t.Logf("%d bytes", len(body))
		d := look(t, page, "&n=5000")
		if n := len(d.Supervisors[0].Tasks); n != 200 {
			t.Errorf("%d tasks in one answer", n)
		}
		next := d.Supervisors[0].Next
		if d.Supervisors[0].Matching != 10000 || next != fmt.Sprint(d.Supervisors[0].Tasks[199].ID) {
			t.Errorf("%d match, next is %s", d.Supervisors[0].Matching, next)
		}
		d = look(t, page, fmt.Sprintf("&after=%s", next))
		if first := d.Supervisors[0].Tasks[0].Name; first != "import-of-folder-200" || len(d.Supervisors[0].Tasks) != 200 {
			t.Errorf("the next page begins with %s", first)
		}
	})
}

// TestHistoryIsSmall measures what a task with a full past costs, and holds the bound
// that the package comment states.
func TestHistoryIsSmall(t *testing.T) {
	const tasks = 2000
	page := livesub.New(livesub.WithMaxHistory(tasks))
	ctx := context.Background()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	seq := uint64(1)
	for id := range 10 * tasks { // ten times as many as may be kept
		name := fmt.Sprint("task-", id)
		for n := range 40 {
			for _, kind := range []taskvisor.EventKind{taskvisor.TaskStarting, taskvisor.TaskFailed, taskvisor.BackoffScheduled} {
				seq++
				e := taskvisor.Event{Seq: seq, Time: time.Now(), Supervisor: "shop", Task: name, TaskID: taskvisor.TaskID(id + 1), Kind: kind, Attempt: n}
				if kind == taskvisor.TaskFailed {
					e.Result, e.Err = taskvisor.ResultFailure, errBoom
				}
				page.OnEvent(ctx, e)
			}
		}
	}
	per := float64(heap()-before) / tasks
	t.Logf("%.0f bytes per task with a full past", per)
	if per > 4200 {
		t.Errorf("%.0f bytes per task", per)
	}
	runtime.KeepAlive(page)
}

// TestEventsCostNoAllocation once a task's past is full.
func TestEventsCostNoAllocation(t *testing.T) {
	page := livesub.New()
	seq := uint64(1)
	event := func() {
		seq++
		page.OnEvent(t.Context(), taskvisor.Event{Seq: seq, Time: time.Now(), Supervisor: "shop", Task: "t", TaskID: 1, Kind: taskvisor.TaskStopped,
			Result: taskvisor.ResultSuccess})
	}
	for range 2000 {
		event()
	}
	if n := testing.AllocsPerRun(1000, event); n > 0 {
		t.Errorf("%v allocations for an event", n)
	}
}
