package livesub_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// TestConformance: the page is a subscriber as others are.
func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe { return livesub.New() })
}

// TestWorksFromBeforeTheStartToAfterTheEnd also without any supervisor.
func TestWorksFromBeforeTheStartToAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := livesub.New()
		if got := get(t, page, "/x/"); !strings.Contains(got, "No supervisor is attached yet") {
			t.Errorf("without a supervisor: %s", got)
		}
		sup := newSupervisor(t, page)
		add(t, sup, taskvisor.Restartable("worker", block))
		d := look(t, page, "")
		if d.Supervisors[0].State != "new" || d.named(t, "worker").WaitsFor != "the supervisor's start" {
			t.Errorf("before the start: %+v", d.Supervisors)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := look(t, page, ""); d.Supervisors[0].State != "running" || d.named(t, "worker").State != "running" {
			t.Errorf("while it runs: %+v", d.Supervisors)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		d = look(t, page, "")
		if s := d.Supervisors[0]; s.State != "stopped" || len(s.Ended) != 1 || s.Ended[0].Outcome != "canceled" || d.Total != 0 {
			t.Errorf("after the end: %+v", d)
		}
		if got := get(t, page, "/x/"); !strings.Contains(got, "stopped") || !strings.Contains(got, "Nothing needs somebody") {
			t.Errorf("after the end: %s", got)
		}
	})
}

// TestDraining: who is still busy, and for how long they may be.
func TestDraining(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("slow", deaf(6*time.Second)), taskvisor.Periodic("idle", time.Hour, succeed))
		done := make(chan error)
		go func() { done <- sup.Shutdown(context.Background()) }() // ends with the shutdown; waited for below
		later(2 * time.Second)
		s := look(t, page, "").Supervisors[0]
		if s.State != "draining" || fmt.Sprint(s.Busy) != "[slow]" {
			t.Errorf("%+v", s)
		}
		if got := get(t, page, "/x/"); !strings.Contains(got, `max="10" value="2"`) || !strings.Contains(got, ">8s</time>") {
			t.Errorf("no bar of the grace: %s", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}, taskvisor.WithGrace(10*time.Second))
}

// TestAnyPrefix: links are relative, so only the browser knows where the page is.
func TestAnyPrefix(t *testing.T) {
	page := livesub.New()
	mux := http.NewServeMux()
	mux.Handle("/debug/taskvisor/", page)
	mux.Handle("/stripped/", http.StripPrefix("/stripped", page))
	mux.Handle("/bare", http.StripPrefix("/bare", page))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, want := range map[string]int{
		"/debug/taskvisor/": 200, "/debug/taskvisor": 200, "/stripped/": 200, "/stripped": 200,
		"/debug/taskvisor/style.css": 200, "/stripped/live.js": 200, "/debug/taskvisor/events": 200,
		"/debug/taskvisor/nothing": 404, "/debug/taskvisor/incident?id=1": 404,
	} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	// Where only the bare name is routed, the browser is at least sent to the folder.
	r := httptest.NewRequest("GET", "/bare?state=running", nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != "./bare/?state=running" {
		t.Errorf("%d to %q", w.Code, got)
	}
	for _, link := range strings.Split(get(t, page, "/x/"), "href=\"")[1:] {
		if !strings.HasPrefix(link, "./") && !strings.HasPrefix(link, "#") {
			t.Errorf("not relative: %.60s", link)
		}
	}
}

// TestSeveralSupervisors are told apart, and each can be had alone.
func TestSeveralSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := livesub.New()
		for _, name := range []string{"east", "west"} {
			sup := newSupervisor(t, page, taskvisor.WithName(name))
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sup.Shutdown(context.Background()) }()
			add(t, sup, taskvisor.Restartable("worker", block), taskvisor.Restartable("only-"+name, block))
		}
		if d := look(t, page, ""); len(d.Supervisors) != 2 || d.Supervisors[0].Name != "east" {
			t.Errorf("%+v", d.Supervisors)
		}
		d := look(t, page, "&supervisor=west")
		if len(d.Supervisors) != 1 || d.Supervisors[0].Tasks[1].Name != "only-west" {
			t.Errorf("%+v", d.Supervisors)
		}
		if d := look(t, page, "&supervisor=west&task=worker"); d.Task == nil {
			t.Error("no task of one of two supervisors")
		}
		if w := ask(page, "GET", "/x/?supervisor=west&task=only-east"); w.Code != http.StatusNotFound {
			t.Errorf("a task of another supervisor: %d", w.Code)
		}
		if got := get(t, page, "/x/"); !strings.Contains(got, "?supervisor=west&amp;task=only-west") {
			t.Error("links do not name the supervisor")
		}
	})
}

// TestOneAfterTheOther: a page that outlives thousands of supervisors keeps the last
// of each name, and not all of them.
func TestOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := livesub.New()
		for i := range 2000 {
			sup := newSupervisor(t, page, taskvisor.WithName(fmt.Sprint("s", i%100)))
			if err := sup.Run(context.Background(), taskvisor.Once(fmt.Sprint("t", i), succeed)); err != nil {
				t.Fatal(err)
			}
		}
		d := look(t, page, "")
		if n := len(d.Supervisors); n > 64 || n < 32 {
			t.Errorf("%d supervisors are shown", n)
		}
		if last := d.Supervisors[len(d.Supervisors)-1]; last.Ended[0].Name != "t1999" {
			t.Errorf("the last is %+v", last)
		}
	})
}

// TestTagChangesWithWhatIsShown and stays while nothing happens.
func TestTagChangesWithWhatIsShown(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		beat := make(chan string)
		add(t, sup, taskvisor.Restartable("worker", func(ctx context.Context) error {
			for {
				select {
				case note := <-beat:
					taskvisor.Beat(ctx, note)
				case <-ctx.Done():
					return nil
				}
			}
		}))
		tag := func(query string) string { return ask(page, "GET", "/x/"+query).Header().Get("ETag") }
		first := tag("")
		later(time.Second)
		if w := ask(page, "GET", "/x/", "If-None-Match", first); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("nothing happened: %d with %d bytes", w.Code, w.Body.Len())
		}
		if tag("?format=json") == first || tag("?state=running") == first {
			t.Error("another view has the same tag")
		}
		beat <- "halfway"
		synctest.Wait()
		if got := ask(page, "GET", "/x/", "If-None-Match", first); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "halfway") {
			t.Errorf("a note came, without an event: %d", got.Code)
		}
		second := tag("")
		add(t, sup, taskvisor.Once("other", succeed))
		if got := tag(""); got == second {
			t.Error("an event came, and the tag is the same")
		}
	})
}
