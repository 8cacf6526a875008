package board

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// row is a line of the board under one question.
type row struct {
	question string
	panels   []ready
}

// overview answers, from the top down: is anything wrong and where; who fails
// and why; what is stuck; when is the next retry; is admission saturated; who owned
// which lease; can the numbers be trusted.
func overview() (dashboard.Dashboard, error) {
	b := frame(OverviewUID, "Taskvisor / Overview",
		"Is anything wrong, and where? The coloured numbers say whether, the table below them says where; "+
			"a click on a task opens its own board.").
		Link(boardLink("Task board", TaskUID))
	return assemble(b, []row{
		{"", append(vitals(), troubleTable())},
		{"On how many replicas?", replicas()},
		{"Who fails, and why?", failures()},
		{"What is stuck?", stuck()},
		{"How long until the next retry?", retries()},
		{"Is admission saturated?", admission()},
		{"Who owned when?", leases()},
		{"Can I trust what I see?", telemetry()},
	})
}

func assemble(b *dashboard.DashboardBuilder, rows []row) (dashboard.Dashboard, error) {
	for _, r := range rows {
		if r.question != "" {
			b.WithRow(dashboard.NewRowBuilder(r.question))
		}
		for _, p := range r.panels {
			b.WithPanel(p)
		}
	}
	return b.Build()
}

// vital is one of the numbers at the top.
func vital(title, desc, expr string, levels *dashboard.ThresholdsConfig) ready {
	return panel{
		title: title, desc: desc, unit: units.Number, width: 3, height: 4, decimals: cog.ToPtr(0.0),
		empty: "no data", targets: []target{{expr: expr}}, links: totalLink(),
	}.stat(levels)
}

// vitals are green on a quiet night. None of them falls back to a made-up zero:
// where nothing was scraped they say so.
func vitals() []ready {
	alarm := thresholds(green, step{0.5, red})
	notice := thresholds(green, step{0.5, orange})
	return []ready{
		vital("Supervisors not running", "Supervisors that drain or have stopped, and targets of their jobs that are not scraped. The table of services says of how many. Alerts: TaskvisorSupervisorStopped, TaskvisorProcessRestarting, TaskvisorTargetDown.",
			sum(of("supervisor_state", `state="running"`)+" == bool 0")+" + ("+
				"count(up{"+targets+"} == 0 and on (job) "+of("supervisor_state")+") or vector(0))", alarm),
		vital("Crash looping", "Tasks that failed five times or more in a row, now. Alert: TaskvisorTaskCrashLooping.",
			sum(ofTask("task_consecutive_failures")+" >= bool 5"), alarm),
		vital("Failing", "Tasks whose last attempt failed and that are being retried, now. One failure is what retries are for; look at the table for those that go on.",
			sum(ofTask("task_consecutive_failures")+" >= bool 1"), notice),
		vital("Gave up", "Tasks that ended for good, failed or fatal, in the time shown. Nobody restarts them. Alert: TaskvisorTaskGaveUp.",
			sum(total(of("tasks_finished_total", `outcome=~"failed|fatal"`))), alarm),
		vital("Panics", "Attempts that panicked in the time shown; each is a defect in a task. Alert: TaskvisorTaskPanicking.",
			sum(total(ofTask("task_attempts_total", `result="panic"`))), alarm),
		vital("Stuck or abandoned", "Bodies that still run long after they were told to stop, now. They hold a goroutine, a name and a permit. Alerts: TaskvisorAttemptStuck, TaskvisorAttemptsAbandoned.",
			sum(of("stuck_attempts")+" + "+of("abandoned_attempts")), alarm),
		vital("Refused, queue full", "Submissions turned away because a slot's queue was full, in the time shown: work that was not done. Alert: TaskvisorAdmissionQueueFull.",
			sum(total(of("admission_rejections_total", `reason="queue_full"`))), notice),
		vital("Events lost", "Events that a slow subscriber lost in the time shown: its logs have gaps; metrics have none. Alert: TaskvisorEventsDropped.",
			sum(total(of("subscriber_events_dropped_total")))+" or 0 * "+sum(total(of("subscriber_events_total"))), notice),
	}
}

