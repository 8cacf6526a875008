// Package docs writes docs/observability.md from the catalog and the rules.
package docs

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/catalog"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

//go:embed observability.md.tmpl
var page string

// Page returns the text of docs/observability.md.
func Page(all []rules.Rule) ([]byte, error) {
	t, err := template.New("observability.md").Parse(page)
	if err != nil {
		return nil, err
	}
	alerts, err := alerts(all)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]string{
		"Metrics":     metrics(),
		"Attributes":  attributes(),
		"Events":      events(),
		"Links":       links(),
		"Instruments": instruments(),
		"LogKeys":     logKeys(),
		"LogLevels":   logLevels(),
		"Alerts":      alerts,
		"Recordings":  recordings(all),
	})
	return []byte(b.String()), err
}

// table writes a Markdown table.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func quoted(s string) string { return "`" + s + "`" }

func metrics() string {
	var rows [][]string
	for _, m := range catalog.Metrics() {
		var labels []string
		for _, l := range m.Labels {
			text := quoted(l.Name)
			if len(l.Values) > 0 {
				text += ": " + strings.Join(l.Values, ", ")
			}
			labels = append(labels, text)
		}
		if labels == nil {
			labels = []string{"–"}
		}
		rows = append(rows, []string{quoted(m.Name), string(m.Type), strings.Join(labels, "; "), m.Help, m.Question})
	}
	return table([]string{"Metric", "Type", "Labels", "What it is", "What it answers"}, rows)
}

func attributes() string {
	var rows [][]string
	for _, a := range catalog.Attributes() {
		when := "end"
		if a.AtStart {
			when = "start"
		}
		rows = append(rows, []string{quoted(a.Name), a.Type, when, a.Meaning})
	}
	return table([]string{"Attribute", "Type", "Set at", "What it is"}, rows)
}

func events() string {
	var rows [][]string
	for _, e := range catalog.SpanEvents() {
		rows = append(rows, []string{quoted(e[0]), e[1]})
	}
	return table([]string{"Event", "What it tells"}, rows)
}

func links() string {
	var rows [][]string
	for _, l := range catalog.LinkTypes() {
		rows = append(rows, []string{quoted(l[0]), l[1]})
	}
	return table([]string{"`taskvisor.link.type`", "Leads"}, rows)
}

func instruments() string {
	var rows [][]string
	for _, i := range catalog.Instruments() {
		attributes := "–"
		if len(i.Attributes) > 0 {
			attributes = "`" + strings.Join(i.Attributes, "`, `") + "`"
		}
		rows = append(rows, []string{quoted(i.Name), quoted(i.Unit), attributes, quoted(i.Metric)})
	}
	return table([]string{"Metric", "Unit", "Attributes beside `taskvisor.supervisor.name`", "What Prometheus calls it"}, rows)
}

func logKeys() string {
	var rows [][]string
	for _, k := range catalog.LogKeys() {
		rows = append(rows, []string{quoted(k.Name), k.Meaning})
	}
	return table([]string{"Key", "What it is"}, rows)
}

func logLevels() string {
	var rows [][]string
	for _, l := range catalog.LogLevels() {
		rows = append(rows, []string{l.Level, l.Events})
	}
	return table([]string{"Level", "Events"}, rows)
}

func alerts(all []rules.Rule) (string, error) {
	var rows [][]string
	for _, a := range rules.Alerts(all) {
		wait := "at once"
		if a.For != "" {
			wait = "after " + a.For
		}
		means, ok := meanings[a.Alert]
		if !ok {
			return "", fmt.Errorf("nobody has said what %s means", a.Alert)
		}
		rows = append(rows, []string{
			fmt.Sprintf("[%s](../dashboards/runbooks/%s.md)", a.Alert, a.Alert), a.Labels["severity"], wait, means,
		})
	}
	return table([]string{"Alert", "Severity", "Fires", "Means"}, rows), nil
}

// meanings says what each alert means, in half a sentence.
var meanings = map[string]string{
	"TaskvisorTaskCrashLooping":   "a task fails again and again without a success in between",
	"TaskvisorTaskFailing":        "more attempts of a task fail than succeed, whatever lies between the failures",
	"TaskvisorTaskGaveUp":         "a task ended for good, its retries exhausted or its error fatal",
	"TaskvisorTaskPanicking":      "attempts of a task panic",
	"TaskvisorTaskNotSucceeding":  "a task has not succeeded for long, or never: it fails, hangs or is not let in",
	"TaskvisorTaskSlow":           "a task takes ten times as long as before",
	"TaskvisorAttemptStuck":       "a body runs on although its context was cancelled",
	"TaskvisorAttemptsAbandoned":  "a body outlived its grace; its goroutine leaks until it returns",
	"TaskvisorAdmissionQueueFull": "submissions were rejected because the queue of their slot was full",
	"TaskvisorQueueStalled":       "a submission has waited for its slot for more than ten minutes",
	"TaskvisorGateSaturated":      "attempts wait for long at a limit or another gate, or are not let in",
	"TaskvisorEventsDropped":      "a slow subscriber lost events; its logs have gaps",
	"TaskvisorSubscriberFailing":  "a subscriber panics, or cannot deal with events",
	"TaskvisorMetricsOverflow":    "there are more tasks than may have series of their own",
	"TaskvisorShutdownStuck":      "a shutdown has lasted for more than two minutes",
	"TaskvisorSupervisorStopped":  "a supervisor has ended in a process that lives on",
	"TaskvisorProcessRestarting":  "a process ends and is started anew, again and again",
	"TaskvisorLeaseNotOwned":      "instances wait for the lease of a task, and none has it",
	"TaskvisorLeaseOwnedTwice":    "more instances have the lease of a task than there are leases",
	"TaskvisorLeaseMarginLow":     "leases are renewed late, again and again",
	"TaskvisorTargetDown":         "a target with supervisors is not scraped",

	"TaskvisorTaskBudgetBurnsFast":   "a task with an objective fails far more than it allows",
	"TaskvisorTaskBudgetBurnsSlowly": "a task with an objective has failed more than it allows for a day or more",
}

func recordings(all []rules.Rule) string {
	var rows [][]string
	for _, r := range all {
		if r.Record != "" {
			rows = append(rows, []string{quoted(r.Record)})
		}
	}
	return table([]string{"Recorded series"}, rows)
}
