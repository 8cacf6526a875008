package taskvisor

// Submission is a task that asks for a slot. At most one task owns a slot at a
// time; different slots do not know of each other.
type Submission struct {
	Task      TaskSpec
	Slot      string // the key; "" means the task's name
	Admission Admission
}

// Admission says what a submission does when its slot has an owner. It has no
// meaning where the slot is free: the submission then owns it.
type Admission uint8

const (
	// Queue waits, first in, first out, behind at most MaxQueue others;
	// beyond that it is rejected as ErrQueueFull.
	Queue Admission = iota
	// Replace stops the owner (with the cause ErrReplaced) and takes the head of
	// the queue, whose former head is rejected as ErrSuperseded. It starts when
	// the owner has really ended.
	Replace
	// DropIfRunning is rejected as ErrSlotBusy.
	DropIfRunning
	// Coalesce takes the place of a waiting Coalesce submission, which is
	// rejected as ErrSuperseded, and waits as Queue does if there is none.
	Coalesce
	// Join does not start anything: the handle is the owner's, and its outcome is
	// the answer, even if the body returned a moment before. An owner that is
	// being stopped cannot be joined: ErrSlotBusy.
	Join
)

var admissionLabels = []string{"queue", "replace", "drop_if_running", "coalesce", "join"}

// String returns the stable label.
func (a Admission) String() string { return label(admissionLabels, a) }

// MarshalText returns the label.
func (a Admission) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts a label.
func (a *Admission) UnmarshalText(text []byte) error { return parse(a, text, admissionLabels) }
