package main

import "time"

// The words of the product that the checks look for, in one place.
const (
	labelResult = "result" // of an attempt, on metrics
	keyResult   = "result" // in the logs
	attrResult  = "taskvisor.attempt.result"
	attrAborted = "taskvisor.attempt.aborted"

	attrSupervisor  = "taskvisor.supervisor.name"
	attrTask        = "taskvisor.task.name"
	attrTaskID      = "taskvisor.task.id"
	attrNumber      = "taskvisor.attempt.number"
	attrTimeout     = "taskvisor.attempt.timeout"
	attrDelay       = "taskvisor.attempt.delay"
	attrPolicy      = "taskvisor.admission.policy"
	attrWait        = "taskvisor.admission.wait"
	attrBackoff     = "taskvisor.backoff.delay"
	attrCause       = "taskvisor.cancel.cause"
	attrCauseError  = "taskvisor.cancel.error"
	attrOutcome     = "taskvisor.task.outcome"
	attrErrorType   = "error.type"
	attrStack       = "exception.stacktrace"
	attrLink        = "taskvisor.link.type"
	linkPrevious    = "previous_attempt"
	linkFull        = "previous_trace"
	linkSubmitter   = "submitter"
	linkReplaced    = "replaced_task"
	linkStart       = "start"
	linkAbandoned   = "abandoned_attempt"
	eventException  = "exception"
	maxTrace        = 32 // attempts in one trace
	spanRun         = "run "
	spanStart       = "start "
	spanReturn      = "return "
	metricNamespace = "taskvisor_"
	readingMetric   = "ledger_reading" // the subject's own: which of the ledger's readings a scrape is
)

// suppression is that of the subject's short log.
const suppression = 5 * time.Second

// The messages of the logs.
const (
	msgStarted   = "attempt started"
	msgSucceeded = "attempt succeeded"
	msgTimeout   = "attempt past its timeout"
	msgStuck     = "attempt stuck"
	msgTriggered = "task triggered"
	msgAdded     = "task added"
	msgRemoved   = "task removed"
	msgAbandoned = "task abandoned"
	msgGrace     = "grace exceeded"
	msgComplete  = "shutdown complete"
	msgRecovered = "task recovered"
)

// failureMessages are those that tell of an attempt that failed. The last two are the
// end of its task at the same time.
var failureMessages = []string{"attempt failed", "attempt timed out", "attempt panicked", "task failed for good", "task failed fatally"}

// refusalMessages tell of a submission that was refused.
var refusalMessages = []string{"submission rejected", "submission replaced"}

// logKeys are all that a line may have, besides those of the handlers.
var logKeys = []string{
	"supervisor", "task", "task_id", "attempt", "result", "outcome", "duration", "delay", "timeout", "error", "stack",
	"slot", "reason", "cause", "suppressed", "from", "to", "source", "gate_wait", "gate", "stage", "stages", "tasks", "task_kind", "exit_code",
}

// knownFaults are the checks that fail because of what is known to be wrong with the
// product, with the reason. A check that holds must not be in here.
var knownFaults = map[string]string{}
