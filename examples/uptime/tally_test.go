package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestTallyCountsWhatEnded(t *testing.T) {
	tally := newTally()
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
		tally.OnEvent(context.Background(), e)
	}
	s := tally.summary(taskvisor.Snapshot{Added: 7})
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
	if good, all := tally.good("a"); good != 1 || all != 2 {
		t.Errorf("%d of %d good: what we canceled ourselves says nothing about a target", good, all)
	}
	if e, ok := tally.ending("a"); !ok || e.Error != "stopped" || e.Attempts != 3 {
		t.Errorf("end of a: %+v", e)
	}
	if s.Totals["added"] != 7 {
		t.Errorf("totals %v", s.Totals)
	}
}

func TestSummaryIsWrittenWhole(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "counts.json")
	want := newTally().summary(taskvisor.Snapshot{Supervisor: "x", State: taskvisor.StateStopped})
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := json.Unmarshal(text, &got); err != nil || got.Supervisor != "x" || got.State != "stopped" {
		t.Errorf("%v, %+v", err, got)
	}
	if err := want.write(filepath.Join(dir, "missing", "counts.json")); err == nil {
		t.Error("no error where there is no directory")
	}
	if err := want.write(dir); err == nil {
		t.Error("no error where a directory has the name")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLogLinesCarryTheTrace(t *testing.T) {
	var b bytes.Buffer
	logger := newLogger(&b, slog.LevelInfo).With("app", "uptime").WithGroup("g")
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	logger.InfoContext(trace.ContextWithSpanContext(context.Background(), sc), "in a trace")
	logger.InfoContext(context.Background(), "in none")
	logger.DebugContext(context.Background(), "below the level")

	var lines []map[string]any
	for dec := json.NewDecoder(&b); dec.More(); {
		var line map[string]any
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) != 2 {
		t.Fatalf("lines %v", lines)
	}
	group, _ := lines[0]["g"].(map[string]any)
	if group["trace_id"] != "01000000000000000000000000000000" || group["span_id"] != "0200000000000000" || lines[0]["app"] != "uptime" {
		t.Errorf("line %v", lines[0])
	}
	if _, has := lines[1]["g"]; has {
		t.Errorf("line %v", lines[1])
	}
}

// TestTracingIsOffWithoutAnEndpoint: nothing is sent anywhere unless asked.
func TestTracingIsOffWithoutAnEndpoint(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tracer, flush, err := newTracing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tracer.Tracer("x").Start(context.Background(), "x"); span.IsRecording() {
		t.Error("a span is recorded")
	}
	if err := flush(); err != nil {
		t.Error(err)
	}
}

// TestFlushIsBounded: a collector that is not there costs its time limit, not
// the exit.
func TestFlushIsBounded(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	tracer, flush, err := newTracing(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var reported atomic.Int32
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { reported.Add(1) }))
	_, span := tracer.Tracer("x").Start(context.Background(), "x")
	span.End()
	began := time.Now()
	if err := flush(); err == nil && reported.Load() == 0 {
		t.Error("nobody learns that nothing was delivered")
	}
	if took := time.Since(began); took > 2*flushTimeout {
		t.Errorf("it took %s", took)
	}
}
