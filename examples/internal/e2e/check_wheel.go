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

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

// wheelChecks turn the wheel on the live page and ask the servers what they saw.
var wheelChecks = []check{
	{"a pause on the live page is a state in Prometheus, and ends with resume", pauseIsSeen},
	{"an interruption on the live page ends a span with its cause", interruptIsSeen},
}

// act sends one of the page's forms for a task, by name, as its button does.
func (e *env) act(ctx context.Context, do, name string) error {
	id, err := e.idOf(ctx, name)
	if err != nil {
		return err
	}
	form := url.Values{"do": {do}, "id": {id}, "back": {"./"}, "confirm": {"yes"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.app+"/action", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req) // which follows the way back to the page
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: HTTP %d", do, name, resp.StatusCode)
	}
	return nil
}

// idOf reads the page's JSON.
func (e *env) idOf(ctx context.Context, name string) (string, error) {
	text, err := ask.Get(ctx, e.app+"/?format=json&q="+url.QueryEscape(name))
	if err != nil {
		return "", err
	}
	var page struct {
		Supervisors []struct {
			Tasks []struct {
				ID   uint64
				Name string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		return "", err
	}
	for _, s := range page.Supervisors {
		for _, t := range s.Tasks {
			if t.Name == name {
				return strconv.FormatUint(t.ID, 10), nil
			}
		}
	}
	return "", fmt.Errorf("no task %s on the page", name)
}

// until asks Prometheus until the answer is what it is waited for.
func (e *env) until(ctx context.Context, expr string, want func(v float64) bool) error {
	for began := time.Now(); ; checklist.Pause(ctx, 500*time.Millisecond) {
		v, err := e.prometheus.Scalar(ctx, expr)
		if err == nil && want(v) {
			return nil
		}
		if time.Since(began) > e.patience || ctx.Err() != nil {
			return errors.Join(err, fmt.Errorf("%s is %v", expr, v))
		}
	}
}

func pauseIsSeen(ctx context.Context, e *env) error {
	const paused = `sum(taskvisor_tasks{state="paused"})`
	if err := e.act(ctx, "pause", "reset"); err != nil {
		return err
	}
	seen := e.until(ctx, paused, func(v float64) bool { return v == 1 })
	if err := e.act(ctx, "resume", "reset"); err != nil {
		return err
	}
	return errors.Join(seen, e.until(ctx, paused, func(v float64) bool { return v == 0 }))
}

// interruptIsSeen finds the span of an attempt that was told to end.
func interruptIsSeen(ctx context.Context, e *env) error {
	for began := time.Now(); ; checklist.Pause(ctx, time.Second) {
		if err := e.act(ctx, "interrupt", "hanging"); err != nil {
			return err
		}
		spans, err := e.jaeger.Spans(ctx, "uptime", e.began.Add(-time.Second), time.Now())
		if err != nil {
			return err
		}
		for _, s := range spans.All {
			if s.Attrs["taskvisor.cancel.cause"] == "interrupted" && s.Attrs["taskvisor.task.name"] == "hanging" {
				return nil
			}
		}
		if time.Since(began) > e.patience || ctx.Err() != nil {
			return fmt.Errorf("none of %d spans says that its attempt was interrupted", len(spans.All))
		}
	}
}
