package promsub

import "github.com/prometheus/client_golang/prometheus"

// metric is the index of a row of families.
type metric int

const (
	buildInfo metric = iota
	supervisorState
	tasksByState
	tasksAdded
	tasksRemoved
	tasksFinished
	concurrencyLimit
	concurrencyInUse
	stuckAttempts
	abandonedAttempts
	attemptsAbandoned
	shutdownStart
	shutdownDuration
	taskState
	taskAttempts
	taskDuration
	taskRestarts
	taskFailures
	taskBackoffDelay
	taskBackoffSeconds
	taskLastSuccess
	taskNextStart
	taskAttemptStart
	admissionRequests
	admissionRejections
	admissionWait
	slotsByState
	slotQueueLength
	slotQueueMax
	slotQueueOldest
	subscriberQueueLength
	subscriberQueueCapacity
	subscriberEvents
	subscriberDropped
	subscriberPanics
	overflowTasks
	metricCount
)

const (
	gauge     = prometheus.GaugeValue
	counter   = prometheus.CounterValue
	histogram = prometheus.UntypedValue // no constant of its own: these never become constant metrics
)

// family is one metric: everything about it that a reader of /metrics can see.
type family struct {
	name     string // without the namespace
	kind     prometheus.ValueType
	labels   []string // besides supervisor, which every family has
	help     string
	question string // what it is there to answer; see the package comment
}

