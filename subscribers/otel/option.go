package otelsub

import (
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Option configures a [Subscriber]; see [New]. The interface is sealed.
type Option interface{ apply(c *config) }

type config struct {
	tracers        trace.TracerProvider // nil: the global one
	meters         metric.MeterProvider // nil: no metrics
	promLabels     bool
	owners         []*lease.Owner // of leases that are counted
	noRetryTraces  bool
	callerAsParent bool
	spanFor        func(taskvisor.TaskSpec) SpanMode
	spanName       func(taskvisor.TaskSpec) string
	format         func(error) string
}

type option func(c *config)

func (o option) apply(c *config) { o(c) }

// WithTracerProvider says where spans go. The default, and what nil means, is
// the global provider, also one that is installed after [New].
func WithTracerProvider(p trace.TracerProvider) Option {
	return option(func(c *config) { c.tracers = p })
}

// WithMeterProvider turns metrics on and says where they go; nil means the
// global provider. Without this option there are no metrics.
func WithMeterProvider(p metric.MeterProvider) Option {
	return option(func(c *config) {
		if p == nil {
			p = otel.GetMeterProvider()
		}
		c.meters = p
	})
}

// WithPrometheusLabels calls the attributes of metrics as promsub calls its labels: task
// instead of taskvisor.task.name, and so on. It is for metrics that end up in a
// Prometheus (or Mimir, or Thanos), whose names for them are then promsub's too: the
// dashboards and alerts of this project work on them. Do not give it to a subscriber
// whose metrics meet those of promsub there: each attempt would be counted twice.
// Without it that cannot happen, since boards and alerts only know the short names.
func WithPrometheusLabels() Option {
	return option(func(c *config) { c.promLabels = true })
}

func (c *config) keys() *keys {
	if c.promLabels {
		return &likePrometheus
	}
	return &conventional
}

// WithoutRetryTraces makes every attempt the root of a trace of its own, also
// the retries of a failure. They are still linked to each other.
func WithoutRetryTraces() Option {
	return option(func(c *config) { c.noRetryTraces = true })
}

// WithCallerAsParent makes the span that was active where a task was added or
// submitted the parent of its attempts instead of a link. It is for bounded
// jobs that a request awaits. The limits of a trace hold here too: after 32
// attempts or an hour, attempts begin traces of their own again.
func WithCallerAsParent() Option {
	return option(func(c *config) { c.callerAsParent = true })
}

// WithSpanFor chooses how the attempts of a task are shown. f is called once
// for each registered task, with the policy in force, on the goroutine of its
// first attempt; it must not block.
func WithSpanFor(f func(taskvisor.TaskSpec) SpanMode) Option {
	return option(func(c *config) { c.spanFor = f })
}

// WithSpanName names the span of an attempt; "run {kind}" is the default, or
// "run {task}" of a task without a kind. A name is a group in most trace viewers:
// keep the number of different ones small. f is called from attempts' goroutines,
// possibly concurrently, once for each registered task; it must not block.
func WithSpanName(f func(taskvisor.TaskSpec) string) Option {
	return option(func(c *config) { c.spanName = f })
}

// WithErrorFormatter says how an error is written into a span: its status
// description, the message of a panic, the cause that a caller gave. It is the place
// to remove what must not leave the process. A stack, and the note of an attempt, are
// given to f as well, as an error whose text they are. The name of the error's type is
// recorded in any case.
func WithErrorFormatter(f func(error) string) Option {
	return option(func(c *config) { c.format = f })
}

// SpanMode is how the attempts of a task are shown; see [WithSpanFor].
type SpanMode uint8

// The modes. Values other than these are SpanDefault.
const (
	SpanDefault  SpanMode = iota // SpanStartEnd for resident tasks, SpanAttempt for all others
	SpanAttempt                  // one span over each attempt
	SpanStartEnd                 // a short span at the start, one with the uptime at the end; none for the body
	SpanNone                     // no spans
)

// modeOf decides for a task whose policy is in force.
func (c *config) modeOf(spec taskvisor.TaskSpec) SpanMode {
	mode := SpanDefault
	if c.spanFor != nil {
		mode = c.spanFor(spec)
	}
	switch {
	case mode == SpanAttempt || mode == SpanStartEnd || mode == SpanNone:
		return mode
	case resident(spec):
		return SpanStartEnd
	default:
		return SpanAttempt
	}
}

// resident tells tasks whose attempt is expected to last as long as the
// process: nothing limits it, and if it ends it is begun again at once.
func resident(spec taskvisor.TaskSpec) bool {
	if _, limited := spec.Timeout(); limited || spec.Scheduled() {
		return false
	}
	restart := spec.Restart()
	interval, _ := restart.Interval()
	return !restart.Never() && interval == 0
}

// nameOf returns the name of the spans over a task's attempts.
func (c *config) nameOf(spec taskvisor.TaskSpec, label string) string {
	if c.spanName != nil {
		return c.spanName(spec)
	}
	return "run " + label
}

// text renders err for a span, cut to what a description may have.
func (c *config) text(err error) string {
	if c.format != nil {
		return clip(c.format(err))
	}
	return clip(err.Error())
}

// stack renders a stack for a span.
func (c *config) stack(s string) string {
	if c.format != nil {
		s = c.format(spanText(s))
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// spanText lets a formatter that removes secrets from errors do so for stacks and
// notes.
type spanText string

func (s spanText) Error() string { return string(s) }
