package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

type check = checklist.Check[*env]

// steady are the checks of a service at work.
var steady = []check{
	{Name: "scraped, the board has three replicas, all of which run", Run: of(jobScraped, servicesAre(3, 0))},
	{Name: "pushed by OTLP, the board has three replicas, all of which run", Run: of(jobPushed, servicesAre(3, 0))},
	{Name: "the scraped ones arrive by OTLP too, under the same names", Run: arrivesTwice},
	{Name: "which no recording rule counts, nor an alert", Run: countedOnce},
	{Name: "scraped, a task fails on one of three replicas", Run: of(jobScraped, failsOnOne)},
	{Name: "pushed, a task fails on one of three replicas", Run: of(jobPushed, failsOnOne)},
	{Name: "both ways have the same metrics with the same labels", Run: sameMetrics},
	{Name: "every panel of the boards that has an answer about the one has one about the other", Run: samePanels},
}

// deploy ends and starts each replica in turn.
var deploy = []check{
	{Name: "one after the other, with two of three running meanwhile", Run: once(rolling)},
	{Name: "no alert has fired", Run: quiet},
}

// ending ends them all.
var ending = []check{
	{Name: "all replicas end in order", Run: once(endAll)},
	{Name: "what the last ones counted is the same, scraped and by OTLP", Run: sameCounts},
	{Name: "no alert has fired by then", Run: quiet},
	{Name: "at every scrape of the run at most one owned the lease, by the engine's account", Run: account},
}

func of(job string, do func(ctx context.Context, e *env, job string) error) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error { return do(ctx, e, job) }
}

// once is for what cannot be tried again: it stays failed.
func once(do func(context.Context, *env) error) func(context.Context, *env) error {
	var err error
	done := false
	return func(ctx context.Context, e *env) error {
		if !done {
			done, err = true, do(ctx, e)
		}
		return err
	}
}

// panel returns the expressions of a panel of the overview, about one job.
func (e *env) panel(title, job string) ([]string, error) {
	return e.panels("taskvisor-overview.json", title, job)
}

// panels is panel for either board, and with an empty title for all of its panels.
func (e *env) panels(file, title, job string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(e.boards, file))
	if err != nil {
		return nil, err
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		return nil, err
	}
	variables := strings.NewReplacer("$supervisor", ".+", "$instance", ".+", "$task", ".+", "$job", job,
		"$__rate_interval", "10s", "$__range", "5m", "$cluster", ".*", "$namespace", ".*", "$pod", ".*")
	var all []string
	for _, p := range board.Panels {
		if p.Title == title || title == "" {
			for _, t := range p.Targets {
				all = append(all, variables.Replace(t.Expr))
			}
		}
	}
	if all == nil {
		return nil, fmt.Errorf("the board has no panel %q", title)
	}
	return all, nil
}

// samePanels asks every question of both boards about both jobs: what has an answer about
// the one has one about the other, with the same labels. What a task does in the very
// moment is not the same, so a question may be asked again.
func samePanels(ctx context.Context, e *env) error {
	answered := 0
	for _, file := range []string{"taskvisor-overview.json", "taskvisor-task.json"} {
		var exprs [2][]string
		for k, job := range jobs {
			var err error
			if exprs[k], err = e.panels(file, "", job); err != nil {
				return err
			}
		}
		for i := range exprs[0] {
			if strings.Contains(exprs[0][i], "up{") || strings.Contains(exprs[0][i], "taskvisor_metrics_overflow_tasks") || strings.Contains(exprs[0][i], "taskvisor_lease_") {
				continue // of scrapes, of promsub's own limit, and of leases, which are not pushed
			}
			has, err := e.same(ctx, exprs[0][i], exprs[1][i])
			if err != nil {
				return err
			}
			if has {
				answered++
			}
		}
	}
	if answered < 60 {
		return fmt.Errorf("only %d questions had an answer", answered)
	}
	return nil
}

