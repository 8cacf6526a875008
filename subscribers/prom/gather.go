package promsub

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Gatherer returns a gatherer of the subscriber's metrics and of those of rest, which may
// be nil:
//
//	sub := promsub.New(nil, promsub.WithMaxTasks(20_000))
//	http.Handle("/metrics", promhttp.HandlerFor(sub.Gatherer(prometheus.DefaultGatherer), opts))
//
// It gives the page that a registry with both would give, and is for programs of so many
// tasks that a scrape is felt: a registry, which cannot know who makes a series, checks
// each anew, and that takes as long as all the rest. The subscriber must not be registered
// where rest gathers too; an error says so.
//
// Families that rest has too, as those of another subscriber, are merged with all the
// checks of [prometheus.Gatherers].
func (s *Subscriber) Gatherer(rest prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		own, err := s.gather()
		if rest == nil {
			return own, err
		}
		theirs, other := rest.Gather()
		return merge(own, theirs, err, other)
	})
}

// gather returns the families of all supervisors, in order.
func (s *Subscriber) gather() ([]*dto.MetricFamily, error) {
	var pages []*page
	if m := s.sources.Load(); m != nil {
		for _, from := range *m {
			if l := from.life.Load(); l != nil {
				pages = append(pages, from.read(l))
			}
		}
	}
	var errs prometheus.MultiError
	var all []*dto.MetricFamily
	for id := range families {
		f := newFamily(&families[id], s.config.namespace)
		errs.Append(fill(f, pages, metric(id)))
		if len(pages) > 1 || families[id].Group != "task" {
			slices.SortFunc(f.Metric, compareLabels)
		}
		if len(f.Metric) > 0 {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, compareNames)
	return all, errs.MaybeUnwrap()
}

var types = map[string]dto.MetricType{
	gauge: dto.MetricType_GAUGE, counter: dto.MetricType_COUNTER, histogram: dto.MetricType_HISTOGRAM,
}

func newFamily(of *Family, namespace string) *dto.MetricFamily {
	name := prometheus.BuildFQName(namespace, "", of.Name)
	return &dto.MetricFamily{Name: &name, Help: &of.Help, Type: types[of.Type].Enum()}
}

// fill writes what the pages have of a family into f.
func fill(f *dto.MetricFamily, pages []*page, id metric) error {
	n := 0
	for _, p := range pages {
		n += len(p[id])
	}
	made := make([]dto.Metric, n)
	f.Metric = make([]*dto.Metric, 0, n)
	for _, p := range pages {
		for _, m := range p[id] {
			out := &made[len(f.Metric)]
			if err := m.Write(out); err != nil {
				return err
			}
			f.Metric = append(f.Metric, out)
		}
	}
	return nil
}

// compareLabels orders series as registries do.
func compareLabels(a, b *dto.Metric) int {
	return slices.CompareFunc(a.Label, b.Label, func(x, y *dto.LabelPair) int { return strings.Compare(x.GetValue(), y.GetValue()) })
}

func compareNames(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) }

// merge returns the families of both in order, and all errors.
func merge(a, b []*dto.MetricFamily, errs ...error) ([]*dto.MetricFamily, error) {
	var failed prometheus.MultiError
	for _, err := range errs {
		failed.Append(err)
	}
	if !slices.IsSortedFunc(b, compareNames) {
		b = slices.SortedStableFunc(slices.Values(b), compareNames)
	}
	all := make([]*dto.MetricFamily, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := compareNames(a[0], b[0]); {
		case order < 0:
			all, a = append(all, a[0]), a[1:]
		case order > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			both, err := prometheus.Gatherers{fixed(a[0]), fixed(b[0])}.Gather()
			failed.Append(err)
			all, a, b = append(all, both...), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...), failed.MaybeUnwrap()
}

func fixed(f *dto.MetricFamily) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return []*dto.MetricFamily{f}, nil })
}
