// Package taskvisor runs the long-lived work of a process: named tasks, in
// attempts, with restarts, backoff, timeouts, panic capture, keyed admission and
// a bounded shutdown, and tells subscribers every step.
//
// A task is a [Func] with a name and policies, a [TaskSpec]. [Once], [Restartable]
// and [Periodic] make one:
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
// task that waits, for its next attempt, a permit or its slot, has no goroutine.
// The context's cause says why an attempt must stop: [ErrAttemptTimeout],
// [ErrRemoved], [ErrReplaced] or [ErrShutdown]. [Go] starts goroutines that belong
// to the attempt, [FromContext] tells a body which attempt it is.
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
// # Keyed admission
//
// [Supervisor.Submit] lets at most one task at a time own a key. What happens to
// the others is the [Admission]: wait, replace the owner, coalesce, join it, or be
// rejected.
//
// # Testing
//
// Everything runs in a [testing/synctest] bubble, where delays take no time. The
// package taskvisortest has a recorder of events and scripted tasks.
package taskvisor
