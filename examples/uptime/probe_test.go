package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// outcomeOf checks a URL and returns how that ended, with the events.
func outcomeOf(t *testing.T, arg string, opts ...taskvisor.TaskOption) (taskvisor.Outcome, string) {
	t.Helper()
	target, err := parseTarget(arg)
	if err != nil {
		t.Fatal(err)
	}
	sup, rec := taskvisortest.Start(t)
	h, err := sup.Add(context.Background(), taskvisor.Restartable("check", newProber(noop.NewTracerProvider()).check(target), opts...))
	if err != nil {
		t.Fatal(err)
	}
	o, err := h.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Shutdown(context.Background()); err != nil { // who waits for a task is told before its last event comes
		t.Fatal(err)
	}
	return o, rec.Trace("check")
}

func TestAnswersAndWhatTheyMean(t *testing.T) {
	codes := map[string]int{"/ok": 200, "/moved": 302, "/missing": 404, "/broken": 500, "/gone": 410}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			w.Header().Set("Location", "/broken") // not followed: a redirect is an answer
		}
		w.WriteHeader(codes[r.URL.Path])
	}))
	defer srv.Close()
	for path, want := range map[string]struct {
		kind     taskvisor.OutcomeKind
		text     string
		attempts int
	}{
		"/ok":      {taskvisor.OutcomeCompleted, "", 1},
		"/moved":   {taskvisor.OutcomeCompleted, "", 1},
		"/missing": {taskvisor.OutcomeFailed, "HTTP 404 Not Found", 2},
		"/broken":  {taskvisor.OutcomeFailed, "HTTP 500 Internal Server Error", 2},
		"/gone":    {taskvisor.OutcomeFatal, "HTTP 410 Gone", 1},
	} {
		o, _ := outcomeOf(t, srv.URL+path, taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(0))
		if o.Kind != want.kind || reason(o.Err) != want.text || o.Attempts != want.attempts {
			t.Errorf("%s: %s, %q, %d attempts, want %+v", path, o.Kind, reason(o.Err), o.Attempts, want)
		}
	}
}

func TestRetryAfterIsRespectedWithinReason(t *testing.T) {
	for header, want := range map[string]time.Duration{"2": 2 * time.Second, "0": 0, "7200": time.Hour, "99999999999": time.Hour, "99999999999999999999999": -1, "soon": -1, "-1": -1, "": -1} {
		resp := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {header}}}
		err := judge(resp)
		if code := statusError(0); !errors.As(err, &code) || code != 503 || code.ErrorType() != "503" {
			t.Errorf("%q: %v", header, err)
		}
		_, plain := err.(statusError)
		if want < 0 && !plain {
			t.Errorf("%q sets a delay", header)
		}
		if want >= 0 && (plain || delayOf(t, err) != want) {
			t.Errorf("%q: delay %s, want %s", header, delayOf(t, err), want)
		}
	}
}

// delayOf asks a supervisor for the delay that err requests.
func delayOf(t *testing.T, err error) time.Duration {
	t.Helper()
	got := make(chan time.Duration, 1)
	sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(onBackoff(got), taskvisor.Inline()))
	if _, addErr := sup.Add(context.Background(), taskvisor.Restartable("x",
		func(context.Context) error { return err }, taskvisor.WithoutRestartFloor())); addErr != nil {
		t.Fatal(addErr)
	}
	return <-got
}

type onBackoff chan time.Duration

func (c onBackoff) OnEvent(_ context.Context, e taskvisor.Event) {
	if e.Kind == taskvisor.BackoffScheduled && e.Source == taskvisor.BackoffRequested {
		select {
		case c <- e.Delay:
		default:
		}
	}
}

// TestBadEndpoints: the demo's endpoints cause what their names say.
func TestBadEndpoints(t *testing.T) {
	d, err := startDemo()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	base := d.base.String()
	for path, want := range map[string]string{
		"failing": "HTTP 500", "hanging": "timed out after 100ms", "reset": "reset by peer", "gone": "HTTP 410",
	} {
		attempts, timeout := 1, time.Minute
		switch path {
		case "gone":
			attempts = 4
		case "hanging":
			timeout = 100 * time.Millisecond
		}
		target, err := parseTarget(base + path)
		if err != nil {
			t.Fatal(err)
		}
		check := newProber(noop.NewTracerProvider()).check(target)
		sup, _ := taskvisortest.Start(t)
		h, err := sup.Add(context.Background(), taskvisor.Periodic(path, 0, check,
			taskvisor.WithMaxRetries(0), taskvisor.WithTimeout(timeout)))
		if err != nil {
			t.Fatal(err)
		}
		o, err := h.Wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(reason(o.Err), want) || o.Attempts != attempts {
			t.Errorf("%s: %v after %d attempts, want %q after %d", path, o.Err, o.Attempts, want, attempts)
		}
	}
	for _, target := range d.targets() {
		if target.name == "refused" {
			if _, err := net.Dial("tcp", target.full.Host); err == nil {
				t.Error("somebody listens where the connection should be refused")
			}
		}
	}
}

// TestPanickingProbe: its bug shows every third time.
func TestPanickingProbe(t *testing.T) {
	probe := panicking()
	panics := 0
	for range 6 {
		func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			if err := probe(context.Background()); err != nil {
				t.Error(err)
			}
		}()
	}
	if panics != 2 {
		t.Errorf("%d panics of 6 checks, want 2", panics)
	}
}
