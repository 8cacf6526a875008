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
	Supervisor string
	Seq        uint64          // number of the last event before the first entry was read
	Time       time.Time       // when reading began
	Created    time.Time       // when the supervisor was made
	State      SupervisorState // SupervisorNew, SupervisorRunning, SupervisorDraining or SupervisorStopped
	StopSince  time.Time       // when the shutdown began; zero before
	StopBy     time.Time       // when its grace ends; zero before
	StopTook   time.Duration   // how long it took; zero until it has ended

	MaxConcurrent int // permits; 0: no limit
	InUse         int // permits taken, or attempts running where there is no limit

	Added, Removed              uint64 // tasks, since the supervisor was made
	Started, Ended              uint64 // attempts
	Released                    int    // attempts of removed tasks that still run; see WithReleaseOnAbandon
	Submitted, Rejected, Joined uint64 // submissions
	FromSlots                   uint64 // submissions that became a task

	Tasks       []TaskStatus // registered tasks, by id; those being stopped and abandoned ones included
	Slots       []SlotStatus // slots with an owner, by key
	Subscribers []SubscriberStatus
	Recent      []EndedTask // the tasks that ended last, at most 64, the latest first
}

// TaskStatus is one task at one instant.
type TaskStatus struct {
	ID           TaskID
	Name         string
	Kind         string // what [WithKind] said
	Slot         string // "" if it was not submitted
	Seq          uint64 // number of its last event
	State        State
	Since        time.Time // when it entered State
	Added        time.Time // when it was registered
	AddedFrom    string    // where, as file:line
	Gate         string    // what a pending task waits for; "" for none
	Attempt      int       // attempts begun
	AttemptStart time.Time // of the attempt that runs; zero otherwise
	Streak       int       // failures in a row
	Stuck        bool      // reported by TaskStuck and still running
	Ready        bool      // see [WithReadiness]
	Note         string    // what the attempt said last: see [Beat]
	NoteTime     time.Time
	Delay        time.Duration // the delay that is being waited, or was before the current attempt
	NextStart    time.Time     // of a task in backoff or waiting; zero otherwise
	StopBy       time.Time     // when the grace of a task that is being stopped ends; zero otherwise
	Results      ResultCounts  // of its attempts
	LastResult   ResultKind    // of its last attempt; zero if none has ended
	LastErr      error         // of the last attempt that did not succeed
	LastError    string        // its text, at most 1 KiB
	LastSuccess  time.Time     // zero if there was none
	Spec         TaskSpec      // with the policy in force, without the work
	Stack        string        // of a stuck or abandoned body, as far as captured
	Handle       *Handle       // the task itself, to act on it
}

// ResultCounts are the attempts of a task that have ended, by result.
type ResultCounts struct {
	Success, Failure, Fatal, Timeout, Panic, Canceled uint64
}

// EndedTask is a task that has ended.
type EndedTask struct {
	ID                    TaskID
	Name, Kind, Slot      string
	Attempts              int
	Outcome               OutcomeKind
	Reason                Reason
	Error                 string // the text of the outcome's error, at most 1 KiB
	Added, Started, Ended time.Time
}

// SlotStatus is one slot at one instant.
type SlotStatus struct {
	Key    string
	State  SlotState
	Owner  TaskID
	Queued int
	Oldest time.Time // when the submission that waits longest was made; zero if none waits
}

// SubscriberStatus is one subscriber at one instant.
type SubscriberStatus struct {
	Name             string
	Inline           bool
	Queued, Capacity int // events waiting, and how many may; 0 for inline subscribers
	Delivered        uint64
	Dropped          map[EventKind]uint64 // nil if none was lost
	Panics           uint64
	Failures         uint64 // reported by [Event.ReportFailure]
}
