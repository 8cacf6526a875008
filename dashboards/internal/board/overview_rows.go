package board

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

func stuck() []ready {
	running := since(ofTask("task_attempt_start_timestamp_seconds"))
	where := []string{oneOf}
	return []ready{
		panel{title: "Stuck and abandoned attempts", unit: units.Number, width: 6, height: 8,
			desc: "Bodies that run on after their deadline or stop (stuck), or after their grace (abandoned). Go cannot stop them; the event and the log carry their stacks.",
			targets: []target{
				{expr: sum(of("stuck_attempts"), where...), legend: "stuck, {{instance}} {{supervisor}}"},
				{expr: sum(of("abandoned_attempts"), where...), legend: "abandoned, {{instance}} {{supervisor}}"}},
		}.lines(byPrefix("stuck", orange), byPrefix("abandoned", red)),
		panel{title: "Attempts abandoned, by what stopped them", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Attempts given up after their grace, per second. On an orderly deploy this stays at zero.",
			targets: []target{{expr: sum(rate(of("attempts_abandoned_total")), "cause"), legend: "{{cause}}"}},
		}.lines(byState(stops)),
		panel{title: "Tasks by state", unit: units.Number, width: 6, height: 8, decimals: cog.ToPtr(0.0),
			desc:    "Registered tasks. Backoff waits after a failure, waiting after a success; pending waits for a permit or for its slot.",
			targets: []target{{expr: sum(of("tasks"), "state"), legend: "{{state}}"}},
		}.stacked(byState(taskStates)),
		panel{title: "State of each supervisor", unit: units.NoUnit, width: 6, height: 8,
			desc: "Draining is a shutdown in progress, and should last no longer than the grace.",
			targets: []target{{expr: code(func(m string) string { return of("supervisor_state", m) }, supervisorStates,
				oneOf), legend: "{{instance}} {{supervisor}}"}},
		}.timeline(supervisorStates),
		panel{title: "Longest running attempts", unit: units.Seconds, width: 12, height: 8,
			desc: "How long the current attempt runs. For a resident task, one endless attempt, days are right; for a periodic one it means that the body hangs: give it a timeout.",
		}.table("Running for", column{"Running for", top10(running), units.Seconds, nil, nil}),
		panel{title: "Shutdowns", unit: units.Seconds, width: 12, height: 8, empty: "No supervisor is shutting down.",
			desc:    "How long a shutdown has lasted; the line stays flat when it is over, until the process ends. Alert: TaskvisorShutdownStuck.",
			targets: []target{{expr: of("shutdown_duration_seconds"), legend: "{{instance}} {{supervisor}}"}},
		}.lines(),
	}
}

func retries() []ready {
	next := ofTask("task_next_start_timestamp_seconds")
	return []ready{
		panel{title: "Due next, or overdue", unit: units.Seconds, width: 12, height: 8,
			desc: "Tasks that wait, by the time to their next attempt. A delay that has reached the backoff's maximum means that the failure is not passing.",
		}.table("In a row",
			column{"Next attempt in", until(next), units.Seconds, thresholds("transparent"), nil},
			column{"Delay", only(ofTask("task_backoff_delay_seconds"), next), units.Seconds, nil, nil},
			column{"In a row", only(ofTask("task_consecutive_failures"), next), units.Number,
				thresholds("transparent", step{1, orange}, step{5, red}), nil}),
		panel{title: "Share of time in backoff, ten worst tasks", unit: units.PercentUnit, width: 6, height: 8, links: seriesLink(),
			desc: "Time in backoff per second, on the average of the instances, as it passes. Near 100 % the task does nothing but wait.",
			targets: []target{{expr: worst10(average(rate(ofTask("task_backoff_seconds_total")), ofService), ofService,
				sum(sofar("increase", ofTask("task_backoff_seconds_total")), ofService)), legend: taskOf}},
		}.lines(),
		panel{title: "Restarts by cause", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Further attempts per second: after a success (periodic), after a failure, or as the task asked (RetryAfter). For resident tasks this line is their health: it stays flat.",
			targets: []target{{expr: sum(rate(ofTask("task_restarts_total")), "cause"), legend: "{{cause}}"}},
		}.stacked(byState(causes)),
		panel{title: "Oldest successes", unit: units.Seconds, width: 12, height: 8,
			desc: "Time since the last success of each task that ever had one. Compare with the task's interval; resident tasks have none and are not listed. Alert: TaskvisorTaskNotSucceeding.",
		}.table("Since last success", column{"Since last success",
			top10(since(ofTask("task_last_success_timestamp_seconds"))), units.Seconds,
			thresholds("transparent", step{900, orange}, step{3600, red}), nil}),
		panel{title: "Failures in a row, ten worst tasks", unit: units.Number, width: 12, height: 8, links: seriesLink(), decimals: cog.ToPtr(0.0),
			desc: "Failures since the last success. It falls to zero with the first success, or after a long run without deadline.",
			targets: []target{{expr: worst10(ofTask("task_consecutive_failures"), identity,
				sofar("max_over_time", ofTask("task_consecutive_failures"))), legend: taskOf + " on {{instance}}"}},
		}.lines(),
	}
}

