package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// ask sends one request to the app's handler.
func ask(a *app, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	return w
}

// started runs f with an app whose supervisor is started, in a bubble.
func started(t *testing.T, f func(t *testing.T, a *app), targets ...target) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newTestApp(t, io.Discard, "", targets...)
		if err := a.sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // a bubble's clock stands still otherwise
		f(t, a)
		if err := a.sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReadyzFollowsTheSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestApp(t, io.Discard, "")
		want := func(code int, body string) {
			t.Helper()
			if w := ask(a, "GET", "/readyz"); w.Code != code || !strings.Contains(w.Body.String(), body) {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, code, body)
			}
			if w := ask(a, "GET", "/livez"); w.Code != 200 {
				t.Errorf("not live: %d %q", w.Code, w.Body)
			}
		}
		want(503, "uptime: not started")
		if err := a.sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		want(200, "ready\n")
		if err := a.sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		want(503, "uptime: ended")
		if w := ask(a, "GET", "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), `state="stopped"`) {
			t.Errorf("/metrics does not outlive the supervisor: %d", w.Code)
		}
	})
}

func TestCheckNow(t *testing.T) {
	good := probed("good", func(context.Context) error { return nil })
	bad := probed("bad", func(context.Context) error { return errors.New("no answer") })
	started(t, func(t *testing.T, a *app) {
		for path, want := range map[string]struct {
			code           int
			outcome, error string
		}{
			"/check?target=good&wait=1":             {200, "completed", ""},
			"/check?target=bad&wait=1":              {200, "failed", "no answer"},
			"/check?target=nobody":                  {404, "", "no such target"},
			"/check":                                {404, "", "no such target"},
			"/check?target=good&policy=x":           {400, "", "no such policy"},
			"/check?target=good&policy=join&wait=1": {200, "completed", ""},
		} {
			w := ask(a, "POST", path)
			var got checkReply
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if w.Code != want.code || got.Outcome != want.outcome || got.Error != want.error {
				t.Errorf("%s: %d %+v, want %+v", path, w.Code, got, want)
			}
		}
		if w := ask(a, "GET", "/check?target=good"); w.Code != http.StatusNotFound {
			t.Errorf("GET: %d", w.Code)
		}
		if w := ask(a, "POST", "/check?target=good", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
			t.Errorf("from a page of another site: %d", w.Code)
		}
	}, good, bad)
}

// TestChecksCoalesce: of three callers one check runs and the last waits.
func TestChecksCoalesce(t *testing.T) {
	runs := 0
	slow := probed("slow", func(ctx context.Context) error {
		runs++
		select {
		case <-time.After(time.Second):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	started(t, func(t *testing.T, a *app) {
		for i, state := range []string{"", "pending", "pending"} {
			w := ask(a, "POST", "/check?target=slow")
			if w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), state) {
				t.Errorf("caller %d: %d %s", i, w.Code, w.Body)
			}
			synctest.Wait()
		}
		if w := ask(a, "POST", "/check?target=slow&policy=drop_if_running"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "slot busy") {
			t.Errorf("drop_if_running: %d %s", w.Code, w.Body)
		}
		if w := ask(a, "POST", "/check?target=slow&policy=replace&wait=1"); w.Code != 200 || !strings.Contains(w.Body.String(), "completed") {
			t.Errorf("replace: %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		s := a.tally.Summary(a.sup.Snapshot())
		if s.Rejections["superseded"] != 2 || s.Rejections["slot_busy"] != 1 || runs != 2 {
			t.Errorf("rejections %v, %d runs: want two superseded, one slot_busy, two runs", s.Rejections, runs)
		}
		if s.Requests["coalesce/started"] != 1 || s.Requests["coalesce/queued"] != 2 || s.Requests["replace/queued"] != 1 {
			t.Errorf("requests %v", s.Requests)
		}
	}, slow)
}

func TestCheckAfterTheEndIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestApp(t, io.Discard, "", probed("good", func(context.Context) error { return nil }))
		if w := ask(a, "POST", "/check?target=good"); w.Code != http.StatusAccepted { // it waits for the start
			t.Errorf("before the start: %d", w.Code)
		}
		if err := a.sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if w := ask(a, "POST", "/check?target=good"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end: %d", w.Code)
		}
	})
}

func TestResponsesForbidScriptsAndFrames(t *testing.T) {
	a := newTestApp(t, io.Discard, "", probed("good", func(context.Context) error { return nil }))
	for _, path := range []string{"/", "/summary", "/metrics", "/nonsense"} {
		head := ask(a, "GET", path).Header()
		if csp := head.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: types may be guessed", path)
		}
	}
}

