// Package slogsub writes what a taskvisor supervisor does to a [log/slog]
// logger.
//
//	sup, err := taskvisor.New(taskvisor.WithSubscriber(slogsub.New(logger)))
//
// # Records
//
// Messages are constant and in lower case; what varies is in flat snake_case
// attributes at the top level:
//
//	supervisor task task_id attempt outcome duration delay timeout error stack
//	slot reason cause subscriber dropped suppressed from to
//
// The error is the original value under "error", unless [WithErrorFormatter]
// makes it a string. A record has the time of its event, not of its writing,
// and no source position: it would always be the same. Its context carries the
// values of the attempt's, so that a handler that adds trace ids finds them.
//
// Levels are those of [DefaultLevel]; [WithLevel] sets others. An idle
// supervisor writes nothing at Info or above.
//
// # Floods
//
// A task that keeps failing does not fill the log: its first failure is
// written, then at most one a minute ([WithSuppression]), with the attribute
// suppressed telling how many were left out before it, and one record at
// recovery. Reports of a stuck attempt are limited likewise. Nothing is left
// uncounted: the record of the task's end has the rest.
//
// # Delivery
//
// A handler may block, so the subscriber leaves delivery queued, which is the
// default: a slow log then loses records instead of slowing tasks, and says so
// in a record "events dropped".
package slogsub
