package taskvisor

import "time"

// Snapshot is the state of a supervisor, read from its tasks themselves and
// never from events. Every entry shows one task, slot or subscriber at one
// instant; entries of different tasks may be of different instants, and the
// totals are computed from the entries, so at a quiet moment
//
//	Added = Removed + len(Tasks)
//	Started = Ended + attempts that run, Released among them
//	Submitted = Rejected + waiting for a slot + Joined + FromSlots
//
// It belongs to the caller. It marshals to JSON, in which names are snake_case,
// what is not set is absent, durations are seconds under names that end in
// _seconds, and errors are their texts, which were taken when they came: no code
// of the user's is called.
type Snapshot struct {
	Supervisor string          `json:"supervisor"`
	Seq        uint64          `json:"seq"`                 // number of the last event before the first entry was read
	Time       time.Time       `json:"time"`                // when reading began
	Created    time.Time       `json:"created"`             // when the supervisor was made
	State      SupervisorState `json:"state"`               // SupervisorNew, SupervisorRunning, SupervisorDraining or SupervisorStopped
	StopSince  time.Time       `json:"stop_since,omitzero"` // when the shutdown began; zero before
	StopBy     time.Time       `json:"stop_by,omitzero"`    // when its grace ends; zero before
	StopTook   time.Duration   `json:"-"`                   // how long it took; zero until it has ended

	MaxConcurrent int `json:"max_concurrent,omitzero"` // permits; 0: no limit
	InUse         int `json:"in_use"`                  // permits taken, or attempts running where there is no limit

	Added     uint64 `json:"added"` // tasks, since the supervisor was made
	Removed   uint64 `json:"removed"`
	Started   uint64 `json:"started"` // attempts
	Ended     uint64 `json:"ended"`
	Released  int    `json:"released,omitzero"` // attempts of removed tasks that still run; see WithReleaseOnAbandon
	Submitted uint64 `json:"submitted"`         // submissions
	Rejected  uint64 `json:"rejected"`
	Joined    uint64 `json:"joined"`
	FromSlots uint64 `json:"from_slots"` // submissions that became a task

	Tasks       []TaskStatus       `json:"tasks"` // registered tasks, by id; those being stopped and abandoned ones included
	Slots       []SlotStatus       `json:"slots"` // slots with an owner, by key
	Subscribers []SubscriberStatus `json:"subscribers"`
	Recent      []EndedTask        `json:"recent"` // the tasks that ended last, at most 64, the latest first
}

// TaskStatus is one task at one instant.
type TaskStatus struct {
	ID           TaskID        `json:"id"`
	Name         string        `json:"name"`
	Kind         string        `json:"kind,omitzero"` // what [WithKind] said
	Slot         string        `json:"slot,omitzero"` // "" if it was not submitted
	Seq          uint64        `json:"seq"`           // number of its last event
	State        State         `json:"state"`
	Since        time.Time     `json:"since,omitzero"`         // when it entered State
	Added        time.Time     `json:"added,omitzero"`         // when it was registered
	AddedFrom    string        `json:"added_from,omitzero"`    // where, as file:line
	Gate         string        `json:"gate,omitzero"`          // what a pending task waits for; "" for none
	Attempt      int           `json:"attempt"`                // attempts begun
	AttemptStart time.Time     `json:"attempt_start,omitzero"` // of the attempt that runs; zero otherwise
	Streak       int           `json:"streak,omitzero"`        // failures in a row
	Stuck        bool          `json:"stuck,omitzero"`         // reported by TaskStuck and still running
	Ready        bool          `json:"ready"`                  // see [WithReadiness]
	Note         string        `json:"note,omitzero"`          // what the attempt said last: see [Beat]
	NoteTime     time.Time     `json:"note_time,omitzero"`
	Delay        time.Duration `json:"-"`                     // the delay that is being waited, or was before the current attempt
	NextStart    time.Time     `json:"next_start,omitzero"`   // of a task in backoff or waiting; zero otherwise
	StopBy       time.Time     `json:"stop_by,omitzero"`      // when the grace of a task that is being stopped ends; zero otherwise
	Results      ResultCounts  `json:"results"`               // of its attempts
	LastResult   ResultKind    `json:"last_result,omitzero"`  // of its last attempt; zero if none has ended
	LastErr      error         `json:"-"`                     // of the last attempt that did not succeed
	LastError    string        `json:"last_error,omitzero"`   // its text, at most 1 KiB
	LastSuccess  time.Time     `json:"last_success,omitzero"` // zero if there was none
	Spec         TaskSpec      `json:"policy"`                // with the policy in force, without the work
	Stack        string        `json:"stack,omitzero"`        // of a stuck or abandoned body, as far as captured
	Handle       *Handle       `json:"-"`                     // the task itself, to act on it
}

// ResultCounts are the attempts of a task that have ended, by result.
type ResultCounts struct {
	Success  uint64 `json:"success,omitzero"`
	Failure  uint64 `json:"failure,omitzero"`
	Fatal    uint64 `json:"fatal,omitzero"`
	Timeout  uint64 `json:"timeout,omitzero"`
	Panic    uint64 `json:"panic,omitzero"`
	Canceled uint64 `json:"canceled,omitzero"`
}

// Of returns the count of one result.
func (c ResultCounts) Of(k ResultKind) uint64 {
	switch k {
	case ResultSuccess:
		return c.Success
	case ResultFailure:
		return c.Failure
	case ResultFatal:
		return c.Fatal
	case ResultTimeout:
		return c.Timeout
	case ResultPanic:
		return c.Panic
	case ResultCanceled:
		return c.Canceled
	}
	return 0
}

// EndedTask is a task that has ended.
type EndedTask struct {
	ID       TaskID      `json:"id"`
	Name     string      `json:"name"`
	Kind     string      `json:"kind,omitzero"`
	Slot     string      `json:"slot,omitzero"`
	Attempts int         `json:"attempts"`
	Outcome  OutcomeKind `json:"outcome"`
	Reason   Reason      `json:"reason,omitzero"`
	Error    string      `json:"error,omitzero"` // the text of the outcome's error, at most 1 KiB
	Added    time.Time   `json:"added,omitzero"`
	Started  time.Time   `json:"started,omitzero"`
	Ended    time.Time   `json:"ended,omitzero"`
}

// SlotStatus is one slot at one instant.
type SlotStatus struct {
	Key    string    `json:"key"`
	State  SlotState `json:"state"`
	Owner  TaskID    `json:"owner"`
	Queued int       `json:"queued"`
	Oldest time.Time `json:"oldest,omitzero"` // when the submission that waits longest was made; zero if none waits
}

// SubscriberStatus is one subscriber at one instant.
type SubscriberStatus struct {
	Name      string               `json:"name"`
	Inline    bool                 `json:"inline"`
	Queued    int                  `json:"queued"`            // events waiting, and
	Capacity  int                  `json:"capacity,omitzero"` // how many may; 0 for inline subscribers
	Delivered uint64               `json:"delivered"`
	Dropped   map[EventKind]uint64 `json:"dropped,omitempty"` // nil if none was lost
	Panics    uint64               `json:"panics"`
	Failures  uint64               `json:"failures"` // reported by [Event.ReportFailure]
}
