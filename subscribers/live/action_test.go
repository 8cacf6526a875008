package livesub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// allowed lets everybody act, as alice.
func allowed(*http.Request) (string, bool) { return "alice", true }

// TestActions: each does what it says, and its event names who did it.
func TestActions(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	rec := &taskvisortest.Recorder{}
	started(t, page, func(sup *taskvisor.Supervisor) {
		cron := add(t, sup, taskvisor.Periodic("cron", time.Hour, succeed))[0]
		worker := add(t, sup, taskvisor.Restartable("worker", block))[0]
		do := func(h *taskvisor.Handle, action string, more ...string) (changed bool) {
			t.Helper()
			w := post(page, "/x/action", append([]string{"do", action, "id", fmt.Sprint(h.ID()), "supervisor", "shop"}, more...)...)
			var got struct {
				Action, Task string
				Changed      bool
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Action != action || got.Task != h.Name() {
				t.Errorf("%s: %d %s", action, w.Code, w.Body)
			}
			later(time.Second)
			return got.Changed
		}
		for _, c := range []struct {
			action  string
			handle  *taskvisor.Handle
			changed bool
			state   taskvisor.State
			attempt int
		}{
			{"run", cron, true, taskvisor.StateWaiting, 2},
			{"pause", cron, true, taskvisor.StatePaused, 2},
			{"pause", cron, false, taskvisor.StatePaused, 2},
			{"resume", cron, true, taskvisor.StateWaiting, 2},
			{"interrupt", worker, true, taskvisor.StateRunning, 2},
			{"stop", worker, true, taskvisor.StateFinished, 2},
		} {
			if got := do(c.handle, c.action, "confirm", "yes"); got != c.changed {
				t.Errorf("%s: changed %v", c.action, got)
			}
			if st := c.handle.Status(); st.State != c.state || st.Attempt != c.attempt {
				t.Errorf("after %s: %s, attempt %d, want %s, %d", c.action, st.State, st.Attempt, c.state, c.attempt)
			}
		}
		if w := post(page, "/x/action", "do", "stop", "confirm", "yes", "id", fmt.Sprint(worker.ID())); w.Code != http.StatusNotFound {
			t.Errorf("a task that has ended: %d", w.Code)
		}
	}, taskvisor.WithSubscriber(rec))
	seen := map[taskvisor.EventKind]string{}
	for _, e := range rec.Events() {
		var cause *livesub.Cause
		if errors.As(e.Err, &cause) && cause.Actor == "alice" {
			seen[e.Kind] = cause.Action
		}
	}
	for kind, action := range map[taskvisor.EventKind]string{
		taskvisor.TaskTriggered: "run", taskvisor.TaskPaused: "pause", taskvisor.TaskResumed: "resume",
		taskvisor.TaskInterrupted: "interrupt", taskvisor.TaskRemoveRequested: "stop",
	} {
		if seen[kind] != action {
			t.Errorf("%s names %q, want %q", kind, seen[kind], action)
		}
	}
	if got := (&livesub.Cause{Action: "stop", Actor: "alice"}).Error(); got != "stop by alice on the live page" {
		t.Error(got)
	}
}

// TestConfirmation: what ends something asks first, and a browser comes back to where
// it was.
func TestConfirmation(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	started(t, page, func(sup *taskvisor.Supervisor) {
		h := add(t, sup, taskvisor.Restartable("work<er>", block))[0]
		id := fmt.Sprint(h.ID())
		for _, action := range []string{"stop", "interrupt"} {
			w := post(page, "/x/action", "do", action, "id", id, "back", "./%3Ftask%3Dwork")
			if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, action+" work&lt;er&gt;?") || !strings.Contains(body, `href="./?task=work"`) {
				t.Errorf("%s is not asked about: %d %s", action, w.Code, body)
			}
		}
		if h.Status().Attempt != 1 || h.Status().State != taskvisor.StateRunning {
			t.Error("something changed without a yes")
		}
		r := httptest.NewRequest("POST", "/x/action", strings.NewReader("do=stop&confirm=yes&back=./%3Ftask%3Dwork&id="+id))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html,*/*")
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./?task=work&done=stop&changed=true" {
			t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
		}
		if got := get(t, page, "/x/?done=stop&changed=true"); !strings.Contains(got, "Done: stop.") {
			t.Error("the page does not say what was done")
		}
		if got := get(t, page, "/x/?done=%3Cscript%3E&changed=true"); strings.Contains(got, `class="say"`) {
			t.Error("the page repeats what an address says")
		}
	})
}

// TestBackLeadsNowhereElse: a form cannot make the page send a browser away.
func TestBackLeadsNowhereElse(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	started(t, page, func(sup *taskvisor.Supervisor) {
		id := fmt.Sprint(add(t, sup, taskvisor.Periodic("t", time.Hour, succeed))[0].ID())
		for _, back := range []string{"", "//evil.example", "https://evil.example", "./..%2F..%2F", "javascript:alert(1)", "./%3Fa%0d%0aX: y",
			"./%3F" + strings.Repeat("a", 5000), "%5C%5Cevil", "./%3F%C3%A9"} {
			r := httptest.NewRequest("POST", "/x/action", strings.NewReader("run="+id+"&back="+back))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Accept", "text/html")
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			if got := w.Header().Get("Location"); got != "./?done=run&changed=true" && got != "./?done=run&changed=false" {
				t.Errorf("%.40q leads to %q (%d)", back, got, w.Code)
			}
		}
	})
}

// TestNobodyActsUnasked: without the option, or for whom it refuses, nothing changes.
func TestNobodyActsUnasked(t *testing.T) {
	refuse := func(*http.Request) (string, bool) { return "mallory", false }
	panics := func(*http.Request) (string, bool) { panic("no session") }
	for name, page := range map[string]*livesub.Page{
		"no option": livesub.New(), "nil": livesub.New(livesub.WithActions(nil)),
		"refused": livesub.New(livesub.WithActions(refuse)), "panics": livesub.New(livesub.WithActions(panics)),
	} {
		t.Run(name, func(t *testing.T) {
			started(t, page, func(sup *taskvisor.Supervisor) {
				h := add(t, sup, taskvisor.Periodic("t", time.Hour, succeed))[0]
				seq := sup.Snapshot().Seq
				w := post(page, "/x/action", "do", "stop", "confirm", "yes", "id", fmt.Sprint(h.ID()))
				if w.Code != http.StatusForbidden || sup.Snapshot().Seq != seq {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				if got := get(t, page, "/x/") + get(t, page, "/x/?task=t"); strings.Contains(got, "<button name") {
					t.Error("there are buttons")
				}
			})
		})
	}
}

// TestOrdersThatMakeNoSense are refused in a sentence.
func TestOrdersThatMakeNoSense(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	started(t, page, func(sup *taskvisor.Supervisor) {
		id := fmt.Sprint(add(t, sup, taskvisor.Restartable("t", block))[0].ID())
		seq := sup.Snapshot().Seq
		for _, c := range []struct {
			form []string
			want int
		}{
			{nil, 400},
			{[]string{"do", "run"}, 400},
			{[]string{"id", id}, 400},
			{[]string{"do", "destroy", "id", id}, 400},
			{[]string{"do", "run", "id", "-1"}, 400},
			{[]string{"do", "run", "id", "99999999999999999999"}, 400},
			{[]string{"do", "run", "id", "18446744073709551615"}, 404},
			{[]string{"do", "run", "id", id, "supervisor", "other"}, 404},
			{[]string{"do", "%zz", "id", id}, 400},
			{[]string{"do", "run", "id", id, "pad", strings.Repeat("x", 20<<10)}, 400},
		} {
			if w := post(page, "/x/action", c.form...); w.Code != c.want {
				t.Errorf("%.60v: %d, want %d", c.form, w.Code, c.want)
			}
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
			if w := ask(page, method, "/x/action?do=stop&confirm=yes&id="+id); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
				t.Errorf("%s: %d", method, w.Code)
			}
		}
		// An order in the address is none, also in a POST: addresses are followed.
		for _, w := range []*httptest.ResponseRecorder{
			post(page, "/x/action?do=stop&confirm=yes&id="+id),
			post(page, "/x/action?do=stop&confirm=yes", "id", id),
			post(page, "/x/action?id="+id, "do", "stop", "confirm", "yes"),
		} {
			if w.Code != http.StatusBadRequest {
				t.Errorf("an order in the address: %d", w.Code)
			}
		}
		if got := sup.Snapshot().Seq; got != seq {
			t.Errorf("%d events happened", got-seq)
		}
	})
}

// TestOtherSites cannot make a visitor's browser act.
func TestOtherSites(t *testing.T) {
	asked := false
	page := livesub.New(livesub.WithActions(func(*http.Request) (string, bool) { asked = true; return "alice", true }))
	started(t, page, func(sup *taskvisor.Supervisor) {
		id := fmt.Sprint(add(t, sup, taskvisor.Periodic("t", time.Hour, succeed))[0].ID())
		for _, c := range []struct {
			header []string
			want   int
		}{
			{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
			{[]string{"Sec-Fetch-Site", "same-site"}, 403},
			{[]string{"Origin", "https://evil.example"}, 403},
			{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
			{nil, 200}, // no browser
		} {
			asked = false
			r := httptest.NewRequest("POST", "/x/action", strings.NewReader("do=run&id="+id))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for i := 0; i+1 < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			if w.Code != c.want || asked != (c.want == 200) {
				t.Errorf("%v: %d, asked %v", c.header, w.Code, asked)
			}
		}
	})
}

// TestActorsAreCleaned: a name goes into logs.
func TestActorsAreCleaned(t *testing.T) {
	actor := ""
	page := livesub.New(livesub.WithActions(func(*http.Request) (string, bool) { return actor, true }))
	rec := &taskvisortest.Recorder{}
	started(t, page, func(sup *taskvisor.Supervisor) {
		id := fmt.Sprint(add(t, sup, taskvisor.Periodic("t", time.Hour, succeed))[0].ID())
		for _, actor = range []string{"", "a\x1b[31m\nb", strings.Repeat("é", 300), "\xff"} {
			post(page, "/x/action", "do", "run", "id", id)
			later(time.Second)
		}
	}, taskvisor.WithSubscriber(rec))
	var names []string
	for _, e := range rec.Events() {
		var cause *livesub.Cause
		if e.Kind == taskvisor.TaskTriggered && errors.As(e.Err, &cause) {
			names = append(names, cause.Actor)
		}
	}
	if want := []string{"somebody", "a [31m b", strings.Repeat("é", 64) + "…", "\uFFFD"}; fmt.Sprintf("%q", names) != fmt.Sprintf("%q", want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// TestConcurrentActions: a hundred stops at once, one of which stops.
func TestConcurrentActions(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	sup := newSupervisor(t, page)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	h, err := sup.Add(context.Background(), taskvisor.Restartable("t", block))
	if err != nil {
		t.Fatal(err)
	}
	var changed atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			w := post(page, "/x/action", "do", "stop", "confirm", "yes", "id", fmt.Sprint(h.ID()))
			if strings.Contains(w.Body.String(), `"changed":true`) {
				changed.Add(1)
			}
		})
	}
	all.Wait()
	if n := changed.Load(); n != 1 {
		t.Errorf("%d stops claim to have stopped it", n)
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestAnActionThatIsHeldUp by an inline subscriber holds up nobody else.
func TestAnActionThatIsHeldUp(t *testing.T) {
	page := livesub.New(livesub.WithActions(allowed))
	slow := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.TaskTriggered && e.Task == "first" {
			time.Sleep(time.Hour)
		}
	})
	started(t, page, func(sup *taskvisor.Supervisor) {
		tasks := add(t, sup, taskvisor.Periodic("first", time.Minute, succeed), taskvisor.Periodic("second", time.Minute, succeed))
		run := func(h *taskvisor.Handle) int {
			return post(page, "/x/action", "do", "run", "id", fmt.Sprint(h.ID())).Code
		}
		later(time.Second)
		began := time.Now()
		held := make(chan int, 1)
		go func() { held <- run(tasks[0]) }() // ends with the subscriber's sleep; waited for below
		later(time.Second)
		if code := run(tasks[1]); code != http.StatusOK {
			t.Errorf("another action: %d", code)
		}
		for _, target := range []string{"/x/", "/x/?task=first", "/x/?format=json", "/x/events"} {
			get(t, page, target)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("others waited until %s", took)
		}
		if code := <-held; code != http.StatusOK || time.Since(began) != time.Hour {
			t.Errorf("%d after %s", code, time.Since(began))
		}
	}, taskvisor.WithSubscriber(slow, taskvisor.Inline()))
}
