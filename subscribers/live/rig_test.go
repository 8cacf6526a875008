package livesub_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The tests ask the page what it shows of real supervisors, most of them in bubbles,
// where a minute costs nothing and a duration is exact.

var errBoom = errors.New("boom")

// ask sends one request to the page; header holds names and values.
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get returns the body of an answer with status 200.
func get(t *testing.T, h http.Handler, target string, header ...string) string {
	t.Helper()
	w := ask(h, "GET", target, header...)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

// post sends a form: pairs of name and value.
func post(h http.Handler, target string, form ...string) *httptest.ResponseRecorder {
	var pairs []string
	for i := 0; i+1 < len(form); i += 2 {
		pairs = append(pairs, form[i]+"="+form[i+1])
	}
	r := httptest.NewRequest("POST", target, strings.NewReader(strings.Join(pairs, "&")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// document is what the tests read of the JSON form.
type document struct {
	Version     int                   `json:"version"`
	Total       int                   `json:"needs_somebody_total"`
	Needs       []needed              `json:"needs_somebody"`
	Supervisors []super               `json:"supervisors"`
	Task        *detail               `json:"task"`
	Stacks      string                `json:"stacks"`
	Incidents   []struct{ ID string } `json:"incidents"`
	Sections    []struct {
		Name string
		Rows [][]string
	} `json:"sections"`
}

type needed struct{ Problem, Supervisor, Task, Slot, Subscriber, Text, Error string }

type super struct {
	Name, State string
	Counts      map[string]int `json:"tasks_by_state"`
	Total       int            `json:"tasks_total"`
	Matching    int            `json:"tasks_matching"`
	Next        string         `json:"next_after"`
	Tasks       []task
	Busy        []string `json:"still_busy"`
	Ended       []struct{ Name, Outcome, Error string }
	Slots       []struct{ Key, Owner_name string }
}

type task struct {
	ID        uint64
	Name      string
	State     string
	Problem   string
	WaitsFor  string `json:"waits_for"`
	LastError string `json:"last_error"`
	Note      string
	Streak    int
}

type detail struct {
	ID     uint64
	Name   string
	Ended  *struct{ Outcome, Error string }
	Policy []string
	Delays []struct {
		Least, Most float64 `json:"-"`
	} `json:"next_delays"`
	After    []string
	NeededBy []string `json:"needed_by"`
	Attempts []struct {
		Number                int
		Result, Error, Reason string
		TraceID               string `json:"trace_id"`
		Link                  string `json:"trace_link"`
	}
	Events []struct{ Kind, Error string }
	Stack  string
}

// look returns the JSON form of a view; query begins with an ampersand or is empty.
func look(t *testing.T, h http.Handler, query string) document {
	t.Helper()
	w := ask(h, "GET", "/x/?format=json"+query)
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatalf("%s: %d: %v in %s", query, w.Code, err, w.Body)
	}
	return d
}

// named returns the task of that name in the first supervisor.
func (d document) named(t *testing.T, name string) task {
	t.Helper()
	for _, s := range d.Supervisors {
		for _, st := range s.Tasks {
			if st.Name == name {
				return st
			}
		}
	}
	t.Fatalf("no task %q in %+v", name, d.Supervisors)
	return task{}
}

// started runs f with a supervisor that has started, in a bubble, and ends it.
func started(t *testing.T, page *livesub.Page, f func(sup *taskvisor.Supervisor), opts ...taskvisor.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sup := newSupervisor(t, page, opts...)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		f(sup)
		_ = sup.Shutdown(context.Background()) // a body that was made to hang is late
		time.Sleep(3 * time.Hour)              // until it is back
	})
}

func newSupervisor(t testing.TB, page *livesub.Page, opts ...taskvisor.Option) *taskvisor.Supervisor {
	t.Helper()
	sup, err := taskvisor.New(append([]taskvisor.Option{taskvisor.WithName("shop"), taskvisor.WithSubscriber(page)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return sup
}

// add registers tasks and lets the bubble come to rest.
func add(t *testing.T, sup *taskvisor.Supervisor, specs ...taskvisor.TaskSpec) []*taskvisor.Handle {
	t.Helper()
	handles, err := sup.AddAll(context.Background(), specs...)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return handles
}

// later lets time pass in a bubble.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func succeed(context.Context) error { return nil }
func fail(context.Context) error    { return errBoom }

// block returns when it is told to.
func block(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// deaf returns after d, whatever it is told.
func deaf(d time.Duration) taskvisor.Func {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}
