package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// present are the families that must have had a sample during the run. The two
// that may have none are checked on their own: no event may have been dropped.
var present = strings.Fields(`
build_info supervisor_state tasks tasks_added_total tasks_removed_total tasks_finished_total
concurrency_limit concurrency_in_use stuck_attempts abandoned_attempts attempts_abandoned_total
shutdown_start_timestamp_seconds shutdown_duration_seconds
task_state task_attempts_total task_attempt_duration_seconds_bucket task_attempt_duration_seconds_count
task_restarts_total task_consecutive_failures task_backoff_delay_seconds task_backoff_seconds_total
task_last_success_timestamp_seconds task_next_start_timestamp_seconds task_attempt_start_timestamp_seconds
admission_requests_total admission_rejections_total admission_wait_seconds_count admission_wait_seconds_bucket
slots slot_queue_length slot_queue_length_max slot_queue_oldest_timestamp_seconds
subscriber_queue_length subscriber_queue_capacity subscriber_events_total subscriber_panics_total
metrics_overflow_tasks`)

var metricChecks = []check{
	// The first check waits until a scrape after the end is stored; all values
	// compared below are of that scrape, and nothing changes any more.
	{"Prometheus has scraped the final values", finalScrape},
	{"every metric of the table was there", everyMetric},
	{"attempts by task and result agree exactly", exactly(`taskvisor_task_attempts_total`,
		func(s summary) map[string]uint64 { return flat(s.Attempts) }, "task", labelResult)},
	{"the durations' histograms counted the same attempts (classic)", exactly(`taskvisor_task_attempt_duration_seconds_count`,
		func(s summary) map[string]uint64 { return flat(s.Attempts) }, "task", labelResult)},
	{"the durations' histograms counted the same attempts (native)", exactly(`histogram_count(taskvisor_task_attempt_duration_seconds)`,
		func(s summary) map[string]uint64 { return flat(s.Attempts) }, "task", labelResult)},
	{"attempts agree with the supervisor's own total", attemptsTotal},
	{"restarts by task and cause agree exactly", exactly(`taskvisor_task_restarts_total`,
		func(s summary) map[string]uint64 { return flat(s.Restarts) }, "task", "cause")},
	{"tasks by outcome agree exactly", exactly(`taskvisor_tasks_finished_total`,
		func(s summary) map[string]uint64 { return s.Outcomes }, "outcome")},
	{"added and removed tasks agree exactly", exactly(`label_replace(taskvisor_tasks_added_total, "what", "added", "", "") or label_replace(taskvisor_tasks_removed_total, "what", "removed", "", "")`,
		func(s summary) map[string]uint64 {
			return map[string]uint64{"added": s.Totals["added"], "removed": s.Totals["removed"]}
		}, "what")},
	{"no task is left, and the supervisor is stopped", holds(`sum(taskvisor_tasks) == 0 and on() sum(taskvisor_supervisor_state{state="stopped"}) == 1`)},
	{"every kind of result occurred", everyResult},
	{"subscribers: deliveries agree, nothing dropped, nothing panicked", subscribersAgree},
	{"sane: the stubborn probe was seen stuck", holds(`max(max_over_time(taskvisor_stuck_attempts[10m])) >= 1`)},
	{"sane: successes are of this run", holds(`max(time() - max_over_time(taskvisor_task_last_success_timestamp_seconds{task="healthy"}[10m])) < 600`)},
	{"sane: the failing target was in a crash loop", holds(`max(max_over_time(taskvisor_task_consecutive_failures{task="failing"}[10m])) > 10`)},
	{"sane: backoff takes time, and no more than there is", holds(`taskvisor_task_backoff_seconds_total{task="failing"} > 1 and taskvisor_task_backoff_seconds_total{task="failing"} < 600`)},
	{"sane: the shutdown took less than the grace", holds(`max(taskvisor_shutdown_duration_seconds) >= 0 and max(taskvisor_shutdown_duration_seconds) < 10`)},
	{"sane: the limit of permits was never passed", holds(`max(max_over_time(taskvisor_concurrency_in_use[10m])) <= max(taskvisor_concurrency_limit)`)},
	{"exemplars are returned, and their traces are in Jaeger", exemplarsLead},
}

func finalScrape(ctx context.Context, e *env) error {
	samples, err := e.prometheus.Query(ctx, `timestamp(taskvisor_supervisor_state{state="stopped"} == 1)`)
	switch {
	case err != nil:
		return err
	case len(samples) != 1:
		return errors.New("no scrape since the supervisor stopped")
	case samples[0].Value <= float64(e.summary.Time.UnixMilli())/1000:
		return errors.New("no scrape since the counts were written")
	}
	return nil
}