func admission() []ready {
	waits := of("admission_wait_seconds")
	return []ready{
		panel{title: "Permits", unit: units.Number, width: 6, height: 8, decimals: cog.ToPtr(0.0),
			desc:  "Attempts that run, and how many may (WithMaxConcurrent), of the supervisors that have a limit. At the limit tasks are pending.",
			empty: "No supervisor has a limit.",
			targets: []target{
				{expr: sum(of("concurrency_in_use") + " and " + of("concurrency_limit")), legend: "in use"},
				{expr: sum(of("concurrency_limit")), legend: "limit"}},
		}.lines(dashed("limit")),
		panel{title: "Submissions by verdict", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "What became of submissions at once, per second: the offered load.",
			targets: []target{{expr: sum(rate(of("admission_requests_total")), "result"), legend: "{{result}}"}},
		}.stacked(byState(verdicts)),
		panel{title: "Submissions by policy", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Which admission policies the callers use, per second.",
			targets: []target{{expr: sum(rate(of("admission_requests_total")), "policy"), legend: "{{policy}}"}},
		}.stacked(byState(policies)),
		panel{title: "Refusals by reason", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Submissions refused, at once or later, per second. slot_busy and superseded are what the policies DropIfRunning, Replace and Coalesce are for; queue_full is lost work.",
			targets: []target{{expr: sum(rate(of("admission_rejections_total")), "reason"), legend: "{{reason}}"}},
		}.stacked(byState(reasons)),
		panel{title: "Waiting at gates", unit: units.Number, width: 6, height: 8, decimals: cog.ToPtr(0.0),
			desc:    "Attempts that may not begin yet, by what they wait for: a limit, an order, a restart budget, a gate of the program's own.",
			targets: []target{{expr: sum(of("gate_waiting"), "gate"), legend: "{{gate}}"}},
		}.lines(),
		panel{title: "Wait at gates, p95", unit: units.Seconds, width: 6, height: 8,
			desc:    "How long attempts waited until their gate let them in; no line where nobody waited.",
			targets: []target{{expr: quantile(0.95, of("gate_wait_seconds"), "gate"), legend: "{{gate}}"}},
		}.lines(),
		panel{title: "Tasks that are not ready", unit: units.Number, width: 6, height: 8, links: seriesLink(), decimals: cog.ToPtr(0.0),
			desc: "Tasks by name that do not say that they are ready. A periodic task is ready after a success.",
			targets: []target{{expr: worst10(ofTask("task_ready")+" == bool 0", identity,
				"(1 - "+sofar("min_over_time", ofTask("task_ready"))+") > 0"), legend: taskOf + " on {{instance}}"}},
		}.lines(),
		panel{title: "Tasks that gave up", unit: units.OpsPerSecond, width: 6, height: 8, links: seriesLink(),
			desc:    "Tasks that ended failed or fatal, by name, per second.",
			targets: []target{{expr: sum(rate(ofTask("task_gave_up_total")), ofService, "outcome"), legend: taskOf + ": {{outcome}}"}},
		}.lines(),
		panel{title: "Wait for a slot", unit: units.Seconds, width: 6, height: 8,
			desc: "How long submissions waited until they were admitted; no line where nobody waited.",
			targets: []target{
				{expr: quantile(0.5, waits), legend: "p50"},
				{expr: quantile(0.95, waits), legend: "p95"},
				{expr: quantile(0.99, waits), legend: "p99"}},
		}.lines(),
		panel{title: "Waiting submissions", unit: units.Number, width: 6, height: 8, decimals: cog.ToPtr(0.0),
			desc: "All that wait, and the longest queue of a single key. If the second is most of the first, one key is hot.",
			targets: []target{
				{expr: sum(of("slot_queue_length")), legend: "all keys"},
				{expr: "max(" + of("slot_queue_length_max") + ")", legend: "hottest key"}},
		}.lines(),
		panel{title: "Longest wait now", unit: units.Seconds, width: 6, height: 8, empty: "Nobody waits.",
			desc: "Age of the oldest submission that still waits. It climbs without end when the owner of a slot does not return. Alert: TaskvisorQueueStalled.",
			targets: []target{{expr: since(of("slot_queue_oldest_timestamp_seconds")),
				legend: "{{instance}} {{supervisor}}"}},
		}.lines(),
		panel{title: "Slots by state", unit: units.Number, width: 6, height: 8, decimals: cog.ToPtr(0.0),
			desc:    "Keys with an owner. Terminating waits for an owner to return after its stop; abandoned owners keep their slot.",
			targets: []target{{expr: sum(of("slots"), "state"), legend: "{{state}}"}},
		}.stacked(byState(slotStates)),
	}
}

