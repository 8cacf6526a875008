package livesub_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestTagIsOfOneProcess: what another process, or another supervisor of the name, had to
// show is not what this one has, although it did the same.
func TestTagIsOfOneProcess(t *testing.T) {
	s := taskvisor.Snapshot{Supervisor: "shop", Seq: 7, Time: time.Now(), Created: time.Now(), Tasks: []taskvisor.TaskStatus{{ID: 1, Name: "t"}}}
	served := func() *livesub.Page {
		page := livesub.New()
		_ = page.Attach(func() taskvisor.Snapshot { return s })
		return page
	}
	page := served()
	for _, target := range []string{"/x/", "/x/?task=t", "/x/?format=json", "/x/events"} {
		tag := ask(page, "GET", target).Header().Get("ETag")
		if w := ask(page, "GET", target, "If-None-Match", tag); w.Code != http.StatusNotModified {
			t.Errorf("%s, nothing happened: %d", target, w.Code)
		}
		if w := ask(served(), "GET", target, "If-None-Match", tag); w.Code != http.StatusOK {
			t.Errorf("%s of another process: %d", target, w.Code)
		}
	}
	tag := ask(page, "GET", "/x/").Header().Get("ETag")
	s.Created = s.Created.Add(30 * time.Nanosecond) // as the clock is corrected
	if w := ask(page, "GET", "/x/", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("the clock was corrected: %d", w.Code)
	}
	s.State = taskvisor.SupervisorStopped
	again := s
	_ = page.Attach(func() taskvisor.Snapshot { return again })
	tag = ask(page, "GET", "/x/").Header().Get("ETag")
	_ = page.Attach(func() taskvisor.Snapshot { return again })
	if w := ask(page, "GET", "/x/", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("another supervisor: %d", w.Code)
	}
}

// TestTagChangesWhenEventsComeLate: the page shows attempts and errors that it heard of,
// which may be after an answer in which the task had its new state already.
func TestTagChangesWhenEventsComeLate(t *testing.T) {
	page := livesub.New(livesub.WithErrorFormatter(func(err error) string {
		time.Sleep(time.Minute) // the queue is behind
		return "late " + err.Error()
	}))
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("t", fail, taskvisor.ConstantBackoff(time.Hour)))
		targets := []string{"/x/", "/x/?task=t", "/x/events"}
		tags := map[string]string{}
		for _, target := range targets {
			w := ask(page, "GET", target)
			if tags[target] = w.Header().Get("ETag"); strings.Contains(w.Body.String(), "late boom") {
				t.Fatalf("%s: the error was heard of already", target)
			}
		}
		later(time.Hour / 2)
		for _, target := range targets {
			if w := ask(page, "GET", target, "If-None-Match", tags[target]); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "late boom") {
				t.Errorf("%s: %d without the error", target, w.Code)
			}
		}
	})
}

// TestTagOfOtherSubscribers: how far one is behind is shown, and changes while no event
// happens.
func TestTagOfOtherSubscribers(t *testing.T) {
	slow := taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) { time.Sleep(time.Second) })
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Once("t", succeed))
		tag := ask(page, "GET", "/x/").Header().Get("ETag")
		later(time.Minute)
		if w := ask(page, "GET", "/x/", "If-None-Match", tag); w.Code != http.StatusOK {
			t.Errorf("it has caught up: %d", w.Code)
		}
	}, taskvisor.WithSubscriber(slow))
}

// TestTagOfStacks: they are another answer each time.
func TestTagOfStacks(t *testing.T) {
	page := livesub.New()
	started(t, page, func(sup *taskvisor.Supervisor) {
		add(t, sup, taskvisor.Restartable("t", func(ctx context.Context) error {
			time.Sleep(time.Minute)
			return block(ctx)
		}))
		const target = "/x/?task=t&stacks=1"
		w := ask(page, "GET", target)
		if !strings.Contains(w.Body.String(), "time.Sleep") {
			t.Fatalf("no stacks: %s", w.Body)
		}
		later(2 * time.Minute)
		if w := ask(page, "GET", target, "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusOK {
			t.Errorf("the body is elsewhere: %d", w.Code)
		}
	})
}