func everyMetric(ctx context.Context, e *env) error {
	var missing []string
	for _, name := range present {
		samples, err := e.prometheus.Query(ctx, "count(present_over_time(taskvisor_"+name+"[10m]))")
		if err != nil {
			return err
		}
		if len(samples) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("never seen: %s", strings.Join(missing, ", "))
	}
	return nil
}

// exactly compares the values of expr, by labels, with what the program counted.
func exactly(expr string, counted func(summary) map[string]uint64, labels ...string) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		want := counted(e.summary)
		if len(want) == 0 {
			return errors.New("the program counted nothing")
		}
		got, err := e.prometheus.Counts(ctx, expr, labels...)
		if err != nil {
			return err
		}
		return same(got, want)
	}
}

// holds checks that a PromQL condition returns something.
func holds(condition string) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		samples, err := e.prometheus.Query(ctx, condition)
		if err == nil && len(samples) == 0 {
			err = fmt.Errorf("does not hold: %s", condition)
		}
		return err
	}
}

func attemptsTotal(ctx context.Context, e *env) error {
	var counted uint64
	for _, n := range flat(e.summary.Attempts) {
		counted += n
	}
	total, err := e.prometheus.Scalar(ctx, `sum(taskvisor_task_attempts_total)`)
	if err != nil {
		return err
	}
	started, ended := e.summary.Totals["started"], e.summary.Totals["ended"]
	if uint64(total) != counted || counted != ended || started != ended {
		return fmt.Errorf("Prometheus has %v, the events said %d, the snapshot %d started and %d ended", total, counted, started, ended)
	}
	return nil
}

func everyResult(_ context.Context, e *env) error {
	seen := map[string]uint64{}
	for _, row := range e.summary.Attempts {
		for outcome, n := range row {
			seen[outcome] += n
		}
	}
	for _, outcome := range []string{"success", "failure", "fatal", "timeout", "panic", "canceled"} {
		if seen[outcome] == 0 {
			return fmt.Errorf("no attempt ended as %s: %v", outcome, seen)
		}
	}
	for _, want := range []string{"flaky/failure", "busy/requested", "healthy/success"} {
		if flat(e.summary.Restarts)[want] == 0 {
			return fmt.Errorf("no restart %s", want)
		}
	}
	return nil
}

func subscribersAgree(ctx context.Context, e *env) error {
	want := map[string]uint64{}
	for _, s := range e.summary.Subscribers {
		want[s.Name] = s.Delivered
		if s.Dropped+s.Panics > 0 {
			return fmt.Errorf("%s lost %d events and panicked %d times", s.Name, s.Dropped, s.Panics)
		}
	}
	got, err := e.prometheus.Counts(ctx, `taskvisor_subscriber_events_total`, "subscriber")
	if err != nil {
		return err
	}
	if err := same(got, want); err != nil {
		return err
	}
	dropped, err := e.prometheus.Counts(ctx, `taskvisor_subscriber_events_dropped_total`, "subscriber", "kind")
	if err == nil && len(dropped) > 0 {
		err = fmt.Errorf("dropped: %v", dropped)
	}
	return err
}

// exemplarsLead follows the exemplars from Prometheus to Jaeger.
func exemplarsLead(ctx context.Context, e *env) error {
	list, err := e.prometheus.Exemplars(ctx, `taskvisor_task_attempt_duration_seconds_bucket`, e.began.Add(-time.Minute), time.Now())
	if err != nil {
		return err
	}
	found, err := e.spans(ctx)
	if err != nil {
		return err
	}
	outcomes := map[string]bool{}
	for _, x := range list {
		s, ok := found.byID[x.Labels["span_id"]]
		if !ok || s.Trace != x.Labels["trace_id"] {
			return fmt.Errorf("the exemplar %v of %s leads to no span", x.Labels, x.Series["task"])
		}
		if s.task() != x.Series["task"] || s.result() != x.Series[labelResult] {
			return fmt.Errorf("an exemplar of %s/%s leads to the span of %s/%s",
				x.Series["task"], x.Series[labelResult], s.task(), s.result())
		}
		outcomes[s.result()] = true
	}
	for _, want := range []string{"success", "failure", "timeout", "panic"} {
		if !outcomes[want] {
			return fmt.Errorf("%d exemplars, none of a %s", len(list), want)
		}
	}
	return nil
}

func contains(r io.Reader, text string) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("no %q", text)
}
