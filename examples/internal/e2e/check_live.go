package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
)

var liveChecks = []check{
	{"the program is well: /readyz answers 200", func(ctx context.Context, e *env) error {
		_, err := ask.Get(ctx, e.app+"/readyz")
		return err
	}},
	{"Prometheus has its target up", func(ctx context.Context, e *env) error {
		v, err := e.prometheus.Scalar(ctx, `up{job="taskvisor"}`)
		if err == nil && v != 1 {
			err = errors.New("the target is down")
		}
		return err
	}},
	{"Jaeger knows the service", func(ctx context.Context, e *env) error {
		body, err := ask.Get(ctx, string(e.jaeger)+"/api/v3/services")
		if err == nil && !strings.Contains(body, `"uptime"`) {
			err = fmt.Errorf("services: %s", ask.FirstLine(body))
		}
		return err
	}},
	{"the status page shows every target", statusPage},
	{"promtool check metrics finds nothing to object to", lintMetrics},
	{"/metrics speaks OpenMetrics with exemplars", openMetrics},
	{"a check on demand runs and tells its outcome", func(ctx context.Context, e *env) error {
		return e.checkNow(ctx, "target=healthy&wait=1", http.StatusOK, "completed")
	}},
	{"a check on demand of a bad target tells its error", func(ctx context.Context, e *env) error {
		return e.checkNow(ctx, "target=failing&wait=1", http.StatusOK, "failed")
	}},
	{"a check of an unknown target is refused", func(ctx context.Context, e *env) error {
		return e.checkNow(ctx, "target=nobody", http.StatusNotFound, "")
	}},
	{"Replace stops the running check and starts when it has ended", replaceCheck},
	{"the states of the tasks add up while they run", func(ctx context.Context, e *env) error {
		v, err := e.prometheus.Scalar(ctx, `sum(taskvisor_tasks) - sum(taskvisor_tasks_added_total - taskvisor_tasks_removed_total)`)
		if err == nil && v != 0 {
			err = fmt.Errorf("sum(tasks) differs from added - removed by %v", v)
		}
		return err
	}},
}

func statusPage(ctx context.Context, e *env) error {
	body, err := ask.Get(ctx, e.app+"/")
	if err != nil {
		return err
	}
	for _, name := range []string{"healthy", "slow", "flaky", "failing", "hanging", "reset", "busy", "gone", "refused", "panicking", "stubborn"} {
		if !strings.Contains(body, ">"+name+"<") {
			return fmt.Errorf("no %s on the page", name)
		}
	}
	return nil
}

func lintMetrics(ctx context.Context, e *env) error {
	body, err := ask.Get(ctx, e.app+"/metrics")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.promtool, "check", "metrics", "--extended")
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "taskvisor_") && strings.Contains(line, ": ") {
			return errors.New(ask.FirstLine(line))
		}
	}
	return nil
}

func openMetrics(ctx context.Context, e *env) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.app+"/metrics", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/openmetrics-text") {
		return fmt.Errorf("content type %q", ct)
	}
	return contains(resp.Body, `trace_id="`)
}

// checkNow posts a check and compares the answer.
func (e *env) checkNow(ctx context.Context, query string, code int, outcome string) error {
	got, body, err := ask.Request(ctx, http.MethodPost, e.app+"/check?"+query)
	if err != nil {
		return err
	}
	var answer struct{ Outcome string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return fmt.Errorf("%s: %w", ask.FirstLine(body), err)
	}
	if got != code || answer.Outcome != outcome {
		return fmt.Errorf("HTTP %d, outcome %q, want %d and %q: %s", got, answer.Outcome, code, outcome, ask.FirstLine(body))
	}
	return nil
}

// replaceCheck starts a check that hangs and replaces it.
func replaceCheck(ctx context.Context, e *env) error {
	if err := e.checkNow(ctx, "target=hanging", http.StatusAccepted, ""); err != nil {
		return err
	}
	return e.checkNow(ctx, "target=hanging&policy=replace&wait=1", http.StatusOK, "failed")
}
