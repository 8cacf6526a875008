package main

import (
	"context"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// span is one span as Jaeger returns it.
type span struct {
	trace, id, parent string
	name              string
	began, ended      time.Time
	isError           bool
	statusText        string
	attrs             map[string]string
	links             []spanLink
	events            []spanEvent
}

type spanLink struct {
	trace, id, kind string
}

type spanEvent struct {
	name  string
	attrs map[string]string
}

// task is the task that the span is an attempt of; empty for other spans.
func (s span) task() string { return s.attrs["taskvisor.task.name"] }

// attempt is the number of the attempt.
func (s span) attempt() int {
	n, _ := strconv.Atoi(s.attrs["taskvisor.attempt.number"])
	return n
}

func (s span) outcome() string { return s.attrs["taskvisor.attempt.outcome"] }

// otlpTraces is the part of OTLP's JSON that the checks read.
type otlpTraces struct {
	Result struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []otlpSpan `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	} `json:"result"`
}

type otlpSpan struct {
	TraceID      string          `json:"traceId"`
	SpanID       string          `json:"spanId"`
	ParentSpanID string          `json:"parentSpanId"`
	Name         string          `json:"name"`
	Start        string          `json:"startTimeUnixNano"`
	End          string          `json:"endTimeUnixNano"`
	Attributes   []otlpAttribute `json:"attributes"`
	Events       []struct {
		Name       string          `json:"name"`
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"events"`
	Links []struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"links"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
}

type otlpAttribute struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func attributes(list []otlpAttribute) map[string]string {
	m := map[string]string{}
	for _, a := range list {
		for _, v := range a.Value {
			m[a.Key] = fmt.Sprint(v)
		}
	}
	return m
}

func nanos(s string) time.Time {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Unix(0, n)
}

func (o otlpSpan) span() span {
	s := span{
		trace: o.TraceID, id: o.SpanID, parent: o.ParentSpanID, name: o.Name,
		began: nanos(o.Start), ended: nanos(o.End),
		isError: o.Status.Code == 2, statusText: o.Status.Message, attrs: attributes(o.Attributes),
	}
	for _, l := range o.Links {
		s.links = append(s.links, spanLink{l.TraceID, l.SpanID, attributes(l.Attributes)["taskvisor.link.type"]})
	}
	for _, e := range o.Events {
		s.events = append(s.events, spanEvent{e.Name, attributes(e.Attributes)})
	}
	return s
}

// spans are all spans of a run, with the ways to look them up.
type spans struct {
	all    []span
	byID   map[string]span
	traces map[string][]span // in order of their start
}

// attempts returns the spans of a task's attempts, by number.
func (s spans) attempts(task string) []span {
	var list []span
	for _, x := range s.all {
		if x.task() == task && x.name == "run "+task {
			list = append(list, x)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].began.Before(list[j].began) })
	return list
}

// spans fetches every span of the program since the run began.
func (e *env) spans(ctx context.Context) (spans, error) {
	q := url.Values{
		"query.service_name":   {"uptime"},
		"query.start_time_min": {e.began.Add(-time.Minute).UTC().Format(time.RFC3339Nano)},
		"query.start_time_max": {time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)},
		"query.num_traces":     {"20000"},
		"query.raw_traces":     {"true"},
	}
	var answer otlpTraces
	if err := getJSON(ctx, e.jaeger+"/api/v3/traces?"+q.Encode(), &answer); err != nil {
		return spans{}, err
	}
	found := spans{byID: map[string]span{}, traces: map[string][]span{}}
	for _, r := range answer.Result.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, o := range scope.Spans {
				s := o.span()
				found.all = append(found.all, s)
				found.byID[s.id] = s
				found.traces[s.trace] = append(found.traces[s.trace], s)
			}
		}
	}
	for _, t := range found.traces {
		sort.Slice(t, func(i, j int) bool { return t[i].began.Before(t[j].began) })
	}
	if len(found.all) == 0 {
		return found, fmt.Errorf("Jaeger has no spans of the service uptime")
	}
	return found, nil
}

// describe is a span for a message.
func (s span) describe() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s attempt %s (trace %s)", s.name, s.outcome(), s.attrs["taskvisor.attempt.number"], s.trace))
}
