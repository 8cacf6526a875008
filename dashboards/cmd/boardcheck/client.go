package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client asks one server about one stretch of time.
type client struct {
	server string
	end    time.Time
	window time.Duration
}

// steps is how often an expression is evaluated within the window: often enough
// to meet a state that lasts for a few scrapes.
const steps = 240

// expression asks for values that are numbers, at any time in the window: a
// panel about retries is right to be empty in the moment when there is none.
func expression(where, expr string) question {
	return question{where: where, text: expr, ask: func(ctx context.Context, c client) (int, error) {
		return c.evaluate(ctx, expr)
	}}
}

// firing asks whether an alert fired.
func firing(alert string) question {
	expr := fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, alert)
	q := expression("alert / "+alert, expr)
	q.empty = true
	return q
}

// exemplars asks for those of the series that an expression selects.
func exemplars(where, expr string) question {
	return question{where: where, text: expr, ask: func(ctx context.Context, c client) (int, error) {
		var series []struct {
			Exemplars []json.RawMessage `json:"exemplars"`
		}
		err := c.get(ctx, "/api/v1/query_exemplars", c.times(url.Values{"query": {expr}}), &series)
		n := 0
		for _, s := range series {
			n += len(s.Exemplars)
		}
		return n, err
	}}
}

// labelValues asks what a variable of a board offers: "selector, label".
func labelValues(where, definition string) question {
	return question{where: where, text: definition, ask: func(ctx context.Context, c client) (int, error) {
		i := strings.LastIndex(definition, ",")
		if i < 0 {
			return 0, errors.New("want label_values(selector, label)")
		}
		var values []string
		err := c.get(ctx, "/api/v1/label/"+strings.TrimSpace(definition[i+1:])+"/values",
			c.times(url.Values{"match[]": {definition[:i]}}), &values)
		return len(values), err
	}}
}

// evaluate returns how many series of the answer have a number.
func (c client) evaluate(ctx context.Context, expr string) (int, error) {
	step := max(c.window.Seconds()/steps, 1)
	query := c.times(url.Values{"query": {expr}, "step": {strconv.FormatFloat(step, 'f', 3, 64)}})
	var data struct {
		Result []struct {
			Values     [][2]any          `json:"values"`
			Histograms []json.RawMessage `json:"histograms"`
		} `json:"result"`
	}
	if err := c.get(ctx, "/api/v1/query_range", query, &data); err != nil {
		return 0, err
	}
	n := 0
	for _, series := range data.Result {
		if hasNumber(series.Values) || len(series.Histograms) > 0 {
			n++
		}
	}
	return n, nil
}

func hasNumber(values [][2]any) bool {
	for _, v := range values {
		if text, ok := v[1].(string); ok && text != "NaN" {
			return true
		}
	}
	return false
}

func (c client) times(query url.Values) url.Values {
	query.Set("start", strconv.FormatInt(c.end.Add(-c.window).Unix(), 10))
	query.Set("end", strconv.FormatInt(c.end.Unix(), 10))
	return query
}

// get decodes the data of an answer.
func (c client) get(ctx context.Context, path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", response.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}
