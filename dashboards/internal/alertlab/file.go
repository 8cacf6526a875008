package alertlab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

// Scenario is a run and the alerts that are right in it.
type Scenario struct {
	Name   string
	Native bool // histograms in their native form only
	Long   bool // of many hours: judged in this package's tests, and not written for promtool
	Run    func(*Lab)
	Want   []Firing // all of them; none for a quiet scenario
}

// Firing is an alert that fires from one evaluation to another, both included.
type Firing struct {
	Alert    string            // without the Taskvisor that all begin with
	Labels   map[string]string // beside job, instance and supervisor; "" takes one of these away
	From, To time.Duration
	Rest     int // evaluations between From and To at which it does not fire

	Summary, Description string // as they are sent, if the test holds that too
}

// File is one file of tests.
type File struct {
	Name      string
	Comment   string
	Objective bool          // the rules of objectives are loaded
	Every     time.Duration // from one scrape, and one evaluation of the rules, to the next; 0 means 30 s
	Scenarios []Scenario
}

func (f File) every() time.Duration {
	if f.Every == 0 {
		return 30 * time.Second
	}
	return f.Every
}

type variant struct {
	name   string
	extra  map[string]string
	native bool
	every  time.Duration
	wanted func(name string, labels map[string]string) bool
}

// extra are the labels that operators add to targets, and a program to its metrics.
var extra = map[string]string{"cluster": "eu-1", "namespace": "shop", "pod": "app-7d9f-x2x", "team": "blue"}

// Text runs the scenarios of a file, those in which something fires with further labels
// too, and returns the file.
func (f File) Text(t *testing.T, all []rules.Rule) string {
	var b strings.Builder
	for _, l := range strings.Split(strings.TrimSpace(f.Comment), "\n") {
		fmt.Fprintf(&b, "# %s\n", l)
	}
	b.WriteString("#\n# Made by running the product: see internal/alertlab. Change it there.\n")
	if f.Objective {
		b.WriteString("rule_files:\n  - ../taskvisor.rules.yml\n  - ../taskvisor-slo.rules.yml\n" +
			"group_eval_order: [taskvisor.recording, taskvisor.slo.recording, taskvisor.slo.alerts]\n")
	} else {
		b.WriteString("rule_files:\n  - ../taskvisor-alerts.rules.yml\n")
	}
	fmt.Fprintf(&b, "evaluation_interval: %ds\ntests:\n", int(f.every().Seconds()))
	for _, s := range f.Scenarios {
		if s.Long {
			continue
		}
		wanted := selected(t, f.about(s, all))
		v := variant{name: s.Name, native: s.Native, every: f.every(), wanted: wanted}
		v.write(&b, t, s, all)
		if len(s.Want) > 0 {
			v.name, v.extra = s.Name+", further labels", extra
			v.write(&b, t, s, all)
		}
	}
	return b.String()
}

// about returns the alerts that a scenario is about: that of the file, and those that
// fire. The others are judged too, but in this package's tests alone: it is here that the
// files are kept small. A file that is about no alert is about all.
func (f File) about(s Scenario, all []rules.Rule) (some []rules.Rule) {
	names := map[string]bool{"Taskvisor" + f.Name: true}
	for _, w := range s.Want {
		names["Taskvisor"+w.Alert] = true
	}
	if !slices.ContainsFunc(all, func(r rules.Rule) bool { return r.Alert == "Taskvisor"+f.Name }) {
		return all
	}
	for _, r := range all {
		if names[r.Alert] || f.Objective && strings.HasPrefix(r.Record, "job_supervisor_task:taskvisor_task_attempts_failed") {
			some = append(some, r)
		}
	}
	return some
}

// selected says which series the rules ask for: the rest is left out of the files.
func selected(t testing.TB, all []rules.Rule) func(name string, of map[string]string) bool {
	t.Helper()
	by := map[string][][]*labels.Matcher{}
	for _, r := range all {
		expr, err := parser.ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, ms := range parser.ExtractSelectors(expr) {
			for _, m := range ms {
				if m.Name == labels.MetricName {
					by[m.Value] = append(by[m.Value], ms)
				}
			}
		}
	}
	return func(name string, of map[string]string) bool {
		return slices.ContainsFunc(by[name], func(ms []*labels.Matcher) bool {
			return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
				return m.Name != labels.MetricName && !m.Matches(of[m.Name])
			})
		})
	}
}

