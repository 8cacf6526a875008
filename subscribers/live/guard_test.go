package livesub_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestHeaders are on every answer, refusals included.
func TestHeaders(t *testing.T) {
	page := livesub.New()
	for _, target := range []string{"/x/", "/x/?format=json", "/x/?format=text", "/x/events", "/x/style.css", "/x/nothing", "/x/action", "/x/?n=x"} {
		h := ask(page, "GET", target).Header()
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: %q lacks %s", target, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", target, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", target, name, h.Get(name))
			}
		}
		if h.Get("Content-Type") == "" {
			t.Errorf("%s: no content type", target)
		}
	}
}

// TestNothingInline: the policy forbids it, so the page must not need it, and it asks
// nobody else for anything.
func TestNothingInline(t *testing.T) {
	night(t, func(page *livesub.Page) {
		for _, q := range []string{"", "?task=billing", "?task=migrate", "?state=needs"} {
			body := get(t, page, "/x/"+q)
			for _, bad := range []string{"style=", "onclick", "<style", "<script>", "javascript:", "src=\"http"} {
				if strings.Contains(body, bad) {
					t.Errorf("%s has %s", q, bad)
				}
			}
		}
		if got := get(t, page, "/x/live.js"); strings.Contains(got, "eval") || strings.Contains(got, "innerHTML") {
			t.Error("the script makes text into code or markup")
		}
	})
}

// TestQuestions that cannot be answered are refused, and not half answered.
func TestQuestions(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("mail <b>", block, taskvisor.WithKind("Mail")), taskvisor.Periodic("Report", time.Hour, succeed))
		for q, want := range map[string]int{
			"": 200, "n=1": 200, "n=100000": 200, "n=0": 400, "n=-1": 400, "n=x": 400, "after=1": 200, "after=x": 400, "after=-1": 400,
			"state=running": 200, "state=needs": 200, "state=nonsense": 400, "state=Running": 400, "format=json": 200, "format=xml": 400,
			"q=%zz": 400, "q=%00%ff": 200, "task=nobody": 404, "task=nobody&format=json": 404, "supervisor=nobody": 200, "a=b;c": 400,
		} {
			if w := ask(page, "GET", "/x/?"+q); w.Code != want {
				t.Errorf("%s: %d, want %d", q, w.Code, want)
			}
		}
		for q, want := range map[string]string{"q=MAIL": "mail <b>", "q=report": "Report", "state=running": "mail <b>", "state=waiting": "Report", "n=1": "mail <b>"} {
			d := look(t, page, "&"+q)
			if tasks := d.Supervisors[0].Tasks; len(tasks) != 1 || tasks[0].Name != want {
				t.Errorf("%s: %+v, want %s", q, tasks, want)
			}
		}
		if got := get(t, page, "/x/?q=mail"); strings.Contains(got, "<b>\"") || !strings.Contains(got, "mail &lt;b&gt;") {
			t.Error("a name is not escaped")
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			if w := ask(page, method, "/x/"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: %d", method, w.Code)
			}
		}
		head, full := ask(page, "HEAD", "/x/"), ask(page, "GET", "/x/")
		if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("ETag") != full.Header().Get("ETag") {
			t.Errorf("HEAD: %d with %d bytes", head.Code, head.Body.Len())
		}
	})
}

// TestRebinding: on a loopback listener the Host must be loopback too, or allowed.
func TestRebinding(t *testing.T) {
	page := livesub.New(livesub.WithAllowedHosts("ops.example"))
	srv := httptest.NewServer(page)
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1" + port: 200, "localhost": 200, "LOCALHOST" + port: 200, "localhost.": 200, "app.localhost": 200,
		"[::1]": 200, "[::1]:80": 200, "127.9.9.9": 200, "ops.example": 200, "ops.example" + port: 200,
		"evil.example": 403, "evil.example" + port: 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403,
		"0.0.0.0": 403, "10.0.0.1": 403, "[::ffff:10.0.0.1]": 403, "sub.ops.example": 403, "evillocalhost": 403,
	} {
		r, err := http.NewRequest("GET", srv.URL+"/x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
	// On another address names are the business of whoever routes to it.
	r := httptest.NewRequest("GET", "http://ops.internal/x/", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}))
	w := httptest.NewRecorder()
	if page.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("on a public address: %d", w.Code)
	}
}

