package flightsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(t *testing.T) taskvisor.Subscribe { return newRecorder(t) })
}

// TestRate: of one task one incident a minute, of all together ten at once and as many
// a minute, and the others are counted.
func TestRate(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		for i := range 100 {
			add(t, sup, taskvisor.Once(fmt.Sprint("job", i), fail))
		}
		if n := len(r.List()); n != 10 {
			t.Errorf("%d incidents at once", n)
		}
		later(30 * time.Second) // five more are in hand
		add(t, sup, taskvisor.Restartable("loop", panics, taskvisor.ConstantBackoff(time.Second)))
		later(time.Second)
		list := r.List()
		if d, _ := read(t, r, list[0].ID); len(list) != 11 || d.Suppressed != 90 || d.Task != "loop" {
			t.Errorf("%d incidents, %d were left out", len(list), d.Suppressed)
		}
		later(10 * time.Minute)
		list = r.List()
		if d, _ := read(t, r, list[0].ID); len(list) != 21 || d.Suppressed < 58 || d.Suppressed > 60 {
			t.Errorf("%d incidents after ten minutes more, %d were left out", len(list), d.Suppressed)
		}
		for i := range 100 {
			add(t, sup, taskvisor.Once(fmt.Sprint("again", i), fail))
		}
		if n := len(r.List()); n < 30 || n > 31 {
			t.Errorf("%d incidents after another hundred failures", n)
		}
	})
}

// TestCrashLoop: ten thousand panics, of one task and of ten thousand, leave what the
// limits allow, in memory and in a directory.
func TestCrashLoop(t *testing.T) {
	for _, many := range []bool{false, true} {
		dir := t.TempDir()
		inDir := newRecorder(t, flightsub.WithDir(dir))
		inMemory := newRecorder(t)
		running(t, inDir, func(t *testing.T, sup *taskvisor.Supervisor) {
			if many {
				for i := range 10_000 {
					add(t, sup, taskvisor.Once(fmt.Sprint("job", i), panics))
				}
			} else {
				h := add(t, sup, taskvisor.Restartable("loop", panics, taskvisor.ConstantBackoff(time.Millisecond)))
				later(10_100 * time.Millisecond)
				if n := h[0].Status().Results.Panic; n < 10_000 {
					t.Errorf("%d panics", n)
				}
			}
			want := map[bool]int{false: 1, true: 10}[many]
			if n, _ := onDisk(t, dir); n != want || len(inDir.List()) != want || len(inMemory.List()) != want {
				t.Errorf("%d files, %d and %d incidents, want %d", n, len(inDir.List()), len(inMemory.List()), want)
			}
		}, taskvisor.WithSubscriber(inMemory, taskvisor.WithName("memory")))
	}
}

// TestBounds hold at every instant of a crash loop without a rate limit: of ten
// thousand panics in memory, of some hundreds on disk, where each is waited for.
func TestBounds(t *testing.T) {
	for dir, panics := range map[string]int{"": 10_000, t.TempDir(): 300} {
		const maxBytes = 1 << 20
		r := newRecorder(t, flightsub.WithDir(dir), flightsub.WithRate(0, 1), flightsub.WithMaxCount(20), flightsub.WithMaxBytes(maxBytes))
		e := taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultPanic, Err: errBoom, Supervisor: "shop", Task: "loop", Time: time.Now(), Stack: "main.main()\n"}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range panics {
				e.TaskID = taskvisor.TaskID(i)
				r.OnEvent(context.Background(), e)
			}
		}()
		tick := time.NewTicker(time.Millisecond)
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			case <-tick.C:
			}
			if n := len(r.List()); n > 20 {
				t.Errorf("%d incidents", n)
			}
			if dir == "" {
				continue
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) > 21 { // with the one that is being written
				t.Errorf("%d files", len(entries))
			}
		}
		tick.Stop()
		if n := len(r.List()); n != 20 {
			t.Errorf("%d incidents", n)
		}
		if dir != "" {
			if n, bytes := onDisk(t, dir); n != 20 || bytes > maxBytes {
				t.Errorf("%d files of %d bytes", n, bytes)
			}
		}
	}
}

