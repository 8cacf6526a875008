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
		{"taskvisor.attempt.delay", "float", true, "delay before this attempt in seconds, from the second on"},
		{"taskvisor.admission.policy", "string", true, "policy of the submission, if the task came from one"},
		{"taskvisor.admission.wait", "float", true, "seconds that the submission waited for its slot, on the first attempt"},
		{"taskvisor.attempt.outcome", "string", false, "success, failure, fatal, timeout, panic or canceled"},
		{"taskvisor.backoff.delay", "float", false, "planned delay in seconds until the next attempt"},
		{"taskvisor.cancel.cause", "string", false, "removed, replaced, shutdown or canceled"},
		{"error.type", "string", false, "on failures: timeout, panic, goexit, or the type of the error"},
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
	}
}

// Instrument is an OpenTelemetry metric that otelsub makes if it is given a
// meter provider.
type Instrument struct {
	Name       string
	Kind       string
	Attributes []string
}

// Instruments returns the OpenTelemetry metrics in the order of the docs.
func Instruments() []Instrument {
	const supervisor, task = "taskvisor.supervisor.name", "taskvisor.task.name"
	return []Instrument{
		{"taskvisor.task.attempts", "counter", []string{supervisor, task, "taskvisor.attempt.outcome"}},
		{"taskvisor.task.attempt.duration", "histogram, seconds", []string{supervisor, task, "taskvisor.attempt.outcome"}},
		{"taskvisor.task.restarts", "counter", []string{supervisor, task, "taskvisor.restart.cause"}},
		{"taskvisor.task.count", "up-down counter, observed", []string{supervisor, "taskvisor.task.state"}},
		{"taskvisor.admission.rejections", "counter", []string{supervisor, "taskvisor.admission.reason"}},
		{"taskvisor.subscriber.events.dropped", "counter, observed",
			[]string{supervisor, "taskvisor.subscriber.name", "taskvisor.event.kind"}},
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
		{"cause", "why the shutdown began, or what decided the delay"},
		{"subscriber", "which subscriber lost events or panicked"},
		{"dropped", "how many events it lost"},
		{"suppressed", "how many like it were left out since the last line"},
		{"from", "state of a slot before"},
		{"to", "state of a slot after"},
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
