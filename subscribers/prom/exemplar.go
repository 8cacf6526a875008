package promsub

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exemplarInterval is how long a series of successes goes on without another
// exemplar: attaching one costs about ten times an observation, and a scrape
// sees at most one per bucket.
const exemplarInterval = time.Second

// timer is a histogram with labels that exist already. It says that it was created when
// what it counts for was, however late it is made: a reader whose scrape had begun
// before takes its first values for new ones otherwise.
type timer struct {
	histogram prometheus.Histogram
	desc      *prometheus.Desc
	created   *timestamppb.Timestamp
	labels    []*dto.LabelPair // shared and never changed, like created

	born time.Time
	kept atomic.Int64 // when its latest exemplar was attached, in nanoseconds since it was born
}

// never is an exemplar that was long ago.
const never = math.MinInt64 / 2

func newTimer(desc *prometheus.Desc, c *config, created *timestamppb.Timestamp, labels []*dto.LabelPair) *timer {
	o := prometheus.HistogramOpts{Name: "unused", Buckets: c.buckets}
	if c.native {
		// A resolution of 10 % within 160 buckets; one that outgrows them starts
		// anew, at most once per hour, before it becomes coarser.
		o.NativeHistogramBucketFactor = 1.1
		o.NativeHistogramMaxBucketNumber = 160
		o.NativeHistogramMinResetDuration = time.Hour
	}
	t := &timer{histogram: prometheus.NewHistogram(o), desc: desc, created: created, labels: labels, born: time.Now()}
	t.kept.Store(never)
	return t
}

// Desc returns the family's descriptor, which is the registered one.
func (t *timer) Desc() *prometheus.Desc { return t.desc }

// Write implements [prometheus.Metric].
func (t *timer) Write(out *dto.Metric) error {
	err := t.histogram.Write(out)
	out.Label = t.labels
	if h := out.Histogram; h != nil && h.CreatedTimestamp.AsTime().Sub(t.born) < time.Minute {
		h.CreatedTimestamp = t.created // unless it has started anew since
	}
	return err
}

// observe records d. labels may be nil: no exemplars.
func (t *timer) observe(ctx context.Context, d time.Duration, at time.Time, always bool,
	labels func(context.Context) map[string]string,
) {
	if labels == nil || !always && !t.due(at) {
		t.histogram.Observe(d.Seconds())
		return
	}
	var exemplar prometheus.Labels
	// Deferred, so that the observation survives a panic of the user's function,
	// which then goes on to the supervisor, the one to report it.
	defer func() {
		if len(exemplar) == 0 || !always && !t.claim(at) {
			t.histogram.Observe(d.Seconds())
			return
		}
		t.histogram.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), exemplar)
	}()
	exemplar = fit(labels(ctx))
}

// due reports whether an exemplar would be kept. Only an attempt that has one
// uses the second up: where few spans are sampled, most have none.
func (t *timer) due(at time.Time) bool {
	return int64(at.Sub(t.born))-t.kept.Load() >= int64(exemplarInterval)
}

// claim is due for one of several callers. Times are compared as the monotonic clock
// has them: the other one may be set back by hours.
func (t *timer) claim(at time.Time) bool {
	now, kept := int64(at.Sub(t.born)), t.kept.Load()
	return now-kept >= int64(exemplarInterval) && t.kept.CompareAndSwap(kept, now)
}

// fit returns the labels that a scrape can carry. It never changes the given
// map, which several attempts may share.
func fit(labels map[string]string) prometheus.Labels {
	runes, valid := 0, true
	for name, value := range labels {
		runes += labelRunes(name, value)
		valid = valid && carried(name, value)
	}
	if valid && runes <= prometheus.ExemplarMaxRunes {
		return labels
	}
	kept := maps.Clone(labels)
	maps.DeleteFunc(kept, func(name, value string) bool { return !carried(name, value) })
	// Whole labels go, never parts: half an id points at nothing.
	names := slices.SortedFunc(maps.Keys(kept), func(a, b string) int {
		if d := labelRunes(a, kept[a]) - labelRunes(b, kept[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	runes = 0
	for _, name := range names {
		if runes += labelRunes(name, kept[name]); runes > prometheus.ExemplarMaxRunes {
			delete(kept, name)
		}
	}
	return kept
}

func labelRunes(name, value string) int {
	return utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
}

func carried(name, value string) bool {
	return validName.MatchString(name) && !strings.HasPrefix(name, "__") && utf8.ValidString(value)
}
