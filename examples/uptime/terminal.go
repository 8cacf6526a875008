package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The colours of a line, as SGR parameters.
const (
	plain  = ""
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

const (
	maxLine  = 240 // runes of one line's text
	maxCalls = 3   // of a stack
)

// terminal prints events as lines for people. It is queued: a terminal may
// block, when its user holds the output.
type terminal struct {
	mu     sync.Mutex // guards w
	w      io.Writer
	colour bool
	level  slog.Level

	failing map[string]int // failures in a row by task; the event worker's alone
}

func newTerminal(w io.Writer, level slog.Level) *terminal {
	return &terminal{w: w, colour: isTerminal(w), level: level, failing: map[string]int{}}
}

// isTerminal reports whether w is one that wants colours.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Preferences implements [taskvisor.Preferences].
func (t *terminal) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("terminal"), taskvisor.Queued(1024)}
}

// OnEvent implements [taskvisor.Subscribe].
func (t *terminal) OnEvent(_ context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.BackoffScheduled, taskvisor.ActorExhausted, taskvisor.ActorDead, taskvisor.TaskRemoved:
		t.attempt(e)
	case taskvisor.TimeoutHit:
		t.print(slog.LevelDebug, e.Time, e.Task, yellow, "timeout", fmt.Sprintf("%s have passed, the check still runs", e.Timeout))
	case taskvisor.TaskStuck:
		t.print(slog.LevelError, e.Time, e.Task, red, "stuck", fmt.Sprintf("does not react after %s, %s", round(e.Duration), whereabouts(e.Stack)))
	case taskvisor.TaskAbandoned:
		t.print(slog.LevelError, e.Time, e.Task, red, "abandoned", fmt.Sprintf("still runs after %s", round(e.Duration)))
	case taskvisor.TaskReturned:
		t.print(slog.LevelWarn, e.Time, e.Task, yellow, "returned", fmt.Sprintf("%s after it was abandoned", round(e.Duration)))
	case taskvisor.ControllerRejected:
		t.print(slog.LevelInfo, e.Time, e.Task, dim, "refused", e.Reason.Error())
	case taskvisor.ShutdownRequested, taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded,
		taskvisor.SubscriberOverflow, taskvisor.SubscriberPanicked:
		t.supervisor(e)
	}
}

// attempt prints what became of one attempt of a task, or of the task.
func (t *terminal) attempt(e taskvisor.Event) {
	switch {
	case e.Kind == taskvisor.TaskStopped && t.failing[e.Task] > 0:
		t.print(slog.LevelInfo, e.Time, e.Task, green, "recovered", fmt.Sprintf("after %d failed attempts, took %s", t.failing[e.Task], round(e.Duration)))
		delete(t.failing, e.Task)
	case e.Kind == taskvisor.TaskStopped:
		t.print(slog.LevelDebug, e.Time, e.Task, green, "good", "took "+round(e.Duration).String())
	case e.Kind == taskvisor.BackoffScheduled && e.Source != taskvisor.BackoffSuccess:
		t.failing[e.Task]++
		what := "failed"
		if p := (*taskvisor.PanicError)(nil); errors.As(e.Err, &p) {
			what = "panicked"
		}
		t.print(slog.LevelWarn, e.Time, e.Task, yellow, what,
			fmt.Sprintf("%s; retry %d in %s", text(e.Err), t.failing[e.Task], round(e.Delay)))
	case e.Kind == taskvisor.ActorExhausted && e.Outcome == taskvisor.OutcomeFailed, e.Kind == taskvisor.ActorDead:
		t.print(slog.LevelError, e.Time, e.Task, red, "given up", fmt.Sprintf("%s; attempts made: %d", text(e.Err), e.Attempt))
	case e.Kind == taskvisor.TaskRemoved:
		delete(t.failing, e.Task)
		if e.Outcome == taskvisor.OutcomeCompleted {
			t.print(slog.LevelInfo, e.Time, e.Task, plain, "done", "")
		}
	}
}

// supervisor prints events that belong to no task.
func (t *terminal) supervisor(e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.ShutdownRequested:
		t.print(slog.LevelInfo, e.Time, "", plain, "stopping", text(e.Err))
	case taskvisor.AllStoppedWithinGrace:
		t.print(slog.LevelInfo, e.Time, "", plain, "stopped", "all within the grace, after "+round(e.Duration).String())
	case taskvisor.GraceExceeded:
		t.print(slog.LevelError, e.Time, "", red, "stopped", text(e.Err))
	case taskvisor.SubscriberOverflow:
		t.print(slog.LevelWarn, e.Time, "", yellow, "lost", fmt.Sprintf("%d events that came faster than they could be printed", e.Dropped))
	case taskvisor.SubscriberPanicked:
		t.print(slog.LevelError, e.Time, "", red, "bug", fmt.Sprintf("subscriber %s: %s", e.Subscriber, text(e.Err)))
	}
}

// print writes one line: time, task, what, detail. It is safe for concurrent use.
func (t *terminal) print(level slog.Level, at time.Time, task, colour, what, detail string) {
	if level < t.level {
		return
	}
	line := fmt.Sprintf("%-10s %s", what, printable(detail))
	if t.colour && colour != plain {
		line = "\x1b[" + colour + "m" + line + "\x1b[0m"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, "%s  %-16s %s\n", at.Format("15:04:05.000"), printable(task), strings.TrimRight(line, " "))
}

// printable makes text that came from elsewhere fit for a terminal: one line,
// not too long, nothing that moves the cursor or turns the writing around.
func printable(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		switch n++; {
		case n > maxLine:
			return -1
		case n == maxLine:
			return '…'
		case unicode.IsPrint(r):
			return r
		case r == '\n' || r == '\t':
			return ' '
		}
		return '?'
	}, s)
}

// whereabouts names the innermost calls of a captured stack, which has a line
// with the function and then an indented one with the place for each.
func whereabouts(stack string) string {
	var calls []string
	before := ""
	for line := range strings.Lines(stack) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "\t") && len(calls) < maxCalls {
			call := strings.TrimSuffix(before, "(...)")
			calls = append(calls, call[strings.LastIndexByte(call, '/')+1:])
		}
		before = line
	}
	if len(calls) == 0 {
		return "its stack is unknown"
	}
	return "in " + strings.Join(calls, " < ")
}
