package catalog

// Attribute is an attribute of the span of an attempt.
type Attribute struct {
	Name    string
	Type    string // string, int, float (seconds) or bool
	AtStart bool   // known when the span begins, so that samplers see it
	Meaning string
}

// Attributes returns the span attributes in the order of the docs.
func Attributes() []Attribute {
	return []Attribute{
		{"taskvisor.supervisor.name", "string", true, "name of the supervisor"},
		{"taskvisor.task.name", "string", true, "name of the task"},
		{"taskvisor.task.kind", "string", true, "kind of the task, if it has one"},
		{"taskvisor.task.id", "int", true, "id of the task, never reused in one process"},
		{"taskvisor.attempt.number", "int", true, "from 1, never reset"},
		{"taskvisor.attempt.timeout", "float", true, "timeout of the attempt in seconds, if it has one"},
		{"taskvisor.attempt.delay", "float", true, "delay before this attempt in seconds, from the second on"},
		{"taskvisor.attempt.streak", "int", true, "failures in a row before this attempt, if it is a retry"},
		{"taskvisor.attempt.previous_result", "string", true, "result of the attempt before, if there was one"},
		{"taskvisor.attempt.gate_wait", "float", true, "seconds that the attempt waited at its gates"},
		{"taskvisor.admission.policy", "string", true, "policy of the submission, if the task came from one"},
		{"taskvisor.admission.wait", "float", true, "seconds that the submission waited for its slot, on the first attempt"},
		{"taskvisor.lease.token", "int", true, "token of the lease that the attempt runs under; at the end, if the owner's subscriber comes behind otelsub"},
		{"taskvisor.lease.wait", "float", true, "seconds that the attempt waited for that lease; likewise"},
		{"taskvisor.attempt.result", "string", false, "success, failure, fatal, timeout, panic or canceled"},
		{"taskvisor.backoff.delay", "float", false, "planned delay in seconds until the next attempt"},
		{"taskvisor.cancel.cause", "string", false, "removed, replaced, shutdown, interrupted or canceled"},
		{"taskvisor.cancel.message", "string", false, "what the caller gave as cause"},
		{"taskvisor.cancel.error", "string", false, "the error of a stopped body, where it is more than the cancellation"},
		{"taskvisor.attempt.aborted", "bool", false, "a stop or an interruption came before the body was called: no metric and no log knows of this attempt"},
		{"taskvisor.attempt.note", "string", false, "the last note of Beat"},
		{"taskvisor.task.outcome", "string", false, "abandoned, in place of the result, of an attempt that was given up and still ran when the span ended"},
		{"error.type", "string", false, "on failures: timeout, panic, goexit, abandoned, or the type of the error"},
	}
}

// SpanEvents returns the events on spans, and what each tells.
func SpanEvents() [][2]string {
	return [][2]string{
		{"taskvisor.attempt.stuck", "the attempt was reported as stuck; `code.stacktrace` says where it is"},
		{"taskvisor.attempt.abandoned", "the attempt was given up and still runs, with the same attribute; the span ends here"},
		{"taskvisor.attempt.outgrown", "the attempt goes on beyond the span, which ends here for its length"},
		{"exception", "the attempt panicked, with the stack of that"},
	}
}

// LinkTypes returns the values of the attribute taskvisor.link.type, which
// links between spans carry, and where each leads.
func LinkTypes() [][2]string {
	return [][2]string{
		{"previous_attempt", "to the attempt before"},
		{"previous_trace", "to the first attempt of the trace that was full"},
		{"submitter", "to the span that was active where the task was added or submitted"},
		{"replaced_task", "to the last attempt of the owner that a Replace submission stopped"},
		{"start", "from the end of a resident attempt to its start"},
		{"abandoned_attempt", "from the return of an abandoned body to the span that ended when it was given up"},
		{"previous_owner", "from the first attempt under a lease's token to the last attempt under the lease before, of another process as a rule: [how it gets here](leases.md#from-one-owner-to-the-next)"},
	}
}

// LogKey is a key of a log record.
type LogKey struct {
	Name    string
	Meaning string
}

// LogKeys returns the keys that slogsub writes, in the order of the docs.
func LogKeys() []LogKey {
	return []LogKey{
		{"supervisor", "name of the supervisor"},
		{"task", "name of the task"},
		{"task_kind", "kind of the task, if it has one"},
		{"task_id", "id of the task"},
		{"attempt", "number of the attempt, from 1"},
		{"result", "how the attempt ended"},
		{"outcome", "how the task ended"},
		{"duration", "how long the attempt or the wait took"},
		{"delay", "time until the next attempt"},
		{"error", "the error itself, so that handlers may look into it"},
		{"stack", "goroutine stacks of a panic or of a stuck body"},
		{"slot", "key of the slot"},
		{"reason", "why a submission was refused or a task stopped"},
		{"cause", "why the shutdown began, or what the caller gave as cause"},
		{"source", "what decided the delay"},
		{"gate", "what the attempt waits for"},
		{"exit_code", "exit status that the error carries"},
		{"stage", "stage of an ordered shutdown"},
		{"stages", "how many there are"},
		{"tasks", "tasks of the stage"},
		{"subscriber", "which subscriber lost events or panicked"},
		{"dropped", "how many events it lost"},
		{"suppressed", "how many like it were left out since the last line"},
		{"from", "state of a slot before"},
		{"to", "state of a slot after"},
		{"lease", "key of the lease, of what slogsub.Lease writes"},
		{"owner", "id of the owner of leases in this process"},
		{"token", "token of the lease"},
		{"margin", "least time that a lease had left when it was renewed"},
	}
}

// LogLevel is a level and the events that are logged at it by default.
type LogLevel struct {
	Level  string
	Events string
}

// LogLevels returns the default levels.
func LogLevels() []LogLevel {
	return []LogLevel{
		{"Debug", "attempt started, stopped; delay after success; leases renewed"},
		{"Info", "task added, finished (completed, canceled), removed; shutdown announced, requested, complete; submission queued, replaced; lease acquired, released"},
		{"Warn", "attempt failed or timed out and will be retried; submission rejected; events dropped (aggregated); lease lost, not renewed, left to expire"},
		{"Error", "panic; fatal; retries exhausted; stuck; grace exceeded; abandoned; subscriber panicked; lease overrun, refused"},
	}
}
