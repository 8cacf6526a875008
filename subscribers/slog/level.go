package slogsub

import (
	"log/slog"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// DefaultLevel is the level of an event unless [WithLevel] says otherwise:
//
//	Debug  what every attempt of a healthy task does
//	Info   a task or a supervisor begins or ends; somebody steers a task; a submission waits or is replaced
//	Warn   a failure that will be retried, or of a body that was stopped; a refusal; lost events
//	Error  panics, the end of the retries, fatal errors, bodies that ignore their context
func DefaultLevel(e taskvisor.Event) slog.Level {
	switch e.Kind {
	case taskvisor.TaskAdded, taskvisor.TaskRemoveRequested, taskvisor.TaskReturned, taskvisor.TaskRemoved,
		taskvisor.TaskRecovered, taskvisor.TaskInterrupted, taskvisor.TaskPaused, taskvisor.TaskResumed,
		taskvisor.ShutdownAnnounced, taskvisor.ShutdownRequested, taskvisor.ShutdownStage, taskvisor.AllStoppedWithinGrace:
		return slog.LevelInfo
	case taskvisor.TaskAddFailed, taskvisor.SubscriberOverflow:
		return slog.LevelWarn
	case taskvisor.TaskStuck, taskvisor.ActorDead, taskvisor.TaskAbandoned, taskvisor.GraceExceeded,
		taskvisor.SubscriberPanicked:
		return slog.LevelError
	case taskvisor.TaskFailed:
		return failureLevel(e.Result)
	case taskvisor.TaskCanceled:
		return canceledLevel(&e)
	case taskvisor.BodyReturned:
		if e.Result == taskvisor.ResultCanceled {
			return max(slog.LevelInfo, canceledLevel(&e))
		}
		return max(slog.LevelInfo, failureLevel(e.Result))
	case taskvisor.TaskTriggered:
		if e.Err != nil { // a person, or a program that says why
			return slog.LevelInfo
		}
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

func failureLevel(r taskvisor.ResultKind) slog.Level {
	switch r {
	case taskvisor.ResultPanic, taskvisor.ResultFatal:
		return slog.LevelError
	case taskvisor.ResultFailure, taskvisor.ResultTimeout:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// canceledLevel tells attempts that merely stopped from those that have something to
// say: a body that fails when it is stopped may have lost what it had not written.
func canceledLevel(e *taskvisor.Event) slog.Level {
	switch {
	case !saysMore(e):
		return slog.LevelDebug
	case e.Reason == taskvisor.ErrCanceled:
		return slog.LevelInfo
	}
	return slog.LevelWarn
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

var messages = map[taskvisor.EventKind]string{
	taskvisor.TaskAdded:                "task added",
	taskvisor.TaskAddFailed:            "task refused",
	taskvisor.TaskGated:                "attempt waits",
	taskvisor.TaskStarting:             "attempt started",
	taskvisor.TaskReady:                "task ready",
	taskvisor.TimeoutHit:               "attempt past its timeout",
	taskvisor.TaskStuck:                "attempt stuck",
	taskvisor.TaskStopped:              "attempt succeeded",
	taskvisor.TaskFailed:               "attempt failed",
	taskvisor.TaskCanceled:             "attempt canceled",
	taskvisor.TaskRecovered:            "task recovered",
	taskvisor.BackoffScheduled:         "next attempt scheduled",
	taskvisor.TaskTriggered:            "task triggered",
	taskvisor.TaskInterrupted:          "task interrupted",
	taskvisor.TaskPaused:               "task paused",
	taskvisor.TaskResumed:              "task resumed",
	taskvisor.TaskRemoveRequested:      "stop requested",
	taskvisor.ActorExhausted:           "task failed for good",
	taskvisor.ActorDead:                "task failed fatally",
	taskvisor.TaskAbandoned:            "task abandoned",
	taskvisor.TaskReturned:             "abandoned task returned",
	taskvisor.TaskRemoved:              "task removed",
	taskvisor.BodyReturned:             "released body returned",
	taskvisor.ControllerSubmitted:      "submission accepted",
	taskvisor.ControllerRejected:       "submission rejected",
	taskvisor.ControllerSlotTransition: "slot changed",
	taskvisor.ShutdownAnnounced:        "shutdown announced",
	taskvisor.ShutdownRequested:        "shutdown requested",
	taskvisor.ShutdownStage:            "shutdown stage",
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
	case e.Kind == taskvisor.TaskCanceled && saysMore(e):
		if e.Reason == taskvisor.ErrCanceled {
			return "task ended itself"
		}
		return "stopped attempt failed"
	case e.Kind == taskvisor.BackoffScheduled && e.Err != nil && e.Source != taskvisor.BackoffTriggered:
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
	}
	if m, ok := messages[e.Kind]; ok {
		return m
	}
	return "unknown event"
}

// message is that of the end of the task, if the failure was that.
func (f *failure) message() string {
	if f.next.Kind == taskvisor.ActorExhausted || f.next.Kind == taskvisor.ActorDead {
		return messageOf(&f.next)
	}
	return messageOf(&f.e)
}
