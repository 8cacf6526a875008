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
		{"taskvisor.task.id", "int", true, "id of the task, never reused in one process"},
		{"taskvisor.attempt.number", "int", true, "from 1, never reset"},
		{"taskvisor.attempt.timeout", "float", true, "timeout of the attempt in seconds, if it has one"},
		{"taskvisor.attempt.delay", "float", true, "delay before this attempt in seconds"},
		{"taskvisor.admission.policy", "string", true, "policy of the submission, if the task came from one"},
		{"taskvisor.admission.wait", "float", true, "seconds that the submission waited for its slot"},
		{"taskvisor.attempt.outcome", "string", false, "success, failure, fatal, timeout, panic or canceled"},
		{"taskvisor.backoff.delay", "float", false, "planned delay in seconds until the next attempt"},
		{"taskvisor.cancel.cause", "string", false, "removed, replaced, shutdown or canceled"},
		{"error.type", "string", false, "on failures: type of the error, timeout or panic"},
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
		{"task_id", "id of the task"},
		{"attempt", "number of the attempt, from 1"},
		{"outcome", "how the attempt or the task ended"},
		{"duration", "how long the attempt or the wait took"},
		{"delay", "time until the next attempt"},
		{"timeout", "timeout of the attempt"},
		{"error", "the error itself, so that handlers may look into it"},
		{"stack", "goroutine stacks of a panic or of a stuck body"},
		{"slot", "key of the slot"},
		{"reason", "why a submission was refused or a task stopped"},
		{"cause", "why the shutdown began"},
		{"subscriber", "which subscriber lost events or panicked"},
		{"dropped", "how many events it lost"},
		{"suppressed", "how many like it were left out since the last line"},
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
		{"Debug", "attempt started, stopped; delay after success"},
		{"Info", "task added, finished (completed, canceled), removed; shutdown requested, complete; submission queued, replaced"},
		{"Warn", "attempt failed or timed out and will be retried; submission rejected; events dropped (aggregated)"},
		{"Error", "panic; fatal; retries exhausted; stuck; grace exceeded; abandoned; subscriber panicked"},
	}
}
