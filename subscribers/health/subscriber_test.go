package healthsub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe {
		return healthsub.New(healthsub.WithLevelFunc(func(name, _ string) healthsub.Level { return healthsub.Level(len(name) % 4) }))
	})
}

// TestEventsCostNoAllocation of attempts that come and go.
func TestEventsCostNoAllocation(t *testing.T) {
	var events []taskvisor.Event
	running(t, healthsub.New(), func(r *rig) {
		r.add(taskvisor.Restartable("t", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom), taskvisortest.Succeed())))
		later(time.Hour)
	}, taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) { events = append(events, e) })))
	health := healthsub.New()
	for _, e := range events {
		switch e.Kind {
		case taskvisor.TaskAdded, taskvisor.TaskStarting, taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskRecovered, taskvisor.BackoffScheduled:
			if n := testing.AllocsPerRun(1000, func() { health.OnEvent(t.Context(), e) }); n > 0 {
				t.Errorf("%s: %v allocations", e.Kind, n)
			}
		}
	}
	if len(events) < 10 {
		t.Errorf("%d events", len(events))
	}
}

// TestNothingIsKeptOfJobs: whatever ends, well or badly, with a name of its own.
func TestNothingIsKeptOfJobs(t *testing.T) {
	health := healthsub.New(healthsub.WithLevelFunc(func(name, _ string) healthsub.Level {
		if strings.HasPrefix(name, "c") {
			return healthsub.Critical
		}
		return 0
	}))
	running(t, health, func(r *rig) {
		for i := range 1000 {
			r.add(taskvisor.Once(fmt.Sprint("c", i), fail))
			r.add(taskvisor.Once(fmt.Sprint("d", i), fail))
			r.add(taskvisor.Restartable(fmt.Sprint("e", i), func(ctx context.Context) error { taskvisor.Ready(ctx); return nil }, taskvisor.WithReadiness()))
		}
		st := health.Status()
		n := map[healthsub.Level]int{}
		for _, why := range st.Reasons {
			n[why.Level]++
		}
		if st.Ready || n[healthsub.Critical] != 64 || n[healthsub.Degrading] != 36 || st.LeftOut != 28 {
			r.t.Errorf("%d critical, %d degrading, %d left out: want the last 64 of each, 100 in all", n[healthsub.Critical], n[healthsub.Degrading], st.LeftOut)
		}
		for _, why := range st.Reasons {
			if i := 0; strings.HasPrefix(why.Task, "c") {
				if _, err := fmt.Sscanf(why.Task, "c%d", &i); err != nil || i < 1000-64 {
					r.t.Errorf("%s is still remembered", why.Task)
				}
			}
		}
		if code, body := r.get("/readyz"); code != 503 || strings.Count(body, "\n") != 12 || !strings.HasSuffix(body, "and others\n") {
			r.t.Errorf("%d %s", code, body)
		}
		later(2 * time.Hour) // what only degrades is a matter of an hour
		if st := health.Status(); len(st.Reasons) != 64 || st.LeftOut != 0 {
			r.t.Errorf("%d reasons, %d left out", len(st.Reasons), st.LeftOut)
		}
	})
}