func telemetry() []ready {
	where := []string{oneOf, "subscriber"}
	return []ready{
		panel{title: "Targets scraped", unit: units.PercentUnit, width: 3, height: 8, empty: "no data",
			desc:    "Share of the scrape targets that answered. Below 100 % every number here leaves something out.",
			targets: []target{{expr: `avg(up{` + targets + `} and on (job) ` + of("supervisor_state") + `)`}},
		}.stat(thresholds(red, step{1, green})),
		panel{title: "Tasks without own series", unit: units.Number, width: 3, height: 8, decimals: cog.ToPtr(0.0), empty: "no data",
			desc:    `Tasks beyond the cardinality guard (WithMaxTasks); they share task="_other" and cannot be told apart.`,
			targets: []target{{expr: sum(of("metrics_overflow_tasks"))}},
		}.stat(thresholds(green, step{0.5, orange})),
		panel{title: "Fill of the subscribers' queues", unit: units.PercentUnit, width: 6, height: 8,
			desc: "Events that wait, of those that may. A sink that stays near 100 % loses events next. Inline subscribers have no queue.",
			targets: []target{{expr: sum(of("subscriber_queue_length"), where...) + " / (" +
				sum(of("subscriber_queue_capacity"), where...) + " > 0)", legend: "{{subscriber}} {{instance}}"}},
		}.lines(percent),
		panel{title: "Events delivered", unit: units.OpsPerSecond, width: 6, height: 8,
			desc:    "Per second and subscriber. A subscriber at zero while the others are not is dead.",
			targets: []target{{expr: sum(rate(of("subscriber_events_total")), "subscriber"), legend: "{{subscriber}}"}},
		}.lines(),
		panel{title: "Lost events and panics of subscribers", unit: units.OpsPerSecond, width: 6, height: 8,
			empty: "Nothing was lost.",
			desc:  "Events lost per second, by subscriber and kind, and panics of a subscriber. Metrics and spans are inline and lose nothing.",
			targets: []target{
				{expr: sum(rate(of("subscriber_events_dropped_total")), "subscriber", "kind") + " > 0", legend: "{{subscriber}} lost {{kind}}"},
				{expr: sum(rate(of("subscriber_failures_total")), "subscriber") + " > 0", legend: "{{subscriber}} fails"},
				{expr: sum(rate(of("subscriber_panics_total")), "subscriber") + " > 0", legend: "{{subscriber}} panics"}},
		}.lines(),
		panel{title: "Tasks added and removed", unit: units.OpsPerSecond, width: 12, height: 8,
			desc: "Churn of the registry, per second. Series of a removed task stay for a grace of minutes, so that its last failure is still scraped.",
			targets: []target{
				{expr: sum(rate(of("tasks_added_total"))), legend: "added"},
				{expr: sum(rate(of("tasks_removed_total"))), legend: "removed"}},
		}.lines(),
		panel{title: "Versions", unit: units.Number, width: 12, height: 8,
			desc: "Which version runs where. Two versions outside of a deploy mean that a rollout has stopped half way.",
		}.table("Supervisors", column{"Supervisors", sum(of("build_info"), "cluster", "namespace", "job", "instance", "version", "go_version"), units.Number, nil, nil}),
	}
}

// replicas are for services that run as many copies: first of how many, then the service
// and task.
func replicas() []ready {
	state := func(s string) string { return of("supervisor_state", `state="`+s+`"`) }
	failing := ofTask("task_consecutive_failures") + " > 0"
	all := "count by (" + ofService + ") (" + ofTask("task_consecutive_failures") + ")"
	return []ready{
		panel{title: "Services", unit: units.Number, width: 12, height: 7, decimals: cog.ToPtr(0.0),
			desc: "Supervisors of one name in one job are replicas of one service: how many there are, how many run, and on how many a task fails now. Choose an instance above to see one of them.",
		}.table("Not running",
			column{"Replicas", "count by (" + service + ") (" + state("running") + ")", units.Number, nil, nil},
			column{"Not running", "sum by (" + service + ") (" + state("running") + " == bool 0)", units.Number,
				thresholds("transparent", step{0.5, red}), nil},
			column{"With a failing task", "count by (" + service + ") (max by (" + oneOf + ") (" + failing + "))", units.Number,
				thresholds("transparent", step{0.5, orange}), nil}),
		panel{title: "Tasks that fail, on how many replicas", unit: units.Number, width: 12, height: 7, decimals: cog.ToPtr(0.0),
			desc: "A task that fails on all replicas points at what it depends on or at a deploy; on one of them, at that instance. Click a task for its board, which names the instances.",
		}.table("Fails on",
			column{"Fails on", "count by (" + ofService + ") (" + failing + ")", units.Number, thresholds("transparent", step{0.5, orange}), nil},
			column{"Of", all + " and on (" + ofService + ") count by (" + ofService + ") (" + failing + ")", units.Number, nil, nil},
			column{"In a row, at most", "max by (" + ofService + ") (" + failing + ")", units.Number,
				thresholds("transparent", step{1, orange}, step{5, red}), nil}),
	}
}
