package livesub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestTaskPage: what is known of one task, in all forms.
func TestTaskPage(t *testing.T) {
	page := livesub.New(
		livesub.WithTraceLabels(func(context.Context) map[string]string { return map[string]string{"trace_id": "abc"} }),
		livesub.WithTraceLink(func(id string) string { return "https://traces.example/" + id }))
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("base", block),
			taskvisor.Restartable("t", fail, taskvisor.BackoffPolicy{First: time.Second, Max: 8 * time.Second, Factor: 2}, taskvisor.WithMaxRetries(50), taskvisor.After("base")))
		later(time.Hour / 40)
		d := look(t, page, "&task=t").Task
		if len(d.Attempts) != 14 || d.Attempts[0].Number != 14 || d.Attempts[0].Error != "boom" || d.Attempts[0].Result != "failure" {
			t.Errorf("%d attempts: %+v", len(d.Attempts), d.Attempts[0])
		}
		if d.Attempts[0].TraceID != "abc" || d.Attempts[0].Link != "https://traces.example/abc" || len(d.Events) != 16 || fmt.Sprint(d.After) != "[base]" {
			t.Errorf("%+v", d)
		}
		if d := look(t, page, "&task=base").Task; fmt.Sprint(d.NeededBy) != "[t]" {
			t.Errorf("base is needed by %v", d.NeededBy)
		}
		body := get(t, page, "/x/?task=t")
		for _, part := range []string{"boom", "failed 14 times in a row", "×2 with each further one, at most 8s", "gives up when 51 attempts in a row have failed",
			"8s, 8s, 8s, 8s, 8s", `href="https://traces.example/abc"`, "14 failure", "rig_test.go:"} {
			if !strings.Contains(body, part) {
				t.Errorf("no %q", part)
			}
		}
		later(10 * time.Hour)
		d = look(t, page, "&task=t").Task
		if d.Ended == nil || d.Ended.Outcome != "failed" || d.Ended.Error != "boom" || len(d.Attempts) != 32 || d.Attempts[0].Number != 51 || d.Attempts[31].Number != 20 {
			t.Errorf("after the end: %+v, %d attempts", d.Ended, len(d.Attempts))
		}
	})
}

// TestNextDelays are those that will be waited.
func TestNextDelays(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		h := add(t, sup, taskvisor.Restartable("t", fail, taskvisor.BackoffPolicy{First: time.Second, Max: time.Minute, Factor: 3}, taskvisor.WithMaxRetries(3)))[0]
		for _, want := range []string{"1s 3s,9s", "3s 9s", "9s "} {
			later(10 * time.Millisecond)
			st := h.Status()
			var parts []string
			body := get(t, page, "/x/?task=t")
			if _, list, found := strings.Cut(body, "next delays after a failure: "); found {
				list, _, _ = strings.Cut(list, "<")
				parts = strings.Split(list, ", ")
			}
			if got := st.Delay.String() + " " + strings.Join(parts, ","); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			later(st.Delay)
		}
	})
}

// TestErrorsAreFormatted wherever they are shown, and only when events come.
func TestErrorsAreFormatted(t *testing.T) {
	secret := errors.New("password=hunter2")
	page := livesub.New(livesub.WithErrorFormatter(func(err error) string {
		if strings.Contains(err.Error(), "oops") {
			panic("formatter")
		}
		return strings.ReplaceAll(err.Error(), "hunter2", "***")
	}))
	leaky := func(context.Context) error { return secret }
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("failing", leaky, taskvisor.ConstantBackoff(time.Second)), taskvisor.Once("ended", leaky),
			taskvisor.Once("panicked", func(context.Context) error { panic(secret) }),
			taskvisor.Once("strange", func(context.Context) error { return errors.New("oops") }))
		later(5 * time.Second)
		for _, target := range []string{"/x/", "/x/?format=json", "/x/?format=text", "/x/?task=failing", "/x/?task=ended&format=json", "/x/?task=ended",
			"/x/?task=failing&format=text", "/x/events"} {
			body := get(t, page, target)
			if strings.Contains(body, "hunter2") || !strings.Contains(body, "password=***") {
				t.Errorf("%s: %s", target, body)
			}
		}
		if body := get(t, page, "/x/?task=strange"); strings.Contains(body, "oops") || !strings.Contains(body, "could not be had") {
			t.Errorf("a formatter that panics: %s", body)
		}
	})
}

