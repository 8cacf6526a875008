package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
)

var logChecks = []check{
	{"every line of the log is JSON", func(_ context.Context, e *env) error {
		_, err := e.logLines()
		return err
	}},
	{"lines about an attempt carry the trace and the span of that attempt", tracedLines},
	{"no error line but those that the demo is made to cause", expectedErrors},
}

// line is one log line.
type line struct {
	Level   string `json:"level"`
	Msg     string `json:"msg"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

func (e *env) logLines() ([]line, error) {
	f, err := os.Open(e.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []line
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w: %s", len(list)+1, err, scanner.Text())
		}
		list = append(list, l)
	}
	return list, scanner.Err()
}

func tracedLines(ctx context.Context, e *env) error {
	lines, err := e.logLines()
	if err != nil {
		return err
	}
	found, err := e.spans(ctx)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, l := range lines {
		if l.Task == "" || l.Attempt == 0 {
			continue
		}
		s, ok := found.byID[l.SpanID]
		if !ok || s.Trace != l.TraceID {
			return fmt.Errorf("%q of %s, attempt %d: trace %q and span %q are not in Jaeger", l.Msg, l.Task, l.Attempt, l.TraceID, l.SpanID)
		}
		if s.task() != l.Task || s.attempt() != l.Attempt {
			return fmt.Errorf("%q of %s, attempt %d, has the span of %s", l.Msg, l.Task, l.Attempt, s.describe())
		}
		seen[l.Task]++
	}
	for _, task := range []string{"failing", "hanging", "panicking", "flaky"} {
		if seen[task] == 0 {
			return fmt.Errorf("no line about an attempt of %s", task)
		}
	}
	return nil
}

// expectedErrors finds what no target of the demo accounts for, such as a
// subscriber that panicked.
func expectedErrors(_ context.Context, e *env) error {
	lines, err := e.logLines()
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.Level == "ERROR" && l.Task == "" {
			return fmt.Errorf("error line: %+v", l)
		}
	}
	return nil
}
