package promql_test

import (
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/promql"
)

func TestCheckFindsMistakes(t *testing.T) {
	v := promql.NewVocabulary(catalog.Metrics())
	v.AddForeign("up")
	for _, tc := range []struct{ expr, want string }{
		{`sum by (job) (rate(taskvisor_task_attempts_total{task="a"}[1m]))`, ""},
		{`taskvisor_tasks{state="running"}`, ""},
		{`taskvisor_tasks{state=~"running|backoff"}`, ""},
		{`histogram_quantile(0.9, sum by (task, le) (rate(taskvisor_task_attempt_duration_seconds_bucket[1m])))`, ""},
		{`histogram_quantile(0.9, sum by (task) (rate(taskvisor_task_attempt_duration_seconds[1m])))`, ""},
		{`up == 0`, ""},
		{`taskvisor_tasks{`, "parse error"},
		{`taskvisor_taks`, "no such metric"},
		{`taskvisor_tasks{task="a"}`, `no label "task"`},
		{`taskvisor_tasks{state="runing"}`, `never "runing"`},
		{`taskvisor_tasks{state=~"running|bakoff"}`, `never "bakoff"`},
		{`taskvisor_tasks_added_total`, "raw taskvisor_tasks_added_total"},
		{`delta(taskvisor_tasks_added_total[5m])`, "raw taskvisor_tasks_added_total"},
		{`histogram_sum(taskvisor_admission_wait_seconds)`, "raw taskvisor_admission_wait_seconds"},
		{`rate(taskvisor_tasks[5m])`, "is a gauge"},
		{`sum by (task) (taskvisor_tasks)`, "has no such label"},
		{`sum by (le) (rate(taskvisor_task_attempt_duration_seconds[1m]))`, "has no such label"},
		{`taskvisor_stuck_attempts and on (task) taskvisor_tasks`, "has no such label"},
		{`rate(taskvisor_task_attempt_duration_seconds_count[1m])`, "no such metric"},
	} {
		r := v.Check(tc.expr)
		for _, metric := range r.Raw {
			r.Problems = append(r.Problems, "raw "+metric)
		}
		got := strings.Join(r.Problems, "; ")
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("Check(%s): %q, want %q", tc.expr, got, tc.want)
		}
	}
}

func TestCheckReportsSelectors(t *testing.T) {
	v := promql.NewVocabulary(catalog.Metrics())
	r := v.Check(promql.Substitute(`sum(increase(taskvisor_task_attempts_total{job=~"$job", task="x"}[$__range])) + taskvisor_stuck_attempts`))
	if len(r.Problems) != 0 || len(r.Selectors) != 2 {
		t.Fatalf("problems %v, selectors %v", r.Problems, r.Selectors)
	}
	s := r.Selectors[0]
	if s.Family != "taskvisor_task_attempts_total" || s.Function != "increase" || s.Range.Hours() != 1 ||
		strings.Join(s.Matchers, " ") != "job task" {
		t.Errorf("counter: %+v", s)
	}
	if s := r.Selectors[1]; s.Range != 0 || s.Function != "" {
		t.Errorf("gauge: %+v", s)
	}
}
