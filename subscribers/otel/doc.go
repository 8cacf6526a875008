// Package otelsub turns what a taskvisor supervisor does into OpenTelemetry
// spans and, if asked, metrics. It needs the OpenTelemetry API only; the SDK,
// its exporters and its samplers are the program's choice.
//
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(otelsub.New()))
//
// # Spans
//
// An attempt is one span, "run {task}", or "run {kind}" of a task with a kind, that is
// the current span of the body's context, so that the body's own spans nest in it.
// There is never a span for the whole life of a task: it would not be exported before
// the end, and everything below it would show as an orphan. The same holds for an
// attempt that lasts, hence:
//
//   - A task is resident if nothing limits its attempts and each is followed by the next
//     at once: no timeout, and restarted on failure, or always without an interval. A
//     short span "start {task}" tells that an attempt began, and when it ends a span
//     "run {task}" that covers its uptime is made, linked to the former. Its body has no
//     parent span.
//   - All other tasks are bounded: their attempts are expected to end. One that does not,
//     within an hour or some ten thousand spans, is treated like a resident one from
//     then on: its span ends as "start {task}", what the body does next begins traces of
//     its own, and "run {task}" covers the uptime in the end.
//
// [WithSpanFor] decides otherwise. So each attempt has one span "run", whatever it is,
// and no open span that grows old.
//
// A body that outlives its grace may never return. Its span "run" ends when it is
// abandoned, with the status Error and an event taskvisor.attempt.abandoned that has
// its stack; if it returns after all, a span "return {task}" covers the time since. An
// attempt that is stuck before that has an event taskvisor.attempt.stuck.
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
//	previous_attempt   the attempt before
//	previous_trace     the first attempt of the trace that was full
//	submitter          the span active where the task was added or submitted, on each new trace
//	replaced_task      the last attempt of the owner that a Replace submission stopped
//	start              from the end of a resident attempt to its start
//	abandoned_attempt  from the return of an abandoned body to its attempt
//	previous_owner     from the first attempt under a lease's token to the last one before, of
//	                   another process as a rule; its traceparent is the note of the lease
//
// Attributes at the start, which samplers see (durations are seconds). The second group
// tells what collects whole traces that something went wrong, before it is known
// how this attempt ends:
//
//	taskvisor.supervisor.name          string
//	taskvisor.task.name                string
//	taskvisor.task.id                  int
//	taskvisor.task.kind                string, of a task with a kind
//	taskvisor.attempt.timeout          float, if there is one
//	taskvisor.admission.policy         string, of a submitted task
//	taskvisor.attempt.number           int
//	taskvisor.attempt.delay            float, from the second attempt on
//	taskvisor.admission.wait           float, time queued for the slot, on its first attempt
//
//	taskvisor.attempt.streak           int, failures in a row before this attempt, if any
//	taskvisor.attempt.previous_result  string, from the second attempt on
//
//	taskvisor.attempt.gate_wait        float, time that it waited at its gates, if any
//
//	taskvisor.lease.token              int, of the lease that it runs under
//	taskvisor.lease.wait               float, time that it waited for that
//
// (those of a lease are set at the end instead, as its link is, if the subscriber of its
// owner was given to the supervisor behind this one) and at the end:
//
//	taskvisor.attempt.result   success, failure, fatal, timeout, panic, canceled
//	taskvisor.backoff.delay    float, if another attempt is planned
//	taskvisor.cancel.cause     string, why it was stopped, interrupted or ended itself
//	taskvisor.cancel.message   string, what the caller gave as a cause of that
//	taskvisor.cancel.error     string, what a stopped body could not finish, or why it ended itself
//	taskvisor.attempt.aborted  bool, a stop or an interruption came before the body was called: no metric and no log knows of it
//	taskvisor.attempt.note     string, the last one of taskvisor.Beat
//	taskvisor.task.outcome     abandoned, in place of the result
//	error.type                 timeout, panic, goexit, abandoned, or the type of the error
//
// Failure, fatal, timeout and panic set the status to Error, with the error's
// text (at most 1 KiB) as its description; success and cancellation leave it
// unset. A panic adds one event "exception" with the stack of the panic.
//
// # Metrics
//
// With [WithMeterProvider] there are the metrics of promsub, all but the number of tasks
// beyond its limit: the same table, with the same meaning and values; those of leases with
// [WithLeases], as there. An instrument is called as the metric is there, with dots:
// taskvisor.task.attempts, in {attempt}, is what Prometheus calls
// taskvisor_task_attempts_total when it receives it by OTLP, and
// taskvisor.task.attempt.duration, in s, taskvisor_task_attempt_duration_seconds.
// docs/observability.md lists them. Counters and histograms follow the events; all others
// are read from a snapshot when they are collected.
//
// Attributes have namespaces, and the names that spans have where both have the same:
//
//	taskvisor.supervisor.name     on everything
//	taskvisor.task.name           the task's kind, or else its name, never its id
//	taskvisor.attempt.result      success, failure, fatal, timeout, panic, canceled
//	taskvisor.task.outcome        completed, failed, fatal, canceled, abandoned
//	taskvisor.task.state          pending, running, backoff, waiting, paused, stopping, abandoned
//	taskvisor.supervisor.state    running, draining, stopped
//	taskvisor.slot.state          admitting, running, terminating, abandoned
//	taskvisor.restart.policy      never, on_failure, always, scheduled
//	taskvisor.restart.cause       success, failure, requested, triggered
//	taskvisor.cancel.cause        shutdown, removed, replaced
//	taskvisor.gate.name           what the gate calls itself
//	taskvisor.admission.policy    queue, replace, drop_if_running, coalesce, join
//	taskvisor.admission.result    started, queued, joined, rejected
//	taskvisor.admission.reason    why a submission was refused
//	taskvisor.lease.mode          singleton, shard, slot
//	taskvisor.lease.reason        deadline, stolen, abandoned
//	taskvisor.subscriber.name     what the subscriber is called
//	taskvisor.event.kind          as taskvisor.EventKind names it
//	taskvisor.version             of taskvisor, with process.runtime.version, which is Go's
//
// # Prometheus by OTLP
//
// The dashboards and alerts of this project select by the short labels of promsub:
// task, not taskvisor_task_name. So they see the metrics of a program that uses promsub,
// and nothing of otelsub beside it, although both have the same names: nothing is counted
// twice. A program that has otelsub only, and sends its metrics to a Prometheus, gives
// [WithPrometheusLabels]; then boards and alerts work on them. Differences that remain:
// the series of a task that is gone last as long as Prometheus looks back (five minutes),
// histograms have no native form unless Prometheus converts them
// (otlp.convert_histograms_to_nhcb), and there is no up: that a process is gone is seen by
// what is missing.
//
// An ended supervisor is reported by the next two collections, as stopped, and then no
// more; so is the time in backoff of a task without a successor. One that comes before that
// under the name goes on counting; a counter that was missing from a collection begins
// anew. Where nobody collects, sixteen ended supervisors are kept, and a thousand labels. An
// SDK keeps the series of every name that it has seen, up to its cardinality limit of
// usually 2000 for each instrument; taskvisor.task.state has seven for each name. Beyond
// it everything is added up under otel.metric.overflow: give tasks a kind
// (taskvisor.WithKind), or the provider a higher limit.
//
// # Cost
//
// With no tracer provider installed an attempt costs less than a tenth of a
// microsecond, with a sampled span about what the SDK's own span costs. Per
// registered task the subscriber keeps less than a kilobyte, among it the span
// contexts of the last attempts, never a span that has ended; that lives and dies with
// the task.
package otelsub
