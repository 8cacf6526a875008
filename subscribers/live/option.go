package livesub

import (
	"context"
	"net/http"
	"strings"
	"time"
)

const (
	defaultMaxHistory = 4096 // tasks: some 14 MB when all are full
	maxRows           = 200  // tasks in one answer
)

// settings is what the options say. It is read only after New.
type settings struct {
	format     func(error) string // nil: errors are shown as they are
	authorize  func(*http.Request) (actor string, ok bool)
	labels     func(context.Context) map[string]string
	link       func(traceID string) string
	hosts      map[string]bool // allowed beside loopback on a loopback listener
	sections   []*source[Section]
	incidents  *source[[]Incident]
	open       http.Handler
	maxHistory int
}

// Option configures a [Page]; see [New]. The interface is sealed.
type Option interface{ apply(s *settings) }

type option func(s *settings)

func (o option) apply(s *settings) { o(s) }

// WithActions shows buttons, and has POST ./action obey them, for whom f says yes to:
// run now, interrupt, pause, resume and stop. f is called for each request, on its
// goroutine, and must be quick and safe for concurrent use; actor is whom the events
// of the action name, by a [Cause]. Without this option, or for a nil f, nobody can
// change anything. Requests that a page of another site makes a browser send are
// refused before f is asked.
//
// An action calls the method of [taskvisor.Handle] on the request's goroutine, which runs
// what follows from it: inline subscribers and gates of the supervisor. One that blocks
// holds up that answer, and no other.
func WithActions(f func(r *http.Request) (actor string, ok bool)) Option {
	return option(func(s *settings) { s.authorize = f })
}

// WithErrorFormatter shows errors as the string that f returns, as the option of that
// name of package slogsub does for logs. It is the place to remove what must not be
// shown. f is called on the page's own goroutine, once for each event with an error;
// when it panics, nothing of the error is shown. Stacks and notes are shown as they
// are.
func WithErrorFormatter(f func(error) string) Option {
	return option(func(s *settings) { s.format = f })
}

// WithTraceLabels says how the trace of an attempt is found in the context of its
// events: f returns it under the key trace_id, as TraceLabels of package otelsub
// does. By default attempts show no trace.
func WithTraceLabels(f func(ctx context.Context) map[string]string) Option {
	return option(func(s *settings) { s.labels = f })
}

// WithTraceLink makes trace ids links: f returns an address, of the scheme http or
// https, for an id. It is called when an attempt has ended, on the page's own
// goroutine. It has an effect with [WithTraceLabels] only.
func WithTraceLink(f func(traceID string) string) Option {
	return option(func(s *settings) { s.link = f })
}

// WithMaxHistory bounds the tasks whose attempts and events are kept; 4 096 by
// default. Beyond it the page forgets ended tasks first, rejected submissions among
// them, then those that have gone longest without an event, those whose last attempt
// failed last of all. With n of 0 or less it keeps none.
func WithMaxHistory(n int) Option {
	return option(func(s *settings) { s.maxHistory = max(n, 0) })
}

// WithAllowedHosts names hosts, without port, by which the page may be asked although
// it is served on a loopback address: those that a proxy on the same machine passes
// on. By default a loopback address answers to localhost and loopback addresses only,
// so that a page of another site cannot reach it through a name of its own.
func WithAllowedHosts(hosts ...string) Option {
	return option(func(s *settings) {
		for _, h := range hosts {
			s.hosts[strings.ToLower(strings.TrimSuffix(h, "."))] = true
		}
	})
}

// Section is a table below the page's own; see [WithSection].
type Section struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"` // at most 200 are shown
}

// WithSection adds a table under the heading name; [WithLeases] is one for leases. read
// is called on a goroutine of its own, once at a time, while somebody looks; when it takes
// longer than a quarter of a second the page shows what it returned before. It may be
// called for as long as the page is used.
func WithSection(name string, read func() Section) Option {
	return option(func(s *settings) { s.sections = append(s.sections, &source[Section]{name: name, read: read}) })
}

// Incident is evidence that was kept of something that went wrong.
type Incident struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	Supervisor string    `json:"supervisor,omitzero"`
	Task       string    `json:"task,omitzero"`
	Kind       string    `json:"kind"` // of the event
	Reason     string    `json:"reason,omitzero"`
	Bytes      int64     `json:"bytes"`
}

// WithIncidents lists incidents, the latest first, of which the page shows at most
// 200. open answers GET requests for one of them: it is given ./incident?id=ID as
// it came. list is called as the function of [WithSection] is.
func WithIncidents(list func() []Incident, open http.Handler) Option {
	return option(func(s *settings) {
		s.incidents, s.open = &source[[]Incident]{name: "incidents", read: list}, open
	})
}