// same asks a question about both jobs until the answers are alike, and reports whether
// there is one. Of what comes and goes neither may have something at the moment.
func (e *env) same(ctx context.Context, scraped, pushed string) (answered bool, err error) {
	for began := time.Now(); ; checklist.Pause(ctx, 300*time.Millisecond) {
		var has [2]string
		for k, expr := range []string{scraped, pushed} {
			if has[k], err = e.shapes(ctx, expr); err != nil {
				return false, err
			}
		}
		if has[0] == has[1] {
			return has[0] != "", nil
		}
		if time.Since(began) > e.patience || ctx.Err() != nil {
			return false, fmt.Errorf("%s has %q pushed, %q scraped", pushed, has[1], has[0])
		}
	}
}

// shapes returns the sets of labels that the answers have.
func (e *env) shapes(ctx context.Context, expr string) (string, error) {
	samples, err := e.prometheus.Query(ctx, expr)
	if err != nil {
		return "", fmt.Errorf("%s: %w", expr, err)
	}
	all := map[string]bool{}
	for _, s := range samples {
		all[strings.Join(slices.Sorted(maps.Keys(s.Labels)), ",")+";"] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), " "), nil
}

// servicesAre asks the panel "Services".
func servicesAre(replicas, notRunning float64) func(ctx context.Context, e *env, job string) error {
	return func(ctx context.Context, e *env, job string) error {
		exprs, err := e.panel("Services", job)
		if err != nil {
			return err
		}
		if err := e.until(ctx, exprs[0], replicas); err != nil {
			return err
		}
		return e.until(ctx, exprs[1], notRunning)
	}
}

func failsOnOne(ctx context.Context, e *env, job string) error {
	exprs, err := e.panel("Tasks that fail, on how many replicas", job)
	if err != nil {
		return err
	}
	const recorded = `job_supervisor_task:taskvisor_task_%s{job=%q, task=%q}`
	return errors.Join(
		e.until(ctx, exprs[0], 1),
		e.until(ctx, exprs[1], count),
		e.until(ctx, fmt.Sprintf(recorded, "failing_replicas:sum", job, failingTask), 1),
		e.until(ctx, fmt.Sprintf(recorded, "replicas:count", job, failingTask), count))
}

// arrivesTwice: the other checks would mean nothing if the pushes did not arrive.
func arrivesTwice(ctx context.Context, e *env) error {
	const by = `count(taskvisor_task_attempts_total{job=%q, %s, taskvisor_attempt_result="success"} > 0)`
	return errors.Join(
		e.until(ctx, fmt.Sprintf(`count(taskvisor_supervisor_start_timestamp_seconds{job=%q})`, jobScraped), 2*count),
		e.until(ctx, fmt.Sprintf(by, jobScraped, `taskvisor_task_name="sync"`), count))
}

// countedOnce: whatever a rule makes of a metric has its supervisor.
func countedOnce(ctx context.Context, e *env) error {
	recorded, err := e.prometheus.Query(ctx, `{__name__=~"job_supervisor.+"}`)
	if err != nil {
		return err
	}
	if len(recorded) < 20 {
		return fmt.Errorf("%d recorded series", len(recorded))
	}
	for _, s := range recorded {
		if s.Labels["supervisor"] != supervisorName {
			return fmt.Errorf("%v is of no supervisor", s.Labels)
		}
	}
	return e.until(ctx, fmt.Sprintf(`job_supervisor:taskvisor_supervisors:count{job=%q}`, jobScraped), count)
}

// sameMetrics compares what there is by name, with the names of its labels.
func sameMetrics(ctx context.Context, e *env) error {
	shapes := map[string]map[string]bool{}
	for _, job := range jobs {
		shapes[job] = map[string]bool{}
		samples, err := e.prometheus.Query(ctx, fmt.Sprintf(`count by (__name__, %s) ({__name__=~"taskvisor_.+", job=%q, supervisor!=""})`,
			strings.Join(labels, ", "), job))
		if err != nil {
			return err
		}
		for _, s := range samples {
			shapes[job][shape(s)] = true
		}
	}
	var diffs []string
	for k, job := range jobs {
		for key := range shapes[job] {
			if !shapes[jobs[1-k]][key] && !onlyScraped(key) {
				diffs = append(diffs, fmt.Sprintf("only %s has %s", job, key))
			}
		}
	}
	if len(shapes[jobPushed]) < 35 || len(diffs) > 0 {
		return fmt.Errorf("%d metrics; %s", len(shapes[jobPushed]), strings.Join(diffs, "; "))
	}
	return nil
}

