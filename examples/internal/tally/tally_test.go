package tally_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/taskvisor/taskvisor-go/examples/internal/tally"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestTallyCountsWhatEnded(t *testing.T) {
	counts := tally.New()
	for _, e := range []taskvisor.Event{
		{Kind: taskvisor.TaskStarting, Task: "a"},
		{Kind: taskvisor.TaskStopped, Task: "a", Result: taskvisor.ResultSuccess},
		{Kind: taskvisor.BackoffScheduled, Task: "a", Source: taskvisor.BackoffSuccess},
		{Kind: taskvisor.TaskFailed, Task: "a", Result: taskvisor.ResultTimeout},
		{Kind: taskvisor.TaskCanceled, Task: "a", Result: taskvisor.ResultCanceled},
		{Kind: taskvisor.TaskRemoved, Task: "a", Outcome: taskvisor.OutcomeCanceled, Attempt: 3, Err: errors.New("stopped")},
		{Kind: taskvisor.TaskAbandoned, Task: "b", Outcome: taskvisor.OutcomeAbandoned},
		{Kind: taskvisor.TaskRemoved, Task: "b", Outcome: taskvisor.OutcomeAbandoned}, // its body came back: counted before
		{Kind: taskvisor.ControllerSubmitted, Admission: taskvisor.Coalesce, Verdict: taskvisor.VerdictQueued},
		{Kind: taskvisor.ControllerRejected, Reason: taskvisor.ErrSuperseded},
	} {
		counts.OnEvent(context.Background(), e)
	}
	s := counts.Summary(taskvisor.Snapshot{Added: 7})
	for _, pair := range [][2]any{
		{s.Attempts, map[string]map[string]uint64{"a": {"success": 1, "timeout": 1, "canceled": 1}}},
		{s.Restarts, map[string]map[string]uint64{"a": {"success": 1}}},
		{s.Outcomes, map[string]uint64{"canceled": 1, "abandoned": 1}},
		{s.Requests, map[string]uint64{"coalesce/queued": 1}},
		{s.Rejections, map[string]uint64{"superseded": 1}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("counted %v, want %v", pair[0], pair[1])
		}
	}
	if e := s.Ended["a"]; e.Outcome != "canceled" || e.Error != "stopped" || e.Attempts != 3 {
		t.Errorf("end of a: %+v", e)
	}
	if s.Totals["added"] != 7 {
		t.Errorf("totals %v", s.Totals)
	}
}

func TestSummaryIsWrittenWhole(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "counts.json")
	want := tally.New().Summary(taskvisor.Snapshot{Supervisor: "x", State: taskvisor.SupervisorStopped})
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got tally.Summary
	if err := json.Unmarshal(text, &got); err != nil || got.Supervisor != "x" || got.State != "stopped" {
		t.Errorf("%v, %+v", err, got)
	}
	if err := want.Write(filepath.Join(dir, "missing", "counts.json")); err == nil {
		t.Error("no error where there is no directory")
	}
	if err := want.Write(dir); err == nil {
		t.Error("no error where a directory has the name")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
