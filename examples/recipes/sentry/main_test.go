package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var envelope = regexp.MustCompile(`^\{"event_id":"[0-9a-f]{32}"\}$`)

// fake is as much of Sentry as sees what a client sends.
func fake(t *testing.T, status int) (dsn string, got func() []map[string]any) {
	var events []map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/42/envelope/" || !strings.Contains(r.Header.Get("X-Sentry-Auth"), "sentry_key=key") {
			t.Errorf("%s with %s", r.URL.Path, r.Header.Get("X-Sentry-Auth"))
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		lines := strings.Split(string(b), "\n")
		if len(lines) != 4 || !envelope.MatchString(lines[0]) || lines[1] != `{"type":"event"}` || lines[3] != "" {
			t.Errorf("no envelope:\n%s", b)
			return
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(lines[2]), &e); err != nil {
			t.Error(err)
		}
		events = append(events, e) // the subscriber sends one at a time
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "http://", "http://key@", 1) + "/42", func() []map[string]any { return events }
}

func run(t *testing.T, dsn string, specs ...taskvisor.TaskSpec) *taskvisor.Supervisor {
	t.Helper()
	sentry, err := newReporter(dsn)
	if err != nil {
		t.Fatal(err)
	}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(sentry))
	if err != nil {
		t.Fatal(err)
	}
	_ = sup.Run(t.Context(), specs...) // which is about the tasks
	return sup
}

func TestReportsWhatSomebodyHasToSee(t *testing.T) {
	dsn, got := fake(t, http.StatusOK)
	run(t, dsn,
		taskvisor.Once("bug", taskvisortest.Script(taskvisortest.Panic("oh no"))),
		taskvisor.Restartable("flaky", taskvisortest.Script(taskvisortest.Fail(errors.New("busy")), taskvisortest.Succeed()), taskvisor.ConstantBackoff(0)),
		taskvisor.Restartable("bad", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errors.New("no such user"))))),
		taskvisor.Restartable("lost", taskvisortest.Script(taskvisortest.Fail(errors.New("gone"))), taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(0)),
	)
	reports := map[string]int{}
	for _, e := range got() {
		tags := e["tags"].(map[string]any)
		reports[tags["task"].(string)]++
		if stack := e["extra"].(map[string]any)["stack"].(string); tags["task"] == "bug" && !strings.Contains(stack, "Script") {
			t.Error("a panic without its stack")
		}
	}
	// One each; a retry that helps is nobody's business.
	if reports["bug"] != 1 || reports["flaky"] != 0 || reports["bad"] != 1 || reports["lost"] != 1 {
		t.Errorf("reports: %v", reports)
	}
}

func TestRefusalIsCounted(t *testing.T) {
	dsn, _ := fake(t, http.StatusTooManyRequests)
	sup := run(t, dsn, taskvisor.Once("bad", func(context.Context) error { return taskvisor.Fatal(errors.New("x")) }))
	for _, s := range sup.Snapshot().Subscribers {
		if s.Failures != 1 || s.Panics != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestSubscriberKeepsTheRules(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(t *testing.T) taskvisor.Subscribe {
		r, err := newReporter("http://key@sentry.invalid/42")
		if err != nil {
			t.Fatal(err)
		}
		r.client.Transport = transport(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network here") })
		return r
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDSNIsNotRepeated(t *testing.T) {
	for _, dsn := range []string{"", "https://o1.ingest.sentry.io/42", "https://secret@ho st/1"} {
		if _, err := newReporter(dsn); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}
