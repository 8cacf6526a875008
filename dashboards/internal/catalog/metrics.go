// Package catalog lists what the subscribers produce: metrics, span attributes
// and log keys. It is the one table from which docs/observability.md is made,
// and against which every expression of the boards and rules is checked.
package catalog

// Type is a Prometheus metric type.
type Type string

// The types in use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Namespace is the prefix of every metric, unless an option changes it.
const Namespace = "taskvisor_"

// Label is a label of a metric and the values that it takes; none listed means
// that they are the user's.
type Label struct {
	Name   string
	Values []string
}

// Metric is one family as promsub exports it. The label supervisor is on every
// family and not repeated in Labels.
type Metric struct {
	Name     string // with the namespace
	Type     Type
	Unit     string // as in the name; "" for a plain number
	Labels   []Label
	Help     string // what it counts or shows, one sentence
	Question string // what an operator asks when looking at it
}

var (
	taskLabel       = Label{Name: "task"}
	subscriberLabel = Label{Name: "subscriber"}
	taskStates      = []string{"pending", "running", "backoff", "waiting", "stopping", "abandoned"}
	attemptOutcomes = []string{"success", "failure", "fatal", "timeout", "panic", "canceled"}
)

// Metrics returns every family that promsub exports, grouped as the docs show
// them.
func Metrics() []Metric {
	var all []Metric
	all = append(all, supervisorMetrics()...)
	all = append(all, taskMetrics()...)
	all = append(all, admissionMetrics()...)
	all = append(all, subscriberMetrics()...)
	for i := range all {
		all[i].Name = Namespace + all[i].Name
	}
	return all
}

func supervisorMetrics() []Metric {
	return []Metric{
		{"build_info", Gauge, "", []Label{{Name: "version"}, {Name: "go_version"}},
			"Always 1; the version is in the labels.", "Which version runs where?"},
		{"supervisor_state", Gauge, "", []Label{{"state", []string{"running", "draining", "stopped"}}},
			"1 for the state that the supervisor is in, 0 for the others.", "Is it up?"},
		{"tasks", Gauge, "", []Label{{"state", taskStates}},
			"Registered tasks by state.", "How many, doing what?"},
		{"tasks_added_total", Counter, "", nil,
			"Tasks registered.", "How much churn? Added − removed = sum of tasks."},
		{"tasks_removed_total", Counter, "", nil,
			"Tasks whose name became free again.", "How much churn?"},
		{"tasks_finished_total", Counter, "",
			[]Label{{"outcome", []string{"completed", "failed", "fatal", "canceled", "abandoned"}}},
			"Tasks that ended, by outcome; it survives the removal of the task.", "Who gave up?"},
		{"concurrency_limit", Gauge, "", nil,
			"Permits for attempts; absent if there is no limit.", "How much headroom?"},
		{"concurrency_in_use", Gauge, "", nil,
			"Permits taken, or attempts running if there is no limit.", "How much headroom?"},
		{"stuck_attempts", Gauge, "", nil,
			"Attempts that still run long after their deadline or their stop.", "Which goroutines ignore their context, now?"},
		{"abandoned_attempts", Gauge, "", nil,
			"Attempts that outlived their grace and still run.", "Which goroutines ignore their context, now?"},
		{"attempts_abandoned_total", Counter, "", []Label{{"cause", []string{"shutdown", "removed", "replaced"}}},
			"Attempts given up after their grace, by what stopped them.", "Who ignores the context?"},
		{"shutdown_start_timestamp_seconds", Gauge, "seconds", nil,
			"When the shutdown began; absent before.", "Draining for how long?"},
		{"shutdown_duration_seconds", Gauge, "seconds", nil,
			"How long the shutdown has lasted, or took in all; absent before.", "Do deploys fit their grace?"},
	}
}

