package ask

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Prometheus is the address of a server, such as http://127.0.0.1:9090.
type Prometheus string

// Sample is one element of an instant vector.
type Sample struct {
	Labels map[string]string
	At     time.Time
	Value  float64
}

// Point is one value of a series, at the time of its scrape. Of a native histogram
// it is the number of observations, and Sum theirs.
type Point struct {
	At         time.Time
	Value, Sum float64
}

// Series is one series with its values in time.
type Series struct {
	Labels map[string]string
	Points []Point
	Native bool // a native histogram
}

// Last returns the latest value; the zero Point if there is none.
func (s Series) Last() Point {
	if len(s.Points) == 0 {
		return Point{}
	}
	return s.Points[len(s.Points)-1]
}

// Query evaluates expr now.
func (p Prometheus) Query(ctx context.Context, expr string) ([]Sample, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, err
	}
	var samples []Sample
	for _, r := range answer.Data.Result {
		at, v, err := pair(r.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expr, err)
		}
		samples = append(samples, Sample{r.Metric, at, v})
	}
	return samples, nil
}

// Scalar evaluates an expression with exactly one result.
func (p Prometheus) Scalar(ctx context.Context, expr string) (float64, error) {
	samples, err := p.Query(ctx, expr)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s has %d results, want 1", expr, len(samples))
	}
	return samples[0].Value, nil
}

// Counts evaluates expr and returns its values by the given labels, joined by a
// slash; zeros are left out.
func (p Prometheus) Counts(ctx context.Context, expr string, labels ...string) (map[string]uint64, error) {
	samples, err := p.Query(ctx, expr)
	if err != nil {
		return nil, err
	}
	m := map[string]uint64{}
	for _, s := range samples {
		var key []string
		for _, l := range labels {
			key = append(key, s.Labels[l])
		}
		if s.Value != 0 {
			m[strings.Join(key, "/")] += uint64(s.Value)
		}
	}
	return m, nil
}

// Range returns the stored values of every series that a range selector matches, by
// name: exactly what was scraped, interpolated by nobody.
func (p Prometheus) Range(ctx context.Context, selector string) (map[string][]Series, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric     map[string]string `json:"metric"`
				Values     [][2]any          `json:"values"`
				Histograms []json.RawMessage `json:"histograms"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(selector), &answer); err != nil {
		return nil, err
	}
	all := map[string][]Series{}
	for _, r := range answer.Data.Result {
		s := Series{Labels: r.Metric}
		for _, v := range r.Values {
			at, f, err := pair(v)
			if err != nil {
				return nil, err
			}
			s.Points = append(s.Points, Point{At: at, Value: f})
		}
		for _, raw := range r.Histograms {
			point, err := histogram(raw)
			if err != nil {
				return nil, err
			}
			s.Points, s.Native = append(s.Points, point), true
		}
		all[r.Metric["__name__"]] = append(all[r.Metric["__name__"]], s)
	}
	return all, nil
}

// pair reads [time, "value"].
func pair(v [2]any) (time.Time, float64, error) {
	at, _ := v[0].(float64)
	text, _ := v[1].(string)
	f, err := strconv.ParseFloat(text, 64)
	return unix(at), f, err
}

func unix(seconds float64) time.Time { return time.UnixMilli(int64(seconds*1000 + .5)) }

func histogram(raw json.RawMessage) (Point, error) {
	var h struct{ Count, Sum string }
	var at float64
	if err := json.Unmarshal(raw, &[2]any{&at, &h}); err != nil {
		return Point{}, err
	}
	n, err := strconv.ParseFloat(h.Count, 64)
	if err != nil {
		return Point{}, err
	}
	sum, err := strconv.ParseFloat(h.Sum, 64)
	return Point{At: unix(at), Value: n, Sum: sum}, err
}

// Exemplar is one exemplar of a series.
type Exemplar struct {
	Series, Labels map[string]string
	Value          float64
	At             time.Time
}

// Exemplars returns those of all series that match, between the two times.
func (p Prometheus) Exemplars(ctx context.Context, selector string, from, to time.Time) ([]Exemplar, error) {
	var answer struct {
		Data []struct {
			SeriesLabels map[string]string `json:"seriesLabels"`
			Exemplars    []struct {
				Labels    map[string]string `json:"labels"`
				Value     string            `json:"value"`
				Timestamp float64           `json:"timestamp"`
			} `json:"exemplars"`
		} `json:"data"`
	}
	path := fmt.Sprintf("/api/v1/query_exemplars?query=%s&start=%d&end=%d", url.QueryEscape(selector), from.Unix(), to.Unix()+1)
	if err := p.get(ctx, path, &answer); err != nil {
		return nil, err
	}
	var list []Exemplar
	for _, s := range answer.Data {
		for _, x := range s.Exemplars {
			v, err := strconv.ParseFloat(x.Value, 64)
			if err != nil {
				return nil, fmt.Errorf("exemplar of %v: %w", s.SeriesLabels, err)
			}
			list = append(list, Exemplar{s.SeriesLabels, x.Labels, v, unix(x.Timestamp)})
		}
	}
	return list, nil
}

func (p Prometheus) get(ctx context.Context, path string, v any) error {
	return getJSON(ctx, string(p)+path, v)
}
