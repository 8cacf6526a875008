package taskvisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// decoded is v as JSON shows it.
func decoded(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%T: %v", v, err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%T: %v in %s", v, err, text)
	}
	return m
}

// untilDone is a body that ends when it is told to.
func untilDone(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// touchy is an error that no reader of a snapshot may call.
type touchy struct{ calls *int }

func (e touchy) Error() string { *e.calls++; return "touched\xff" }

// A snapshot, an event and an outcome are JSON with the labels and keys that logs
// use, durations in seconds; a snapshot's calls no code of the user's.
func TestJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		sup, rec := taskvisortest.Start(t, taskvisor.WithMaxConcurrent(3))
		ctx := context.Background()
		addTo(t, sup, taskvisor.Restartable("fails", func(context.Context) error { return touchy{&calls} },
			taskvisor.WithKind("worker"), taskvisor.ConstantBackoff(time.Hour)))
		addTo(t, sup, taskvisor.Once("runs", func(ctx context.Context) error {
			taskvisor.Beat(ctx, "half way")
			<-ctx.Done()
			return nil
		}, taskvisor.WithTimeout(time.Hour)))
		once := addTo(t, sup, taskvisor.Once("ended", func(context.Context) error { return nil }))
		exited := addTo(t, sup, taskvisor.Once("exited", func(context.Context) error { return exits(3) }))
		if _, err := sup.Submit(ctx, taskvisor.Submission{Slot: "s", Task: taskvisor.Once("slotted", untilDone)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		before := calls
		sn := decoded(t, sup.Snapshot())
		if calls != before {
			t.Errorf("%d calls of the user's Error", calls-before)
		}
		tasks := map[string]map[string]any{}
		for _, st := range sn["tasks"].([]any) {
			st := st.(map[string]any)
			tasks[st["name"].(string)] = st
		}
		for what, pair := range map[string][2]any{
			"state":            {sn["state"], "running"},
			"in use":           {sn["in_use"], 2.0},
			"added":            {sn["added"], 5.0},
			"slots":            {sn["slots"].([]any)[0].(map[string]any)["state"], "running"},
			"state of fails":   {tasks["fails"]["state"], "backoff"},
			"kind":             {tasks["fails"]["kind"], "worker"},
			"delay":            {tasks["fails"]["delay_seconds"], 3600.0},
			"streak":           {tasks["fails"]["streak"], 1.0},
			"last result":      {tasks["fails"]["last_result"], "failure"},
			"results":          {tasks["fails"]["results"].(map[string]any)["failure"], 1.0},
			"last error":       {tasks["fails"]["last_error"], "touched\ufffd"},
			"policy":           {tasks["fails"]["policy"].(map[string]any)["restart"], "on_failure"},
			"note":             {tasks["runs"]["note"], "half way"},
			"timeout":          {tasks["runs"]["policy"].(map[string]any)["timeout_seconds"], 3600.0},
			"recent":           {len(sn["recent"].([]any)), 2},
			"nothing for zero": {tasks["runs"]["stuck"], nil},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %v, not %v", what, pair[0], pair[1])
			}
		}
		if place, _ := tasks["fails"]["added_from"].(string); !strings.Contains(place, "_test.go:") {
			t.Errorf("added from %q", place)
		}
		for what, want := range map[string]map[string]any{
			"completed": {"outcome": "completed", "attempts": 1.0, "error": nil, "exit_code": nil},
			"failed":    {"outcome": "failed", "attempts": 1.0, "error": "exit status 3", "exit_code": 3.0},
		} {
			o, _ := map[string]*taskvisor.Handle{"completed": once, "failed": exited}[what].Outcome()
			got := decoded(t, o)
			for k, v := range want {
				if got[k] != v {
					t.Errorf("outcome %s: %s is %v, not %v", what, k, got[k], v)
				}
			}
		}
		for _, e := range rec.Events() {
			got := decoded(t, e)
			if got["kind"] != e.Kind.String() || got["seq"] != float64(e.Seq) || e.Task != "" && got["task"] != e.Task {
				t.Errorf("%v is %v", e, got)
			}
			if e.Kind == taskvisor.BackoffScheduled && got["delay_seconds"] != e.Delay.Seconds() {
				t.Errorf("%v is %v", e, got)
			}
		}
	})
}

// Nothing is an object with empty lists, not null.
func TestJSONOfNothing(t *testing.T) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
	if err != nil {
		t.Fatal(err)
	}
	sn := decoded(t, sup.Snapshot())
	for _, k := range []string{"tasks", "slots", "recent"} {
		if list, ok := sn[k].([]any); !ok || len(list) != 0 {
			t.Errorf("%s: %v", k, sn[k])
		}
	}
	if sn["state"] != "new" {
		t.Errorf("state %v", sn["state"])
	}
}

// The tasks that ended lately are at most 64, the latest first.
func TestRecentlyEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		errEnd := errors.New("at its end")
		var handles []*taskvisor.Handle
		for i := range 100 {
			handles = append(handles, addTo(t, sup, taskvisor.Once("n"+string(rune('a'+i%26))+string(rune('a'+i/26)),
				func(context.Context) error { return errEnd })))
			synctest.Wait()
		}
		recent := sup.Snapshot().Recent
		if len(recent) != 64 {
			t.Fatalf("%d of them", len(recent))
		}
		ids := make([]taskvisor.TaskID, 0, len(recent))
		for _, e := range recent {
			ids = append(ids, e.ID)
			if e.Outcome != taskvisor.OutcomeFailed || e.Error != errEnd.Error() || e.Attempts != 1 || e.Ended.IsZero() {
				t.Fatalf("%+v", e)
			}
		}
		slices.Reverse(ids)
		if ids[63] != handles[99].ID() || ids[0] != handles[36].ID() || !slices.IsSorted(ids) {
			t.Errorf("not the last, the latest first: %v", ids)
		}
	})
}
