package taskvisor

// State is where a task is in its life.
type State uint8

// The states of a task.
const (
	StatePending   State = iota + 1 // registered, and about to begin: it waits at a gate, for its slot, or for the supervisor's start
	StateRunning                    // an attempt runs
	StateBackoff                    // waits after a failure
	StateWaiting                    // waits for its interval after a success, or for its first start
	StatePaused                     // no attempt runs, and none begins before Resume
	StateStopping                   // a stop was claimed, the body is not yet back
	StateAbandoned                  // the body outlived its grace and still runs
	StateFinished                   // the outcome is known
)

// stateLabels are indexed by state. The numbers are those of life.State.
var stateLabels = []string{"", "pending", "running", "backoff", "waiting", "paused", "stopping", "abandoned", "finished"}

// Alive reports whether a task in this state is registered and has neither ended
// nor been abandoned.
func (s State) Alive() bool { return s >= StatePending && s <= StateStopping }

// String returns the stable label.
func (s State) String() string { return label(stateLabels, s) }

// MarshalText returns the label.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a label.
func (s *State) UnmarshalText(text []byte) error { return parse(s, text, stateLabels) }

// SlotState is where a slot is in its life.
type SlotState uint8

// The states of a slot.
const (
	SlotIdle        SlotState = iota + 1 // nobody owns it
	SlotAdmitting                        // its owner has not begun its first attempt
	SlotRunning                          // its owner runs or waits for its next attempt
	SlotTerminating                      // its owner was stopped and is not yet back
	SlotAbandoned                        // its owner outlived its grace and still runs
)

var slotStateLabels = []string{"", "idle", "admitting", "running", "terminating", "abandoned"}

// String returns the stable label.
func (s SlotState) String() string { return label(slotStateLabels, s) }

// MarshalText returns the label.
func (s SlotState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a label.
func (s *SlotState) UnmarshalText(text []byte) error { return parse(s, text, slotStateLabels) }

// SupervisorState is where a supervisor is in its life.
type SupervisorState uint8

// The states of a supervisor.
const (
	SupervisorNew      SupervisorState = iota + 1 // neither Run nor Start was called
	SupervisorRunning                             // accepts tasks
	SupervisorDraining                            // shutting down, or about to: see WithPreStopDelay
	SupervisorStopped                             // has ended
)

var supervisorStateLabels = []string{"", "new", "running", "draining", "stopped"}

// String returns the stable label.
func (s SupervisorState) String() string { return label(supervisorStateLabels, s) }

// MarshalText returns the label.
func (s SupervisorState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a label.
func (s *SupervisorState) UnmarshalText(text []byte) error {
	return parse(s, text, supervisorStateLabels)
}
