package slogsub

import (
	"log/slog"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// DefaultLevel is the level of an event unless [WithLevel] says otherwise:
//
//	Debug  what every attempt of a healthy task does
//	Info   a task or a supervisor begins or ends; a submission waits or is replaced
//	Warn   a failure that will be retried; a refusal; lost events
//	Error  panics, the end of the retries, fatal errors, bodies that ignore their context
func DefaultLevel(e taskvisor.Event) slog.Level {
	switch e.Kind {
	case taskvisor.TaskAdded, taskvisor.TaskRemoveRequested, taskvisor.TaskReturned, taskvisor.TaskRemoved,
		taskvisor.ShutdownRequested, taskvisor.AllStoppedWithinGrace:
		return slog.LevelInfo
	case taskvisor.TaskAddFailed, taskvisor.SubscriberOverflow:
		return slog.LevelWarn
	case taskvisor.TaskStuck, taskvisor.ActorDead, taskvisor.TaskAbandoned, taskvisor.GraceExceeded,
		taskvisor.SubscriberPanicked:
		return slog.LevelError
	case taskvisor.TaskFailed:
		if e.Result == taskvisor.ResultPanic || e.Result == taskvisor.ResultFatal {
			return slog.LevelError
		}
		return slog.LevelWarn
	case taskvisor.ActorExhausted:
		if e.Outcome == taskvisor.OutcomeCompleted {
			return slog.LevelInfo
		}
		return slog.LevelError
	case taskvisor.ControllerSubmitted:
		if e.Verdict == taskvisor.VerdictQueued {
			return slog.LevelInfo
		}
	case taskvisor.ControllerRejected:
		return rejectionLevel(e.Reason)
	}
	return slog.LevelDebug
}

// rejectionLevel tells refusals that somebody asked for, by a later submission,
// a stop or the shutdown, from those that nobody wanted.
func rejectionLevel(r taskvisor.Reason) slog.Level {
	switch r {
	case taskvisor.ErrSuperseded, taskvisor.ErrRemoved, taskvisor.ErrShutdown, taskvisor.ErrShuttingDown:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

var messages = [...]string{
	taskvisor.TaskAdded:                "task added",
	taskvisor.TaskAddFailed:            "task refused",
	taskvisor.TaskStarting:             "attempt started",
	taskvisor.TimeoutHit:               "attempt past its timeout",
	taskvisor.TaskStuck:                "attempt stuck",
	taskvisor.TaskStopped:              "attempt succeeded",
	taskvisor.TaskFailed:               "attempt failed",
	taskvisor.TaskCanceled:             "attempt canceled",
	taskvisor.BackoffScheduled:         "next attempt scheduled",
	taskvisor.TaskRemoveRequested:      "stop requested",
	taskvisor.ActorExhausted:           "task failed for good",
	taskvisor.ActorDead:                "task failed fatally",
	taskvisor.TaskAbandoned:            "task abandoned",
	taskvisor.TaskReturned:             "abandoned task returned",
	taskvisor.TaskRemoved:              "task removed",
	taskvisor.ControllerSubmitted:      "submission accepted",
	taskvisor.ControllerRejected:       "submission rejected",
	taskvisor.ControllerSlotTransition: "slot changed",
	taskvisor.ShutdownRequested:        "shutdown requested",
	taskvisor.AllStoppedWithinGrace:    "shutdown complete",
	taskvisor.GraceExceeded:            "grace exceeded",
	taskvisor.SubscriberOverflow:       "events dropped",
	taskvisor.SubscriberPanicked:       "subscriber panicked",
}

// messageOf returns the constant message of a record.
func messageOf(e *taskvisor.Event) string {
	switch {
	case e.Kind == taskvisor.TaskFailed && e.Result == taskvisor.ResultTimeout:
		return "attempt timed out"
	case e.Kind == taskvisor.TaskFailed && e.Result == taskvisor.ResultPanic:
		return "attempt panicked"
	case e.Kind == taskvisor.BackoffScheduled && e.Source != taskvisor.BackoffSuccess:
		return "retry scheduled"
	case e.Kind == taskvisor.TaskRemoveRequested && e.Reason == taskvisor.ErrReplaced:
		return "task replaced"
	case e.Kind == taskvisor.ActorExhausted && e.Outcome == taskvisor.OutcomeCompleted:
		return "task completed"
	case e.Kind == taskvisor.ControllerSubmitted && e.Verdict == taskvisor.VerdictQueued:
		return "submission queued"
	case e.Kind == taskvisor.ControllerSubmitted && e.Verdict == taskvisor.VerdictJoined:
		return "submission joined"
	case e.Kind == taskvisor.ControllerRejected && e.Reason == taskvisor.ErrSuperseded:
		return "submission replaced"
	case int(e.Kind) < len(messages) && e.Kind != 0:
		return messages[e.Kind]
	}
	return "unknown event"
}

// addAttrs adds what the kind of event has to say. A record holds five
// attributes without allocating: those of an attempt that starts, succeeds or
// is scheduled again have no more.
func (s *Subscriber) addAttrs(r *slog.Record, e *taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskStarting:
		addAttempt(r, e)
		if e.Timeout > 0 {
			r.AddAttrs(slog.Duration("timeout", e.Timeout))
		}
	case taskvisor.TaskStopped:
		addAttempt(r, e)
		r.AddAttrs(slog.Duration("duration", e.Duration))
	case taskvisor.BackoffScheduled:
		addAttempt(r, e)
		r.AddAttrs(slog.Duration("delay", e.Delay))
		if e.Source == taskvisor.BackoffRequested {
			r.AddAttrs(slog.String("cause", e.Source.String()))
		}
	case taskvisor.TaskFailed:
		addAttempt(r, e)
		r.AddAttrs(slog.String("outcome", e.Result.String()), slog.Duration("duration", e.Duration))
		s.addError(r, "error", e.Err)
		s.addStack(r, e.Stack)
	case taskvisor.TimeoutHit, taskvisor.TaskStuck, taskvisor.TaskCanceled, taskvisor.TaskAbandoned, taskvisor.TaskReturned:
		addAttempt(r, e)
		r.AddAttrs(slog.Duration("duration", e.Duration))
		addReason(r, e)
		s.addError(r, "error", e.Err)
		s.addStack(r, e.Stack)
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		addAttempt(r, e)
		r.AddAttrs(slog.String("outcome", e.Outcome.String()))
		s.addError(r, "error", e.Err)
	default:
		s.addOther(r, e)
	}
}

// addOther is for the events that are not about one attempt.
func (s *Subscriber) addOther(r *slog.Record, e *taskvisor.Event) {
	r.AddAttrs(slog.String("supervisor", e.Supervisor))
	if e.Task != "" {
		r.AddAttrs(slog.String("task", e.Task))
	}
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
	case taskvisor.TaskRemoved:
		r.AddAttrs(slog.String("outcome", e.Outcome.String()))
	case taskvisor.ControllerRejected, taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		r.AddAttrs(slog.Duration("duration", e.Duration))
	case taskvisor.ControllerSlotTransition:
		r.AddAttrs(slog.String("from", e.From.String()), slog.String("to", e.To.String()))
	case taskvisor.SubscriberOverflow:
		r.AddAttrs(slog.String("subscriber", e.Subscriber), slog.Uint64("dropped", e.Dropped))
		return
	case taskvisor.SubscriberPanicked:
		r.AddAttrs(slog.String("subscriber", e.Subscriber))
	}
	addReason(r, e)
	switch e.Kind {
	case taskvisor.ShutdownRequested:
		if e.Err != taskvisor.ErrShutdown { // which says what the message says
			s.addError(r, "cause", e.Err)
		}
	case taskvisor.GraceExceeded, taskvisor.SubscriberPanicked:
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
}

func addReason(r *slog.Record, e *taskvisor.Event) {
	if e.Reason != 0 {
		r.AddAttrs(slog.String("reason", e.Reason.String()))
	}
}

func (s *Subscriber) addError(r *slog.Record, key string, err error) {
	switch {
	case err == nil:
	case s.format != nil:
		r.AddAttrs(slog.String(key, s.format(err)))
	default:
		r.AddAttrs(slog.Any(key, err))
	}
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
