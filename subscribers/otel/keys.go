package otelsub

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// keys are what the attributes of metrics are called.
type keys struct {
	supervisor, supervisorState attribute.Key
	version, goVersion          attribute.Key

	task, taskState, result, outcome attribute.Key
	restartPolicy, restartCause      attribute.Key
	stopCause                        attribute.Key

	gate                             attribute.Key
	policy, verdict, reason          attribute.Key
	leaseMode, lossReason            attribute.Key
	slotState, subscriber, eventKind attribute.Key
}

// conventional are names with a namespace, as the semantic conventions want them, and
// those of spans where both have the same.
var conventional = keys{
	supervisor:      keySupervisor,
	supervisorState: "taskvisor.supervisor.state",
	version:         "taskvisor.version",
	goVersion:       semconv.ProcessRuntimeVersionKey,

	task:          keyTask,
	taskState:     "taskvisor.task.state",
	result:        keyResult,
	outcome:       keyOutcome,
	restartPolicy: "taskvisor.restart.policy",
	restartCause:  "taskvisor.restart.cause",
	stopCause:     keyCause,

	gate:       "taskvisor.gate.name",
	policy:     keyPolicy,
	verdict:    "taskvisor.admission.result",
	reason:     "taskvisor.admission.reason",
	leaseMode:  "taskvisor.lease.mode",
	lossReason: "taskvisor.lease.reason",
	slotState:  "taskvisor.slot.state",
	subscriber: "taskvisor.subscriber.name",
	eventKind:  "taskvisor.event.kind",
}

// likePrometheus are the labels of promsub; see [WithPrometheusLabels].
var likePrometheus = keys{
	supervisor:      "supervisor",
	supervisorState: "state",
	version:         "version",
	goVersion:       "go_version",

	task:          "task",
	taskState:     "state",
	result:        "result",
	outcome:       "outcome",
	restartPolicy: "restart",
	restartCause:  "cause",
	stopCause:     "cause",

	gate:       "gate",
	policy:     "policy",
	verdict:    "result",
	reason:     "reason",
	leaseMode:  "mode",
	lossReason: "reason",
	slotState:  "state",
	subscriber: "subscriber",
	eventKind:  "kind",
}
