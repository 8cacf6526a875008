package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
)

// story builds spans as a good run leaves them, so that tests can spoil one
// thing at a time.
type story struct {
	spans []span
	clock time.Time
}

func (s *story) add(task, trace, parent, result string) *span {
	s.clock = s.clock.Add(time.Second)
	n := len(s.spans) + 1
	x := span{ask.Span{
		Trace: trace, ID: fmt.Sprintf("s%d", n), Parent: parent, Name: "run " + task,
		Began: s.clock, Ended: s.clock.Add(500 * time.Millisecond),
		Attrs: map[string]string{"taskvisor.task.name": task, "taskvisor.attempt.number": fmt.Sprint(n), attrResult: result},
	}}
	if result == "failure" || result == "panic" {
		x.IsError, x.StatusText, x.Attrs["error.type"] = true, "why", result
	}
	if result == "panic" {
		x.Events = []ask.SpanEvent{{Name: "exception", Attrs: map[string]string{"exception.stacktrace": "main.panicking.func1(...)"}}}
	}
	if result == "canceled" {
		x.Attrs["taskvisor.cancel.cause"] = "shutdown"
	}
	s.spans = append(s.spans, x)
	return &s.spans[len(s.spans)-1]
}

// index makes what the checks read.
func (s *story) index() spans {
	var all []ask.Span
	for _, x := range s.spans {
		all = append(all, x.Span)
	}
	return index(all)
}

func goodStory() *story {
	s := &story{clock: time.Unix(1000, 0)}
	for i := range 12 {
		trace := fmt.Sprintf("flaky%d", i)
		first := s.add("flaky", trace, "", "failure").ID
		s.add("flaky", trace, first, "failure")
		s.add("flaky", trace, first, "success")
	}
	first := s.add("failing", "full", "", "failure").ID
	for range maxTraceAttempts - 1 {
		s.add("failing", "full", first, "failure")
	}
	s.add("failing", "more", "", "failure").Links = []ask.Link{{Trace: "full", ID: first, Attrs: map[string]string{attrLink: "previous_trace"}}}
	s.add("panicking", "p", "", "panic")
	s.add("hanging", "h", "", "canceled")
	for i := range 60 {
		attempt := *s.add("healthy", fmt.Sprintf("healthy%d", i), "", "success")
		request := attempt
		request.ID, request.Parent, request.Name, request.Attrs = attempt.ID+"h", attempt.ID, "HTTP GET", map[string]string{}
		s.spans = append(s.spans, request)
	}
	return s
}

// find returns the nth span of that name and result.
func (s *story) find(name, result string, n int) *span {
	for i := range s.spans {
		if x := &s.spans[i]; x.Name == name && x.result() == result {
			if n--; n < 0 {
				return x
			}
		}
	}
	panic("no such span: " + name)
}

func TestTraceChecksPassAGoodRun(t *testing.T) {
	found := goodStory().index()
	for name, check := range spanChecks {
		if err := check(found); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var spanChecks = map[string]func(spans) error{
	"noOrphans": noOrphans, "streaks": streaks, "newRuns": newRuns, "nestedRequests": nestedRequests,
	"panics": panics, "errorStatus": errorStatus, "canceledStatus": canceledStatus, "boundedTraces": boundedTraces,
}

// TestTraceChecksSeeWhatIsWrong: each check fails for the fault it is there for.
func TestTraceChecksSeeWhatIsWrong(t *testing.T) {
	for fault, c := range map[string]struct {
		check string
		spoil func(s *story)
	}{
		"a parent that is nowhere":         {"noOrphans", func(s *story) { s.find("run flaky", "success", 0).Parent = "gone" }},
		"a parent in another trace":        {"noOrphans", func(s *story) { s.find("run flaky", "success", 0).Trace = "other" }},
		"a retry that is a root":           {"streaks", func(s *story) { x := s.find("run flaky", "success", 3); x.Parent, x.Trace = "", "own" }},
		"a retry below another retry":      {"streaks", func(s *story) { s.find("run flaky", "success", 3).Parent = s.find("run flaky", "failure", 7).ID }},
		"a first attempt with a parent":    {"streaks", func(s *story) { s.find("run flaky", "failure", 2).Parent = "s1" }},
		"one trace for two runs":           {"newRuns", func(s *story) { s.find("run healthy", "success", 1).Trace = "healthy0" }},
		"a request outside of its attempt": {"nestedRequests", func(s *story) { s.find("HTTP GET", "", 0).Parent = "" }},
		"a request that outlives it":       {"nestedRequests", func(s *story) { s.find("HTTP GET", "", 0).Ended = time.Unix(9e9, 0) }},
		"a panic without a stack":          {"panics", func(s *story) { s.find("run panicking", "panic", 0).Events = nil }},
		"the stack of somebody else": {"panics", func(s *story) {
			s.find("run panicking", "panic", 0).Events[0].Attrs["exception.stacktrace"] = "main.main"
		}},
		"a failure without the status":           {"errorStatus", func(s *story) { s.find("run failing", "failure", 0).IsError = false }},
		"a failure without a type":               {"errorStatus", func(s *story) { s.find("run failing", "failure", 0).Attrs["error.type"] = "" }},
		"a success with the status error":        {"errorStatus", func(s *story) { s.find("run healthy", "success", 0).IsError = true }},
		"a cancellation with the status":         {"canceledStatus", func(s *story) { s.find("run hanging", "canceled", 0).IsError = true }},
		"no cancellation at all":                 {"canceledStatus", func(s *story) { s.find("run hanging", "canceled", 0).Attrs = map[string]string{} }},
		"33 attempts in a trace":                 {"boundedTraces", func(s *story) { s.find("run failing", "failure", maxTraceAttempts).Trace = "full" }},
		"a new trace without a link to the full": {"boundedTraces", func(s *story) { s.find("run failing", "failure", maxTraceAttempts).Links = nil }},
		"a limit that was never reached":         {"boundedTraces", func(s *story) { s.find("run failing", "failure", 0).Trace = "other" }},
	} {
		s := goodStory()
		c.spoil(s)
		if err := spanChecks[c.check](s.index()); err == nil {
			t.Errorf("%s: %s does not see it", fault, c.check)
		}
	}
}

func TestSame(t *testing.T) {
	counted := map[string]uint64{"a/success": 3, "b/failure": 1}
	if err := same(maps.Clone(counted), counted); err != nil {
		t.Error(err)
	}
	for fault, got := range map[string]map[string]uint64{
		"one more":    {"a/success": 4, "b/failure": 1},
		"one missing": {"a/success": 3},
		"a stranger":  {"a/success": 3, "b/failure": 1, "c/panic": 1},
		"nothing":     {},
	} {
		if err := same(got, counted); err == nil || !strings.Contains(err.Error(), "differ") {
			t.Errorf("%s: %v", fault, err)
		}
	}
}