// families is the one place where metrics are defined. The package comment and
// testdata/metrics.golden repeat it for people and for generators, and a test
// holds the three and what is really exported together.
var families = [metricCount]family{
	buildInfo: {
		"build_info", gauge,
		[]string{"version", "go_version"},
		"Always 1; the version of taskvisor and of Go in the labels.", "which version runs where?",
	},
	supervisorState: {
		"supervisor_state", gauge,
		[]string{"state"},
		"1 for the state that the supervisor is in, 0 for the others; all 0 before its start.", "is it up?",
	},
	tasksByState: {
		"tasks", gauge,
		[]string{"state"},
		"Registered tasks.", "how many, doing what?",
	},
	tasksAdded: {
		"tasks_added_total", counter, nil,
		"Tasks that were registered.", "how much churn? added - removed = sum of tasks",
	},
	tasksRemoved: {
		"tasks_removed_total", counter, nil,
		"Tasks that are gone, with their name free.", "as above",
	},
	tasksFinished: {
		"tasks_finished_total", counter,
		[]string{"outcome"},
		"Tasks that ended; an abandoned one counts when it is given up, not when its body returns.", "did a task give up?",
	},
	concurrencyLimit: {
		"concurrency_limit", gauge, nil,
		"Attempts that may run at the same time; absent without a limit.", "how much headroom?",
	},
	concurrencyInUse: {
		"concurrency_in_use", gauge, nil,
		"Permits taken, or attempts running where there is no limit.", "how much headroom?",
	},
	stuckAttempts: {
		"stuck_attempts", gauge, nil,
		"Attempts reported as stuck and still running.", "which bodies ignore their context now?",
	},
	abandonedAttempts: {
		"abandoned_attempts", gauge, nil,
		"Abandoned attempts whose goroutine still runs.", "as above, and were given up?",
	},
	attemptsAbandoned: {
		"attempts_abandoned_total", counter,
		[]string{"cause"},
		"Attempts that outlived their grace, by what had stopped them.", "does anything ignore its context?",
	},
	shutdownStart: {
		"shutdown_start_timestamp_seconds", gauge, nil,
		"When the shutdown began; absent before.", "draining since when?",
	},
	shutdownDuration: {
		"shutdown_duration_seconds", gauge, nil,
		"How long the shutdown has taken so far, or took; absent before.", "draining for how long?",
	},
	taskState: {
		"task_state", gauge,
		[]string{"task", "state"},
		"1 for the state that the task is in, 0 for the others; the number of tasks where several share the label.", "what is a task doing?",
	},
	taskAttempts: {
		"task_attempts_total", counter,
		[]string{"task", "outcome"},
		"Attempts that ended.", "error ratio? panics? timeouts?",
	},
	taskDuration: {
		"task_attempt_duration_seconds", histogram,
		[]string{"task", "outcome"},
		"How long attempts took. The series of an outcome other than success begins with its first attempt.", "latency? which trace?",
	},
	taskRestarts: {
		"task_restarts_total", counter,
		[]string{"task", "cause"},
		"Restarts that were scheduled, by what decided their delay.", "restart rate?",
	},
	taskFailures: {
		"task_consecutive_failures", gauge,
		[]string{"task"},
		"Failures in a row; the most where several tasks share the label.", "crash loop?",
	},
	taskBackoffDelay: {
		"task_backoff_delay_seconds", gauge,
		[]string{"task"},
		"Delay of the latest retry in the present streak of failures, 0 outside one; the longest where several tasks share the label.", "how escalated?",
	},
	taskBackoffSeconds: {
		"task_backoff_seconds_total", counter,
		[]string{"task"},
		"Time spent in backoff, up to now.", "share of time in backoff?",
	},
	taskLastSuccess: {
		"task_last_success_timestamp_seconds", gauge,
		[]string{"task"},
		"When the latest success ended; absent before the first; the oldest where several tasks share the label.", "stale?",
	},
	taskNextStart: {
		"task_next_start_timestamp_seconds", gauge,
		[]string{"task"},
		"When the next attempt is due; absent unless the task waits for it; the earliest where several tasks share the label.", "due?",
	},
	taskAttemptStart: {
		"task_attempt_start_timestamp_seconds", gauge,
		[]string{"task"},
		"When the attempt that runs began; absent if none does; the earliest where several tasks share the label.", "hung?",
	},
	admissionRequests: {
		"admission_requests_total", counter,
		[]string{"policy", "result"},
		"Submissions, by what became of them at once.", "offered load?",
	},
	admissionRejections: {
		"admission_rejections_total", counter,
		[]string{"reason"},
		"Submissions that were refused, at once or later.", "why refused?",
	},
	admissionWait: {
		"admission_wait_seconds", histogram, nil,
		"How long submissions waited for their slot, observed when they got it.", "queueing delay?",
	},
	slotsByState: {
		"slots", gauge,
		[]string{"state"},
		"Slots that have an owner.", "how many active keys?",
	},
	slotQueueLength: {
		"slot_queue_length", gauge, nil,
		"Submissions that wait for a slot.", "how deep are the queues?",
	},
	slotQueueMax: {
		"slot_queue_length_max", gauge, nil,
		"Submissions that wait for the slot with the longest queue.", "is one key hot?",
	},
	slotQueueOldest: {
		"slot_queue_oldest_timestamp_seconds", gauge, nil,
		"When the submission that waits longest was made; absent if none waits.", "does anything starve?",
	},
	subscriberQueueLength: {
		"subscriber_queue_length", gauge,
		[]string{"subscriber"},
		"Events that wait for a queued subscriber.", "slow sink?",
	},
	subscriberQueueCapacity: {
		"subscriber_queue_capacity", gauge,
		[]string{"subscriber"},
		"Events that may wait for a queued subscriber.", "slow sink?",
	},
	subscriberEvents: {
		"subscriber_events_total", counter,
		[]string{"subscriber"},
		"Events that a subscriber was given.", "does it get anything?",
	},
	subscriberDropped: {
		"subscriber_events_dropped_total", counter,
		[]string{"subscriber", "kind"},
		"Events that a queued subscriber lost because it was too far behind.", "are logs lossy?",
	},
	subscriberPanics: {
		"subscriber_panics_total", counter,
		[]string{"subscriber"},
		"Calls of a subscriber that panicked.", "is a subscriber broken?",
	},
	overflowTasks: {
		"metrics_overflow_tasks", gauge, nil,
		"Registered tasks that share task=\"_other\".", "is the limit of tasks hit?",
	},
}

// describe makes the descriptors of all families.
func describe(namespace string, constLabels prometheus.Labels) (descs [metricCount]*prometheus.Desc) {
	for id, f := range families {
		descs[id] = prometheus.NewDesc(prometheus.BuildFQName(namespace, "", f.name), f.help, f.labels, constLabels)
	}
	return descs
}
