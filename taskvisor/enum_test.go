package taskvisor_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// enumLabels is what metrics, logs and traces may rely on. A change here is a
// change that breaks users.
var enumLabels = map[string][]string{
	"Reason": {
		"", "already_exists", "batch_rejected", "slot_busy", "queue_full", "superseded", "too_many_tasks", "removed", "replaced", "shutdown",
		"attempt_timeout", "interrupted", "canceled", "goexit", "dependency", "already_running", "would_wait_for_self", "shutting_down",
	},
	"EventKind": {
		"", "task_added", "task_add_failed", "task_gated", "task_starting", "task_ready", "timeout_hit", "task_stuck", "task_stopped", "task_failed",
		"task_canceled", "task_recovered", "backoff_scheduled", "task_triggered", "task_interrupted", "task_paused", "task_resumed",
		"task_remove_requested", "actor_exhausted", "actor_dead", "task_abandoned", "task_returned", "task_removed", "body_returned",
		"controller_submitted", "controller_rejected", "controller_slot_transition",
		"shutdown_announced", "shutdown_requested", "shutdown_stage", "all_stopped_within_grace", "grace_exceeded", "subscriber_overflow", "subscriber_panicked",
	},
	"ResultKind":      {"", "success", "failure", "fatal", "timeout", "panic", "canceled"},
	"OutcomeKind":     {"", "completed", "failed", "fatal", "canceled", "abandoned", "rejected"},
	"State":           {"", "pending", "running", "backoff", "waiting", "paused", "stopping", "abandoned", "finished"},
	"SlotState":       {"", "idle", "admitting", "running", "terminating", "abandoned"},
	"SupervisorState": {"", "new", "running", "draining", "stopped"},
	"BackoffSource":   {"", "success", "failure", "requested", "triggered"},
	"Verdict":         {"", "started", "queued", "joined", "rejected"},
	"Admission":       {"queue", "replace", "drop_if_running", "coalesce", "join"},
	"Jitter":          {"no_jitter", "full_jitter", "equal_jitter", "band_jitter"},
}

// checkEnum walks through every value of an enum.
func checkEnum[E ~uint8, P interface {
	*E
	encoding.TextUnmarshaler
}](t *testing.T, text func(E) (string, encoding.TextMarshaler)) {
	t.Helper()
	name := fmt.Sprintf("%T", E(0))[len("taskvisor."):]
	labels := enumLabels[name]
	snake := regexp.MustCompile(`^([a-z]+(_[a-z]+)*)?$`)
	for i, want := range labels {
		got, m := text(E(i))
		same(t, name, got, want)
		if !snake.MatchString(got) {
			t.Errorf("%s has the label %q", name, got)
		}
		b, err := m.MarshalText()
		if err != nil || string(b) != want {
			t.Errorf("%s: MarshalText gives %q, %v", name, b, err)
		}
		back := E(200)
		if err := P(&back).UnmarshalText(b); err != nil || back != E(i) {
			t.Errorf("%s: %q is read as %d, %v", name, b, back, err)
		}
	}
	for _, beyond := range []int{len(labels), 255} {
		got, _ := text(E(beyond))
		same(t, name, got, fmt.Sprintf("unknown_%d", beyond))
	}
	v := E(1)
	for _, wrong := range []string{"nonsense", "SUCCESS", "unknown_77", " "} {
		if err := P(&v).UnmarshalText([]byte(wrong)); err == nil || v != 1 {
			t.Errorf("%s: %q is read as %d, %v", name, wrong, v, err)
		}
	}
}

func TestEnumLabels(t *testing.T) {
	checkEnum(t, func(v taskvisor.Reason) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.EventKind) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.ResultKind) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.OutcomeKind) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.SlotState) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.SupervisorState) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.State) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.BackoffSource) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.Verdict) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.Admission) (string, encoding.TextMarshaler) { return v.String(), v })
	checkEnum(t, func(v taskvisor.Jitter) (string, encoding.TextMarshaler) { return v.String(), v })
}

// Zero is "not set", but for Jitter and Admission, and enums are JSON strings.
func TestEnumZeroAndJSON(t *testing.T) {
	type all struct {
		K taskvisor.EventKind
		R taskvisor.ResultKind
		O taskvisor.OutcomeKind
		W taskvisor.Reason
		J taskvisor.Jitter
	}
	b, err := json.Marshal(all{K: taskvisor.TaskAdded, W: taskvisor.ErrRemoved})
	same(t, "error", err, nil)
	same(t, "JSON", string(b), `{"K":"task_added","R":"","O":"","W":"removed","J":"no_jitter"}`)
	var back all
	if err := json.Unmarshal(b, &back); err != nil || back.K != taskvisor.TaskAdded || back.W != taskvisor.ErrRemoved {
		t.Errorf("read back %+v, %v", back, err)
	}
}

// The kinds that overflow keeps.
func TestEnumTerminalKinds(t *testing.T) {
	terminal := map[taskvisor.EventKind]bool{}
	for _, k := range []taskvisor.EventKind{
		taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled, taskvisor.ActorExhausted,
		taskvisor.ActorDead, taskvisor.TaskAbandoned, taskvisor.TaskReturned, taskvisor.TaskRemoved, taskvisor.BodyReturned, taskvisor.ControllerRejected,
		taskvisor.ShutdownRequested, taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded,
	} {
		terminal[k] = true
	}
	for k := range 256 {
		same(t, taskvisor.EventKind(k).String(), taskvisor.EventKind(k).Terminal(), terminal[taskvisor.EventKind(k)])
	}
}
