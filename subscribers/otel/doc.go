// Package otelsub turns what a taskvisor supervisor does into OpenTelemetry
// spans and, if asked, metrics. It needs the OpenTelemetry API only; the SDK,
// its exporters and its samplers are the program's choice.
//
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(otelsub.New()))
//
// # Spans
//
// Each attempt of a bounded task is one span, "run {task}", that is the current
// span of the body's context, so that the body's own spans nest in it. There is
// never a span for the whole life of a task: it would not be exported before the
// end, and everything below it would show as an orphan.
//
// An attempt that follows a success, or is the first, begins a trace of its own.
// The retries of a streak of failures are children of the streak's first attempt
// (which has ended and been exported by then): one trace tells the story of one
// failure, with the backoff as its gaps. A trace takes at most 32 attempts and
// begins none more than an hour after its first; the story then continues in a
// new trace. [WithoutRetryTraces] gives every attempt its own.
//
// The span that was active where the task was added or submitted is taken out of
// the attempt's context, or everything that a long-lived task ever does would
// end up in the trace of whoever started it; it is kept as a link.
// [WithCallerAsParent] makes it the parent instead.
//
// Links, each only to a span that was sampled, with the attribute
// taskvisor.link.type:
//
//	previous_attempt  the attempt before
//	previous_trace    the first attempt of the trace that was full
//	submitter         the span active where the task was added or submitted, on each new trace
//	replaced_task     the last attempt of the owner that a Replace submission stopped
//	start             from the end of a resident attempt to its start
//
// A resident task, one whose single attempt may live for days (no timeout, and
// restarted on failure or at once), has no span over its attempt. Instead a
// short span "start {task}" tells that it began, and when it ends a span
// "run {task}" that covers its uptime is made, linked to the former. Its body
// has no parent span. [WithSpanFor] decides otherwise.
//
// Attributes at the start, which samplers see (durations are seconds):
//
//	taskvisor.supervisor.name   string
//	taskvisor.task.name         string
//	taskvisor.task.id           int
//	taskvisor.attempt.number    int
//	taskvisor.attempt.timeout   float, if there is one
//	taskvisor.attempt.delay     float, from the second attempt on
//	taskvisor.admission.policy  string, of a submitted task
//	taskvisor.admission.wait    float, time queued for the slot, on its first attempt
//
// and at the end:
//
//	taskvisor.attempt.outcome   success, failure, fatal, timeout, panic, canceled
//	taskvisor.backoff.delay     float, if another attempt is planned
//	taskvisor.cancel.cause      string, why it was stopped
//	error.type                  timeout, panic, goexit, or the type of the error
//
// Failure, fatal, timeout and panic set the status to Error, with the error's
// text (at most 1 KiB) as its description; success and cancellation leave it
// unset. A panic adds one event "exception" with the stack of the panic.
//
// # Metrics
//
// With [WithMeterProvider]:
//
//	taskvisor.task.attempts              counter, by supervisor, task and outcome
//	taskvisor.task.attempt.duration      histogram in seconds, likewise
//	taskvisor.task.restarts              counter of restarts scheduled, by supervisor, task and cause
//	taskvisor.task.count                 tasks now, by supervisor and state
//	taskvisor.admission.rejections       counter, by supervisor and reason
//	taskvisor.subscriber.events.dropped  counter, by supervisor, subscriber and event kind
//
// A task is known by its name here, never by its id. An SDK keeps the series of
// every name that it has seen, up to its cardinality limit.
//
// # Cost
//
// With no tracer provider installed an attempt costs less than a tenth of a
// microsecond, with a sampled span about what the SDK's own span costs. Per
// registered task the subscriber keeps less than a kilobyte, among it the span
// contexts of the last attempts, never a span that has ended; it forgets that
// when the task is removed.
package otelsub
