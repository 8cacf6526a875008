package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// How a failure is told: on one line, with all that a person needs.

func TestPanicHasItsStack(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		l.add(every(script(panics(), blocks())))
		l.expect(`
			ERROR attempt panicked task=job attempt=1 result=panic duration=0s delay=1s error=panic: oh no stack=slog_test.crash
		`)
	})
}

func TestFailureSaysWhenItGoesOn(t *testing.T) {
	live(t, slog.LevelDebug, nil, nil, func(l *life) {
		l.add(every(script(fails(errBoom), fails(taskvisor.RetryAfter(time.Minute, errBoom)), blocks()),
			taskvisor.ConstantBackoff(2*time.Minute)))
		time.Sleep(2*time.Minute + time.Second)
		l.expect(`
			INFO task added task=job
			DEBUG attempt started task=job attempt=1
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=2m0s error=boom
			DEBUG attempt started task=job attempt=2
			WARN attempt failed task=job attempt=2 result=failure duration=0s delay=1m0s source=requested error=boom
		`)
	})
}

// TestEndOfATaskIsOneLine: not one for the attempt, and another for the same.
func TestEndOfATaskIsOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		spec taskvisor.TaskSpec
		want string
	}{
		"fatal": {
			taskvisor.Restartable("job", script(fails(taskvisor.Fatal(errBoom)))),
			"ERROR task failed fatally task=job attempt=1 result=fatal outcome=fatal duration=0s error=boom",
		},
		"once": {
			taskvisor.Once("job", script(fails(errBoom))),
			"ERROR task failed for good task=job attempt=1 result=failure outcome=failed duration=0s error=boom",
		},
		"panic": {
			taskvisor.Once("job", script(panics())),
			"ERROR task failed for good task=job attempt=1 result=panic outcome=failed duration=0s error=panic: oh no stack=slog_test.crash",
		},
		"timeout": {
			taskvisor.Once("job", script(blocks()), taskvisor.WithTimeout(time.Second)),
			"ERROR task failed for good task=job attempt=1 result=timeout outcome=failed duration=1s error=attempt timed out after 1s",
		},
		"kind": {
			taskvisor.Once("job", script(fails(errBoom)), taskvisor.WithKind("import")),
			"ERROR task failed for good task=job attempt=1 task_kind=import result=failure outcome=failed duration=0s error=boom",
		},
		"exit code": {
			taskvisor.Once("job", func(context.Context) error { return &exec.Error{Name: "x", Err: exitError{}} }),
			"ERROR task failed for good task=job attempt=1 result=failure outcome=failed duration=0s error=exec: \"x\": exit 3 exit_code=3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelWarn, nil, nil, func(l *life) {
				l.add(c.spec)
				time.Sleep(2 * time.Second)
				l.expect(c.want)
			})
		})
	}
}

type exitError struct{}

func (exitError) Error() string { return "exit 3" }
func (exitError) ExitCode() int { return 3 }

// TestLastFailureIsToldThoughSuppressed: the end of a task has its own failure on it,
// and accounts for those before it.
func TestLastFailureIsToldThoughSuppressed(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		l.add(every(script(fails(errBoom), fails(errBoom), fails(errBoom), fails(errors.New("disk full"))), taskvisor.WithMaxRetries(3)))
		time.Sleep(time.Minute)
		l.expect(`
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			ERROR task failed for good task=job attempt=4 result=failure outcome=failed duration=0s error=disk full suppressed=2
		`)
	})
}