func (v variant) write(b *strings.Builder, t *testing.T, s Scenario, all []rules.Rule) {
	l := v.run(t, s.Run)
	fmt.Fprintf(b, "  - name: %q\n    interval: %ds\n    start_timestamp: %d\n    input_series:\n", v.name, int(v.every.Seconds()), l.start.Unix())
	for _, name := range l.names() {
		fmt.Fprintf(b, "      - series: '%s'\n        values: '%s'\n", name, l.series[name])
	}
	length := time.Duration(l.steps-1) * v.every
	v.writeTexts(b, s, all)
	b.WriteString("    promql_expr_test:\n")
	const firing = `ALERTS{alertstate="firing"}`
	over := fmt.Sprintf("[%ds:%ds]", int(length.Seconds())+300, int(v.every.Seconds()))
	start := fmt.Sprintf(" - %d", l.start.Unix())
	for _, q := range []struct {
		expr  string
		value func(Firing) int
	}{
		{"min_over_time(timestamp(" + firing + ")" + over + ")" + start, func(f Firing) int { return int(f.From.Seconds()) }},
		{"max_over_time(timestamp(" + firing + ")" + over + ")" + start, func(f Firing) int { return int(f.To.Seconds()) }},
		{"count_over_time(" + firing + over + ")", func(f Firing) int { return int((f.To-f.From)/v.every) + 1 - f.Rest }},
	} {
		fmt.Fprintf(b, "      - expr: '%s'\n        eval_time: %ds\n", q.expr, int(length.Seconds()))
		if len(s.Want) > 0 {
			b.WriteString("        exp_samples:\n")
		}
		for _, f := range s.Want {
			of := v.labels(f, all)
			of["alertname"], of["alertstate"] = "Taskvisor"+f.Alert, "firing"
			fmt.Fprintf(b, "          - {labels: '%s', value: %d}\n", seriesName("", of), q.value(f))
		}
	}
}

// labels returns those of an alert that it is routed by.
func (v variant) labels(f Firing, all []rules.Rule) map[string]string {
	of := map[string]string{"job": "app", "instance": "a:1", "supervisor": "main"}
	maps.Copy(of, v.extra)
	maps.Copy(of, f.Labels)
	maps.DeleteFunc(of, func(_, value string) bool { return value == "" })
	for _, r := range all {
		if r.Alert == "Taskvisor"+f.Alert {
			maps.Copy(of, r.Labels)
		}
	}
	return of
}

// writeTexts holds what an alert says when it begins to fire.
func (v variant) writeTexts(b *strings.Builder, s Scenario, all []rules.Rule) {
	begun := false
	for _, f := range s.Want {
		if f.Summary == "" {
			continue
		}
		if !begun {
			b.WriteString("    alert_rule_test:\n")
			begun = true
		}
		fmt.Fprintf(b, "      - eval_time: %ds\n        alertname: Taskvisor%s\n        exp_alerts:\n          - exp_labels:\n", int(f.From.Seconds()), f.Alert)
		of := v.labels(f, all)
		for _, n := range slices.Sorted(maps.Keys(of)) {
			fmt.Fprintf(b, "              %s: %q\n", n, of[n])
		}
		board, query := "overview", "var-job="+of["job"]
		if of["instance"] != "" {
			query += "&var-instance=" + strings.ReplaceAll(of["instance"], ":", "%3A")
		}
		if of["task"] != "" {
			board, query = "task", query+"&var-task="+of["task"]
		}
		b.WriteString("            exp_annotations:\n")
		fmt.Fprintf(b, "              summary: %q\n              description: %q\n", f.Summary, f.Description)
		fmt.Fprintf(b, "              runbook_url: https://github.com/taskvisor/taskvisor-go/blob/main/dashboards/runbooks/Taskvisor%s.md\n", f.Alert)
		fmt.Fprintf(b, "              dashboard: /d/taskvisor-%s?%s\n", board, query)
	}
}
