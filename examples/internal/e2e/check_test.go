package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// story builds spans as a good run leaves them, so that tests can spoil one
// thing at a time.
type story struct {
	spans []span
	clock time.Time
}

func (s *story) add(task, trace, parent, outcome string) *span {
	s.clock = s.clock.Add(time.Second)
	n := len(s.spans) + 1
	x := span{
		trace: trace, id: fmt.Sprintf("s%d", n), parent: parent, name: "run " + task,
		began: s.clock, ended: s.clock.Add(500 * time.Millisecond),
		attrs: map[string]string{"taskvisor.task.name": task, "taskvisor.attempt.number": fmt.Sprint(n), "taskvisor.attempt.outcome": outcome},
	}
	if outcome == "failure" || outcome == "panic" {
		x.isError, x.statusText, x.attrs["error.type"] = true, "why", outcome
	}
	if outcome == "panic" {
		x.events = []spanEvent{{"exception", map[string]string{"exception.stacktrace": "main.panicking.func1(...)"}}}
	}
	if outcome == "canceled" {
		x.attrs["taskvisor.cancel.cause"] = "shutdown"
	}
	s.spans = append(s.spans, x)
	return &s.spans[len(s.spans)-1]
}

// index makes what the checks read.
func (s *story) index() spans {
	found := spans{all: s.spans, byID: map[string]span{}, traces: map[string][]span{}}
	for _, x := range s.spans {
		found.byID[x.id] = x
		found.traces[x.trace] = append(found.traces[x.trace], x)
	}
	return found
}

func goodStory() *story {
	s := &story{clock: time.Unix(1000, 0)}
	for i := range 12 {
		trace := fmt.Sprintf("flaky%d", i)
		first := s.add("flaky", trace, "", "failure").id
		s.add("flaky", trace, first, "failure")
		s.add("flaky", trace, first, "success")
	}
	first := s.add("failing", "full", "", "failure").id
	for range maxTraceAttempts - 1 {
		s.add("failing", "full", first, "failure")
	}
	s.add("failing", "more", "", "failure").links = []spanLink{{"full", first, "previous_trace"}}
	s.add("panicking", "p", "", "panic")
	s.add("hanging", "h", "", "canceled")
	for i := range 60 {
		attempt := *s.add("healthy", fmt.Sprintf("healthy%d", i), "", "success")
		request := attempt
		request.id, request.parent, request.name, request.attrs = attempt.id+"h", attempt.id, "HTTP GET", map[string]string{}
		s.spans = append(s.spans, request)
	}
	return s
}

// find returns the nth span of that name and outcome.
func (s *story) find(name, outcome string, n int) *span {
	for i := range s.spans {
		if x := &s.spans[i]; x.name == name && x.outcome() == outcome {
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
		"a parent that is nowhere":         {"noOrphans", func(s *story) { s.find("run flaky", "success", 0).parent = "gone" }},
		"a parent in another trace":        {"noOrphans", func(s *story) { s.find("run flaky", "success", 0).trace = "other" }},
		"a retry that is a root":           {"streaks", func(s *story) { x := s.find("run flaky", "success", 3); x.parent, x.trace = "", "own" }},
		"a retry below another retry":      {"streaks", func(s *story) { s.find("run flaky", "success", 3).parent = s.find("run flaky", "failure", 7).id }},
		"a first attempt with a parent":    {"streaks", func(s *story) { s.find("run flaky", "failure", 2).parent = "s1" }},
		"one trace for two runs":           {"newRuns", func(s *story) { s.find("run healthy", "success", 1).trace = "healthy0" }},
		"a request outside of its attempt": {"nestedRequests", func(s *story) { s.find("HTTP GET", "", 0).parent = "" }},
		"a request that outlives it":       {"nestedRequests", func(s *story) { s.find("HTTP GET", "", 0).ended = time.Unix(9e9, 0) }},
		"a panic without a stack":          {"panics", func(s *story) { s.find("run panicking", "panic", 0).events = nil }},
		"the stack of somebody else": {"panics", func(s *story) {
			s.find("run panicking", "panic", 0).events[0].attrs["exception.stacktrace"] = "main.main"
		}},
		"a failure without the status":           {"errorStatus", func(s *story) { s.find("run failing", "failure", 0).isError = false }},
		"a failure without a type":               {"errorStatus", func(s *story) { s.find("run failing", "failure", 0).attrs["error.type"] = "" }},
		"a success with the status error":        {"errorStatus", func(s *story) { s.find("run healthy", "success", 0).isError = true }},
		"a cancellation with the status":         {"canceledStatus", func(s *story) { s.find("run hanging", "canceled", 0).isError = true }},
		"no cancellation at all":                 {"canceledStatus", func(s *story) { s.find("run hanging", "canceled", 0).attrs = map[string]string{} }},
		"33 attempts in a trace":                 {"boundedTraces", func(s *story) { s.find("run failing", "failure", maxTraceAttempts).trace = "full" }},
		"a new trace without a link to the full": {"boundedTraces", func(s *story) { s.find("run failing", "failure", maxTraceAttempts).links = nil }},
		"a limit that was never reached":         {"boundedTraces", func(s *story) { s.find("run failing", "failure", 0).trace = "other" }},
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
