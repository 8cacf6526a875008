package slogsub

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// addAttrs adds what the kind of event has to say. A record holds five
// attributes without allocating: those of an attempt that starts, succeeds or
// is scheduled again have no more, unless the task has a kind.
func (s *Subscriber) addAttrs(r *slog.Record, e *taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskGated:
		addAttempt(r, e)
		r.AddAttrs(slog.String("gate", e.Gate))
	case taskvisor.TaskStarting:
		addAttempt(r, e)
		addDuration(r, "timeout", e.Timeout)
		addDuration(r, "gate_wait", e.Duration)
	case taskvisor.TaskStopped, taskvisor.TaskReady, taskvisor.TaskRecovered:
		addAttempt(r, e)
		r.AddAttrs(slog.Duration("duration", e.Duration))
	case taskvisor.BackoffScheduled:
		addAttempt(r, e)
		r.AddAttrs(slog.Duration("delay", e.Delay))
		addSource(r, e)
	case taskvisor.TaskFailed:
		s.addFailure(r, e, &taskvisor.Event{})
	case taskvisor.TimeoutHit, taskvisor.TaskStuck, taskvisor.TaskCanceled, taskvisor.TaskAbandoned, taskvisor.TaskReturned,
		taskvisor.BodyReturned:
		addAttempt(r, e)
		if e.Kind == taskvisor.BodyReturned {
			r.AddAttrs(slog.String("result", e.Result.String()))
		}
		r.AddAttrs(slog.Duration("duration", e.Duration))
		addReason(r, e)
		s.addError(r, "error", e.Err)
		addExitCode(r, e)
		s.addStack(r, e.Stack)
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		addAttempt(r, e)
		r.AddAttrs(slog.String("outcome", e.Outcome.String()))
		s.addError(r, "error", e.Err)
	default:
		s.addOther(r, e)
	}
}

// addFailure tells of an attempt that failed and of what follows, if that is known.
func (s *Subscriber) addFailure(r *slog.Record, e, next *taskvisor.Event) {
	addAttempt(r, e)
	r.AddAttrs(slog.String("result", e.Result.String()))
	if next.Outcome != 0 {
		r.AddAttrs(slog.String("outcome", next.Outcome.String()))
	}
	r.AddAttrs(slog.Duration("duration", e.Duration))
	if next.Kind == taskvisor.BackoffScheduled {
		r.AddAttrs(slog.Duration("delay", next.Delay))
		addSource(r, next)
	}
	s.addError(r, "error", e.Err)
	addExitCode(r, e)
	stack := e.Stack
	if stack == "" {
		stack = panicStack(e)
	}
	s.addStack(r, stack)
}

// addOther is for the events that are not about one attempt.
func (s *Subscriber) addOther(r *slog.Record, e *taskvisor.Event) {
	r.AddAttrs(slog.String("supervisor", e.Supervisor))
	if e.Task != "" {
		r.AddAttrs(slog.String("task", e.Task))
	}
	addKind(r, e)
	if e.TaskID != 0 {
		r.AddAttrs(slog.Uint64("task_id", uint64(e.TaskID)))
	}
	if e.Slot != "" {
		r.AddAttrs(slog.String("slot", e.Slot))
	}
	switch e.Kind {
	case taskvisor.TaskAdded:
		if e.Slot != "" {
			r.AddAttrs(slog.Duration("duration", e.Duration))
		}
	case taskvisor.TaskInterrupted:
		if e.Attempt > 0 { // 0: it ended a delay
			r.AddAttrs(slog.Int("attempt", e.Attempt))
		}
	case taskvisor.TaskRemoved:
		r.AddAttrs(slog.String("outcome", e.Outcome.String()))
	case taskvisor.ControllerRejected, taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		r.AddAttrs(slog.Duration("duration", e.Duration))
	case taskvisor.ShutdownAnnounced:
		r.AddAttrs(slog.Duration("delay", e.Delay))
	case taskvisor.ControllerSlotTransition:
		r.AddAttrs(slog.String("from", e.From.String()), slog.String("to", e.To.String()))
	case taskvisor.ShutdownStage:
		r.AddAttrs(slog.Int("stage", e.Stage), slog.Int("stages", e.Stages), slog.Int("tasks", e.Queued))
	case taskvisor.SubscriberOverflow:
		r.AddAttrs(slog.String("subscriber", e.Subscriber), slog.Uint64("dropped", e.Dropped))
		return
	case taskvisor.SubscriberPanicked:
		r.AddAttrs(slog.String("subscriber", e.Subscriber))
	}
	addReason(r, e)
	switch e.Kind {
	case taskvisor.ShutdownAnnounced, taskvisor.ShutdownRequested, taskvisor.TaskRemoveRequested, taskvisor.TaskTriggered, taskvisor.TaskInterrupted,
		taskvisor.TaskPaused, taskvisor.TaskResumed:
		// A bare reason says what the message says.
		if _, bare := e.Err.(taskvisor.Reason); !bare {
			s.addError(r, "cause", e.Err)
		}
	case taskvisor.GraceExceeded:
		s.addError(r, "error", e.Err)
		s.addStack(r, stacksOf(e.Err))
	case taskvisor.SubscriberPanicked:
		s.addError(r, "error", e.Err)
		s.addStack(r, e.Stack)
	}
}

