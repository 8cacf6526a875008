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
		if s.task() != "" && s.Name == "run "+s.task() && s.Attrs[attrAborted] == "" { // of which nothing else tells
			got[s.task()+"/"+s.result()]++
		}
	}
	if err := same(got, flat(e.summary.Attempts)); err != nil {
		return fmt.Errorf("spans instead of samples: %w", err)
	}
	return nil
}

func noOrphans(found spans) error {
	for _, s := range found.all {
		if s.Parent == "" {
			continue
		}
		if p, ok := found.byID[s.Parent]; !ok || p.Trace != s.Trace {
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
			if first.ID == "" { // follows a success, or is the first
				if s.Parent != "" {
					return fmt.Errorf("%s is not a root", s.describe())
				}
				first = s
			} else {
				retries++
				if s.Trace != first.Trace || s.Parent != first.ID {
					return fmt.Errorf("%s is not a child of %s", s.describe(), first.describe())
				}
			}
			if s.result() == "success" {
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
			if before.result() == "success" {
				runs++
				if s.Trace == before.Trace {
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
		if s.Name != "HTTP GET" {
			continue
		}
		requests++
		p := found.byID[s.Parent]
		if p.task() == "" || s.Began.Before(p.Began) || s.Ended.After(p.Ended) {
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
		if s.result() != "panic" {
			continue
		}
		n++
		if s.Attrs["error.type"] != "panic" || len(s.Events) != 1 || s.Events[0].Name != "exception" {
			return fmt.Errorf("%s: error.type %q, events %v", s.describe(), s.Attrs["error.type"], s.Events)
		}
		if stack := s.Events[0].Attrs["exception.stacktrace"]; !strings.Contains(stack, "panicking.func") {
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
		switch s.result() {
		case "failure", "fatal", "timeout", "panic":
			if !s.IsError || s.Attrs["error.type"] == "" || s.StatusText == "" {
				return fmt.Errorf("%s: error %t, type %q, text %q", s.describe(), s.IsError, s.Attrs["error.type"], s.StatusText)
			}
		default:
			if s.IsError {
				return fmt.Errorf("%s has the status error: %s", s.describe(), s.StatusText)
			}
		}
	}
	return nil
}

func canceledStatus(found spans) error {
	n := 0
	for _, s := range found.all {
		if s.Attrs["taskvisor.cancel.cause"] != "shutdown" {
			continue
		}
		n++
		if r := s.result(); s.IsError || r != "canceled" && r != "success" { // a body may still come to its end
			return fmt.Errorf("%s: error %t", s.describe(), s.IsError)
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
		for _, l := range s.Links {
			if end, ok := found.byID[l.ID]; ok && l.Attrs[attrLink] == "previous_trace" && end.Trace == l.Trace && s.Parent == "" && len(found.traces[l.Trace]) >= maxTraceAttempts {
				return nil
			}
		}
	}
	return errors.New("no trace of the failing target continues a full one by a link")
}
