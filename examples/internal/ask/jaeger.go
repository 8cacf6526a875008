package ask

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Jaeger is the address of a query service, such as http://127.0.0.1:16686.
type Jaeger string

// maxTraces bounds the answer to one question.
const maxTraces = "20000"

// Span is one span as Jaeger returns it.
type Span struct {
	Trace, ID, Parent string
	Name              string
	Began, Ended      time.Time
	IsError           bool
	StatusText        string
	Attrs             map[string]string
	Links             []Link
	Events            []SpanEvent
}

// Link is a link of a span to another one.
type Link struct {
	Trace, ID string
	Attrs     map[string]string
}

// SpanEvent is an event of a span.
type SpanEvent struct {
	Name  string
	Attrs map[string]string
}

// Spans are all spans of a run, with the ways to look them up.
type Spans struct {
	All    []Span // in order of their start
	ByID   map[string]Span
	Traces map[string][]Span // in order of their start
}

// Index returns the spans with their indices.
func Index(all []Span) Spans {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Span) int { return a.Began.Compare(b.Began) })
	found := Spans{All: all, ByID: map[string]Span{}, Traces: map[string][]Span{}}
	for _, s := range all {
		found.ByID[s.ID] = s
		found.Traces[s.Trace] = append(found.Traces[s.Trace], s)
	}
	return found
}

// Spans fetches every span of a service between the two times.
func (j Jaeger) Spans(ctx context.Context, service string, from, to time.Time) (Spans, error) {
	q := url.Values{
		"query.service_name":   {service},
		"query.start_time_min": {from.UTC().Format(time.RFC3339Nano)},
		"query.start_time_max": {to.UTC().Format(time.RFC3339Nano)},
		"query.num_traces":     {maxTraces},
		"query.raw_traces":     {"true"},
	}
	var answer otlpTraces
	if err := getJSON(ctx, string(j)+"/api/v3/traces?"+q.Encode(), &answer); err != nil {
		return Spans{}, err
	}
	var all []Span
	for _, r := range answer.Result.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, o := range scope.Spans {
				all = append(all, o.span())
			}
		}
	}
	if len(all) == 0 {
		return Spans{}, fmt.Errorf("Jaeger has no spans of the service %s", service)
	}
	return Index(all), nil
}

// otlpTraces is the part of OTLP's JSON that is read.
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

const statusError = 2 // in OTLP

func (o otlpSpan) span() Span {
	s := Span{
		Trace: o.TraceID, ID: o.SpanID, Parent: o.ParentSpanID, Name: o.Name,
		Began: nanos(o.Start), Ended: nanos(o.End),
		IsError: o.Status.Code == statusError, StatusText: o.Status.Message, Attrs: attributes(o.Attributes),
	}
	for _, l := range o.Links {
		s.Links = append(s.Links, Link{l.TraceID, l.SpanID, attributes(l.Attributes)})
	}
	for _, e := range o.Events {
		s.Events = append(s.Events, SpanEvent{e.Name, attributes(e.Attributes)})
	}
	return s
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
	n, _ := strconv.ParseInt(s, 10, 64) // a span without a time is found by every check of times
	return time.Unix(0, n)
}

// Duration returns how long the span lasted.
func (s Span) Duration() time.Duration { return s.Ended.Sub(s.Began) }

// Number returns the value of a numeric attribute; 0 if there is none.
func (s Span) Number(key string) float64 {
	n, _ := strconv.ParseFloat(cmp.Or(s.Attrs[key], "0"), 64)
	return n
}
