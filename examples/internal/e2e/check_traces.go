package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxTraceAttempts is the most attempts that one trace may have.
const maxTraceAttempts = 32

var traceChecks = []check{
	// Exports come in batches: this check waits for the last one.
	{"every attempt has exactly one span, with its outcome", everySpan},
	{"no span is an orphan", onSpans(noOrphans)},
	{"the retries of a streak are in one trace, under its first attempt", onSpans(streaks)},
	{"the next run after a success is in another trace", onSpans(newRuns)},
	{"the request's span nests in its attempt's", onSpans(nestedRequests)},
	{"a panic's span has the exception with its stack", onSpans(panics)},
	{"failures, timeouts, panics and fatal attempts have the status error and a type", onSpans(errorStatus)},
	{"shutdown cancelled attempts, and none of these is an error", onSpans(canceledStatus)},
	{"no trace has more than 32 attempts; a longer streak goes on in a linked one", onSpans(boundedTraces)},
}

// onSpans makes a check of a function over all spans.
func onSpans(f func(spans) error) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		found, err := e.spans(ctx)
		if err != nil {
			return err
		}
		return f(found)
	}
}

func everySpan(ctx context.Context, e *env) error {
	found, err := e.spans(ctx)
	if err != nil {
		return err
	}
	got := map[string]uint64{}
	for _, s := range found.all {
		if s.task() != "" && s.name == "run "+s.task() {
			got[s.task()+"/"+s.outcome()]++
		}
	}
	if err := same(got, flat(e.summary.Attempts)); err != nil {
		return fmt.Errorf("spans instead of samples: %w", err)
	}
	return nil
}

func noOrphans(found spans) error {
	for _, s := range found.all {
		if s.parent == "" {
			continue
		}
		if p, ok := found.byID[s.parent]; !ok || p.trace != s.trace {
			return fmt.Errorf("the parent of %s is not in its trace", s.describe())
		}
	}
	return nil
}

// streaks wants each retry below the first attempt of its streak.
func streaks(found spans) error {
	retries := 0
	for _, task := range []string{"flaky", "busy"} {
		var first span
		for _, s := range found.attempts(task) {
			if first.id == "" { // follows a success, or is the first
				if s.parent != "" {
					return fmt.Errorf("%s is not a root", s.describe())
				}
				first = s
			} else {
				retries++
				if s.trace != first.trace || s.parent != first.id {
					return fmt.Errorf("%s is not a child of %s", s.describe(), first.describe())
				}
			}
			if s.outcome() == "success" {
				first = span{}
			}
		}
	}
	if retries < 10 {
		return fmt.Errorf("only %d retries to look at", retries)
	}
	return nil
}

func newRuns(found spans) error {
	runs := 0
	for _, task := range []string{"healthy", "flaky", "busy"} {
		var before span
		for _, s := range found.attempts(task) {
			if before.outcome() == "success" {
				runs++
				if s.trace == before.trace {
					return fmt.Errorf("%s is in the trace of the success before it", s.describe())
				}
			}
			before = s
		}
	}
	if runs < 10 {
		return fmt.Errorf("only %d runs to look at", runs)
	}
	return nil
}

func nestedRequests(found spans) error {
	requests := 0
	for _, s := range found.all {
		if s.name != "HTTP GET" {
			continue
		}
		requests++
		p := found.byID[s.parent]
		if p.task() == "" || s.began.Before(p.began) || s.ended.After(p.ended) {
			return fmt.Errorf("%s does not nest in an attempt's span", s.describe())
		}
	}
	if requests < 50 {
		return fmt.Errorf("only %d requests to look at", requests)
	}
	return nil
}

func panics(found spans) error {
	n := 0
	for _, s := range found.attempts("panicking") {
		if s.outcome() != "panic" {
			continue
		}
		n++
		if s.attrs["error.type"] != "panic" || len(s.events) != 1 || s.events[0].name != "exception" {
			return fmt.Errorf("%s: error.type %q, events %v", s.describe(), s.attrs["error.type"], s.events)
		}
		if stack := s.events[0].attrs["exception.stacktrace"]; !strings.Contains(stack, "panicking.func") {
			return fmt.Errorf("the stack of %s does not name the function that panicked: %s", s.describe(), stack)
		}
	}
	if n == 0 {
		return errors.New("no panic to look at")
	}
	return nil
}

func errorStatus(found spans) error {
	for _, s := range found.all {
		if s.task() == "" {
			continue
		}
		switch s.outcome() {
		case "failure", "fatal", "timeout", "panic":
			if !s.isError || s.attrs["error.type"] == "" || s.statusText == "" {
				return fmt.Errorf("%s: error %t, type %q, text %q", s.describe(), s.isError, s.attrs["error.type"], s.statusText)
			}
		default:
			if s.isError {
				return fmt.Errorf("%s has the status error: %s", s.describe(), s.statusText)
			}
		}
	}
	return nil
}

func canceledStatus(found spans) error {
	n := 0
	for _, s := range found.all {
		if s.attrs["taskvisor.cancel.cause"] != "shutdown" {
			continue
		}
		n++
		if s.isError || s.outcome() != "canceled" {
			return fmt.Errorf("%s: error %t", s.describe(), s.isError)
		}
	}
	if n == 0 {
		return errors.New("no attempt was running at the shutdown")
	}
	return nil
}

func boundedTraces(found spans) error {
	longest := 0
	for id, t := range found.traces {
		n := 0
		for _, s := range t {
			if s.task() != "" {
				n++
			}
		}
		if n > maxTraceAttempts {
			return fmt.Errorf("trace %s has %d attempts", id, n)
		}
		longest = max(longest, n)
	}
	if longest < maxTraceAttempts {
		return fmt.Errorf("the longest trace has %d attempts: the limit was not reached", longest)
	}
	for _, s := range found.attempts("failing") {
		for _, l := range s.links {
			if end, ok := found.byID[l.id]; ok && l.kind == "previous_trace" && end.trace == l.trace && s.parent == "" && len(found.traces[l.trace]) >= maxTraceAttempts {
				return nil
			}
		}
	}
	return errors.New("no trace of the failing target continues a full one by a link")
}