// TestBytesAreBounded: incidents that are large push others out.
func TestBytesAreBounded(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRecorder(t, flightsub.WithDir(dir), flightsub.WithRate(0, 1), flightsub.WithMaxBytes(1<<20))
		e := taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: "shop", Task: "t", Time: time.Now()}
		var noise strings.Builder
		for i := range 60_000 { // compresses badly
			fmt.Fprintf(&noise, "%x", uint32(i*2654435761))
		}
		for i := range 12 {
			e.Stack = noise.String()[i:]
			r.OnEvent(t.Context(), e)
		}
		var sum int64
		for _, in := range r.List() {
			sum += in.Bytes
		}
		if n := len(r.List()); sum > 1<<20 || n < 3 || n >= 12 {
			t.Errorf("%d incidents of %d bytes", n, sum)
		}
		if dir != "" {
			if n, bytes := onDisk(t, dir); n != len(r.List()) || bytes != sum {
				t.Errorf("%d files of %d bytes, %d incidents of %d", n, bytes, len(r.List()), sum)
			}
		}
	}
}

// TestNextProcess takes over what is in the directory, within its own bounds, and leaves
// alone what is not an incident.
func TestNextProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first := newRecorder(t, flightsub.WithDir(dir), flightsub.WithRate(0, 1))
	for i := range 5 {
		first.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: "shop", Task: fmt.Sprint("t", i), Time: time.Unix(1_800_000_000, int64(i)*1e6)})
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	old := time.Now().Add(-2 * time.Hour)
	for name, text := range map[string]string{"notes.txt": "mine", "incident-x.zip": "no zip", ".incident-1.tmp": "old", ".incident-2.tmp": "new"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == "old" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "incident-"+first.List()[0].ID+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "incident-copy.zip"), text, 0o600); err != nil { // it would be there twice
		t.Fatal(err)
	}
	second := newRecorder(t, flightsub.WithDir(dir), flightsub.WithMaxCount(3))
	list := second.List()
	if len(list) != 3 || list[0].Task != "t4" || list[2].Task != "t2" || list[0] != first.List()[0] {
		t.Errorf("%+v", list)
	}
	if d, _ := read(t, second, list[2].ID); d.Task != "t2" {
		t.Errorf("%+v", d)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.Contains(e.Name(), "stuck") {
			names = append(names, e.Name())
		}
	}
	if want := "[.incident-2.tmp incident-copy.zip incident-x.zip notes.txt]"; fmt.Sprint(names) != want || len(entries) != 7 {
		t.Errorf("%v of %d files, want %s", names, len(entries), want)
	}
	if w := ask(first, "GET", "/?id="+first.List()[4].ID); w.Code != http.StatusNotFound { // the other one has removed it
		t.Errorf("%d", w.Code)
	}
}

// TestBadOptions.
func TestBadOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]flightsub.Option{
		"bytes": flightsub.WithMaxBytes(1<<20 - 1), "count": flightsub.WithMaxCount(0), "hand": flightsub.WithRate(time.Minute, 0),
		"every": flightsub.WithRate(-1, 1), "trigger": flightsub.WithTriggers(flightsub.Panic, 99), "dir": flightsub.WithDir(filepath.Join(file, "below")),
	} {
		if _, err := flightsub.New(o); err == nil || !strings.HasPrefix(err.Error(), "flightsub: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFailuresAreReported: a directory that is gone costs the incident, and shows in the
// snapshot.
func TestFailuresAreReported(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	r := newRecorder(t, flightsub.WithDir(dir))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("orders", fail))
		if n := sup.Snapshot().Subscribers[0].Failures; n != 1 || len(r.List()) > 0 {
			t.Errorf("%d failures, %d incidents", n, len(r.List()))
		}
	})
}

// TestLog says where the incident is.
func TestLog(t *testing.T) {
	var b strings.Builder
	logger := slog.New(slog.NewTextHandler(&b, nil))
	dir := t.TempDir()
	r, err := flightsub.New(flightsub.WithDir(dir), flightsub.WithLogger(logger))
	if err != nil {
		t.Fatal(err)
	}
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("orders", fail))
		id := r.List()[0].ID
		for _, want := range []string{"level=WARN", `msg="incident kept"`, "incident=" + id, "trigger=gave_up", "supervisor=shop", "task=orders", "attempt=1",
			"path=" + filepath.Join(dir, "incident-"+id+".zip")} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %s in %s", want, b.String())
			}
		}
	})
}

