package flightsub_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// stuck is an event that leaves an incident, of the supervisor of that name.
func stuck(supervisor, task string) taskvisor.Event {
	return taskvisor.Event{Kind: taskvisor.TaskStuck, Supervisor: supervisor, Task: task, Time: time.Now(), Stack: "main.main()\n"}
}

// TestEndedSupervisorsAreNotAskedAgain: a program that makes thousands of them, one
// after the other, keeps none of them alive, whether there are incidents or not.
func TestEndedSupervisorsAreNotAskedAgain(t *testing.T) {
	r := newRecorder(t)
	asked := 0
	for i := range 1000 {
		if err := r.Attach(func() taskvisor.Snapshot {
			asked++
			return taskvisor.Snapshot{Supervisor: fmt.Sprint("shop", i), State: taskvisor.SupervisorStopped}
		}); err != nil {
			t.Fatal(err)
		}
	}
	asked = 0
	r.OnEvent(t.Context(), stuck("shop999", "a"))
	if asked > 150 {
		t.Errorf("%d of 1000 that have ended were asked", asked)
	}
	asked = 0
	r.OnEvent(t.Context(), stuck("shop999", "b"))
	r.OnEvent(t.Context(), stuck("shop999", "c"))
	if asked > 4 {
		t.Errorf("%d were asked for the next two incidents", asked)
	}
}

// TestTheLatestOfAName: a supervisor that was made in the place of another one is the
// one that is asked.
func TestTheLatestOfAName(t *testing.T) {
	of := func(state taskvisor.SupervisorState) func() taskvisor.Snapshot {
		return func() taskvisor.Snapshot { return taskvisor.Snapshot{Supervisor: "shop", State: state} }
	}
	for name, states := range map[string][]taskvisor.SupervisorState{
		"alone":           {taskvisor.SupervisorRunning},
		"after one":       {taskvisor.SupervisorStopped, taskvisor.SupervisorRunning},
		"before one":      {taskvisor.SupervisorRunning, taskvisor.SupervisorStopped},
		"of several":      {taskvisor.SupervisorStopped, taskvisor.SupervisorStopped, taskvisor.SupervisorRunning},
		"in its last act": {taskvisor.SupervisorStopped, taskvisor.SupervisorRunning, taskvisor.SupervisorStopped},
	} {
		r := newRecorder(t)
		for _, state := range states {
			if err := r.Attach(of(state)); err != nil {
				t.Fatal(err)
			}
		}
		r.OnEvent(t.Context(), stuck("shop", "a"))
		if d, _ := only(t, r); d.State != "running" {
			t.Errorf("%s: the supervisor is %s", name, d.State)
		}
	}
}

// refuses is a subscriber that cannot be attached.
type refuses struct{}

func (refuses) OnEvent(context.Context, taskvisor.Event) {}
func (refuses) Attach(func() taskvisor.Snapshot) error   { return errBoom }

// TestNewFails: a supervisor that could not be made takes nobody's place, and is not asked.
func TestNewFails(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		fails := func() {
			if _, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(r), taskvisor.WithSubscriber(refuses{})); err == nil {
				t.Fatal("nobody refused")
			}
		}
		fails()
		next, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(r)) // made ahead
		if err != nil {
			t.Fatal(err)
		}
		fails()
		add(t, sup, taskvisor.Restartable("orders", panics, taskvisor.ConstantBackoff(time.Hour)))
		if d, _ := only(t, r); d.State != "running" || d.Status == nil {
			t.Errorf("a supervisor that is %s, status %+v", d.State, d.Status)
		}
		_ = sup.Shutdown(t.Context())
		if err := next.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		add(t, next, taskvisor.Restartable("billing", panics, taskvisor.ConstantBackoff(time.Hour)))
		if d, _ := read(t, r, r.List()[0].ID); d.Task != "billing" || d.State != "running" || d.Status == nil {
			t.Errorf("%s of a supervisor that is %s, status %+v", d.Task, d.State, d.Status)
		}
		_ = next.Shutdown(t.Context())
	})
	asked := 0
	r = newRecorder(t)
	for i := range 1000 {
		if err := r.Attach(func() taskvisor.Snapshot {
			asked++
			return taskvisor.Snapshot{Supervisor: fmt.Sprint("shop", i), State: taskvisor.SupervisorNew}
		}); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	r.Close()
	asked = 0
	if r.OnEvent(t.Context(), stuck("shop", "c")); asked > 0 {
		t.Errorf("%d that were closed were asked", asked)
	}
}

