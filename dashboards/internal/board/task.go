package board

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// task answers what an operator asks about one task: is it well, what is it
// doing, why does it fail, how slow is it, when does it try again.
func task() (dashboard.Dashboard, error) {
	b := frame(TaskUID, "Taskvisor / Task",
		"One task (or the few that are chosen above): is it well, what is it doing, why does it fail, when does it try again?").
		Link(boardLink("Overview", OverviewUID))
	return assemble(b, []row{
		{"", append(taskVitals(), taskNow(), taskTimeline())},
		{"Why does it fail, and how slow is it?", taskAttempts()},
		{"When does it try again?", taskRetries()},
		{"Does it keep its objective?", objective()},
		{"Is it the task, or its surroundings?", surroundings()},
	})
}

func taskVital(title, desc, unit, expr string, levels *dashboard.ThresholdsConfig) ready {
	p := panel{title: title, desc: desc, unit: unit, width: 4, height: 4, empty: "–", targets: []target{{expr: expr}}}
	if unit == units.Number {
		p.decimals = cog.ToPtr(0.0)
	}
	return p.stat(levels)
}

func taskVitals() []ready {
	attempts := func(matchers ...string) string { return sum(total(ofTask("task_attempts_total", matchers...))) }
	return []ready{
		taskVital("Failures in a row", "Failures since the last success, now; the worst instance.", units.Number,
			"max("+ofTask("task_consecutive_failures")+")", thresholds(green, step{1, orange}, step{5, red})),
		taskVital("Failure ratio", "Failed attempts of all that were not canceled, in the time shown. A resident task has none until an attempt ends.", units.PercentUnit,
			attempts(bad)+" / "+attempts(judged), thresholds(green, step{0.05, orange}, step{0.5, red})),
		taskVital("Timeouts", "Attempts ended by their timeout in the time shown.", units.Number,
			attempts(`result="timeout"`), thresholds(green, step{0.5, orange})),
		taskVital("Panics", "Attempts that panicked in the time shown; the trace and the log carry the stack.", units.Number,
			attempts(`result="panic"`), thresholds(green, step{0.5, red})),
		taskVital("Since last success", "Age of the last success, on the instance where it is oldest. A resident task has none: judge it by running and flat restarts.", units.Seconds,
			"max("+since(ofTask("task_last_success_timestamp_seconds"))+")", thresholds(green, step{900, orange}, step{3600, red})),
		taskVital("Next attempt in", "Time to the next attempt, on the instance where it comes first; a dash while the task runs.", units.Seconds,
			"min("+until(ofTask("task_next_start_timestamp_seconds"))+")", thresholds(blue)),
	}
}

func taskNow() ready {
	return panel{
		title: "Now, on each instance",
		desc: "What each copy of the task is doing; where several share the label (kinds), the state that is worst, and how many they are. “Running for” is the age of the current attempt: days are right for a resident task, " +
			"a hang for a periodic one.",
		unit: units.Number, width: 24, height: 6,
	}.table("Failures in a row",
		column{"State", taskCode(), units.Number, nil, taskStates},
		column{"Tasks", sum(ofTask("task_state"), identity), units.Number, nil, nil},
		column{"Failures in a row", ofTask("task_consecutive_failures"), units.Number,
			thresholds("transparent", step{1, orange}, step{5, red}), nil},
		column{"Running for", since(ofTask("task_attempt_start_timestamp_seconds")), units.Seconds, nil, nil},
		column{"Next attempt in", until(ofTask("task_next_start_timestamp_seconds")), units.Seconds, nil, nil},
		column{"Delay", ofTask("task_backoff_delay_seconds"), units.Seconds, nil, nil},
		column{"Since last success", since(ofTask("task_last_success_timestamp_seconds")), units.Seconds,
			thresholds("transparent", step{900, orange}, step{3600, red}), nil},
	)
}

func taskCode() string {
	return code(func(m string) string { return ofTask("task_state", m) }, taskStates, identity)
}

func taskTimeline() ready {
	return panel{
		title: "State over time", unit: units.NoUnit, width: 24, height: 6, empty: "No such task is registered.",
		desc:    "What the task was doing at each scrape; shorter states fall between two of them. Violet and blue marks are shutdowns and deploys.",
		targets: []target{{expr: taskCode(), legend: "{{task}} {{instance}}"}},
	}.timeline(taskStates)
}

func taskAttempts() []ready {
	durations := ofTask("task_attempt_duration_seconds", judged)
	return []ready{
		panel{title: "Attempts by result", unit: units.OpsPerSecond, width: 8, height: 9,
			desc:    "Attempts that ended per second. Grey ones were canceled by us and are no errors. A resident task adds nothing until an attempt ends.",
			targets: []target{{expr: sum(rate(ofTask("task_attempts_total")), "result"), legend: "{{result}}"}},
		}.stacked(byState(outcomes)),
		panel{title: "Attempt duration", unit: units.Seconds, width: 8, height: 9,
			desc: "Quantiles of attempts that were not canceled. The diamonds are single attempts: click one, then “trace_id”, for its trace.",
			targets: []target{
				{expr: quantile(0.5, durations), legend: "p50", exemplars: true},
				{expr: quantile(0.95, durations), legend: "p95"},
				{expr: quantile(0.99, durations), legend: "p99"}},
		}.lines(),
		panel{title: "Duration by result, p95", unit: units.Seconds, width: 8, height: 9,
			desc:    "Failures that take as long as the timeout point at something that hangs; failures that take nothing are refused connections or bad input.",
			targets: []target{{expr: quantile(0.95, ofTask("task_attempt_duration_seconds"), "result"), legend: "{{result}}"}},
		}.lines(byState(outcomes)),
	}
}

