// Package slogsub writes what a taskvisor supervisor does to a [log/slog]
// logger.
//
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(slogsub.New(logger)))
//
// # Records
//
// Messages are constant and in lower case; what varies is in flat snake_case
// attributes at the top level, those of a record in this order, as far as it has
// them:
//
//	supervisor  name
//	task        name
//	task_id     number, unique in the process
//	attempt     number, from 1
//	task_kind   of taskvisor.WithKind
//	result      how the attempt ended: success, failure, fatal, timeout, panic, canceled
//	outcome     how the task ended: completed, failed, fatal, canceled, abandoned
//	duration    of the attempt, or of the wait that the message names
//	delay       until the next attempt
//	timeout     of the attempt
//	gate        that the attempt waits for
//	gate_wait   time that it waited
//	source      of a delay: requested (RetryAfter) or triggered (RunNow); else it is the policy
//	slot        of a submission
//	from        state of a slot before
//	to          state of a slot after
//	stage       of an ordered shutdown, from 1
//	stages      that it has
//	tasks       that are stopped in this one
//	subscriber  name
//	dropped     events that it lost
//	reason      why something was stopped, refused or canceled; a label
//	cause       what the caller said about that; an error
//	error       of the attempt, the task or the subscriber
//	exit_code   that the error carries
//	stack       of a panic, or of a body that ignores its context
//	suppressed  failures left out before this record
//	lease       key of a lease; see [Subscriber.Lease]
//	owner       whose leases these are
//	token       of the lease
//	margin      least time that a lease had left before its own deadline
//
// A failure is one record: its error, its stack if it was a panic, and delay, when it
// goes on, or outcome, if the task ended with it. It waits for the event behind it,
// which follows at once.
//
// The error is the original value under "error", unless [WithErrorFormatter] makes it
// a string. A text of more than 4 KiB is cut, and says how long it was; the error is
// then inside another one, for [errors.As]. A record has the time of its event, not of
// its writing, and no source position: it would always be the same. Its context
// carries the values of the attempt's, so that a handler that adds trace ids finds
// them; [WithContextLabels] adds them where no handler does.
//
// Levels are those of [DefaultLevel]; [WithLevel] sets others. An idle
// supervisor writes nothing at Info or above. [Text] is a handler for terminals.
//
// # In OpenTelemetry's words
//
// Keys are flat because people type them. What ships logs to OpenTelemetry may rename
// them, by slog.HandlerOptions.ReplaceAttr or in a collector: supervisor, task, task_id
// and task_kind are the span attributes taskvisor.supervisor.name,
// taskvisor.task.name, .id and .kind; attempt, result and outcome are
// taskvisor.attempt.number, taskvisor.attempt.result and taskvisor.task.outcome; reason
// is taskvisor.cancel.cause; error is exception.message, stack is
// exception.stacktrace. Trace and span id are fields of a log record there, which
// bridges take from the context.
//
// # Floods
//
// A task that keeps failing does not fill the log: its first failure is
// written, then at most one a minute ([WithSuppression]), with the attribute
// suppressed telling how many were left out before it, and one record at
// recovery. Panics, timeouts, stuck attempts, interruptions and all other failures
// have a minute of their own each: none hides another. Nothing is left
// uncounted: the last failure of a task is always written, if not before, then when
// the task ends, with its own time and with the number of those before it; unless the
// record of a recovery has counted it. What else was left out is counted by the record
// of the task's end. Reports about subscribers, that they panicked or lost events, are
// limited likewise, for each of them.
//
// # Delivery
//
// A handler may block, so the subscriber leaves delivery queued, which is the
// default: a slow log then loses records instead of slowing tasks, and says so
// in a record "events dropped". A handler that returns an error is counted in
// Failures of the snapshot's [taskvisor.SubscriberStatus].
package slogsub
