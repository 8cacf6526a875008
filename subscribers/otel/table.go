package otelsub

// instrument is one metric.
type instrument struct {
	name string
	form form
	unit string
	help string
}

// form says what kind of instrument a metric has, and who writes to it.
type form uint8

const (
	tally   form = iota // counter, by events
	timer               // histogram of seconds, by events
	total               // observed counter
	spent               // observed counter of seconds
	count               // observed up-down counter: may be added up over what it is split by
	level               // observed gauge
	seconds             // observed gauge in seconds, also since 1970
)

// id is the index of an instrument.
type id int

const (
	buildInfo id = iota
	supervisorState
	supervisorStart
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
	taskPolicy
	taskInterval
	taskAdded
	taskState
	taskReady
	taskAttempts
	taskDuration
	taskRestarts
	taskGaveUp
	taskFailures
	taskBackoffDelay
	taskBackoff
	taskLastSuccess
	taskNextStart
	taskAttemptStart
	gateWaiting
	gateWait
	admissionRequests
	admissionRejections
	admissionWait
	slotsByState
	slotQueueLength
	slotQueueMax
	slotQueueOldest
	leaseOwned
	leaseWanted
	leaseAcquired
	leaseLost
	leaseRenew
	leaseMargin
	leaseTTL
	subscriberQueueLength
	subscriberQueueCapacity
	subscriberEvents
	subscriberDropped
	subscriberPanics
	subscriberFailures
	instrumentCount
)