func taskRetries() []ready {
	return []ready{
		panel{title: "Failures in a row, over time", unit: units.Number, width: 8, height: 8, decimals: cog.ToPtr(0.0),
			desc:    "A staircase is a failure that does not pass; teeth are one that comes and goes.",
			targets: []target{{expr: ofTask("task_consecutive_failures"), legend: "{{task}} {{instance}}"}},
		}.lines(),
		panel{title: "Delay before the next attempt", unit: units.Seconds, width: 8, height: 8,
			desc:    "The delay that is being waited, or was before the current attempt. A plateau is the maximum of the backoff.",
			targets: []target{{expr: ofTask("task_backoff_delay_seconds"), legend: "{{task}} {{instance}}"}},
		}.lines(),
		panel{title: "Restarts by cause", unit: units.OpsPerSecond, width: 8, height: 8,
			desc:    "After a success (periodic), after a failure, or as the task asked (RetryAfter), per second. Flat for a resident task that is well.",
			targets: []target{{expr: sum(rate(ofTask("task_restarts_total")), "cause"), legend: "{{cause}}"}},
		}.stacked(byState(causes)),
		panel{title: "Share of time in backoff", unit: units.PercentUnit, width: 8, height: 8,
			desc:    "Time in backoff per second, as it passes; of tasks that share a label, all together.",
			targets: []target{{expr: sum(rate(ofTask("task_backoff_seconds_total")), identity), legend: "{{task}} {{instance}}"}},
		}.lines(percent),
		panel{title: "Age of the running attempt", unit: units.Seconds, width: 8, height: 8, empty: "No attempt is running.",
			desc:    "Saw-teeth are attempts; a line that only climbs is a resident task, or one that hangs.",
			targets: []target{{expr: since(ofTask("task_attempt_start_timestamp_seconds")), legend: "{{task}} {{instance}}"}},
		}.lines(),
		panel{title: "Age of the last success", unit: units.Seconds, width: 8, height: 8, empty: "It has never succeeded.",
			desc:    "For a periodic task its teeth are as high as the interval; a resident task has none.",
			targets: []target{{expr: since(ofTask("task_last_success_timestamp_seconds")), legend: "{{task}} {{instance}}"}},
		}.lines(),
	}
}

func surroundings() []ready {
	where := []string{oneOf}
	return []ready{
		panel{title: "Permits", unit: units.Number, width: 8, height: 8, decimals: cog.ToPtr(0.0),
			desc:  "If all permits are in use, this task may be pending because of others.",
			empty: "Its supervisor has no limit.",
			targets: []target{
				{expr: sum(of("concurrency_in_use")+" and "+of("concurrency_limit"), where...), legend: "in use, {{instance}} {{supervisor}}"},
				{expr: sum(of("concurrency_limit"), where...), legend: "limit, {{instance}} {{supervisor}}"}},
		}.lines(),
		panel{title: "Stuck and abandoned attempts nearby", unit: units.Number, width: 8, height: 8, decimals: cog.ToPtr(0.0),
			desc: "Of any task on the same instances. The log line “attempt stuck” names the task and carries its stack.",
			targets: []target{
				{expr: sum(of("stuck_attempts"), where...), legend: "stuck, {{instance}} {{supervisor}}"},
				{expr: sum(of("abandoned_attempts"), where...), legend: "abandoned, {{instance}} {{supervisor}}"}},
		}.lines(byPrefix("stuck", orange), byPrefix("abandoned", red)),
		panel{title: "State of its supervisor", unit: units.NoUnit, width: 8, height: 8,
			desc: "Attempts canceled while it drains were stopped by a shutdown.",
			targets: []target{{expr: code(func(m string) string { return of("supervisor_state", m) }, supervisorStates,
				oneOf), legend: "{{instance}} {{supervisor}}"}},
		}.timeline(supervisorStates),
	}
}

// objective is for tasks that have one; see the rules of objectives.
func objective() []ready {
	failed := func(window string) string {
		return fmt.Sprintf("job_supervisor_task:taskvisor_task_attempts_failed:ratio_rate%s{%s}", window, serviceFilters)
	}
	burn := func(window string) string {
		return failed(window) + " / on (job, task) group_left () (1 - taskvisor_task_objective_ratio)"
	}
	const none = "No task chosen has an objective."
	return []ready{
		panel{title: "Error budget, burnt within three days", unit: units.PercentUnit, width: 8, height: 8, empty: none,
			desc:    "How much of the budget of 30 days the last three have spent, on all instances together. A tenth is just what the objective allows.",
			targets: []target{{expr: burn("3d") + " / 10", legend: taskOf}},
		}.stat(thresholds(green, step{0.1, orange}, step{0.3, red})),
		panel{title: "How fast the error budget burns", unit: units.Number, width: 16, height: 8, empty: none,
			desc: "1 is what the objective allows. Above 14.4 within an hour somebody is paged; above 1 within three days there is a ticket. Alerts: TaskvisorTaskBudgetBurnsFast, TaskvisorTaskBudgetBurnsSlowly.",
			targets: []target{
				{expr: burn("1h"), legend: taskOf + ", 1 h"},
				{expr: burn("6h"), legend: taskOf + ", 6 h"},
				{expr: burn("3d"), legend: taskOf + ", 3 d"}},
		}.lines(),
	}
}