// TestLastFailureIsToldAtTheEnd: a crash loop is stopped while it waits, more often than
// not, and what it failed with at last is what people look for.
func TestLastFailureIsToldAtTheEnd(t *testing.T) {
	counted := func(after ...taskvisor.Func) taskvisor.Func {
		n := 0
		return func(ctx context.Context) error {
			if n++; n > 5 && len(after) > 0 {
				return after[0](ctx)
			}
			return fmt.Errorf("error %d", n)
		}
	}
	stop := func(_ *life, h *taskvisor.Handle) { h.Stop() }
	const first = "WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=error 1\n"
	const last = "WARN attempt failed task=job attempt=5 result=failure duration=0s delay=1s error=error 5 suppressed=3\n"
	for name, c := range map[string]struct {
		body taskvisor.Func
		end  func(l *life, h *taskvisor.Handle)
		want string
	}{
		"stopped in backoff":   {counted(), stop, first + last},
		"shut down in backoff": {counted(), func(l *life, _ *taskvisor.Handle) { l.shutdown(true) }, first + last},
		"stopped while it runs": {
			counted(blocks()), func(_ *life, h *taskvisor.Handle) { time.Sleep(time.Second); h.Stop() },
			first + last,
		},
		"another record between": {
			counted(ignores(15 * time.Second)), func(_ *life, h *taskvisor.Handle) { time.Sleep(time.Second); h.Stop() },
			first + "ERROR attempt stuck task=job attempt=6 duration=5.5s reason=removed stack=slog_test.deaf suppressed=3\n" +
				"WARN attempt failed task=job attempt=5 result=failure duration=0s delay=1s error=error 5\n",
		},
		"recovered, which this log does not tell": {
			counted(succeeds()), func(_ *life, h *taskvisor.Handle) { time.Sleep(2 * time.Second); h.Stop() },
			first + last,
		},
		"recovered, and not for the first time": {
			script(fails(errors.New("error 1")), succeeds(), fails(errors.New("error 3")), succeeds()), stop,
			first + "WARN attempt failed task=job attempt=3 result=failure duration=0s delay=1s error=error 3\n",
		},
		"interrupted": {
			script(untilStopped(errors.New("flush 1")), untilStopped(errors.New("flush 2")), blocks()),
			func(_ *life, h *taskvisor.Handle) {
				for range 2 {
					h.Interrupt(nil)
					time.Sleep(2 * time.Second)
				}
				h.Stop()
			},
			"WARN stopped attempt failed task=job attempt=1 duration=4.5s reason=interrupted error=flush 1\n" +
				"WARN stopped attempt failed task=job attempt=2 duration=2s reason=interrupted error=flush 2\n",
		},
		"panic of an abandoned body": {
			script(panics(), func(ctx context.Context) error { _ = deaf(time.Minute / 2); return crash(ctx) }), stop,
			"ERROR attempt panicked task=job attempt=1 result=panic duration=0s delay=1s error=panic: oh no stack=slog_test.crash\n" +
				"ERROR attempt stuck task=job attempt=2 duration=8.5s reason=removed stack=slog_test.deaf\n" +
				"ERROR task abandoned task=job attempt=2 duration=23.5s reason=removed error=taskvisor: grace of 20s exceeded by \"job\" (attempt 2) stack=slog_test.deaf\n" +
				"ERROR attempt panicked task=job attempt=2 result=panic duration=30s error=panic: oh no stack=slog_test.crash\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelWarn, nil, nil, func(l *life) {
				h := l.add(every(c.body, taskvisor.WithStuckAfter(5*time.Second), taskvisor.WithTimeout(time.Hour)))
				time.Sleep(4*time.Second + time.Second/2)
				c.end(l, h)
				time.Sleep(time.Minute)
				l.expect(c.want)
			})
		})
	}
}

// TestStoppedBodyThatFails: what was lost at a deploy must not be silent, and a deploy
// at which nothing was lost must be.
func TestStoppedBodyThatFails(t *testing.T) {
	flush := fmt.Errorf("flush of 10000 records: %w", errors.New("disk full"))
	for name, c := range map[string]struct {
		body taskvisor.Func
		want string
	}{
		"nothing":              {untilStopped(nil), ""},
		"its context's error":  {untilStopped(context.Canceled), ""},
		"its context's cause":  {script(blocks()), ""},
		"wrapped":              {func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("read: %w", context.Cause(ctx)) }, ""},
		"ErrCanceled":          {untilStopped(taskvisor.ErrCanceled), ""},
		"joined cancellations": {func(ctx context.Context) error { <-ctx.Done(); return errors.Join(ctx.Err(), context.Cause(ctx)) }, ""},
		"data lost": {
			untilStopped(flush),
			"WARN stopped attempt failed task=job attempt=1 duration=1s reason=removed error=flush of 10000 records: disk full",
		},
		"data lost and canceled": {
			untilStopped(errors.Join(context.Canceled, flush)),
			"WARN stopped attempt failed task=job attempt=1 duration=1s reason=removed error=context canceled\nflush of 10000 records: disk full",
		},
		"panic": {
			func(ctx context.Context) error { <-ctx.Done(); return crash(ctx) },
			"ERROR attempt panicked task=job attempt=1 result=panic duration=1s error=panic: oh no stack=slog_test.crash",
		},
		"fatal": {
			untilStopped(taskvisor.Fatal(errBoom)),
			"ERROR attempt failed task=job attempt=1 result=fatal duration=1s error=boom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelWarn, nil, nil, func(l *life) {
				h := l.add(taskvisor.Restartable("job", c.body))
				time.Sleep(time.Second)
				h.StopFor(errors.New("deploy")) // which stands in the cause that bodies return
				l.expect(c.want)
			})
		})
	}
}