// instruments are the families of promsub's table: the same names, once Prometheus has
// translated them, the same descriptions and the same values, which a test that compares
// both holds. Left out is metrics.overflow_tasks: an SDK has a limit of its own, and
// marks what is beyond it with the attribute otel.metric.overflow. Those of leases need
// their owners: see [WithLeases].
var instruments = [instrumentCount]instrument{
	buildInfo: {
		"taskvisor.build_info", count, "{build}",
		"Always 1; the version of taskvisor and of Go in the labels.",
	},
	supervisorState: {
		"taskvisor.supervisor.state", count, "{supervisor}",
		"1 for the state that the supervisor is in, 0 for the others; all 0 before its start.",
	},
	supervisorStart: {
		"taskvisor.supervisor.start.timestamp", seconds, "s",
		"When the supervisor was made.",
	},
	tasksByState: {
		"taskvisor.tasks", count, "{task}",
		"Registered tasks.",
	},
	tasksAdded: {
		"taskvisor.tasks.added", tally, "{task}",
		"Tasks that were registered.",
	},
	tasksRemoved: {
		"taskvisor.tasks.removed", tally, "{task}",
		"Tasks that are gone, with their name free.",
	},
	tasksFinished: {
		"taskvisor.tasks.finished", tally, "{task}",
		"Tasks that ended; an abandoned one counts when it is given up, not when its body returns.",
	},
	concurrencyLimit: {
		"taskvisor.concurrency.limit", count, "{permit}",
		"Attempts that may run at the same time; absent without a limit.",
	},
	concurrencyInUse: {
		"taskvisor.concurrency.in_use", count, "{permit}",
		"Permits taken, or attempts running where there is no limit.",
	},
	stuckAttempts: {
		"taskvisor.stuck.attempts", count, "{attempt}",
		"Attempts reported as stuck and still running.",
	},
	abandonedAttempts: {
		"taskvisor.abandoned.attempts", count, "{attempt}",
		"Abandoned attempts whose goroutine still runs.",
	},
	attemptsAbandoned: {
		"taskvisor.attempts.abandoned", tally, "{attempt}",
		"Attempts that outlived their grace, by what had stopped them.",
	},
	shutdownStart: {
		"taskvisor.shutdown.start.timestamp", seconds, "s",
		"When the shutdown began; absent before.",
	},
	shutdownDuration: {
		"taskvisor.shutdown.duration", seconds, "s",
		"How long the shutdown has taken so far, or took; absent before.",
	},
	taskPolicy: {
		"taskvisor.task.policy", count, "{task}",
		"Tasks with this restart policy; absent if there are none.",
	},
	taskInterval: {
		"taskvisor.task.interval", seconds, "s",
		"Time from a success to the next start; absent for tasks that have none; the longest where several tasks share the label.",
	},
	taskAdded: {
		"taskvisor.task.added.timestamp", seconds, "s",
		"When the task was registered; the earliest where several tasks share the label.",
	},
	taskState: {
		"taskvisor.task.state", count, "{task}",
		"Tasks in this state: 1 or 0 where no two tasks share the label.",
	},
	taskReady: {
		"taskvisor.task.ready", count, "{task}",
		"Tasks that are ready: 1 or 0 where no two tasks share the label.",
	},
	taskAttempts: {
		"taskvisor.task.attempts", tally, "{attempt}",
		"Attempts that ended.",
	},
	taskDuration: {
		"taskvisor.task.attempt.duration", timer, "s",
		"How long attempts took. The series of a result other than success begins with its first attempt.",
	},
	taskRestarts: {
		"taskvisor.task.restarts", tally, "{restart}",
		"Restarts that were scheduled, by what decided their delay.",
	},
	taskGaveUp: {
		"taskvisor.task.gave_up", tally, "{task}",
		"Tasks that ended without success and are not started again. Begins with the first.",
	},
	taskFailures: {
		"taskvisor.task.consecutive_failures", level, "{attempt}",
		"Failures in a row; the most where several tasks share the label.",
	},
	taskBackoffDelay: {
		"taskvisor.task.backoff.delay", seconds, "s",
		"Delay of the latest retry in the present streak of failures, 0 outside one; the longest where several tasks share the label.",
	},
	taskBackoff: {
		"taskvisor.task.backoff", spent, "s",
		"Time spent in backoff, up to now.",
	},
	taskLastSuccess: {
		"taskvisor.task.last_success.timestamp", seconds, "s",
		"When the latest success ended; absent before the first; the oldest where several tasks share the label.",
	},
	taskNextStart: {
		"taskvisor.task.next_start.timestamp", seconds, "s",
		"When the next attempt is due; absent unless the task waits for it; the earliest where several tasks share the label.",
	},
	taskAttemptStart: {
		"taskvisor.task.attempt.start.timestamp", seconds, "s",
		"When the attempt that runs began; absent if none does; the earliest where several tasks share the label.",
	},
	gateWaiting: {
		"taskvisor.gate.waiting", count, "{task}",
		"Tasks that wait at a gate now.",
	},
	gateWait: {
		"taskvisor.gate.wait", timer, "s",
		"How long attempts waited at a gate, observed when they were let through.",
	},
	admissionRequests: {
		"taskvisor.admission.requests", tally, "{submission}",
		"Submissions, by what became of them at once.",
	},
	admissionRejections: {
		"taskvisor.admission.rejections", tally, "{submission}",
		"Submissions that were refused, at once or later.",
	},
	admissionWait: {
		"taskvisor.admission.wait", timer, "s",
		"How long submissions waited for their slot, observed when they got it.",
	},
	slotsByState: {
		"taskvisor.slots", count, "{slot}",
		"Slots that have an owner.",
	},
	slotQueueLength: {
		"taskvisor.slot.queue.length", count, "{submission}",
		"Submissions that wait for a slot.",
	},
	slotQueueMax: {
		"taskvisor.slot.queue.length.max", level, "{submission}",
		"Submissions that wait for the slot with the longest queue.",
	},
	slotQueueOldest: {
		"taskvisor.slot.queue.oldest.timestamp", seconds, "s",
		"When the submission that waits longest was made; absent if none waits.",
	},
	leaseOwned: {
		"taskvisor.lease.owned", count, "{lease}",
		"Leases that tasks of this label hold in this process; of a singleton the sum over all processes is 1.",
	},
	leaseWanted: {
		"taskvisor.lease.wanted", count, "{lease}",
		"Leases that tasks of this label hold in this process, or wait for, as a standby does.",
	},
	leaseAcquired: {
		"taskvisor.lease.acquired", tally, "{lease}",
		"Leases that this process got.",
	},
	leaseLost: {
		"taskvisor.lease.lost", tally, "{lease}",
		"Leases that this process lost while it wanted them: by its own deadline, because the store says so, or because their body was abandoned.",
	},
	leaseRenew: {
		"taskvisor.lease.renew", timer, "s",
		"How long renewals took that were answered, each of all leases of an owner.",
	},
	leaseMargin: {
		"taskvisor.lease.margin", seconds, "s",
		"The least time that a lease had left before its own deadline, since the last scrape but one; absent while none is held.",
	},
	leaseTTL: {
		"taskvisor.lease.ttl", seconds, "s",
		"Time after which a lease that is not renewed expires; the shortest where owners differ.",
	},
	subscriberQueueLength: {
		"taskvisor.subscriber.queue.length", count, "{event}",
		"Events that wait for a queued subscriber.",
	},
	subscriberQueueCapacity: {
		"taskvisor.subscriber.queue.capacity", count, "{event}",
		"Events that may wait for a queued subscriber.",
	},
	subscriberEvents: {
		"taskvisor.subscriber.events", total, "{event}",
		"Events that a subscriber was given.",
	},
	subscriberDropped: {
		"taskvisor.subscriber.events.dropped", total, "{event}",
		"Events that a queued subscriber lost because it was too far behind. Begins with the first loss of a kind.",
	},
	subscriberPanics: {
		"taskvisor.subscriber.panics", total, "{panic}",
		"Calls of a subscriber that panicked.",
	},
	subscriberFailures: {
		"taskvisor.subscriber.failures", total, "{event}",
		"Events that a subscriber says it could not deal with, such as lines that a log handler refused.",
	},
}
