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

// sample is one element of an instant vector.
type sample struct {
	labels map[string]string
	at     time.Time
	value  float64
}

// query evaluates expr now.
func (e *env) query(ctx context.Context, expr string) ([]sample, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := getJSON(ctx, e.prometheus+"/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, err
	}
	var samples []sample
	for _, r := range answer.Data.Result {
		at, _ := r.Value[0].(float64)
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: value %q: %w", expr, text, err)
		}
		samples = append(samples, sample{r.Metric, time.UnixMilli(int64(at * 1000)), v})
	}
	return samples, nil
}

// scalar evaluates an expression with exactly one result.
func (e *env) scalar(ctx context.Context, expr string) (float64, error) {
	samples, err := e.query(ctx, expr)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s has %d results, want 1", expr, len(samples))
	}
	return samples[0].value, nil
}

// counts evaluates expr and returns its values by the given labels, joined by a
// slash; zeros are left out.
func (e *env) counts(ctx context.Context, expr string, labels ...string) (map[string]uint64, error) {
	samples, err := e.query(ctx, expr)
	if err != nil {
		return nil, err
	}
	m := map[string]uint64{}
	for _, s := range samples {
		var key []string
		for _, l := range labels {
			key = append(key, s.labels[l])
		}
		if s.value != 0 {
			m[strings.Join(key, "/")] += uint64(s.value)
		}
	}
	return m, nil
}

// same reports the first differences between two tables of counts.
func same(got, want map[string]uint64) error {
	var diffs []string
	for k, w := range want {
		if got[k] != w {
			diffs = append(diffs, fmt.Sprintf("%s: Prometheus has %d, the program counted %d", k, got[k], w))
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s: Prometheus has %d, the program counted none", k, g))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	sort.Strings(diffs)
	return fmt.Errorf("%d differ: %s", len(diffs), strings.Join(diffs[:min(3, len(diffs))], "; "))
}

// flat joins the two keys of a table by a slash.
func flat(m map[string]map[string]uint64) map[string]uint64 {
	f := map[string]uint64{}
	for a, row := range m {
		for b, n := range row {
			f[a+"/"+b] = n
		}
	}
	return f
}

// exemplar is one exemplar of a series.
type exemplar struct {
	series, labels map[string]string
}

// exemplars returns those of all series that match, since the run began.
func (e *env) exemplars(ctx context.Context, selector string) ([]exemplar, error) {
	var answer struct {
		Data []struct {
			SeriesLabels map[string]string `json:"seriesLabels"`
			Exemplars    []struct {
				Labels map[string]string `json:"labels"`
			} `json:"exemplars"`
		} `json:"data"`
	}
	u := fmt.Sprintf("%s/api/v1/query_exemplars?query=%s&start=%d&end=%d", e.prometheus,
		url.QueryEscape(selector), e.began.Add(-time.Minute).Unix(), time.Now().Unix()+1)
	if err := getJSON(ctx, u, &answer); err != nil {
		return nil, err
	}
	var list []exemplar
	for _, s := range answer.Data {
		for _, x := range s.Exemplars {
			list = append(list, exemplar{s.SeriesLabels, x.Labels})
		}
	}
	return list, nil
}
