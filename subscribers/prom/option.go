package promsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/lease"
)

const (
	defaultNamespace = "taskvisor"
	defaultMaxTasks  = 500
	defaultGrace     = 5 * time.Minute
)

// defaultBuckets reach from a quick probe to an hourly batch: twelve, so that a
// task costs fifteen series and not more.
var defaultBuckets = []float64{.005, .025, .1, .25, 1, 2.5, 10, 30, 60, 300, 1800, 3600}

// Option configures a [Subscriber]; see [New]. What an option refuses is
// reported by [Subscriber.Attach], and so by taskvisor.New. The interface is
// sealed.
type Option interface{ apply(c *config) }

type option func(c *config)

func (o option) apply(c *config) { o(c) }

type config struct {
	namespace   string
	constLabels prometheus.Labels
	buckets     []float64
	native      bool
	exemplars   func(context.Context) map[string]string // may be nil
	taskLabel   func(task string) string                // may be nil
	maxTasks    int
	grace       time.Duration
	owners      []*lease.Owner
	err         error // the first misuse
}

func newConfig(opts []Option) config {
	c := config{
		namespace: defaultNamespace,
		buckets:   defaultBuckets,
		native:    true,
		maxTasks:  defaultMaxTasks,
		grace:     defaultGrace,
	}
	for _, o := range opts {
		o.apply(&c)
	}
	return c
}

func (c *config) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// validName is what every version of the exposition format can carry.
var validName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// WithNamespace sets the first part of every metric's name, "taskvisor" by
// default. The dashboards and rules of this project expect the default.
func WithNamespace(namespace string) Option {
	return option(func(c *config) {
		if !validName.MatchString(namespace) {
			c.fail(fmt.Errorf("namespace %q is no metric name", namespace))
			return
		}
		c.namespace = namespace
	})
}

// WithConstLabels puts labels on every series, beside supervisor, which is
// always there. Names that the metrics use themselves are an error. The labels
// are copied. Supervisors on one registry may have different ones, but not on a
// pedantic registry, which tests use.
func WithConstLabels(labels prometheus.Labels) Option {
	labels = maps.Clone(labels)
	return option(func(c *config) {
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			switch {
			case !validName.MatchString(name) || strings.HasPrefix(name, "__"):
				c.fail(fmt.Errorf("constant label %q is no label name", name))
			case ownLabel(name):
				c.fail(fmt.Errorf("constant label %q is one of the metrics' own", name))
			case !utf8.ValidString(labels[name]):
				c.fail(fmt.Errorf("constant label %q has a value that is not UTF-8", name))
			}
		}
		c.constLabels = labels
	})
}

func ownLabel(name string) bool {
	return name == "supervisor" || name == "le" || slices.ContainsFunc(families[:], func(f Family) bool {
		return slices.Contains(f.labelNames(), name)
	})
}

// WithBuckets sets the upper bounds, in seconds, of the classic histograms'
// buckets: finite, and in increasing order. The default is .005 .025 .1 .25 1
// 2.5 10 30 60 300 1800 3600. The slice is copied.
func WithBuckets(buckets []float64) Option {
	buckets = slices.Clone(buckets)
	return option(func(c *config) {
		if len(buckets) == 0 {
			c.fail(errors.New("no buckets"))
			return
		}
		for i, b := range buckets {
			if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= buckets[i-1] {
				c.fail(fmt.Errorf("buckets %v are not finite and increasing", buckets))
				return
			}
		}
		c.buckets = buckets
	})
}

// WithoutNativeHistograms leaves the classic buckets alone, for servers that
// must not store native histograms. By default each histogram is both.
func WithoutNativeHistograms() Option {
	return option(func(c *config) { c.native = false })
}

// WithExemplars attaches what labels returns to the duration of an attempt:
// for attempts that failed, timed out, panicked or were fatal always, for
// others at most once per second and series. labels gets the values of the
// attempt's context and returns nil where there is nothing to point at, such as
// a span that is not sampled; it must be quick, safe for concurrent use, and
// must not change the map afterwards. otelsub.TraceLabels fits.
//
// Labels that no scrape could carry are left out: names that are not classic
// label names, values that are not UTF-8, and, the longest first, what exceeds
// 128 runes in all. Exemplars reach Prometheus through a handler with
// promhttp.HandlerOpts{EnableOpenMetrics: true}. It is an error if labels is nil.
func WithExemplars(labels func(ctx context.Context) map[string]string) Option {
	return option(func(c *config) {
		if labels == nil {
			c.fail(errors.New("nil function for exemplars"))
			return
		}
		c.exemplars = labels
	})
}

// WithTaskLabel maps the name of a task, or its kind where taskvisor.WithKind gave it
// one, to its value of the label task: the way to keep names that contain ids out of the
// metrics ("import-4711" to "import"). Tasks with one label share its series. "" means
// no series of its own: the task shares "_other" with those beyond the limit, and so do
// those for which label panics or calls runtime.Goexit. label is called when a task is
// added and at scrapes, one of which waits for it and for the one before; it must be quick,
// safe for concurrent use, and return the same for the same task. It is an error if it is
// nil.
func WithTaskLabel(label func(task string) string) Option {
	return option(func(c *config) {
		if label == nil {
			c.fail(errors.New("nil function for task labels"))
			return
		}
		c.taskLabel = label
	})
}

// WithMaxTasks limits the values of the label task to n, 500 by default; those
// in their [WithSeriesGrace] count. Further tasks share "_other", and
// taskvisor_metrics_overflow_tasks says how many. Who has series of its own is decided
// anew at scrapes: tasks that fail come first, then those with the most attempts, last
// those that were removed. A few change at a time, and none loses its series within two
// minutes: of getting them, nor of its removal. With 0 all share. A negative n is an error.
func WithMaxTasks(n int) Option {
	return option(func(c *config) {
		if n < 0 {
			c.fail(fmt.Errorf("limit of %d tasks is negative", n))
			return
		}
		c.maxTasks = n
	})
}

// WithSeriesGrace says how long the series of a label stay after its last task
// was removed, and those of a supervisor after [Subscriber.Close], 5 min by default, so
// that the last failure is still scraped; at least two scrapes see them in any case. Where
// the limit of [WithMaxTasks] is reached, those of a label may go to a task that needs them
// two minutes after its last one was removed. A negative d is an error.
func WithSeriesGrace(d time.Duration) Option {
	return option(func(c *config) {
		if d < 0 {
			c.fail(fmt.Errorf("negative series grace %s", d))
			return
		}
		c.grace = d
	})
}
