// Package taskvisor runs the long-lived work of a process: named tasks, in
// attempts, with restarts, backoff, timeouts, panic capture, keyed admission and
// a bounded shutdown, and tells subscribers every step.
//
// A task is a [Func] with a name and policies, a [TaskSpec]. [Once], [Restartable],
// [Periodic] and [Scheduled] make one:
//
//	sup, err := taskvisor.New(taskvisor.WithSignals())
//	if err != nil {
//		return err
//	}
//	return sup.Run(ctx,
//		taskvisor.Restartable("consumer", consume),
//		taskvisor.Periodic("refresh", time.Minute, refresh, taskvisor.WithTimeout(10*time.Second)),
//	)
//
// # Attempts and results
//
// Each attempt has a goroutine and a context of its own. What the body does
// decides its [ResultKind], once; the restart policy, the retry limit and the
// [BackoffPolicy] decide what follows. Two attempts of a task never overlap. A
// task that waits, for its next attempt, at a gate or for its slot, has no goroutine.
// The context's cause says why an attempt must stop: [ErrAttemptTimeout],
// [ErrRemoved], [ErrReplaced], [ErrShutdown] or [ErrInterrupted]. [Go] starts
// goroutines that belong to the attempt, [FromContext] tells a body which attempt it
// is, [Beat] says that it is alive.
//
// # Outcomes and events
//
// Ask outcomes, observe events. Every task has one [Outcome], which its [Handle]
// delivers directly and reliably: wait for it where the program depends on it.
// Events are for observers: each [Subscribe] gets them in the order of each task,
// and one that falls behind loses the oldest, counted, without disturbing anybody.
// [Supervisor.Snapshot] is the state itself, at any time.
//
// # Stopping
//
// [Handle.Stop] claims the end of one task, [Supervisor.Shutdown] that of all. A
// body gets its cancellation and then the grace to return. Go has no means to end
// a goroutine from outside: a body that outlives its grace is abandoned, its
// outcome says so, and the error of [Supervisor.Run] names it with its stack; Run
// itself returns in time, whatever bodies and subscribers do. Until the body is
// back its name, permit and slot stay taken.
//
// # Gates and order
//
// A [Gate] decides when an attempt may begin: a limit that tasks share ([NewLimit]),
// the supervisor's own ([WithMaxConcurrent]), a budget for retries, or anything of
// three methods. [After] and [BoundTo] let a task begin when others are ready; a
// shutdown goes the other way.
//
// # The wheel
//
// A task is steered by its [Handle]: run it now, interrupt, pause, resume and stop it,
// each with a cause that stands on the event. [Supervisor.PauseAll] and
// [Supervisor.ResumeAll] are for all tasks.
//
// # Keyed admission
//
// [Supervisor.Submit] lets at most one task at a time own a key. What happens to
// the others is the [Admission]: wait, replace the owner, coalesce, join it, or be
// rejected.
//
// # Defaults
//
// What holds unless an option says otherwise. Of a task:
//
//	RestartPolicy         on_failure; never of a Once, always of a Periodic and a Scheduled
//	BackoffPolicy         200ms ×2 to 30s, equal_jitter
//	WithTimeout           none
//	WithIdleTimeout       none
//	WithMaxRetries        no limit
//	WithResetAfter        1m0s, or twice the longest backoff if that is more; with a timeout none
//	WithStuckAfter        5s
//	WithGrace             20s
//	WithInitialDelay      none
//	WithoutRestartFloor   attempts start 1ms apart
//	WithReadiness         no: ready while an attempt runs or the last one succeeded; a Once when completed
//	WithoutRecover        no: panics are contained
//	WithReleaseOnAbandon  no: the name stays taken until the body is back
//	WithEssential         no
//	WithStartPaused       no
//	WithKind              none
//	WithGate              none
//	After, BoundTo        none
//
// Of a supervisor:
//
//	WithName              taskvisor
//	WithGrace             20s
//	WithSubscriberDrain   5s
//	WithPreStopDelay      none
//	WithMaxQueue          100 submissions a slot
//	WithMaxConcurrent     no limit
//	WithMaxRegistered     no limit
//	WithRestartBudget     no limit
//	WithSignals           none are caught; where it is given without any, SIGINT and SIGTERM
//	WithTaskDefaults      those of a task, above
//	WithSubscriber        none: failures are written to slog.Default
//
// Of a subscriber:
//
//	WithName              its type
//	Queued                yes, 65536 events
//	Inline                no
//
// # Testing
//
// Everything runs in a [testing/synctest] bubble, where delays take no time. The
// package taskvisortest has a recorder of events and scripted tasks.
package taskvisor
