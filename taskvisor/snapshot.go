package taskvisor

import "time"

// State is where a task, a slot or a supervisor is in its life.
type State uint8

// The states. Each line says of whom: task, slot or supervisor.
const (
	StatePending     State = iota + 1 // task: registered, or waiting for a permit or its slot
	StateRunning                      // task: an attempt runs; slot: its owner runs or waits for its next attempt; supervisor
	StateBackoff                      // task: waits after a failure
	StateWaiting                      // task: waits for its interval after a success
	StateStopping                     // task: a stop was claimed, the body is not yet back
	StateAbandoned                    // task and slot: the body outlived its grace and still runs
	StateFinished                     // task: its outcome is known
	StateIdle                         // slot: nobody owns it
	StateAdmitting                    // slot: its owner has not begun its first attempt
	StateTerminating                  // slot: its owner was stopped and is not yet back
	StateNew                          // supervisor: neither Run nor Start was called
	StateDraining                     // supervisor: shutting down
	StateStopped                      // supervisor: ended
)

var stateLabels = []string{"", "pending", "running", "backoff", "waiting", "stopping", "abandoned", "finished",
	"idle", "admitting", "terminating", "new", "draining", "stopped"}

// String returns the stable label.
func (s State) String() string { return label(stateLabels, s) }

// MarshalText returns the label.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a label.
func (s *State) UnmarshalText(text []byte) error { return parse(s, text, stateLabels) }

// Snapshot is the state of a supervisor, read from its tasks themselves and
// never from events. Every entry shows one task, slot or subscriber at one
// instant; entries of different tasks may be of different instants, and the
// totals are computed from the entries, so at a quiet moment
//
//	Added = Removed + len(Tasks)
//	Started = Ended + attempts that run, Released among them
//	Submitted = Rejected + waiting for a slot + Joined + FromSlots
//
// It belongs to the caller.
type Snapshot struct {
	Supervisor string
	Seq        uint64        // number of the last event before the first entry was read
	Time       time.Time     // when reading began
	State      State         // StateNew, StateRunning, StateDraining or StateStopped
	StopSince  time.Time     // when the shutdown began; zero before
	StopTook   time.Duration // how long it took; zero until it has ended

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
}

// TaskStatus is one task at one instant.
type TaskStatus struct {
	ID           TaskID
	Name         string
	Slot         string // "" if it was not submitted
	Seq          uint64 // number of its last event
	State        State
	Since        time.Time     // when it entered State; now, for a first attempt that is being started where nobody subscribes
	Attempt      int           // attempts begun
	AttemptStart time.Time     // of the attempt that runs; zero otherwise
	Streak       int           // failures in a row
	Stuck        bool          // reported by TaskStuck and still running
	Delay        time.Duration // the delay that is being waited, or was before the current attempt
	NextStart    time.Time     // of a task in backoff or waiting; zero otherwise
	LastErr      error         // of the last attempt that did not succeed
	LastSuccess  time.Time     // zero if there was none
	Spec         TaskSpec      // with the policy in force
	Stack        string        // of a stuck or abandoned body, as far as captured
}

// SlotStatus is one slot at one instant.
type SlotStatus struct {
	Key    string
	State  State
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
}

// Snapshot returns the state of everything, read from the tasks themselves. It
// never calls the user's code and never waits for it.
func (s *Supervisor) Snapshot() Snapshot {
	now := time.Now()
	w := s.clock.wall(now)
	sn := Snapshot{Supervisor: s.cfg.name, Seq: s.fan.last(), Time: now, MaxConcurrent: s.permits.limit}
	s.slots.snapshot(&sn, w)
	tasks := s.reg.snapshot(&sn)
	sn.Tasks = make([]TaskStatus, 0, len(tasks))
	running := 0
	for _, t := range tasks {
		begun, now := t.attempts()
		sn.Started += uint64(begun)
		sn.Ended += uint64(begun - now)
		running += now
		sn.Tasks = append(sn.Tasks, t.status(w))
	}
	sn.InUse = running + sn.Released
	if s.permits.limit > 0 {
		sn.InUse = s.permits.used()
	}
	for _, sink := range s.fan.sinks {
		sn.Subscribers = append(sn.Subscribers, s.fan.status(sink))
	}
	s.shutdown.snapshot(&sn)
	return sn
}

func (t *task) attempts() (begun, running int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.attempt, t.runningLocked()
}

func (f *fanout) status(s *sink) SubscriberStatus {
	st := SubscriberStatus{Name: s.name, Inline: s.inline, Panics: s.panics.Load(), Delivered: s.called.Load()}
	if s.reader != nil {
		f.ring.status(s.reader, &st)
	}
	return st
}
