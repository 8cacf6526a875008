package livesub

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// formatVersion is the version of the JSON form: see the package comment.
const formatVersion = 1

// document is one answer: what the JSON form shows as it is, and what the page and
// the text form are made of.
type document struct {
	Version     int          `json:"version"`
	Time        time.Time    `json:"time"`
	Go          string       `json:"go_version"`
	Module      string       `json:"module,omitzero"`
	Needs       []need       `json:"needs_somebody"`       // the worst first, at most maxNeeds
	NeedsTotal  int          `json:"needs_somebody_total"` // also those that are not listed
	Supervisors []supervisor `json:"supervisors"`          //
	Incidents   []Incident   `json:"incidents,omitempty"`  // the latest first
	Sections    []section    `json:"sections,omitempty"`   // of the program
	Stacks      string       `json:"stacks,omitzero"`      // asked for by stacks=1
	Detail      *detail      `json:"task,omitzero"`        // the one that was asked for
	Skipped     bool         `json:"-"`                    // stacks could not be had now
	problems    map[taskvisor.TaskID]problem
	seqs, heard uint64 // numbers of the last events, and how much the page has heard of: see tag
}

// need is something that does not get better by itself.
type need struct {
	Problem    string           `json:"problem"`
	Supervisor string           `json:"supervisor"`
	Task       string           `json:"task,omitzero"`
	ID         taskvisor.TaskID `json:"id,omitzero"`
	Slot       string           `json:"slot,omitzero"`
	Subscriber string           `json:"subscriber,omitzero"`
	Text       string           `json:"text"`
	Error      string           `json:"error,omitzero"`
	Since      time.Time        `json:"since,omitzero"`
	rank       int
}

// supervisor is one supervisor, with as many of its tasks as an answer may have.
type supervisor struct {
	Name          string         `json:"name"`
	State         string         `json:"state"`
	Seq           uint64         `json:"seq"`
	Created       time.Time      `json:"created"`
	StopSince     time.Time      `json:"stop_since,omitzero"`
	StopBy        time.Time      `json:"stop_by,omitzero"`
	StopTook      float64        `json:"stop_took_seconds,omitzero"`
	Busy          []string       `json:"still_busy,omitempty"` // while draining, at most 10
	MaxConcurrent int            `json:"max_concurrent,omitzero"`
	InUse         int            `json:"in_use"`
	Released      int            `json:"released,omitzero"`
	Counts        map[string]int `json:"tasks_by_state"`
	Total         int            `json:"tasks_total"`
	Matching      int            `json:"tasks_matching"` // of the filter
	Tasks         []task         `json:"tasks"`
	Next          string         `json:"next_after,omitzero"` // for the parameter after, with supervisor; "": there are no more
	Slots         []slot         `json:"slots"`
	SlotsTotal    int            `json:"slots_total"`
	Subscribers   []subscriber   `json:"subscribers"`
	Ended         []ended        `json:"ended"`

	needs int // of the tasks
}

// task is one registered task.
type task struct {
	ID          taskvisor.TaskID       `json:"id"`
	Name        string                 `json:"name"`
	Kind        string                 `json:"kind,omitzero"`
	Slot        string                 `json:"slot,omitzero"`
	State       string                 `json:"state"`
	Since       time.Time              `json:"since"`
	Added       time.Time              `json:"added"`
	AddedFrom   string                 `json:"added_from,omitzero"`
	WaitsFor    string                 `json:"waits_for,omitzero"`
	NextStart   time.Time              `json:"next_start,omitzero"`
	Attempt     int                    `json:"attempt"`
	Started     time.Time              `json:"attempt_start,omitzero"`
	Streak      int                    `json:"streak,omitzero"`
	Problem     string                 `json:"problem,omitzero"`
	Ready       bool                   `json:"ready"`
	Note        string                 `json:"note,omitzero"`
	NoteTime    time.Time              `json:"note_time,omitzero"`
	StopBy      time.Time              `json:"stop_by,omitzero"`
	Results     taskvisor.ResultCounts `json:"results"`
	LastResult  string                 `json:"last_result,omitzero"`
	LastError   string                 `json:"last_error,omitzero"`
	LastSuccess time.Time              `json:"last_success,omitzero"`

	attempts []attempt
	text     string // of the problem
}

// detail is what is shown of one task alone.
type detail struct {
	Supervisor string           `json:"supervisor"`
	Name       string           `json:"name"`
	ID         taskvisor.TaskID `json:"id"`
	Ended      *ended           `json:"ended,omitzero"`  // nil while the task is registered
	Status     *task            `json:"status,omitzero"` // nil if it has ended
	Policy     []string         `json:"policy,omitempty"`
	Delays     []delay          `json:"next_delays,omitempty"`
	After      []string         `json:"after,omitempty"`     // that it depends on
	NeededBy   []string         `json:"needed_by,omitempty"` // that depend on it, at most 20
	Attempts   []attemptView    `json:"attempts"`            // the latest first, at most 32
	Events     []recordView     `json:"events"`              // the latest first, at most 16
	Stack      string           `json:"stack,omitzero"`      // as it was captured when the task was stuck
}

// delay is what a retry would wait, from the shortest to the longest draw.
type delay struct {
	Least float64 `json:"least_seconds"`
	Most  float64 `json:"most_seconds"`
}

// attemptView is an attempt that has ended.
type attemptView struct {
	Number   uint32    `json:"number"`
	Start    time.Time `json:"start"`
	Duration float64   `json:"duration_seconds"`
	Result   string    `json:"result"`
	Reason   string    `json:"reason,omitzero"`
	Error    string    `json:"error,omitzero"`
	TraceID  string    `json:"trace_id,omitzero"`
	Link     string    `json:"trace_link,omitzero"`
}

// slot is a slot that has an owner.
type slot struct {
	Key    string           `json:"key"`
	State  string           `json:"state"`
	Owner  taskvisor.TaskID `json:"owner"`
	Name   string           `json:"owner_name,omitzero"`
	Queued int              `json:"queued"`
	Oldest time.Time        `json:"oldest,omitzero"`
}

// subscriber is one subscriber.
type subscriber struct {
	Name      string `json:"name"`
	Inline    bool   `json:"inline"`
	Queued    int    `json:"queued"`
	Capacity  int    `json:"capacity,omitzero"`
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped,omitzero"`
	Panics    uint64 `json:"panics,omitzero"`
	Failures  uint64 `json:"failures,omitzero"`
}

// ended is a task that has ended.
type ended struct {
	ID       taskvisor.TaskID `json:"id"`
	Name     string           `json:"name"`
	Kind     string           `json:"kind,omitzero"`
	Slot     string           `json:"slot,omitzero"`
	Attempts int              `json:"attempts"`
	Outcome  string           `json:"outcome"`
	Reason   string           `json:"reason,omitzero"`
	Error    string           `json:"error,omitzero"`
	Ended    time.Time        `json:"ended"`
}

// section is a table of the program's.
type section struct {
	Name string `json:"name"`
	Section
}