// onlyScraped are leases, an SDK's own limit, and native histograms, which have the plain name.
func onlyScraped(key string) bool {
	name, _, _ := strings.Cut(key, "{")
	return strings.HasPrefix(name, "taskvisor_lease_") || name == "taskvisor_metrics_overflow_tasks" || name == "taskvisor_task_attempt_duration_seconds" ||
		name == "taskvisor_gate_wait_seconds" || name == "taskvisor_admission_wait_seconds"
}

// labels are those of the metrics.
var labels = strings.Fields("supervisor task state result cause restart outcome gate policy reason subscriber kind le version go_version")

func shape(s ask.Sample) string {
	var names []string
	for _, n := range labels {
		if s.Labels[n] != "" {
			names = append(names, n)
		}
	}
	return s.Labels["__name__"] + "{" + strings.Join(names, ", ") + "}"
}

// rolling replaces each replica in turn, of both kinds side by side.
func rolling(ctx context.Context, e *env) error {
	for k := range count {
		both := []*process{e.running[k], e.running[count+k]}
		for _, p := range both {
			if err := p.drain(); err != nil {
				return err
			}
		}
		for _, job := range jobs {
			if err := servicesAre(count, 1)(ctx, e, job); err != nil {
				return err
			}
		}
		for _, p := range both {
			if err := e.quit(ctx, p); err != nil {
				return fmt.Errorf("%s of %s: %w", p.instance, p.job, err)
			}
			if err := e.start(p); err != nil {
				return err
			}
		}
		for _, job := range jobs {
			if err := servicesAre(count, 0)(ctx, e, job); err != nil {
				return err
			}
		}
	}
	return nil
}

// quiet looks at all alerts since the beginning.
func quiet(ctx context.Context, e *env) error {
	fired, err := e.prometheus.Query(ctx, fmt.Sprintf(`count_over_time(ALERTS{alertstate="firing"}[%ds])`, int(time.Since(e.began).Seconds())+1))
	if err != nil {
		return err
	}
	for _, s := range fired {
		err = errors.Join(err, fmt.Errorf("fired: %v", s.Labels))
	}
	pending, err2 := e.prometheus.Query(ctx, `max_over_time(ALERTS{alertstate="pending", alertname="TaskvisorTaskCrashLooping"}[5m])`)
	if err == nil && err2 == nil && len(pending) == 0 {
		err = errors.New("the rules are not evaluated: the ill replica's task fails all the time, which has to be pending")
	}
	return errors.Join(err, err2)
}

func endAll(ctx context.Context, e *env) error {
	for _, p := range e.running {
		if err := p.drain(); err != nil {
			return err
		}
	}
	for _, job := range jobs {
		if err := servicesAre(count, count)(ctx, e, job); err != nil {
			return err
		}
	}
	for _, p := range e.running {
		if err := e.quit(ctx, p); err != nil {
			return fmt.Errorf("%s of %s: %w", p.instance, p.job, err)
		}
		p.cmd = nil
	}
	return nil
}

// sameCounts compares the last values of one process, scraped and pushed.
func sameCounts(ctx context.Context, e *env) error {
	for k := range count {
		got, err := e.prometheus.Counts(ctx, fmt.Sprintf(
			`last_over_time(taskvisor_task_attempts_total{job=%q, instance=%q, supervisor=""}[5m])`, jobScraped, e.running[k].instance),
			"taskvisor_task_name", "taskvisor_attempt_result")
		if err != nil {
			return err
		}
		want, err := e.prometheus.Counts(ctx, fmt.Sprintf(
			`last_over_time(taskvisor_task_attempts_total{job=%q, instance=%q, supervisor!=""}[5m])`, jobScraped, e.running[k].listen),
			"task", "result")
		if err != nil {
			return err
		}
		if len(want) < 5 {
			return fmt.Errorf("%s counted %v", e.running[k].listen, want)
		}
		for key, n := range want {
			if got[key] != n {
				return fmt.Errorf("%s of %s: %d scraped, %d by OTLP", key, e.running[k].instance, n, got[key])
			}
		}
	}
	return nil
}