// evil is an error whose text is the program's trouble, never the page's.
type evil struct{ text func() string }

func (e *evil) Error() string { return e.text() }

// TestNoUserCodeOnARequest: an error is asked once, when its event comes.
func TestNoUserCodeOnARequest(t *testing.T) {
	asking := false
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		err := &evil{func() string {
			if asking {
				t.Error("asked during a request")
			}
			return "evil"
		}}
		huge := &evil{func() string { return strings.Repeat("x", 1<<20) + "\xff" }}
		add(t, sup, taskvisor.Restartable("t", func(context.Context) error { return err }, taskvisor.ConstantBackoff(time.Minute)),
			taskvisor.Once("huge", func(context.Context) error { return huge }),
			taskvisor.Once("panics", func(context.Context) error { return &evil{func() string { panic("Error panics") }} }))
		asking = true
		for _, target := range []string{"/x/", "/x/?task=t", "/x/?format=json", "/x/?format=json&task=t", "/x/?format=text", "/x/events"} {
			if body := get(t, page, target); !strings.Contains(body, "evil") || len(body) > 64<<10 {
				t.Errorf("%s: %d bytes", target, len(body))
			}
		}
		asking = false
		if n := len(look(t, page, "&task=huge").Task.Attempts[0].Error); n > 2100 {
			t.Errorf("%d bytes of an error", n)
		}
	})
}

// TestTraceLinksAreWebAddresses, or none.
func TestTraceLinksAreWebAddresses(t *testing.T) {
	link := ""
	page := livesub.New(
		livesub.WithTraceLabels(func(context.Context) map[string]string {
			return map[string]string{"trace_id": strings.Repeat("f", 500)}
		}),
		livesub.WithTraceLink(func(string) string {
			if link == "panic" {
				panic("link")
			}
			return link
		}))
	started(t, page, func(sup *taskvisor.Supervisor) {
		for _, link = range []string{"javascript:alert(1)", "data:text/html,x", "/relative", "https://t.example/" + strings.Repeat("a", 2000), "panic", ""} {
			add(t, sup, taskvisor.Once("t", succeed))
			if a := look(t, page, "&task=t").Task.Attempts[0]; a.Link != "" || len(a.TraceID) > 70 {
				t.Errorf("%.30q: %+v", link, a)
			}
			later(time.Minute)
		}
	})
}

// TestMaxHistory: the page forgets what has ended first, and what fails last.
func TestMaxHistory(t *testing.T) {
	page := livesub.New(livesub.WithMaxHistory(3))
	started(t, page, func(sup *taskvisor.Supervisor) {
		known := func(name string) bool { return len(look(t, page, "&task="+name).Task.Attempts) > 0 }
		add(t, sup, taskvisor.Restartable("bad", fail, taskvisor.ConstantBackoff(time.Hour)))
		later(time.Second)
		for i := range 20 {
			add(t, sup, taskvisor.Periodic(fmt.Sprint("good", i), time.Hour, succeed))
			later(time.Second)
		}
		if !known("bad") || !known("good19") || !known("good18") || known("good17") || known("good0") {
			t.Error("not the latest, or not what fails, is kept")
		}
		add(t, sup, taskvisor.Once("once", succeed))
		add(t, sup, taskvisor.Periodic("another", time.Hour, succeed))
		if !known("bad") || !known("good19") || !known("another") || known("once") {
			t.Error("what has ended is not forgotten first")
		}
	})
	none := livesub.New(livesub.WithMaxHistory(0))
	started(t, none, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("t", fail, taskvisor.ConstantBackoff(time.Hour)))
		if d := look(t, none, "&task=t"); len(d.Task.Attempts) != 0 {
			t.Error("something is kept")
		}
		if got := get(t, none, "/x/events"); !strings.Contains(got, `"error":"boom"`) {
			t.Error("events are no history of tasks")
		}
	})
}

