package promsub

// families is the one place where metrics are defined. The package comment, the
// documents, the boards' vocabulary and the instruments of otelsub are made from it or
// compared with it by tests.
var families = [metricCount]Family{
	buildInfo: {
		"build_info", gauge, "supervisor", own("version", "go_version"),
		"Always 1; the version of taskvisor and of Go in the labels.", "which version runs where?",
		"build_info", "{build}",
	},
	supervisorState: {
		"supervisor_state", gauge, "supervisor", labelled(Label{"state", words(supervisorStates)}),
		"1 for the state that the supervisor is in, 0 for the others; all 0 before its start.", "is it up?",
		"supervisor.state", "{supervisor}",
	},
	supervisorStart: {
		"supervisor_start_timestamp_seconds", gauge, "supervisor", nil,
		"When the supervisor was made.", "since when does it count?",
		"supervisor.start.timestamp", "s",
	},
	tasksByState: {
		"tasks", gauge, "supervisor", labelled(Label{"state", words(taskStates[:])}),
		"Registered tasks.", "how many, doing what?",
		"tasks", "{task}",
	},
	tasksAdded: {
		"tasks_added_total", counter, "supervisor", nil,
		"Tasks that were registered.", "how much churn? added - removed = sum of tasks",
		"tasks.added", "{task}",
	},
	tasksRemoved: {
		"tasks_removed_total", counter, "supervisor", nil,
		"Tasks that are gone, with their name free.", "as above",
		"tasks.removed", "{task}",
	},
	tasksFinished: {
		"tasks_finished_total", counter, "supervisor", labelled(Label{"outcome", words(outcomes)}),
		"Tasks that ended; an abandoned one counts when it is given up, not when its body returns.", "did a task give up?",
		"tasks.finished", "{task}",
	},
	concurrencyLimit: {
		"concurrency_limit", gauge, "supervisor", nil,
		"Attempts that may run at the same time; absent without a limit.", "how much headroom?",
		"concurrency.limit", "{permit}",
	},
	concurrencyInUse: {
		"concurrency_in_use", gauge, "supervisor", nil,
		"Permits taken, or attempts running where there is no limit.", "how much headroom?",
		"concurrency.in_use", "{permit}",
	},
	stuckAttempts: {
		"stuck_attempts", gauge, "supervisor", nil,
		"Attempts reported as stuck and still running.", "which bodies ignore their context now?",
		"stuck.attempts", "{attempt}",
	},
	abandonedAttempts: {
		"abandoned_attempts", gauge, "supervisor", nil,
		"Abandoned attempts whose goroutine still runs.", "as above, and were given up?",
		"abandoned.attempts", "{attempt}",
	},
	attemptsAbandoned: {
		"attempts_abandoned_total", counter, "supervisor", labelled(Label{"cause", words(abandonCauses)}),
		"Attempts that outlived their grace, by what had stopped them.", "does anything ignore its context?",
		"attempts.abandoned", "{attempt}",
	},
	shutdownStart: {
		"shutdown_start_timestamp_seconds", gauge, "supervisor", nil,
		"When the shutdown began; absent before.", "draining since when?",
		"shutdown.start.timestamp", "s",
	},
	shutdownDuration: {
		"shutdown_duration_seconds", gauge, "supervisor", nil,
		"How long the shutdown has taken so far, or took; absent before.", "draining for how long?",
		"shutdown.duration", "s",
	},
	taskPolicy: {
		"task_policy", gauge, "task", ofTask(Label{"restart", restartPolicies[:]}),
		"Tasks with this restart policy; absent if there are none.", "resident, periodic or a job?",
		"task.policy", "{task}",
	},
	taskInterval: {
		"task_interval_seconds", gauge, "task", ofTask(),
		"Time from a success to the next start; absent for tasks that have none; the longest where several tasks share the label.",
		"how old may its last success be?",
		"task.interval", "s",
	},
	taskAdded: {
		"task_added_timestamp_seconds", gauge, "task", ofTask(),
		"When the task was registered; the earliest where several tasks share the label.", "has it had its chance?",
		"task.added.timestamp", "s",
	},
	taskState: {
		"task_state", gauge, "task", ofTask(Label{"state", words(taskStates[:])}),
		"Tasks in this state: 1 or 0 where no two tasks share the label.", "what is a task doing?",
		"task.state", "{task}",
	},
	taskReady: {
		"task_ready", gauge, "task", ofTask(),
		"Tasks that are ready: 1 or 0 where no two tasks share the label.", "may others rely on it?",
		"task.ready", "{task}",
	},
	taskAttempts: {
		"task_attempts_total", counter, "task", ofTask(Label{"result", words(results)}),
		"Attempts that ended.", "error ratio? panics? timeouts?",
		"task.attempts", "{attempt}",
	},
	taskDuration: {
		"task_attempt_duration_seconds", histogram, "task", ofTask(Label{"result", words(results)}),
		"How long attempts took. The series of a result other than success begins with its first attempt.",
		"latency? which trace?",
		"task.attempt.duration", "s",
	},
	taskRestarts: {
		"task_restarts_total", counter, "task", ofTask(Label{"cause", words(restartCauses)}),
		"Restarts that were scheduled, by what decided their delay.", "restart rate?",
		"task.restarts", "{restart}",
	},
	taskGaveUp: {
		"task_gave_up_total", counter, "task", ofTask(Label{"outcome", words(gaveUp)}),
		"Tasks that ended without success and are not started again. Begins with the first.", "which one gave up?",
		"task.gave_up", "{task}",
	},
	taskFailures: {
		"task_consecutive_failures", gauge, "task", ofTask(),
		"Failures in a row; the most where several tasks share the label.", "crash loop?",
		"task.consecutive_failures", "{attempt}",
	},
	taskBackoffDelay: {
		"task_backoff_delay_seconds", gauge, "task", ofTask(),
		"Delay of the latest retry in the present streak of failures, 0 outside one; the longest where several tasks share the label.",
		"how escalated?",
		"task.backoff.delay", "s",
	},
	taskBackoffSeconds: {
		"task_backoff_seconds_total", counter, "task", ofTask(),
		"Time spent in backoff, up to now.", "share of time in backoff?",
		"task.backoff", "s",
	},
	taskLastSuccess: {
		"task_last_success_timestamp_seconds", gauge, "task", ofTask(),
		"When the latest success ended; absent before the first; the oldest where several tasks share the label.", "stale?",
		"task.last_success.timestamp", "s",
	},
	taskNextStart: {
		"task_next_start_timestamp_seconds", gauge, "task", ofTask(),
		"When the next attempt is due; absent unless the task waits for it; the earliest where several tasks share the label.",
		"due?",
		"task.next_start.timestamp", "s",
	},
	taskAttemptStart: {
		"task_attempt_start_timestamp_seconds", gauge, "task", ofTask(),
		"When the attempt that runs began; absent if none does; the earliest where several tasks share the label.", "hung?",
		"task.attempt.start.timestamp", "s",
	},
	gateWaiting: {
		"gate_waiting", gauge, "gate", own("gate"),
		"Tasks that wait at a gate now.", "what are tasks waiting for?",
		"gate.waiting", "{task}",
	},
	gateWait: {
		"gate_wait_seconds", histogram, "gate", own("gate"),
		"How long attempts waited at a gate, observed when they were let through.", "what does a limit cost?",
		"gate.wait", "s",
	},
	admissionRequests: {
		"admission_requests_total", counter, "admission",
		labelled(Label{"policy", words(admissions)}, Label{"result", words(verdicts)}),
		"Submissions, by what became of them at once.", "offered load?",
		"admission.requests", "{submission}",
	},
	admissionRejections: {
		"admission_rejections_total", counter, "admission", labelled(Label{"reason", words(rejectReasons)}),
		"Submissions that were refused, at once or later.", "why refused?",
		"admission.rejections", "{submission}",
	},
	admissionWait: {
		"admission_wait_seconds", histogram, "admission", nil,
		"How long submissions waited for their slot, observed when they got it.", "queueing delay?",
		"admission.wait", "s",
	},
	slotsByState: {
		"slots", gauge, "admission", labelled(Label{"state", words(slotStates)}),
		"Slots that have an owner.", "how many active keys?",
		"slots", "{slot}",
	},
	slotQueueLength: {
		"slot_queue_length", gauge, "admission", nil,
		"Submissions that wait for a slot.", "how deep are the queues?",
		"slot.queue.length", "{submission}",
	},
	slotQueueMax: {
		"slot_queue_length_max", gauge, "admission", nil,
		"Submissions that wait for the slot with the longest queue.", "is one key hot?",
		"slot.queue.length.max", "{submission}",
	},
	slotQueueOldest: {
		"slot_queue_oldest_timestamp_seconds", gauge, "admission", nil,
		"When the submission that waits longest was made; absent if none waits.", "does anything starve?",
		"slot.queue.oldest.timestamp", "s",
	},
	leaseOwned: {
		"lease_owned", gauge, "lease", ofTask(Label{"mode", words(leaseModes)}),
		"Leases that tasks of this label hold in this process; of a singleton the sum over all processes is 1.", "who owns it?",
		"lease.owned", "{lease}",
	},
	leaseWanted: {
		"lease_wanted", gauge, "lease", ofTask(Label{"mode", words(leaseModes)}),
		"Leases that tasks of this label hold in this process, or wait for, as a standby does.", "who would take it?",
		"lease.wanted", "{lease}",
	},
	leaseAcquired: {
		"lease_acquired_total", counter, "lease", nil,
		"Leases that this process got.", "how often do they move?",
		"lease.acquired", "{lease}",
	},
	leaseLost: {
		"lease_lost_total", counter, "lease", labelled(Label{"reason", words(lossReasons)}),
		"Leases that this process lost while it wanted them: by its own deadline, because the store says so, or because their body was abandoned.",
		"is the engine reachable, are bodies cut off?",
		"lease.lost", "{lease}",
	},
	leaseRenew: {
		"lease_renew_seconds", histogram, "lease", nil,
		"How long renewals took that were answered, each of all leases of an owner.", "is the engine slow?",
		"lease.renew", "s",
	},
	leaseMargin: {
		"lease_margin_seconds", gauge, "lease", nil,
		"The least time that a lease had left before its own deadline, since the last scrape but one; absent while none is held.",
		"how close to a loss?",
		"lease.margin", "s",
	},
	leaseTTL: {
		"lease_ttl_seconds", gauge, "lease", nil,
		"Time after which a lease that is not renewed expires; the shortest where owners differ.", "how long may nobody own it?",
		"lease.ttl", "s",
	},
	subscriberQueueLength: {
		"subscriber_queue_length", gauge, "subscriber", own("subscriber"),
		"Events that wait for a queued subscriber.", "slow sink?",
		"subscriber.queue.length", "{event}",
	},
	subscriberQueueCapacity: {
		"subscriber_queue_capacity", gauge, "subscriber", own("subscriber"),
		"Events that may wait for a queued subscriber.", "slow sink?",
		"subscriber.queue.capacity", "{event}",
	},
	subscriberEvents: {
		"subscriber_events_total", counter, "subscriber", own("subscriber"),
		"Events that a subscriber was given.", "does it get anything?",
		"subscriber.events", "{event}",
	},
	subscriberDropped: {
		"subscriber_events_dropped_total", counter, "subscriber", append(own("subscriber"), Label{"kind", lossKinds()}),
		"Events that a queued subscriber lost because it was too far behind. Begins with the first loss of a kind.",
		"are logs lossy?",
		"subscriber.events.dropped", "{event}",
	},
	subscriberPanics: {
		"subscriber_panics_total", counter, "subscriber", own("subscriber"),
		"Calls of a subscriber that panicked.", "is a subscriber broken?",
		"subscriber.panics", "{panic}",
	},
	subscriberFailures: {
		"subscriber_failures_total", counter, "subscriber", own("subscriber"),
		"Events that a subscriber says it could not deal with, such as lines that a log handler refused.",
		"do logs arrive?",
		"subscriber.failures", "{event}",
	},
	overflowTasks: {
		"metrics_overflow_tasks", gauge, "subscriber", nil,
		"Registered tasks that share task=\"_other\".", "is the limit of tasks hit?",
		"metrics.overflow_tasks", "{task}",
	},
}