func addAttempt(r *slog.Record, e *taskvisor.Event) {
	r.AddAttrs(
		slog.String("supervisor", e.Supervisor),
		slog.String("task", e.Task),
		slog.Uint64("task_id", uint64(e.TaskID)),
		slog.Int("attempt", e.Attempt))
	addKind(r, e)
}

func addKind(r *slog.Record, e *taskvisor.Event) {
	if e.TaskKind != "" {
		r.AddAttrs(slog.String("task_kind", e.TaskKind))
	}
}

func addReason(r *slog.Record, e *taskvisor.Event) {
	if e.Reason != 0 {
		r.AddAttrs(slog.String("reason", e.Reason.String()))
	}
}

// addSource says what decided a delay where it is not the policy.
func addSource(r *slog.Record, e *taskvisor.Event) {
	if e.Source == taskvisor.BackoffRequested || e.Source == taskvisor.BackoffTriggered {
		r.AddAttrs(slog.String("source", e.Source.String()))
	}
}

func addDuration(r *slog.Record, key string, d time.Duration) {
	if d > 0 {
		r.AddAttrs(slog.Duration(key, d))
	}
}

func addExitCode(r *slog.Record, e *taskvisor.Event) {
	if code, ok := e.ExitCode(); ok {
		r.AddAttrs(slog.Int("exit_code", code))
	}
}

// addError adds the error itself, so that handlers may look into it, unless its text
// is too long or a formatter decides what is written.
func (s *Subscriber) addError(r *slog.Record, key string, err error) {
	if err == nil {
		return
	}
	if s.format != nil {
		r.AddAttrs(slog.String(key, cut(s.format(err))))
		return
	}
	text := textOf(err)
	if short := cut(text); len(short) < len(text) {
		err = &cutError{short, err}
	}
	r.AddAttrs(slog.Any(key, err))
}

// maxText bounds the text of an error, in bytes. One of megabytes breaks most of what
// logs are sent through.
const maxText = 4096

// cut returns at most maxText bytes of s, and how many there were.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	note := fmt.Sprintf("… (%d bytes)", len(s))
	n := maxText - len(note)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + note
}

// cutError is an error with less text.
type cutError struct {
	text string
	err  error
}

func (e *cutError) Error() string { return e.text }
func (e *cutError) Unwrap() error { return e.err }

// textOf returns the text of an error whose method may panic, as slog's handlers show
// that.
func textOf(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("!PANIC: %v", v)
		}
	}()
	return err.Error()
}

// panicStack is the stack of a panic whose event has none, as that of an error of a
// child or of another supervisor's outcome.
func panicStack(e *taskvisor.Event) string {
	var p *taskvisor.PanicError
	if e.Result == taskvisor.ResultPanic && errors.As(e.Err, &p) {
		return p.Stack()
	}
	return ""
}

// maxStacks bounds the stacks in one record, in bytes.
const maxStacks = 64 << 10

// stacksOf returns the stacks of the bodies that outlived a shutdown, which their own
// records were too early for, as far as there is room.
func stacksOf(err error) string {
	var late *taskvisor.GraceExceededError
	if !errors.As(err, &late) {
		return ""
	}
	var b strings.Builder
	for _, t := range late.Tasks {
		if t.Stack != "" && b.Len()+len(t.Stack) <= maxStacks {
			fmt.Fprintf(&b, "%s (id %d):\n%s\n", t.Name, t.ID, t.Stack)
		}
	}
	return b.String()
}

func (s *Subscriber) addStack(r *slog.Record, stack string) {
	switch {
	case stack == "":
	case s.format != nil:
		r.AddAttrs(slog.String("stack", s.format(stackText(stack))))
	default:
		r.AddAttrs(slog.String("stack", stack))
	}
}

// stackText lets a formatter that removes secrets from errors do so for stacks.
type stackText string

func (s stackText) Error() string { return string(s) }
