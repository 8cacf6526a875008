package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/promql"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

const root = "../.." // the module's directory

// names of the alerts, in the order of the file.
var names = []string{
	"TaskvisorTaskCrashLooping", "TaskvisorTaskGaveUp", "TaskvisorTaskPanicking", "TaskvisorTaskNotSucceeding",
	"TaskvisorAttemptStuck", "TaskvisorAttemptsAbandoned", "TaskvisorAdmissionQueueFull", "TaskvisorQueueStalled",
	"TaskvisorEventsDropped", "TaskvisorShutdownStuck",
}

// rawCounters are the counters that alerts read outside of rate and increase,
// and why that is right there.
var rawCounters = map[string]string{
	"taskvisor_tasks_finished_total":              "the first value of a new series",
	"taskvisor_task_attempts_total":               "the first value of a new series; a lifetime mean",
	"taskvisor_task_attempt_duration_seconds":     "a lifetime mean",
	"taskvisor_task_attempt_duration_seconds_sum": "a lifetime mean",
	"taskvisor_attempts_abandoned_total":          "the first value of a new series",
	"taskvisor_admission_rejections_total":        "the first value of a new series",
	"taskvisor_subscriber_events_dropped_total":   "the first value of a new series",
}

func load(t *testing.T) []rules.Rule {
	t.Helper()
	all, err := rules.Load(filepath.Join(root, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRulesUseWhatIsExported(t *testing.T) {
	v := promql.NewVocabulary(catalog.Metrics())
	raw := map[string]bool{}
	for _, r := range load(t) {
		report := v.Check(r.Expr)
		for _, problem := range report.Problems {
			t.Errorf("%s: %s", r.Name(), problem)
		}
		for _, counter := range report.Raw {
			raw[counter] = true
			if r.Alert == "" || rawCounters[counter] == "" {
				t.Errorf("%s: %s is not inside rate or increase", r.Name(), counter)
			}
		}
		if len(report.Selectors) == 0 {
			t.Errorf("%s selects nothing", r.Name())
		}
	}
	for counter := range rawCounters {
		if !raw[counter] {
			t.Errorf("%s is excused, but no alert reads it raw", counter)
		}
	}
}

func TestAlertsHelpWhoGetsThem(t *testing.T) {
	var got []string
	for _, a := range rules.Alerts(load(t)) {
		got = append(got, a.Alert)
		if s := a.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		for _, key := range []string{"summary", "description", "dashboard", "runbook_url"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no %s", a.Alert, key)
			}
		}
		if !strings.HasPrefix(a.Annotations["dashboard"], "/d/taskvisor-") {
			t.Errorf("%s: dashboard %q", a.Alert, a.Annotations["dashboard"])
		}
		checkRunbook(t, a)
	}
	if !slices.Equal(got, names) {
		t.Errorf("alerts\n%v, want\n%v", got, names)
	}
}

func checkRunbook(t *testing.T, a rules.Rule) {
	t.Helper()
	const base = "https://github.com/taskvisor/taskvisor-go/blob/main/dashboards/runbooks/"
	if want := base + a.Alert + ".md"; a.Annotations["runbook_url"] != want {
		t.Errorf("%s: runbook_url %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
	}
	text, err := os.ReadFile(filepath.Join(root, "runbooks", a.Alert+".md"))
	if err != nil {
		t.Error(err)
		return
	}
	for _, want := range []string{"# " + a.Alert + "\n", "\n## What it means\n", "\n## Look first\n", "\n## Fix\n", "\n## When it is a false alarm\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the runbook of %s has no %q", a.Alert, strings.TrimSpace(want))
		}
	}
}

func TestEveryRunbookHasItsAlert(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); !slices.Contains(names, name) {
			t.Errorf("%s belongs to no alert", page)
		}
	}
}

// promtool runs the tests; this holds that there is one of each sort for each
// alert, and that the quiet ones are quiet for a reason: they feed the alert's
// own metrics.
func TestEveryAlertIsTestedThreeWays(t *testing.T) {
	fires, quietAgain := map[string]int{}, map[string]int{}
	for _, test := range loadTests(t, "fires_test.yml") {
		for _, c := range test.AlertRuleTest {
			if len(c.ExpAlerts) > 0 {
				fires[c.AlertName]++
			} else {
				quietAgain[c.AlertName]++
			}
		}
	}
	v := promql.NewVocabulary(catalog.Metrics())
	for _, a := range rules.Alerts(load(t)) {
		if fires[a.Alert] == 0 || quietAgain[a.Alert] == 0 {
			t.Errorf("%s: fires in %d tests, is quiet in %d; want both", a.Alert, fires[a.Alert], quietAgain[a.Alert])
		}
		if a.Alert == "TaskvisorEventsDropped" {
			continue // its series begin with a loss, so a quiet run has none
		}
		for _, file := range []string{"healthy_test.yml", "shutdown_test.yml"} {
			fed := series(t, file)
			if !slices.ContainsFunc(v.Check(a.Expr).Selectors, func(s promql.Selector) bool { return fed[s.Metric] }) {
				t.Errorf("%s feeds nothing to %s", file, a.Alert)
			}
		}
	}
}

func loadTests(t *testing.T, file string) []rules.Test {
	t.Helper()
	tests, err := rules.LoadTests(filepath.Join(root, "rules", "tests", file))
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// series returns the names of the metrics that the tests of a file feed, and
// holds that its expectations are all empty ones.
func series(t *testing.T, file string) map[string]bool {
	t.Helper()
	fed := map[string]bool{}
	for _, test := range loadTests(t, file) {
		for _, s := range test.InputSeries {
			name, _, _ := strings.Cut(s.Series, "{")
			fed[name] = true
		}
		for _, c := range test.PromqlExprTest {
			if !strings.Contains(c.Expr, "ALERTS") || len(c.ExpSamples) > 0 {
				t.Errorf("%s expects %v of %s", file, c.ExpSamples, c.Expr)
			}
		}
		if len(test.PromqlExprTest) == 0 {
			t.Errorf("%s expects nothing", file)
		}
	}
	return fed
}