func taskMetrics() []Metric {
	causes := Label{"cause", []string{"success", "failure", "requested"}}
	return []Metric{
		{"task_state", Gauge, "", []Label{taskLabel, {"state", taskStates}},
			"1 for the state that the task is in, 0 for the others.", "What is task X doing?"},
		{"task_attempts_total", Counter, "", []Label{taskLabel, {"outcome", attemptOutcomes}},
			"Attempts that ended, by outcome.", "Error ratio? Panics? Timeouts?"},
		{"task_attempt_duration_seconds", Histogram, "seconds", []Label{taskLabel, {"outcome", attemptOutcomes}},
			"How long attempts took; classic and native, with exemplars if configured.", "How slow, and which trace shows it?"},
		{"task_restarts_total", Counter, "", []Label{taskLabel, causes},
			"Further attempts that were scheduled, by what decided the delay.", "How often does it restart?"},
		{"task_consecutive_failures", Gauge, "", []Label{taskLabel},
			"Failures since the last success.", "A crash loop?"},
		{"task_backoff_delay_seconds", Gauge, "seconds", []Label{taskLabel},
			"Delay of the latest retry in the present streak of failures; 0 outside one.", "How far has the backoff escalated?"},
		{"task_backoff_seconds_total", Counter, "seconds", []Label{taskLabel},
			"Time spent in backoff, up to now.", "Which share of its time is backoff?"},
		{"task_last_success_timestamp_seconds", Gauge, "seconds", []Label{taskLabel},
			"When an attempt last succeeded; absent if none did.", "Is it stale?"},
		{"task_next_start_timestamp_seconds", Gauge, "seconds", []Label{taskLabel},
			"When the next attempt is due; absent unless the task waits for it.", "How long until the next retry?"},
		{"task_attempt_start_timestamp_seconds", Gauge, "seconds", []Label{taskLabel},
			"When the running attempt began; absent if none runs.", "Does it hang?"},
	}
}

func admissionMetrics() []Metric {
	return []Metric{
		{"admission_requests_total", Counter, "", []Label{
			{"policy", []string{"queue", "replace", "drop_if_running", "coalesce", "join"}},
			{"result", []string{"started", "queued", "joined", "rejected"}}},
			"Submissions by policy and by what became of them at once.", "What is the offered load?"},
		{"admission_rejections_total", Counter, "", []Label{{"reason", []string{"already_exists",
			"slot_busy", "queue_full", "superseded", "removed", "shutting_down"}}},
			"Submissions refused, at once or later, by reason.", "Why was it refused?"},
		{"admission_wait_seconds", Histogram, "seconds", nil,
			"How long submissions waited for their slot.", "What does queueing cost?"},
		{"slots", Gauge, "", []Label{{"state", []string{"admitting", "running", "terminating", "abandoned"}}},
			"Slots that have an owner, by state.", "How many keys are active?"},
		{"slot_queue_length", Gauge, "", nil,
			"Submissions waiting, over all slots.", "How deep is the queue?"},
		{"slot_queue_length_max", Gauge, "", nil,
			"Submissions waiting for the slot with the longest queue.", "Is one key hot?"},
		{"slot_queue_oldest_timestamp_seconds", Gauge, "seconds", nil,
			"When the submission that waits longest was made; absent if none waits.", "Does somebody starve?"},
	}
}

func subscriberMetrics() []Metric {
	return []Metric{
		{"subscriber_queue_length", Gauge, "", []Label{subscriberLabel},
			"Events that wait for a queued subscriber.", "Is a sink slow?"},
		{"subscriber_queue_capacity", Gauge, "", []Label{subscriberLabel},
			"Events that may wait for it.", "Is a sink slow?"},
		{"subscriber_events_total", Counter, "", []Label{subscriberLabel},
			"Events delivered.", "Do events flow?"},
		{"subscriber_events_dropped_total", Counter, "", []Label{subscriberLabel, {Name: "kind"}},
			"Events lost because a subscriber fell too far behind, by kind.", "Are logs lossy?"},
		{"subscriber_panics_total", Counter, "", []Label{subscriberLabel},
			"Panics of a subscriber, contained.", "Is a subscriber broken?"},
		{"metrics_overflow_tasks", Gauge, "", nil,
			`Tasks that share task="_other" because of the cardinality guard.`, "Was the guard hit?"},
	}
}
