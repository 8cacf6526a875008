package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
)

// span is a span of the uptime monitor.
type span struct{ ask.Span }

// task is the task that the span is an attempt of; empty for other spans.
func (s span) task() string { return s.Attrs["taskvisor.task.name"] }

// attempt is the number of the attempt.
func (s span) attempt() int {
	n, _ := strconv.Atoi(s.Attrs["taskvisor.attempt.number"])
	return n
}

func (s span) result() string { return s.Attrs[attrResult] }

// describe is a span for a message.
func (s span) describe() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s attempt %s (trace %s)", s.Name, s.result(), s.Attrs["taskvisor.attempt.number"], s.Trace))
}

// spans are all spans of a run, with the ways to look them up.
type spans struct {
	all    []span
	byID   map[string]span
	traces map[string][]span // in order of their start
}

func index(all []ask.Span) spans {
	of := ask.Index(all)
	found := spans{byID: map[string]span{}, traces: map[string][]span{}}
	for _, s := range of.All {
		x := span{s}
		found.all = append(found.all, x)
		found.byID[s.ID] = x
		found.traces[s.Trace] = append(found.traces[s.Trace], x)
	}
	return found
}

// attempts returns the spans of a task's attempts, in order of their start.
func (s spans) attempts(task string) []span {
	var list []span
	for _, x := range s.all {
		if x.task() == task && x.Name == "run "+task {
			list = append(list, x)
		}
	}
	return list
}

// spans fetches every span of the program since the run began.
func (e *env) spans(ctx context.Context) (spans, error) {
	found, err := e.jaeger.Spans(ctx, "uptime", e.began.Add(-time.Minute), time.Now().Add(time.Minute))
	return index(found.All), err
}
