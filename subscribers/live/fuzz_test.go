package livesub_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// busy is a supervisor whose tasks have names and errors that a page must escape.
func busy(t testing.TB, opts ...livesub.Option) (*livesub.Page, *taskvisor.Supervisor) {
	t.Helper()
	page := livesub.New(opts...)
	sup := newSupervisor(t, page, taskvisor.WithName(`<sup>"&'`))
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "javascript:alert(1)", "../../etc", "a?b=c&d#e", "日本語", "%3Cb%3E"} {
		nasty := func(ctx context.Context) error {
			taskvisor.Beat(ctx, "<note>"+name)
			return fmt.Errorf("</pre><script>%s", name)
		}
		if _, err := sup.Add(context.Background(), taskvisor.Restartable(name, nasty, taskvisor.ConstantBackoff(time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	return page, sup
}

// FuzzRequest: whatever is asked, the answer is one that the page means to give, and
// what is shown is escaped.
func FuzzRequest(f *testing.F) {
	page, _ := busy(f, livesub.WithActions(func(r *http.Request) (string, bool) { return r.Header.Get("X-Actor"), false }))
	for _, seed := range [][4]string{
		{"GET", "/x/", "format=json", ""}, {"GET", "/x/", "task=%3Cscript%3E&stacks=1", "localhost"}, {"POST", "/x/action", "do=stop", "a"},
		{"GET", "/x/events", "after=1", "[::1]"}, {"GET", "/../..//action", "q=%00", "\x00"}, {"HEAD", "", "state=needs&n=1&after=2", "x:y:z"},
		{"GET", "/x/incident", "id=..%2F..%2Fetc%2Fpasswd", ""}, {"PUT", "/style.css", "%zz", "*"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, path, query, host string) {
		w := send(page, method, path, query, host, "do="+query)
		check(t, w, method, path, query)
	})
}

// send gives the page a request that a server might never have let through.
func send(page *livesub.Page, method, path, query, host, body string) *httptest.ResponseRecorder {
	r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: host, RequestURI: path + "?" + query,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Accept": {host}, "If-None-Match": {query}, "Origin": {host}},
		Body: io.NopCloser(strings.NewReader(body))}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r = r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}))
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

func check(t *testing.T, w *httptest.ResponseRecorder, method, path, query string) {
	t.Helper()
	switch w.Code {
	case 200, 304, 308, 400, 403, 404, 405:
	default:
		t.Errorf("%q %q %q: %d %.100s", method, path, query, w.Code, w.Body)
	}
	if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q %q %q: unguarded", method, path, query)
	}
	body := w.Body.String()
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		for _, bad := range []string{"<script>", "<img", "</pre><script", "<note>", "<sup>\""} {
			if strings.Contains(body, bad) {
				t.Errorf("%q %q %q: %s is not escaped", method, path, query, bad)
			}
		}
	}
	if len(body) > 256<<10 {
		t.Errorf("%q %q %q: %d bytes", method, path, query, len(body))
	}
	if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "./") {
		t.Errorf("%q %q %q: sends to %q", method, path, query, to)
	}
}

// TestTenThousandHostileRequests, from eight at a time, leave the supervisor as it was.
func TestTenThousandHostileRequests(t *testing.T) {
	page, sup := busy(t, livesub.WithActions(allowed))
	deadline := time.Now().Add(10 * time.Second)
	for sup.Count(taskvisor.StateBackoff) < 7 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	before := sup.Snapshot()
	methods := []string{"GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "", "GET\x00"}
	paths := []string{"/x/", "/", "", "/x/action", "/x/events", "/x/style.css", "/x/incident", "//", "/../", "/x/%2e%2e/", "/x/action/", "/\x00/"}
	hosts := []string{"localhost", "127.0.0.1:80", "evil.example", "", "[", "::1", "[::1]:x", strings.Repeat("a", 4096)}
	names := []string{"task", "supervisor", "state", "q", "n", "after", "format", "stacks", "refresh", "done", "changed", "id", "do", "run", "confirm", "back", "\x00", ""}
	values := []string{"", "1", "-1", "99999999999999999999", "json", "text", "needs", "running", "<script>", "%00", "../..", "stop", "yes", "a\r\nX: y",
		strings.Repeat("é", 2000), "javascript:alert(1)", "<script>alert(1)</script>", `<sup>"&'`}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(42, uint64(worker)))
			pick := func(list []string) string { return list[rng.IntN(len(list))] }
			for range 1250 {
				v := url.Values{}
				for range rng.IntN(5) {
					v.Add(pick(names), pick(values))
				}
				query := v.Encode()
				if rng.IntN(8) == 0 {
					query += pick(values)
				}
				method, path := pick(methods), pick(paths)
				check(t, send(page, method, path, query, pick(hosts), "id=0&"+query), method, path, query)
			}
		})
	}
	all.Wait()
	after := sup.Snapshot()
	if after.Seq != before.Seq || len(after.Tasks) != len(before.Tasks) {
		t.Errorf("%d events happened", after.Seq-before.Seq)
	}
	if w := ask(page, "GET", "/x/"); w.Code != http.StatusOK {
		t.Errorf("the page: %d", w.Code)
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