func TestServerHasLimits(t *testing.T) {
	srv := limited(http.NotFoundHandler())
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes != maxHeader {
		t.Errorf("limits of %+v", srv)
	}
	if srv.WriteTimeout <= longestWait {
		t.Errorf("the write timeout %s cuts off a wait of %s", srv.WriteTimeout, longestWait)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", maxBody+1)))
	w := httptest.NewRecorder()
	limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a body beyond the limit was read")
		}
	})).Handler.ServeHTTP(w, r)
}

func TestLocalAddr(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80",
		"[::]:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "host:80": "host:80", "nonsense": "nonsense",
	} {
		if got := localAddr(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

// FuzzHTTP: no request makes the handler fail, and what it says back is JSON or
// escaped.
func FuzzHTTP(f *testing.F) {
	f.Add("GET", "/", "", "")
	f.Add("POST", "/check", "target=<script>&wait=0", "")
	f.Add("POST", "/check", "target=good&policy=replace", "target=bad")
	f.Add("POST", "/check", "", "target=bad&policy=\x00")
	f.Add("GET", "/metrics", "name[]=x", "")
	f.Add("DELETE", "/summary/../readyz", "%zz&;", "\xff")
	a := newTestApp(f, io.Discard, "",
		probed("good", func(context.Context) error { return nil }),
		probed("<bad>", func(context.Context) error { return errors.New("<script>alert(1)</script>") }))
	if err := a.sup.Start(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.sup.Shutdown(context.Background()) })
	h := a.handler()
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "http://a.test", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("HTTP %d: %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("a script came through: %s", w.Body)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("not JSON: %s", w.Body)
		}
	})
}

// TestPage: the live page stands at the root, with the targets' addresses, and its
// button checks now.
func TestPage(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror='a'>&{{.State}}`
	started(t, func(t *testing.T, a *app) {
		for _, name := range a.order {
			target := a.targets[name]
			if _, err := a.sup.Add(context.Background(), taskvisor.Periodic(name, time.Hour, target.probe, target.opts...)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w := ask(a, "GET", "/")
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Type"), "text/html") {
			t.Fatalf("%d %s", w.Code, w.Header())
		}
		for _, markup := range []string{"<script>", "<img", "onerror='"} {
			if strings.Contains(body, markup) {
				t.Errorf("%s is on the page", markup)
			}
		}
		for _, part := range []string{"&lt;script&gt;alert(1)", "gave up", "HTTP 410 Gone", a.targets["good"].shown.String()} {
			if !strings.Contains(body, part) {
				t.Errorf("no %s on the page", part)
			}
		}
		h, _ := a.sup.Lookup("good")
		post := func(remote string) int {
			r := httptest.NewRequest(http.MethodPost, "/action", strings.NewReader(fmt.Sprintf("run=%d", h.ID())))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			a.handler().ServeHTTP(w, r)
			time.Sleep(time.Millisecond) // no two attempts start within one
			synctest.Wait()
			return w.Code
		}
		if code := post("127.0.0.1:1234"); code != http.StatusOK || h.Status().Attempt != 2 {
			t.Errorf("check now: %d, attempt %d", code, h.Status().Attempt)
		}
		if code := post("192.0.2.1:1234"); code != http.StatusForbidden || h.Status().Attempt != 2 {
			t.Errorf("check now from elsewhere: %d, attempt %d", code, h.Status().Attempt)
		}
	},
		probed("good", func(context.Context) error { return nil }),
		probed(evil, func(context.Context) error { return errors.New(evil) }),
		probed("gone", func(context.Context) error { return taskvisor.Fatal(statusError(410)) }))
}

// TestIncidents: a probe that panics leaves one, which the page lists and hands out.
func TestIncidents(t *testing.T) {
	broken := probed("broken", func(context.Context) error { panic("no such header") })
	started(t, func(t *testing.T, a *app) {
		ask(a, "POST", "/check?target=broken&wait=1")
		synctest.Wait()
		list := a.listIncidents()
		if len(list) != 1 || list[0].Task != "check broken" || list[0].Kind != "panic" {
			t.Errorf("%+v", list)
			return
		}
		if page := ask(a, "GET", "/").Body.String(); !strings.Contains(page, `href="./incident?id=`+list[0].ID) {
			t.Errorf("the page does not list it:\n%s", page)
		}
		if text := incidents(t, a); !strings.Contains(text, "no such header") || !strings.Contains(text, "TestIncidents") {
			t.Errorf("%s", text)
		}
		if w := ask(a, "GET", "/incident?id="+list[0].ID); w.Code != 200 || w.Header().Get("Content-Type") != "application/zip" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}, broken)
}

// incidents is the text of all incidents, as one who downloads them reads it.
func incidents(t *testing.T, a *app) string {
	t.Helper()
	var b strings.Builder
	for _, in := range a.listIncidents() {
		for _, part := range []string{"incident.json", "stacks.txt"} {
			b.WriteString(ask(a, "GET", "/incident?part="+part+"&id="+in.ID).Body.String())
		}
	}
	return b.String()
}