// TestStopOfAFloodingTask: the last failure of a task is told although one was a
// moment ago.
func TestStopOfAFloodingTask(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		h := l.add(every(func(ctx context.Context) error {
			if a, _ := taskvisor.FromContext(ctx); a.Number == 3 {
				<-ctx.Done()
				panic("at the stop")
			}
			panic("before")
		}))
		time.Sleep(time.Minute / 2)
		h.Stop()
		time.Sleep(time.Second)
		if got := l.log.text("panicked"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "attempt=3 result=panic duration=28s error=panic: at the stop") ||
			!strings.HasSuffix(got, "suppressed=1\n") {
			t.Errorf("got:\n%s", got)
		}
	})
}

func TestTaskThatEndsItself(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"silently":     {taskvisor.ErrCanceled, ""},
		"with reason":  {taskvisor.Canceled(errors.New("nothing left to do")), "INFO task ended itself task=job attempt=1 duration=0s reason=canceled error=nothing left to do\n"},
		"with wrapper": {fmt.Errorf("queue gone: %w", taskvisor.ErrCanceled), "INFO task ended itself task=job attempt=1 duration=0s reason=canceled error=queue gone: taskvisor: task canceled itself\n"},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelInfo, nil, nil, func(l *life) {
				l.add(taskvisor.Restartable("job", script(fails(c.err))))
				l.expect("INFO task added task=job\n" + c.want + "INFO task removed task=job outcome=canceled reason=canceled")
			})
		})
	}
}

// TestLongErrorsAreCut: one of megabytes breaks what the log is sent through. What
// handlers may find in it stays.
func TestLongErrorsAreCut(t *testing.T) {
	long := &hugeError{5 << 20}
	for name, opt := range map[string]slogsub.Option{
		"as it is":  slogsub.WithErrorFormatter(nil),
		"formatted": slogsub.WithErrorFormatter(func(err error) string { return err.Error() }),
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelWarn, []slogsub.Option{opt}, nil, func(l *life) {
				l.add(taskvisor.Once("job", script(fails(long))))
				time.Sleep(time.Second)
				got := l.log.text("task failed for good")
				if n := len(got); n < 4096 || n > 4096+200 || !strings.HasSuffix(got, "€… (5242880 bytes)\n") || strings.Contains(got, "\uFFFD") {
					t.Errorf("%d bytes, which end in %q", n, got[max(0, n-40):])
				}
			})
		})
	}
	var kept error
	sub := slogsub.New(slog.New(probe{func(a slog.Attr) {
		if a.Key == "error" {
			kept, _ = a.Value.Any().(error)
		}
	}}))
	sub.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskFailed, Err: long})
	var huge *hugeError
	if !errors.As(kept, &huge) {
		t.Errorf("the error became a %T", kept)
	}
	sub.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskFailed, Err: errBoom})
	if kept != errBoom {
		t.Errorf("a short error became a %T", kept)
	}
}

type hugeError struct{ size int }

func (e *hugeError) Error() string { return strings.Repeat("€", e.size/3) + "xx"[:e.size%3] }

// probe is a handler that looks at attributes.
type probe struct{ look func(slog.Attr) }

func (probe) Enabled(context.Context, slog.Level) bool { return true }
func (p probe) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool { p.look(a); return true })
	return nil
}
func (p probe) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p probe) WithGroup(string) slog.Handler      { return p }

// TestErrorThatPanics: its text is the user's code, and may fail the second time.
func TestErrorThatPanics(t *testing.T) {
	var out bytes.Buffer
	sub := slogsub.New(slog.New(slog.NewTextHandler(&out, nil)))
	sub.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskFailed, Result: taskvisor.ResultFailure, Err: badError{}})
	if got := out.String(); !strings.Contains(got, "attempt failed") || !strings.Contains(got, "no text") {
		t.Errorf("got %s", got)
	}
}

type badError struct{}

func (badError) Error() string { panic("no text") }