// TestSlowReadersHoldUpNobody: answers are made before they are sent.
func TestSlowReadersHoldUpNobody(t *testing.T) {
	page := livesub.New()
	sup := newSupervisor(t, page)
	var specs []taskvisor.TaskSpec
	for i := range 400 {
		specs = append(specs, taskvisor.Restartable(strings.Repeat("n", 100)+fmt.Sprint(i), block))
	}
	if _, err := sup.AddAll(context.Background(), specs...); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(page)
	defer srv.Close()
	for range 30 { // far more than may be answered at once; none of them reads
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /x/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	client := &http.Client{Timeout: 30 * time.Second}
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get(srv.URL + "/x/?format=text")
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		_ = resp.Body.Close()
		if err == nil && line == "nothing needs somebody\n" {
			break
		}
		// While the answers to the others are being made it may be refused; that nobody
		// reads them is no reason to be.
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(begun) > time.Minute {
			t.Fatalf("%d %q, %v", resp.StatusCode, line, err)
		}
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestSections: the program's own part cannot hold up, break or take down the page.
func TestSections(t *testing.T) {
	gate := make(chan struct{})
	calls, slow := make(chan struct{}, 1000), sync.Mutex{}
	page := livesub.New(
		livesub.WithSection("good", func() livesub.Section {
			return livesub.Section{Columns: []string{"a"}, Rows: [][]string{{"<i>1</i>", "more than columns"}}}
		}),
		livesub.WithSection("panics", func() livesub.Section { panic("section") }),
		livesub.WithSection("hangs", func() livesub.Section {
			calls <- struct{}{}
			slow.Lock()
			defer slow.Unlock()
			<-gate
			return livesub.Section{Columns: []string{"late"}}
		}),
		livesub.WithSection("long", func() livesub.Section { return livesub.Section{Rows: make([][]string, 5000)} }),
		livesub.WithIncidents(func() []livesub.Incident {
			list := make([]livesub.Incident, 500)
			for i := range list {
				list[i] = livesub.Incident{ID: fmt.Sprint("i&", i), Task: "t", Kind: "task_failed", Bytes: 1 << 20}
			}
			return list
		}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "evidence of ", r.FormValue("id")) })),
	)
	for range 3 {
		body := get(t, page, "/x/")
		if !strings.Contains(body, "&lt;i&gt;1&lt;/i&gt;") || !strings.Contains(body, "<h3>panics</h3>") || !strings.Contains(body, `href="./incident?id=i%260"`) {
			t.Errorf("%s", body)
		}
	}
	if len(calls) != 1 {
		t.Errorf("%d calls of a function that hangs", len(calls))
	}
	d := look(t, page, "")
	if len(d.Incidents) != 200 || len(d.Sections[3].Rows) != 200 {
		t.Errorf("%d incidents, %d rows", len(d.Incidents), len(d.Sections[3].Rows))
	}
	if got := get(t, page, "/x/incident?id=i%265"); got != "evidence of i&5" {
		t.Errorf("%s", got)
	}
	close(gate)
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(get(t, page, "/x/"), `<th scope="col">late</th>`) {
		if time.Now().After(deadline) {
			t.Fatal("what came late never shows")
		}
	}
}

// TestStacks: fresh ones of one task, on demand.
func TestStacks(t *testing.T) {
	page := livesub.New()
	sup := newSupervisor(t, page)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", "other"} {
		if _, err := sup.Add(context.Background(), taskvisor.Restartable(name, block)); err != nil {
			t.Fatal(err)
		}
	}
	for sup.Count(taskvisor.StateRunning) < 2 {
		time.Sleep(time.Millisecond)
	}
	d := look(t, page, "&task=mine&stacks=1")
	if !strings.Contains(d.Stacks, "livesub_test.block") && !strings.Contains(d.Stacks, "live_test.block") || strings.Count(d.Stacks, ".block") != 1 {
		t.Errorf("%s", d.Stacks)
	}
	if got := get(t, page, "/x/?task=mine&stacks=1"); !strings.Contains(got, `data-live="off"`) {
		t.Error("a view with stacks asks for them again and again")
	}
	if got := get(t, page, "/x/?task=mine&format=text&stacks=1"); !strings.Contains(got, "STACKS NOW") {
		t.Error("no stacks in the text form")
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