// TestEvents: lines of JSON from a number on.
func TestEvents(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Periodic("t", time.Second, succeed))
		later(10500 * time.Millisecond)
		read := func(query string) (seqs []uint64) {
			t.Helper()
			w := ask(page, "GET", "/x/events"+query)
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-ndjson" {
				t.Fatalf("%s: %d %s", query, w.Code, w.Header())
			}
			for line := range strings.Lines(w.Body.String()) {
				var e struct {
					Seq  uint64
					Kind string
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil || e.Kind == "" {
					t.Fatalf("%s: %v", line, err)
				}
				seqs = append(seqs, e.Seq)
			}
			return seqs
		}
		last := sup.Snapshot().Seq
		all := read("")
		if uint64(len(all)) != last || all[0] != 1 || all[len(all)-1] != last {
			t.Errorf("%v, want 1 to %d", all, last)
		}
		if got := read(fmt.Sprintf("?after=%d", last-2)); fmt.Sprint(got) != fmt.Sprint([]uint64{last - 1, last}) {
			t.Errorf("%v", got)
		}
		if got := read(fmt.Sprintf("?after=%d", last)); got != nil {
			t.Errorf("%v", got)
		}
		later(5 * time.Hour)
		if got := read(""); len(got) != 1000 || got[0]+999 != got[999] {
			t.Errorf("%d lines, from %d to %d", len(got), got[0], got[len(got)-1])
		}
		if w := ask(page, "GET", "/x/events?after=-1"); w.Code != http.StatusBadRequest {
			t.Errorf("after=-1: %d", w.Code)
		}
		if w := ask(page, "GET", "/x/events?supervisor=nobody"); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("of nobody: %d %s", w.Code, w.Body)
		}
		first := ask(page, "GET", "/x/events?after=5").Header().Get("ETag")
		if w := ask(page, "GET", "/x/events?after=5", "If-None-Match", first); w.Code != http.StatusNotModified {
			t.Errorf("nothing new: %d", w.Code)
		}
	})
}

// TestEventsOfOneOfSeveral: numbers are each supervisor's own.
func TestEventsOfOneOfSeveral(t *testing.T) {
	page := livesub.New()
	started(t, page, func(east *taskvisor.Supervisor) {
		west := newSupervisor(t, page, taskvisor.WithName("west"))
		if err := west.Run(context.Background(), taskvisor.Once("t", succeed)); err != nil {
			t.Fatal(err)
		}
		if w := ask(page, "GET", "/x/events"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "name one") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if got := get(t, page, "/x/events?supervisor=west"); !strings.Contains(got, `"kind":"all_stopped_within_grace"`) {
			t.Errorf("%s", got)
		}
		again := newSupervisor(t, page, taskvisor.WithName("west"))
		if err := again.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := get(t, page, "/x/events?supervisor=west"); strings.Count(got, "\n") != 1 {
			t.Errorf("a second life has its own events: %s", got)
		}
	})
}

// TestEventsOfAnotherLife: whoever asks from a number of the life before gets those of the
// new one, and does so before it has as many.
func TestEventsOfAnotherLife(t *testing.T) {
	page := livesub.New()
	started(t, page, func(*taskvisor.Supervisor) {
		for life, tasks := range []int{20, 1} {
			sup := newSupervisor(t, page, taskvisor.WithName("again"))
			var specs []taskvisor.TaskSpec
			for i := range tasks {
				specs = append(specs, taskvisor.Once(fmt.Sprint("t", i), succeed))
			}
			if err := sup.Run(context.Background(), specs...); err != nil {
				t.Fatal(err)
			}
			last := sup.Snapshot().Seq
			all := get(t, page, "/x/events?supervisor=again")
			if got := uint64(strings.Count(all, "\n")); got != last {
				t.Fatalf("life %d: %d events of %d", life, got, last)
			}
			for after, want := range map[uint64]string{last: "", last + 1: all, last + 50: all} {
				if got := get(t, page, fmt.Sprintf("/x/events?supervisor=again&after=%d", after)); got != want {
					t.Errorf("life %d, after %d of %d:\n%s", life, after, last, got)
				}
			}
		}
	})
}

// TestEventsThatAreNotHeardYet: a number that the supervisor has, but the page has not
// heard of, is of this life.
func TestEventsThatAreNotHeardYet(t *testing.T) {
	page := livesub.New(livesub.WithErrorFormatter(func(error) string { time.Sleep(time.Minute); return "" }))
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("t", fail))
		for _, query := range []string{"", "supervisor=shop&"} {
			if got := get(t, page, fmt.Sprintf("/x/events?%safter=%d", query, sup.Snapshot().Seq)); got != "" {
				t.Errorf("%s", got)
			}
		}
	})
}
