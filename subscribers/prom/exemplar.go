package promsub

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// exemplarInterval is how long a series of successes goes on without another
// exemplar: attaching one costs about ten times an observation, and a scrape
// sees at most one per bucket.
const exemplarInterval = time.Second

// timer is the histogram of one task and outcome. It was made with labels that
// are constant for it, and passes for a series of its family.
type timer struct {
	prometheus.Histogram
	desc *prometheus.Desc
	kept atomic.Int64 // when its latest exemplar was attached, in Unix nanoseconds
}

// Desc returns the family's descriptor, which is the registered one.
func (t *timer) Desc() *prometheus.Desc { return t.desc }

// observe records d. labels may be nil: no exemplars.
func (t *timer) observe(ctx context.Context, d time.Duration, at time.Time, always bool,
	labels func(context.Context) map[string]string,
) {
	if labels == nil || !always && !t.due(at) {
		t.Observe(d.Seconds())
		return
	}
	var exemplar prometheus.Labels
	// Deferred, so that the observation survives a panic of the user's function,
	// which then goes on to the supervisor, the one to report it.
	defer func() {
		if len(exemplar) == 0 || !always && !t.claim(at) {
			t.Observe(d.Seconds())
			return
		}
		t.Histogram.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), exemplar)
	}()
	exemplar = fit(labels(ctx))
}

// due reports whether an exemplar would be kept. Only an attempt that has one
// uses the second up: where few spans are sampled, most have none.
func (t *timer) due(at time.Time) bool {
	return at.UnixNano()-t.kept.Load() >= int64(exemplarInterval)
}

// claim is due for one of several callers.
func (t *timer) claim(at time.Time) bool {
	kept := t.kept.Load()
	return at.UnixNano()-kept >= int64(exemplarInterval) && t.kept.CompareAndSwap(kept, at.UnixNano())
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