// TestRateIsPerTask: tasks of one name in two supervisors are two.
func TestRateIsPerTask(t *testing.T) {
	r := newRecorder(t)
	for _, sup := range []string{"shop", "shop", "depot", "depot"} {
		r.OnEvent(t.Context(), stuck(sup, "orders"))
	}
	if list := r.List(); len(list) != 2 || list[0].Supervisor != "depot" || list[1].Supervisor != "shop" {
		t.Errorf("%+v", list)
	}
}

// TestSuppressedAreCountedOnce: what was said is not said again.
func TestSuppressedAreCountedOnce(t *testing.T) {
	r := newRecorder(t)
	for _, task := range []string{"a", "a", "a", "b", "c"} {
		r.OnEvent(t.Context(), stuck("shop", task))
	}
	var got []int
	for _, in := range r.List() {
		d, _ := read(t, r, in.ID)
		got = append(got, d.Suppressed)
	}
	if fmt.Sprint(got) != "[0 2 0]" { // the latest first
		t.Errorf("left out before each: %v", got)
	}
}

// TestFailedIncidentsAreCounted: what could not be written is left out as well, and what
// its document would have said stands in the next one.
func TestFailedIncidentsAreCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "now and then")
	r := newRecorder(t, flightsub.WithDir(dir))
	for _, task := range []string{"a", "a"} {
		r.OnEvent(t.Context(), stuck("shop", task))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.OnEvent(t.Context(), stuck("shop", "b"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 0} {
		r.OnEvent(t.Context(), stuck("shop", fmt.Sprint("c", i)))
		if d, _ := read(t, r, r.List()[0].ID); d.Suppressed != want {
			t.Errorf("%d are said to be left out, want %d: %+v", d.Suppressed, want, r.List())
		}
	}
}

// TestLastEventsAreSmall, in order, and say an error once: with many tasks they are what
// there is most of.
func TestLastEventsAreSmall(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		long := fmt.Errorf("boom %s", strings.Repeat("x", 10_000))
		add(t, sup, taskvisor.Restartable("orders", func(context.Context) error { return long }, taskvisor.WithMaxRetries(9), taskvisor.ConstantBackoff(time.Second)))
		later(time.Minute)
		d, _ := only(t, r)
		attempt := 0
		for _, e := range d.LastEvents {
			if len(e.Error) > 260 {
				t.Errorf("%d bytes of an error", len(e.Error))
			}
			if e.Kind == "backoff_scheduled" && e.Error != "" {
				t.Errorf("the failure's error once more: %.20q", e.Error)
			}
			if e.Attempt < attempt {
				t.Errorf("attempt %d after %d", e.Attempt, attempt)
			}
			attempt = e.Attempt
		}
		if attempt != 10 || len(d.LastEvents) != 16 {
			t.Errorf("%d events, the last of attempt %d", len(d.LastEvents), attempt)
		}
	})
}

// TestLargePartsAreDeflated: stacks repeat themselves.
func TestLargePartsAreDeflated(t *testing.T) {
	r := newRecorder(t)
	e := stuck("shop", "orders")
	e.Stack = strings.Repeat("main.main()\n\t/src/main.go:1\n", 7000)
	r.OnEvent(t.Context(), e)
	if _, stacks := only(t, r); len(stacks) < 190_000 || r.List()[0].Bytes > 20_000 {
		t.Errorf("%d bytes for stacks of %d", r.List()[0].Bytes, len(stacks))
	}
}

// TestTextsAreUTF8: whatever is cut where, JSON can hold it.
func TestTextsAreUTF8(t *testing.T) {
	r := newRecorder(t)
	e := stuck("shop", "orders")
	e.Err = fmt.Errorf("%s\xff%s", strings.Repeat("é", 3000), strings.Repeat("é", 3000))
	e.Stack = "main.main()\xfe\n" + strings.Repeat("漢", 100_000)
	r.OnEvent(t.Context(), e)
	d, stacks := only(t, r)
	if strings.Contains(d.Event.Error, "\xff") || !strings.HasPrefix(d.Event.Error, "éé") || strings.Contains(stacks, "\xfe") || !strings.Contains(stacks, "main.main()\uFFFD\n漢") {
		t.Errorf("%.40q, %.40q", d.Event.Error, stacks)
	}
}

