package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var errBoom = errors.New("boom")

// TestRecords has one event for each record that there is, with every field
// that its kind sets.
func TestRecords(t *testing.T) {
	panicked := &taskvisor.PanicError{Value: "oh no"}
	for _, c := range []struct {
		e    taskvisor.Event
		want string
	}{
		{taskvisor.Event{Kind: taskvisor.TaskAdded}, "INFO task added supervisor=sup task=job task_id=7"},
		{taskvisor.Event{Kind: taskvisor.TaskAdded, Slot: "key", Duration: time.Second}, "INFO task added supervisor=sup task=job task_id=7 slot=key duration=1s"},
		{taskvisor.Event{Kind: taskvisor.TaskAddFailed, Reason: taskvisor.ErrTaskExists}, "WARN task refused supervisor=sup task=job task_id=7 reason=already_exists"},
		{taskvisor.Event{Kind: taskvisor.TaskStarting}, "DEBUG attempt started supervisor=sup task=job task_id=7 attempt=1"},
		{taskvisor.Event{Kind: taskvisor.TaskStarting, Timeout: time.Minute}, "DEBUG attempt started supervisor=sup task=job task_id=7 attempt=1 timeout=1m0s"},
		{taskvisor.Event{Kind: taskvisor.TimeoutHit, Timeout: time.Minute, Duration: time.Minute}, "DEBUG attempt past its timeout supervisor=sup task=job task_id=7 attempt=1 duration=1m0s"},
		{taskvisor.Event{Kind: taskvisor.TaskStuck, Duration: time.Minute, Reason: taskvisor.ErrRemoved, Stack: "main.f"}, "ERROR attempt stuck supervisor=sup task=job task_id=7 attempt=1 duration=1m0s reason=removed stack=main.f"},
		{taskvisor.Event{Kind: taskvisor.TaskStopped, Result: taskvisor.ResultSuccess, Duration: time.Second}, "DEBUG attempt succeeded supervisor=sup task=job task_id=7 attempt=1 duration=1s"},
		{taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultFailure, Duration: time.Second, Err: errBoom}, "WARN attempt failed supervisor=sup task=job task_id=7 attempt=1 outcome=failure duration=1s error=boom"},
		{taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultTimeout, Duration: time.Second, Err: errBoom}, "WARN attempt timed out supervisor=sup task=job task_id=7 attempt=1 outcome=timeout duration=1s error=boom"},
		{taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultFatal, Duration: time.Second, Err: errBoom}, "ERROR attempt failed supervisor=sup task=job task_id=7 attempt=1 outcome=fatal duration=1s error=boom"},
		{taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultPanic, Duration: time.Second, Err: panicked, Stack: "main.f"}, "ERROR attempt panicked supervisor=sup task=job task_id=7 attempt=1 outcome=panic duration=1s error=panic: oh no stack=main.f"},
		{taskvisor.Event{Kind: taskvisor.TaskCanceled, Result: taskvisor.ResultCanceled, Duration: time.Second, Err: context.Canceled, Reason: taskvisor.ErrShutdown}, "DEBUG attempt canceled supervisor=sup task=job task_id=7 attempt=1 duration=1s reason=shutdown error=context canceled"},
		{taskvisor.Event{Kind: taskvisor.BackoffScheduled, Delay: time.Second, Source: taskvisor.BackoffSuccess}, "DEBUG next attempt scheduled supervisor=sup task=job task_id=7 attempt=1 delay=1s"},
		{taskvisor.Event{Kind: taskvisor.BackoffScheduled, Delay: time.Second, Source: taskvisor.BackoffFailure, Err: errBoom}, "DEBUG retry scheduled supervisor=sup task=job task_id=7 attempt=1 delay=1s"},
		{taskvisor.Event{Kind: taskvisor.BackoffScheduled, Delay: time.Second, Source: taskvisor.BackoffRequested, Err: errBoom}, "DEBUG retry scheduled supervisor=sup task=job task_id=7 attempt=1 delay=1s cause=requested"},
		{taskvisor.Event{Kind: taskvisor.TaskRemoveRequested, Reason: taskvisor.ErrRemoved}, "INFO stop requested supervisor=sup task=job task_id=7 reason=removed"},
		{taskvisor.Event{Kind: taskvisor.TaskRemoveRequested, Reason: taskvisor.ErrReplaced}, "INFO task replaced supervisor=sup task=job task_id=7 reason=replaced"},
		{taskvisor.Event{Kind: taskvisor.ActorExhausted, Outcome: taskvisor.OutcomeCompleted}, "INFO task completed supervisor=sup task=job task_id=7 attempt=1 outcome=completed"},
		{taskvisor.Event{Kind: taskvisor.ActorExhausted, Outcome: taskvisor.OutcomeFailed, Err: errBoom}, "ERROR task failed for good supervisor=sup task=job task_id=7 attempt=1 outcome=failed error=boom"},
		{taskvisor.Event{Kind: taskvisor.ActorDead, Outcome: taskvisor.OutcomeFatal, Err: errBoom}, "ERROR task failed fatally supervisor=sup task=job task_id=7 attempt=1 outcome=fatal error=boom"},
		{taskvisor.Event{Kind: taskvisor.TaskAbandoned, Outcome: taskvisor.OutcomeAbandoned, Reason: taskvisor.ErrShutdown, Duration: time.Minute, Stack: "main.f", Err: errBoom}, "ERROR task abandoned supervisor=sup task=job task_id=7 attempt=1 duration=1m0s reason=shutdown error=boom stack=main.f"},
		{taskvisor.Event{Kind: taskvisor.TaskReturned, Duration: time.Hour}, "INFO abandoned task returned supervisor=sup task=job task_id=7 attempt=1 duration=1h0m0s"},
		{taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCompleted, Duration: time.Hour}, "INFO task removed supervisor=sup task=job task_id=7 outcome=completed"},
		{taskvisor.Event{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCanceled, Reason: taskvisor.ErrShutdown}, "INFO task removed supervisor=sup task=job task_id=7 outcome=canceled reason=shutdown"},
		{taskvisor.Event{Kind: taskvisor.ControllerSubmitted, Slot: "key", Verdict: taskvisor.VerdictStarted}, "DEBUG submission accepted supervisor=sup task=job task_id=7 slot=key"},
		{taskvisor.Event{Kind: taskvisor.ControllerSubmitted, Slot: "key", Verdict: taskvisor.VerdictQueued}, "INFO submission queued supervisor=sup task=job task_id=7 slot=key"},
		{taskvisor.Event{Kind: taskvisor.ControllerSubmitted, Slot: "key", Verdict: taskvisor.VerdictJoined}, "DEBUG submission joined supervisor=sup task=job task_id=7 slot=key"},
		{taskvisor.Event{Kind: taskvisor.ControllerRejected, Slot: "key", Reason: taskvisor.ErrQueueFull}, "WARN submission rejected supervisor=sup task=job task_id=7 slot=key duration=0s reason=queue_full"},
		{taskvisor.Event{Kind: taskvisor.ControllerRejected, Slot: "key", Reason: taskvisor.ErrShuttingDown}, "INFO submission rejected supervisor=sup task=job task_id=7 slot=key duration=0s reason=shutting_down"},
		{taskvisor.Event{Kind: taskvisor.ControllerRejected, Slot: "key", Reason: taskvisor.ErrSuperseded, Duration: time.Second}, "INFO submission replaced supervisor=sup task=job task_id=7 slot=key duration=1s reason=superseded"},
		{taskvisor.Event{Kind: taskvisor.ControllerSlotTransition, Slot: "key", From: taskvisor.StateIdle, To: taskvisor.StateAdmitting}, "DEBUG slot changed supervisor=sup task=job task_id=7 slot=key from=idle to=admitting"},
		{taskvisor.Event{Kind: taskvisor.EventKind(99)}, "DEBUG unknown event supervisor=sup task=job task_id=7"},
	} {
		sub, h := record(slog.LevelDebug)
		feedTo(sub).send(c.e)
		if got := h.text(); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

func TestSupervisorRecords(t *testing.T) {
	sub, h := record(slog.LevelDebug)
	for _, e := range []taskvisor.Event{
		{Kind: taskvisor.ShutdownRequested, Err: errBoom},
		{Kind: taskvisor.AllStoppedWithinGrace, Duration: time.Second},
		{Kind: taskvisor.GraceExceeded, Duration: time.Second, Err: errBoom},
		{Kind: taskvisor.SubscriberOverflow, Subscriber: "logs", Dropped: 12, FirstSeq: 1, LastSeq: 12},
		{Kind: taskvisor.SubscriberPanicked, Subscriber: "logs", Err: errBoom, Stack: "main.f"},
	} {
		e.Supervisor = "sup"
		sub.OnEvent(context.Background(), e)
	}
	expect(t, h.text(), `
		INFO shutdown requested supervisor=sup cause=boom
		INFO shutdown complete supervisor=sup duration=1s
		ERROR grace exceeded supervisor=sup duration=1s error=boom
		WARN events dropped supervisor=sup subscriber=logs dropped=12
		ERROR subscriber panicked supervisor=sup subscriber=logs error=boom stack=main.f
	`)
}

// TestCommonRecordsDoNotAllocate holds the five attributes that a record has
// room for, and that those cost no memory.
func TestCommonRecordsDoNotAllocate(t *testing.T) {
	for _, e := range commonEvents() {
		sub, h := record(slog.LevelDebug)
		feedTo(sub).send(e)
		if h.attrs[0] > 5 {
			t.Errorf("%s has %d attributes: %s", e.Kind, h.attrs[0], h.text())
		}
		quiet := slogsub.New(slog.New(discard{}))
		if n := testing.AllocsPerRun(100, func() { quiet.OnEvent(context.Background(), e) }); n != 0 {
			t.Errorf("%s: %v allocations", e.Kind, n)
		}
	}
}

// commonEvents are those of an attempt in a task's ordinary life.
func commonEvents() []taskvisor.Event {
	e := taskvisor.Event{Time: time.Now(), Supervisor: "sup", Task: "job", TaskID: 700, Attempt: 1000}
	var all []taskvisor.Event
	for _, kind := range []taskvisor.EventKind{taskvisor.TaskStarting, taskvisor.TaskStopped, taskvisor.BackoffScheduled} {
		e := e
		e.Kind, e.Timeout, e.Duration, e.Delay = kind, time.Minute, time.Second, time.Second
		e.Source = taskvisor.BackoffSuccess
		all = append(all, e)
	}
	return all
}

// discard is a handler that wants everything and does nothing with it.
type discard struct{}

func (discard) Enabled(context.Context, slog.Level) bool  { return true }
func (discard) Handle(context.Context, slog.Record) error { return nil }
func (h discard) WithAttrs([]slog.Attr) slog.Handler      { return h }
func (h discard) WithGroup(string) slog.Handler           { return h }

func TestContextAndTimeReachTheHandler(t *testing.T) {
	sub, h := record(slog.LevelDebug)
	when := time.Unix(1700000000, 0)
	ctx := context.WithValue(context.Background(), ctxKey{}, "trace-1")
	sub.OnEvent(ctx, taskvisor.Event{Kind: taskvisor.TaskStarting, Time: when, Supervisor: "sup", Task: "job", TaskID: 7, Attempt: 1})
	expect(t, h.text(), `DEBUG attempt started supervisor=sup task=job task_id=7 attempt=1; ctx=trace-1`)
	if !h.times[0].Equal(when) {
		t.Errorf("the record has the time %v, not the event's", h.times[0])
	}
}

func TestErrorsAreKeptAsErrors(t *testing.T) {
	var got any
	sub := slogsub.New(slog.New(probe{func(r slog.Record) {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "error" {
				got = a.Value.Any()
			}
			return true
		})
	}}))
	feedTo(sub).fail()
	if got != errBoom {
		t.Errorf("error is a %T: %v", got, got)
	}
}

