package taskvisortest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Recorder is a subscriber that keeps every event. It is inline, so that an
// event is recorded before whatever follows it, and synctest.Wait means that
// everything has been recorded.
//
// The zero value is ready. A Recorder is safe for concurrent use, may serve
// several supervisors (whose sequence numbers then interleave), and must not
// be copied after its first event. It keeps all that it gets until it is
// dropped itself.
type Recorder struct {
	mu     sync.Mutex // guards events
	events []taskvisor.Event
}

// OnEvent records e.
func (r *Recorder) OnEvent(_ context.Context, e taskvisor.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
}

// Preferences asks for inline delivery.
func (r *Recorder) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// Events returns what was recorded so far, in the order of the sequence
// numbers: all of it, or the events of the named tasks. The name "" stands for
// the events that concern no task. The slice belongs to the caller.
func (r *Recorder) Events(tasks ...string) []taskvisor.Event {
	r.mu.Lock()
	events := slices.Clone(r.events)
	r.mu.Unlock()
	if len(tasks) > 0 {
		events = slices.DeleteFunc(events, func(e taskvisor.Event) bool { return !slices.Contains(tasks, e.Task) })
	}
	slices.SortStableFunc(events, func(a, b taskvisor.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events
}

// Trace returns the events of a task as letters in the order of their sequence
// numbers, separated by spaces, such as "A S ✗ B S ✓ E D". If several tasks
// had the name, one after the other, all of them are in it.
//
//	A  TaskAdded              F  TaskAddFailed
//	S  TaskStarting           ✓  TaskStopped
//	✗  TaskFailed             C  TaskCanceled
//	T  TimeoutHit             K  TaskStuck
//	B  BackoffScheduled       Q  TaskRemoveRequested
//	E  ActorExhausted         X  ActorDead
//	N  TaskAbandoned          R  TaskReturned
//	D  TaskRemoved            Y  BodyReturned
//	!  TaskTriggered
//	I  TaskInterrupted        ‖  TaskPaused
//	▶  TaskResumed
//	U  ControllerSubmitted    J  ControllerRejected
//
// TaskGated, TaskRecovered and TaskReady have no letter: they are signals beside the path.
// ControllerSlotTransition has none either: it belongs to a slot. The name ""
// stands for the supervisor itself, whose trace has its own letters:
//
//	Z  ShutdownAnnounced      H  ShutdownRequested      V  AllStoppedWithinGrace
//	G  GraceExceeded          L  ShutdownStage
//	P  SubscriberPanicked     O  SubscriberOverflow
func (r *Recorder) Trace(task string) string {
	letters, tasks := taskLetters, []string{task}
	if task == "" {
		letters, tasks = supervisorLetters, nil // whatever they concern
	}
	var b strings.Builder
	for _, e := range r.Events(tasks...) {
		letter, ok := letters[e.Kind]
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(letter)
	}
	return b.String()
}

var taskLetters = map[taskvisor.EventKind]string{
	taskvisor.TaskAdded:           "A",
	taskvisor.TaskAddFailed:       "F",
	taskvisor.TaskStarting:        "S",
	taskvisor.TaskStopped:         "✓",
	taskvisor.TaskFailed:          "✗",
	taskvisor.TaskCanceled:        "C",
	taskvisor.TimeoutHit:          "T",
	taskvisor.TaskStuck:           "K",
	taskvisor.BackoffScheduled:    "B",
	taskvisor.TaskRemoveRequested: "Q",
	taskvisor.ActorExhausted:      "E",
	taskvisor.ActorDead:           "X",
	taskvisor.TaskAbandoned:       "N",
	taskvisor.TaskReturned:        "R",
	taskvisor.TaskRemoved:         "D",
	taskvisor.BodyReturned:        "Y",
	taskvisor.TaskTriggered:       "!",
	taskvisor.TaskInterrupted:     "I",
	taskvisor.TaskPaused:          "‖",
	taskvisor.TaskResumed:         "▶",
	taskvisor.ControllerSubmitted: "U",
	taskvisor.ControllerRejected:  "J",
}

var supervisorLetters = map[taskvisor.EventKind]string{
	taskvisor.ShutdownAnnounced:     "Z",
	taskvisor.ShutdownRequested:     "H",
	taskvisor.AllStoppedWithinGrace: "V",
	taskvisor.GraceExceeded:         "G",
	taskvisor.ShutdownStage:         "L",
	taskvisor.SubscriberPanicked:    "P",
	taskvisor.SubscriberOverflow:    "O",
}
