package livesub_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// troubled is a page of two supervisors of 400 tasks each, with ids from 1 on, of which
// each that bad says so of has failed too often.
func troubled(t *testing.T, bad func(id taskvisor.TaskID) bool, f func(page *livesub.Page)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		page := livesub.New()
		for i, name := range []string{"shop", "other"} {
			_ = page.Attach(func() taskvisor.Snapshot {
				s := taskvisor.Snapshot{Supervisor: name, Time: time.Now(), State: taskvisor.SupervisorRunning}
				for n := range 400 {
					id := taskvisor.TaskID(400*i + n + 1)
					st := taskvisor.TaskStatus{ID: id, Name: fmt.Sprint("t", id), State: taskvisor.StateBackoff}
					if bad(id) {
						st.Streak = 3
					}
					s.Tasks = append(s.Tasks, st)
				}
				return s
			})
		}
		f(page)
	})
}

// walk follows next_after through one supervisor, from one on, and counts how often each task is shown.
func walk(t *testing.T, page *livesub.Page, query, from string, between func(answer int)) (times map[uint64]int) {
	t.Helper()
	times = map[uint64]int{}
	after := from
	for answer := 1; answer < 1000; answer++ {
		s := look(t, page, query+after).Supervisors[0]
		for _, task := range s.Tasks {
			times[task.ID]++
		}
		if s.Next == "" {
			return times
		}
		after = "&after=" + url.QueryEscape(s.Next)
		between(answer)
	}
	t.Fatal("there is no end")
	return nil
}

// TestEveryTaskIsReached by following next_after, once, however much is in trouble, and
// wherever it stands.
func TestEveryTaskIsReached(t *testing.T) {
	for name, bad := range map[string]func(taskvisor.TaskID) bool{
		"the first": func(id taskvisor.TaskID) bool { return id <= 300 },
		"the last":  func(id taskvisor.TaskID) bool { return id > 100 },
		"mixed":     func(id taskvisor.TaskID) bool { return id%4 != 1 },
		"few":       func(id taskvisor.TaskID) bool { return id%20 == 0 },
		"none":      func(taskvisor.TaskID) bool { return false },
		"all":       func(taskvisor.TaskID) bool { return true },
	} {
		troubled(t, bad, func(page *livesub.Page) {
			for _, query := range []string{"&n=50", "&n=1&q=3", "", "&n=50&state=needs", "&n=7&q=1"} {
				query := "&supervisor=shop" + query
				first := look(t, page, query).Supervisors[0]
				good := slices.IndexFunc(first.Tasks, func(task task) bool { return task.Problem == "" })
				if good >= 0 && slices.ContainsFunc(first.Tasks[good:], func(task task) bool { return task.Problem != "" }) {
					t.Errorf("%s%s: those that need somebody are not first", name, query)
				}
				times := walk(t, page, query, "", func(int) {})
				if len(times) != first.Matching || slices.Max(append(slices.Collect(maps.Values(times)), 1)) > 1 {
					t.Errorf("%s%s: %d of %d tasks, or one twice", name, query, len(times), first.Matching)
				}
			}
		})
	}
}

// TestEveryTaskIsReachedAlthoughItChanges: getting into trouble, or out of it, between two
// answers hides no task, and shows none twice.
func TestEveryTaskIsReachedAlthoughItChanges(t *testing.T) {
	answers := 0
	bad := func(id taskvisor.TaskID) bool { return (int(id)+answers)%3 == 0 }
	troubled(t, bad, func(page *livesub.Page) {
		times := walk(t, page, "&supervisor=shop&n=50", "", func(answer int) { answers = answer })
		if len(times) != 400 || slices.Max(slices.Collect(maps.Values(times))) > 1 {
			t.Errorf("%d tasks, or one twice", len(times))
		}
	})
}

// TestWhatHasNoRoomIsReached: an answer about two supervisors may be full before the
// second, whose tasks are the next ones all the same.
func TestWhatHasNoRoomIsReached(t *testing.T) {
	troubled(t, func(taskvisor.TaskID) bool { return false }, func(page *livesub.Page) {
		second := look(t, page, "&n=50").Supervisors[1]
		if len(second.Tasks) != 0 || second.Next == "" {
			t.Fatalf("%+v", second)
		}
		times := walk(t, page, "&supervisor=other&n=50", "&after="+second.Next, func(int) {})
		if len(times) != 400 {
			t.Errorf("%d tasks", len(times))
		}
		if body := get(t, page, "/x/?n=50"); strings.Count(body, "the next ones</a>") != 2 {
			t.Error("the page has no links to them")
		}
	})
}

// TestFilterCountsAll that need somebody, and not those that are listed above.
func TestFilterCountsAll(t *testing.T) {
	troubled(t, func(id taskvisor.TaskID) bool { return id <= 300 }, func(page *livesub.Page) {
		if body := get(t, page, "/x/?supervisor=shop"); !strings.Contains(body, "needs somebody</span> <b>300</b>") {
			t.Error("the filter does not say 300")
		}
	})
}