type probe struct{ look func(slog.Record) }

func (probe) Enabled(context.Context, slog.Level) bool { return true }
func (p probe) Handle(_ context.Context, r slog.Record) error {
	p.look(r)
	return nil
}
func (p probe) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p probe) WithGroup(string) slog.Handler      { return p }

func TestLevels(t *testing.T) {
	sub, h := record(slog.LevelInfo, slogsub.WithLevel(func(e taskvisor.Event) slog.Level {
		if e.Kind == taskvisor.TaskStarting {
			return slog.LevelError + 4
		}
		return slogsub.DefaultLevel(e)
	}), slogsub.WithLevel(nil))
	f := feedTo(sub)
	f.send(taskvisor.Event{Kind: taskvisor.TaskStarting})
	f.succeed()
	f.send(taskvisor.Event{Kind: taskvisor.TaskAdded})
	expect(t, h.text(), `
		ERROR+4 attempt started supervisor=sup task=job task_id=7 attempt=1
		INFO task added supervisor=sup task=job task_id=7
	`)
}

// TestErrorFormatterSeesAllText: nothing that a body, a panic or a stack says
// passes it by.
func TestErrorFormatterSeesAllText(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	redact := func(err error) string { return strings.ReplaceAll(err.Error(), "hunter2", "***") }
	sub := slogsub.New(logger, slogsub.WithErrorFormatter(redact), slogsub.WithSuppression(0))
	secret := errors.New("password hunter2")
	for kind := range taskvisor.EventKind(32) {
		for _, err := range []error{secret, &taskvisor.PanicError{Value: secret}, &taskvisor.TimeoutError{Err: secret}, taskvisor.Fatal(secret)} {
			for result := range taskvisor.ResultKind(8) {
				sub.OnEvent(context.Background(), taskvisor.Event{Kind: kind, Result: result, Err: err, Stack: "main.login(hunter2)"})
			}
		}
	}
	if text := out.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "panic: password ***") || !strings.Contains(text, "main.login(***)") {
		t.Errorf("not redacted:\n%.2000s", text)
	}
}

func TestNilLoggerIsTheDefault(t *testing.T) {
	var out bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true})))
	feedTo(slogsub.New(nil)).fail()
	want := "msg=\"attempt failed\" supervisor=sup task=job task_id=7 attempt=1 outcome=failure duration=1s error=boom\n"
	if got := out.String(); !strings.HasSuffix(got, want) || strings.Contains(got, "source=slogsub") {
		t.Errorf("got %s", got)
	}
}