// TestDecidersComeFirst, then what is oldest.
func TestDecidersComeFirst(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders", "billing"), healthsub.WithStuckLimit(time.Second))
	running(t, health, func(r *rig) {
		r.add(taskvisor.Restartable("mail", fail, taskvisor.WithMaxRetries(0)))
		r.add(taskvisor.Periodic("billing", time.Hour, succeed)).Pause(nil)
		later(time.Minute)
		r.add(taskvisor.Restartable("feed", fail, taskvisor.WithMaxRetries(0)))
		r.add(taskvisor.Periodic("orders", time.Hour, deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
		later(time.Minute)
		st := health.Status()
		var got []string
		for _, why := range st.Reasons {
			got = append(got, why.Task)
		}
		if want := []string{"orders", "billing", "mail", "feed"}; !slices.Equal(got, want) || st.Ready || st.Live {
			r.t.Errorf("%v, ready %t, live %t; want %v", got, st.Ready, st.Live, want)
		}
	})
}

// TestSuccessorIsHeardOfFirst: inline events of different tasks have no order, and a
// successor may be known before the end of its predecessor is.
func TestSuccessorIsHeardOfFirst(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	running(t, health, func(r *rig) {
		h := r.add(taskvisor.Restartable("orders", block))
		before := taskvisor.Event{Kind: taskvisor.TaskAdded, Supervisor: "shop", Task: "orders", TaskID: h.ID() - 1, Time: time.Now()}
		health.OnEvent(t.Context(), before)
		before.Kind, before.Outcome = taskvisor.TaskRemoved, taskvisor.OutcomeFailed
		health.OnEvent(t.Context(), before)
		r.want(200, 200)
		h.Stop()
		synctest.Wait()
		r.want(200, 200)
		after := before
		after.TaskID, after.Kind = h.ID()+1, taskvisor.TaskAdded
		health.OnEvent(t.Context(), after)
		after.Kind = taskvisor.TaskRemoved
		health.OnEvent(t.Context(), after)
		before.Kind = taskvisor.TaskAdded
		health.OnEvent(t.Context(), before) // is no successor
		r.want(503, 200, "orders: gave up")

		h = r.add(taskvisor.Restartable("import", block)) // of one that decides nothing
		if health.Status(); len(health.Status().Reasons) != 1 {
			r.t.Errorf("%+v", health.Status())
		}
		before = taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeFailed, Supervisor: "shop", Task: "import", TaskID: h.ID() - 1, Time: time.Now()}
		if health.OnEvent(t.Context(), before); len(health.Status().Reasons) != 1 {
			r.t.Errorf("%+v", health.Status())
		}
	})
}

// TestOldTroubles of an attempt that is over do not make those of the present older.
func TestOldTroubles(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	running(t, health, func(r *rig) {
		h := r.add(taskvisor.Periodic("orders", time.Second, deaf(time.Hour), taskvisor.WithTimeout(time.Second), taskvisor.WithMaxRetries(9),
			taskvisor.ConstantBackoff(time.Second), taskvisor.WithStuckAfter(30*time.Minute), taskvisor.WithGrace(10*time.Second)))
		later(time.Hour + 10*time.Second) // the second attempt runs, the first was stuck
		h.Stop()
		later(11 * time.Second)
		r.want(200, 200, `"problem":"abandoned"`)
	})
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemory: nothing grows with the number of tasks that there have been.
func TestMemory(t *testing.T) {
	health := healthsub.New(healthsub.WithLevelFunc(func(string, string) healthsub.Level { return healthsub.Critical }))
	before := heap()
	const tasks = 100_000
	for id := range taskvisor.TaskID(tasks) {
		for _, kind := range []taskvisor.EventKind{taskvisor.TaskAdded, taskvisor.TaskReady, taskvisor.TaskStuck, taskvisor.TaskRemoved} {
			health.OnEvent(t.Context(), taskvisor.Event{Kind: kind, Supervisor: "shop", Task: "t", TaskID: id + 1, Outcome: taskvisor.OutcomeCompleted})
		}
	}
	if grown := heap() - before; grown > 8*tasks {
		t.Errorf("%d bytes are kept of %d tasks", grown, tasks)
	}
	runtime.KeepAlive(health)
}

// TestMemoryOfSupervisors: nor with the number of supervisors that there have been under a
// name, also where nobody asks.
func TestMemoryOfSupervisors(t *testing.T) {
	health := healthsub.New()
	before := heap()
	const lives = 300
	for range lives {
		sup, err := taskvisor.New(taskvisor.WithName("again"), taskvisor.WithSubscriber(health))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Run(t.Context(), taskvisor.Once("job", func(context.Context) error { return nil })); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 2000*lives {
		t.Errorf("%d bytes are kept of %d supervisors", grown, lives)
	}
	runtime.KeepAlive(health)
}

// TestAnswers are of the right type and length, and only to those who look.
func TestAnswers(t *testing.T) {
	health := healthsub.New()
	for _, c := range []struct {
		method, target string
		code           int
		typ, body      string
	}{
		{"GET", "/", 503, "text/plain; charset=utf-8", "not ready\nno supervisor\n"},
		{"HEAD", "/", 503, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", "GET or HEAD\n"},
		{"GET", "/?verbose=1", 503, "application/json", ""},
		{"GET", "/?verbose&x=%zz", 503, "application/json", ""},
	} {
		w := httptest.NewRecorder()
		health.Ready().ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
		if w.Code != c.code || w.Header().Get("Content-Type") != c.typ || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s %s: %d %v %s", c.method, c.target, w.Code, w.Header(), w.Body)
		}
		if c.method == "HEAD" && (w.Body.Len() > 0 || w.Header().Get("Content-Length") != "24") {
			t.Errorf("HEAD: %v %s", w.Header(), w.Body)
		}
		if c.code != http.StatusMethodNotAllowed && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be kept", c.method, c.target)
		}
	}
	w := httptest.NewRecorder()
	health.Live().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 || w.Body.String() != "live\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestJSON is held by a golden file.
func TestJSON(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders", "report"), healthsub.WithStuckLimit(time.Second))
	running(t, health, func(r *rig) {
		r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
		r.add(taskvisor.Restartable("report", block, taskvisor.WithGate(&gate{name: "window"})))
		r.add(taskvisor.Restartable("mail", fail, taskvisor.WithMaxRetries(0)))
		later(time.Minute)
		_, got := r.get("/readyz?verbose")
		var pretty strings.Builder
		enc := json.NewEncoder(&pretty)
		enc.SetIndent("", "  ")
		if err := enc.Encode(json.RawMessage(got)); err != nil {
			r.t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/status.json")
		if err != nil && !*update {
			r.t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile("testdata/status.json", []byte(pretty.String()), 0o644); err != nil {
				r.t.Fatal(err)
			}
		} else if pretty.String() != string(want) {
			r.t.Errorf("got\n%swant\n%s", pretty.String(), want)
		}
	})
}

// TestSecondLook: a program that asks ever so often costs little, and sees a shutdown
// at once all the same.
func TestSecondLook(t *testing.T) {
	health := healthsub.New()
	sup := crowd(t, health, 10_000)
	defer func() { _ = sup.Shutdown(context.Background()) }()
	if h, _ := sup.Lookup("import-of-folder-0"); !h.Pause(nil) {
		t.Fatal("it cannot be paused")
	}
	first := health.Status() // takes some milliseconds: good for a while
	if len(first.Reasons) != 1 {
		t.Fatalf("%+v", first)
	}
	first.Reasons[0].Task = "mine now" // it belongs to the caller
	if st := health.Status(); !st.Time.Equal(first.Time) || !st.Ready || st.Reasons[0].Task != "import-of-folder-0" {
		t.Errorf("read at %s: %+v", first.Time, st)
	}
	other, err := taskvisor.New(taskvisor.WithName("other"), taskvisor.WithSubscriber(health))
	if err != nil {
		t.Fatal(err)
	}
	if st := health.Status(); st.Ready {
		t.Errorf("with another that has not started: %+v", st)
	}
	for _, s := range []*taskvisor.Supervisor{other, sup} {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if st := health.Status(); st.Ready || st.Reasons[0].Problem != healthsub.Ended {
		t.Errorf("after the shutdown: %+v", st)
	}
}
