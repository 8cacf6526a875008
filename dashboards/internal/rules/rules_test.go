package rules_test

import (
	"os"
	"path/filepath"
	"regexp"
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
	"TaskvisorTaskCrashLooping", "TaskvisorTaskFailing", "TaskvisorTaskGaveUp", "TaskvisorTaskPanicking",
	"TaskvisorTaskNotSucceeding", "TaskvisorTaskSlow", "TaskvisorAttemptStuck", "TaskvisorAttemptsAbandoned",
	"TaskvisorAdmissionQueueFull", "TaskvisorQueueStalled", "TaskvisorGateSaturated", "TaskvisorEventsDropped",
	"TaskvisorSubscriberFailing", "TaskvisorMetricsOverflow", "TaskvisorShutdownStuck", "TaskvisorSupervisorStopped",
	"TaskvisorProcessRestarting", "TaskvisorLeaseNotOwned", "TaskvisorLeaseOwnedTwice", "TaskvisorLeaseMarginLow",
	"TaskvisorTargetDown", "TaskvisorTaskBudgetBurnsFast", "TaskvisorTaskBudgetBurnsSlowly",
}

// budgets are the alerts about services with an objective: all instances together.
var budgets = names[len(names)-2:]

// rawCounters are the counters that alerts read outside of rate and increase,
// and why that is right there.
var rawCounters = map[string]string{
	"taskvisor_task_gave_up_total":                "the first value of a new series",
	"taskvisor_task_attempts_total":               "the first value of a new series; a lifetime mean",
	"taskvisor_task_attempt_duration_seconds":     "a lifetime mean",
	"taskvisor_task_attempt_duration_seconds_sum": "a lifetime mean",
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
	v.AddForeign("up")                                     // of Prometheus itself
	v.AddForeign("taskvisor_task_objective_ratio", "task") // of the user's own rules
	for _, r := range load(t) {
		if r.Record != "" {
			v.AddForeign(r.Record, "supervisor", "task")
		}
	}
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

// What otelsub sends beside promsub has the same names, but no label supervisor unless it
// is asked for: it must not be counted again.
func TestEverySelectionWantsASupervisor(t *testing.T) {
	v, n := promql.NewVocabulary(catalog.Metrics()), 0
	for _, r := range load(t) {
		for _, s := range v.Check(r.Expr).Selectors {
			if s.Family != "" && !slices.Contains(s.Matchers, "supervisor") {
				t.Errorf("%s selects %s without supervisor!=\"\"", r.Name(), s.Metric)
			}
			n++
		}
	}
	if n < 60 {
		t.Errorf("%d selections", n)
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
	for _, want := range []string{"# " + a.Alert + "\n", "\n## What it means\n", "\n## Look first\n\nOn the live page (`livesub`, wherever the program serves it; `./?task=NAME` is the page of one task): ", "\n## Fix\n", "\n## When it is a false alarm\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the runbook of %s has no %q", a.Alert, strings.TrimSpace(want))
		}
	}
}

// The commands of the runbooks are run by the end-to-end run; here what they ask.
func TestRunbooksBeginWithCommands(t *testing.T) {
	v := promql.NewVocabulary(catalog.Metrics())
	v.AddForeign("up")
	for _, r := range load(t) {
		if r.Record != "" {
			v.AddForeign(r.Record, "supervisor", "task")
		}
	}
	block := regexp.MustCompile("(?s)## Look first\n\nOn the live page [^\n]+\n\n```sh\n(.+?)\n```\n")
	query := regexp.MustCompile(`^promtool query instant "\$PROMETHEUS" (?:'(.+)'|"(.+)")$`)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, "runbooks", name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		commands := block.FindSubmatch(text)
		if commands == nil {
			t.Errorf("%s does not begin with commands", name)
			continue
		}
		asked := 0
		for i, line := range strings.Split(string(commands[1]), "\n") {
			m := query.FindStringSubmatch(line)
			if m == nil {
				if !strings.HasPrefix(line, "curl ") || !strings.Contains(line, `"$LIVE/"`) {
					t.Errorf("%s: what is %q?", name, line)
				}
				continue
			}
			if i == 0 {
				t.Errorf("%s begins with a query, not with the live page", name)
			}
			asked++
			report := v.Check(m[1] + m[2])
			for _, problem := range report.Problems {
				t.Errorf("%s: %s: %s", name, line, problem)
			}
		}
		if asked == 0 {
			t.Errorf("%s asks Prometheus nothing", name)
		}
	}
}

func TestEveryRunbookHasItsAlert(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "runbooks", "Taskvisor*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); !slices.Contains(names, name) {
			t.Errorf("%s belongs to no alert", page)
		}
	}
}

// Targets have labels that the product knows nothing of: namespace and pod, those of the
// operator. A rule that lists what it keeps would lose them, and with them whom to tell.
func TestAlertsKeepTheLabelsOfTheTarget(t *testing.T) {
	listed := regexp.MustCompile(`\b(by|on|group_left|group_right) *\(([^)]*)\)`)
	for _, a := range rules.Alerts(load(t)) {
		if slices.Contains(budgets, a.Alert) {
			continue
		}
		for _, m := range listed.FindAllStringSubmatch(a.Expr, -1) {
			if a.Alert != "TaskvisorTargetDown" || m[0] != "on (job)" { // up alone keeps its labels there
				t.Errorf("%s lists the labels that it keeps: %s", a.Alert, m[0])
			}
		}
	}
}

// promtool runs the tests; this holds that the texts of each alert are tested.
func TestWhatAlertsSayIsTested(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "rules", "tests", "*_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, file := range files {
		tests, err := rules.LoadTests(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range tests {
			for _, c := range test.AlertRuleTest {
				said[c.AlertName] = said[c.AlertName] || len(c.ExpAlerts) > 0
			}
		}
	}
	for _, name := range names {
		if !said[name] {
			t.Errorf("no test of what %s says", name)
		}
	}
}