// TestTheReasonIsListed: why a body that hangs was stopped.
func TestTheReasonIsListed(t *testing.T) {
	r := newRecorder(t, flightsub.WithTriggers(flightsub.Stuck))
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		h := add(t, sup, taskvisor.Restartable("orders", deaf(time.Hour)))
		h[0].Stop()
		later(10 * time.Second)
		if d, _ := only(t, r); r.List()[0].Reason != "removed" || d.Reason != "removed" {
			t.Errorf("%+v", r.List()[0])
		}
	}, taskvisor.WithGrace(time.Minute))
}

// TestNothingIsCached: an incident may be gone a moment later, and is nobody else's.
func TestNothingIsCached(t *testing.T) {
	r := newRecorder(t)
	for _, target := range []string{"/", "/?id=x"} {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: %q", target, got)
		}
	}
	if w := ask(r, "DELETE", "/"); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%v", w.Header())
	}
}

// TestOnlyTheTaskItself: its status and its policy, of many.
func TestOnlyTheTaskItself(t *testing.T) {
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		late := func(ctx context.Context) error {
			time.Sleep(time.Second) // until the others run
			return panics(ctx)
		}
		add(t, sup, taskvisor.Restartable("before", block), taskvisor.Restartable("orders", late, taskvisor.ConstantBackoff(time.Hour)), taskvisor.Restartable("behind", block))
		later(2 * time.Second)
		d, _ := only(t, r)
		if d.Status == nil || d.Status.Name != "orders" || !strings.HasPrefix(d.Policy, "orders: ") || d.Supervised["running"] != 2 || d.Supervised["backoff"] != 1 {
			t.Errorf("%+v", d)
		}
		if d.GoVersion != runtime.Version() {
			t.Errorf("go version %q", d.GoVersion)
		}
	})
}

// TestNoStackIsNoPart, whatever a formatter makes of nothing.
func TestNoStackIsNoPart(t *testing.T) {
	r := newRecorder(t, flightsub.WithErrorFormatter(func(error) string { return "(not shown)" }))
	e := stuck("shop", "orders")
	e.Stack = ""
	r.OnEvent(t.Context(), e)
	if got := parts(t, r, r.List()[0].ID); len(got) != 1 || got["incident.json"] == "" {
		t.Errorf("%v", got)
	}
}

// TestFilesMayGo: somebody tidies up by hand, and the next incident finds its room.
func TestFilesMayGo(t *testing.T) {
	dir := t.TempDir()
	r := newRecorder(t, flightsub.WithDir(dir), flightsub.WithMaxCount(2))
	for _, task := range []string{"a", "b"} {
		r.OnEvent(t.Context(), stuck("shop", task))
	}
	if err := os.Remove(filepath.Join(dir, "incident-"+r.List()[1].ID+".zip")); err != nil {
		t.Fatal(err)
	}
	r.OnEvent(t.Context(), stuck("shop", "c"))
	if list := r.List(); len(list) != 2 || list[0].Task != "c" || list[1].Task != "b" {
		t.Errorf("%+v", list)
	}
	if n, _ := onDisk(t, dir); n != 2 {
		t.Errorf("%d files", n)
	}
}

// TestShutdownDoesNotWaitForStacks: bodies that hang without their labels have none, and to
// ask for them takes a second each. What is left of that when the supervisor stops is
// kept without.
func TestShutdownDoesNotWaitForStacks(t *testing.T) {
	const tasks = 8
	r := newRecorder(t)
	running(t, r, func(t *testing.T, sup *taskvisor.Supervisor) {
		release := make(chan struct{})
		var specs []taskvisor.TaskSpec
		for i := range tasks {
			specs = append(specs, taskvisor.Restartable(fmt.Sprint("hangs-", i), func(context.Context) error {
				pprof.SetGoroutineLabels(context.Background())
				<-release
				return nil
			}, taskvisor.WithStuckAfter(time.Minute)))
		}
		for _, h := range add(t, sup, specs...) {
			h.Interrupt(nil)
		}
		time.Sleep(time.Minute + time.Second)
		begun := time.Now()
		if err := sup.Shutdown(context.Background()); err == nil {
			t.Error("nothing hangs")
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("the shutdown took %v, of which a second is the grace", took)
		}
		close(release)
		if n := len(r.List()); n < tasks {
			t.Errorf("%d incidents of %d tasks", n, tasks)
		}
	}, taskvisor.WithGrace(time.Second))
}
