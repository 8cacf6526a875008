package taskvisor

// Gate decides whether an attempt may begin: a limit, a rate, a maintenance
// window, a lease. Give it to tasks by [WithGate]. Any number of tasks, also of
// several supervisors, may share one, so it must be safe for concurrent use.
//
// A task enters its gates in the order given, the limit of [WithMaxConcurrent]
// last, and leaves all of them, in reverse order, when the attempt has really
// ended. While it waits at one it is pending, without a goroutine, and says so in
// its status and by the event TaskGated. A stop ends the wait at once. A gate that
// closes while an attempt runs, or while the task that it has let in waits at another gate,
// calls [Handle.Interrupt]; see [Attempt.Handle].
//
// A panic is contained and reported as SubscriberPanicked, and the gate asked again
// after a second.
type Gate interface {
	// Enter asks whether the attempt may begin now; it never blocks. On false it
	// keeps ready, which it calls once, from any goroutine, when asking again makes
	// sense; it may do so before it returns, but not while it holds a lock that
	// Enter or Leave takes.
	Enter(a Attempt, ready func()) (ok bool)
	// Leave follows each Enter that returned true, when the attempt has really
	// ended, or when the task waits no more; and each that returned false, if the
	// task waits no more, with the same Attempt. It never blocks. Where a task ends while Enter is being asked,
	// Leave comes after its TaskRemoved: what a gate keeps of a task goes here.
	Leave(a Attempt)
	// String is what a task waits for: a bounded label, never a key.
	String() string
}