// troubleTable names the tasks behind the numbers, worst first.
func troubleTable() ready {
	failed := sum(total(ofTask("task_attempts_total", bad)), identity) + " > 0"
	by := func(outcome string) string {
		return sum(total(ofTask("task_attempts_total", `result="`+outcome+`"`)), identity) + " > 0"
	}
	some := thresholds("transparent", step{0.5, orange})
	worse := thresholds("transparent", step{0.5, red})
	return panel{
		title: "Where: tasks with failed attempts, worst first",
		desc: "Every task with a failed attempt in the time shown, and why. Click a task for its board. " +
			"“In a row” counts now; the other numbers count over the time shown. A resident task, which is one endless attempt, " +
			"has no last success: it is well while it runs and its restarts stay flat.",
		unit: units.Number, width: 24, height: 8, decimals: cog.ToPtr(0.0),
	}.table("In a row",
		column{"In a row", only(ofTask("task_consecutive_failures"), "("+failed+")"), units.Number,
			thresholds("transparent", step{1, orange}, step{5, red}), nil},
		column{"Failure", by("failure"), units.Number, some, nil},
		column{"Timeout", by("timeout"), units.Number, some, nil},
		column{"Panic", by("panic"), units.Number, worse, nil},
		column{"Fatal", by("fatal"), units.Number, worse, nil},
		column{"Since last success", only(since(ofTask("task_last_success_timestamp_seconds")), "("+failed+")"), units.Seconds,
			thresholds("transparent", step{900, orange}, step{3600, red}), nil},
		column{"Next attempt in", only(until(ofTask("task_next_start_timestamp_seconds")), "("+failed+")"), units.Seconds, nil, nil},
	)
}

func failures() []ready {
	ratio := worst10(sum(rate(ofTask("task_attempts_total", bad)), ofService)+" / "+
		sum(rate(ofTask("task_attempts_total", judged)), ofService)+" >= 0", // of no attempts there is no ratio
		ofService, sum(sofar("increase", ofTask("task_attempts_total", bad)), ofService))
	durations := ofTask("task_attempt_duration_seconds", judged)
	slowest := worst10(quantile(0.95, durations, ofService), ofService, fmt.Sprintf("(%s or %s) / %s",
		sum("histogram_sum("+sofar("increase", durations)+")", ofService),
		sum(sofar("increase", ofTask("task_attempt_duration_seconds_sum", judged)), ofService),
		sum(sofar("increase", ofTask("task_attempts_total", judged)), ofService)))
	return []ready{
		panel{title: "Attempts by result", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Attempts that ended per second. Cancellations by us (shutdown, removal) are grey and not errors. A resident task adds nothing here until it ends.",
			targets: []target{{expr: sum(rate(ofTask("task_attempts_total")), "result"), legend: "{{result}}"}},
		}.stacked(byState(outcomes)),
		panel{title: "Failure ratio, ten worst tasks", unit: units.PercentUnit, width: 6, height: 8, links: seriesLink(),
			desc:    "Failed attempts (failure, fatal, timeout, panic) of all that were not canceled. Click a line for the task.",
			targets: []target{{expr: ratio, legend: taskOf}},
		}.lines(percent),
		panel{title: "Attempt duration, p95, ten slowest tasks", unit: units.Seconds, width: 6, height: 8, links: seriesLink(),
			desc:    "Without canceled attempts. The diamonds are single attempts: click one for its trace. A resident task appears only when an attempt ends.",
			targets: []target{{expr: slowest, legend: taskOf, exemplars: true}},
		}.lines(),
		panel{title: "Tasks that ended, by result", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Tasks that are gone for good, per second. Failed and fatal ones gave up; nobody restarts them.",
			targets: []target{{expr: sum(rate(of("tasks_finished_total")), "outcome"), legend: "{{outcome}}"}},
		}.stacked(byState(taskOutcomes)),
	}
}