// TestHandler is a list, a file, and its parts, and nothing else of the disk.
func TestHandler(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		r := newRecorder(t, flightsub.WithDir(dir))
		r.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: "shop", Task: "<b>", Time: time.Now(), Stack: "main.main()\n"})
		id := r.List()[0].ID
		for _, c := range []struct {
			method, target string
			code           int
			typ, body      string
		}{
			{"GET", "/", 200, "application/json", `"id":"` + id},
			{"GET", "/?id=" + id, 200, "application/zip", "PK"},
			{"HEAD", "/?id=" + id, 200, "application/zip", ""},
			{"GET", "/?id=" + id + "&part=stacks.txt", 200, "text/plain; charset=utf-8", "main.main()"},
			{"GET", "/?id=" + id + "&part=incident.json", 200, "application/json", `"kind": "stuck"`},
			{"HEAD", "/?id=" + id + "&part=incident.json", 200, "application/json", ""},
			{"GET", "/?id=" + id + "&part=trace.out", 404, "text/plain; charset=utf-8", "no such part"},
			{"GET", "/?id=" + id + "&part=../x", 404, "text/plain; charset=utf-8", "no such part"},
			{"GET", "/?id=../../../etc/passwd", 404, "text/plain; charset=utf-8", "no such incident"},
			{"GET", "/?id=", 404, "text/plain; charset=utf-8", "no such incident"},
			{"POST", "/?id=" + id, 405, "text/plain; charset=utf-8", "GET or HEAD"},
		} {
			w := ask(r, c.method, c.target)
			if w.Code != c.code || w.Header().Get("Content-Type") != c.typ || !strings.Contains(w.Body.String(), c.body) || c.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("%s %s: %d %v %s", c.method, c.target, w.Code, w.Header(), w.Body)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s %s: %v", c.method, c.target, w.Header())
			}
		}
		if got := ask(r, "GET", "/?id="+id).Header().Get("Content-Disposition"); got != `attachment; filename="incident-`+id+`.zip"` {
			t.Errorf("%s", got)
		}
	}
}

// TestSeveralSupervisorsConcurrentSafe: events of several supervisors come at the same
// time, while others list and download.
func TestSeveralSupervisorsConcurrentSafe(t *testing.T) {
	r := newRecorder(t, flightsub.WithDir(t.TempDir()), flightsub.WithRate(0, 1), flightsub.WithMaxCount(5))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			sup, err := taskvisor.New(taskvisor.WithName(fmt.Sprint("shop", i)), taskvisor.WithSubscriber(r))
			if err != nil {
				t.Error(err)
				return
			}
			var specs []taskvisor.TaskSpec
			for j := range 25 {
				specs = append(specs, taskvisor.Once(fmt.Sprint("job", j), fail))
			}
			var failed *taskvisor.TaskError
			if err := sup.Run(context.Background(), specs...); !errors.As(err, &failed) {
				t.Error(err)
			}
		})
		all.Go(func() {
			for range 50 {
				for _, in := range r.List() {
					w := httptest.NewRecorder()
					r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/?id="+in.ID, nil))
					if w.Code != 200 && w.Code != 404 {
						t.Errorf("%d", w.Code)
					}
				}
			}
		})
	}
	all.Wait()
	if n := len(r.List()); n != 5 {
		t.Errorf("%d incidents", n)
	}
}

// TestManySupervisors: those that have ended are forgotten.
func TestManySupervisors(t *testing.T) {
	r := newRecorder(t)
	for i := range 300 {
		sup, err := taskvisor.New(taskvisor.WithName(fmt.Sprint("shop", i)), taskvisor.WithSubscriber(r))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("orders", panics, taskvisor.ConstantBackoff(time.Hour)))
		synctest.Wait()
		if d, _ := only(t, r); d.Status == nil || d.Supervised["backoff"] != 1 {
			t.Errorf("%+v", d)
		}
	})
}
