package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/cupwriter"

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
	columns  = 80 // that a line has at most, so that none wraps
	maxCalls = 3  // of a stack
)

// terminal prints events as lines for people and, on a real terminal, keeps a table
// of the targets below them. It is queued: a terminal may block, when its user holds
// the output.
type terminal struct {
	colour bool
	level  slog.Level

	mu    sync.Mutex // guards the fields below
	out   *cupwriter.Writer
	tasks []*taskvisor.Handle // what the table shows; none: there is no table

	failing map[string]*trouble // by task; the event worker's alone
}

// trouble is a streak of failures, of which the first is printed in full, and then
// how many there are, ever more rarely.
type trouble struct {
	failures int
	since    time.Time
	shape    string // of the error that was printed last, without numbers
	next     int    // failures at which the count is printed
}

func newTerminal(w io.Writer, level slog.Level) *terminal {
	out := cupwriter.New(w, false)
	colour := out.IsTerminal() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &terminal{colour: colour, level: level, out: out, failing: map[string]*trouble{}}
}

// watch keeps a table of tasks below the lines until stop is called, if that is
// possible: what is no terminal gets lines only.
func (t *terminal) watch(tasks []*taskvisor.Handle) (stop func()) {
	if !t.out.IsTerminal() || os.Getenv("TERM") == "dumb" {
		return func() {}
	}
	redraw := func(tasks []*taskvisor.Handle) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.tasks = tasks
		t.flushLocked()
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	// Ends when stop is called, which waits for it.
	go func() {
		defer close(done)
		for tick := time.NewTicker(redrawEvery); ; {
			redraw(tasks)
			select {
			case <-tick.C:
			case <-stopped:
				tick.Stop()
				redraw(nil)
				return
			}
		}
	}()
	return func() { close(stopped); <-done }
}

// flushLocked writes what was printed, and the table below it, in place of the table
// that was there. It begins at the line's first column, wherever an echoed ^C has put
// the cursor.
func (t *terminal) flushLocked() {
	lines := 0
	if len(t.tasks) > 0 {
		width, height := t.sizeLocked()
		lines = board(t.out, t.tasks, time.Now(), width, height)
	}
	_ = t.out.Flush(lines) // whoever closed the terminal wants no lines
	if t.out.IsTerminal() {
		t.out.WriteByte('\r')
	}
}

// sizeLocked is the terminal's, or a usual one.
func (t *terminal) sizeLocked() (width, height int) {
	if t.out.IsTerminal() {
		if w, h, err := t.out.GetTermSize(); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return columns, 24
}

// Preferences implements [taskvisor.Preferences].
func (t *terminal) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("terminal"), taskvisor.Queued(1024)}
}

// OnEvent implements [taskvisor.Subscribe].
func (t *terminal) OnEvent(_ context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.BackoffScheduled, taskvisor.ActorExhausted, taskvisor.ActorDead, taskvisor.TaskRemoved:
		if target, ok := strings.CutPrefix(e.Task, notifyPrefix); ok {
			t.notification(e, target)
			return
		}
		t.attempt(e)
	case taskvisor.TimeoutHit:
		t.print(slog.LevelDebug, e.Time, yellow, "timeout", fmt.Sprintf("%s: %s have passed, the check still runs", e.Task, e.Timeout))
	case taskvisor.TaskStuck:
		t.print(slog.LevelError, e.Time, red, "stuck", fmt.Sprintf("%s: no reaction after %s, %s", e.Task, round(e.Duration), whereabouts(e.Stack)))
	case taskvisor.TaskAbandoned:
		t.print(slog.LevelError, e.Time, red, "abandoned", fmt.Sprintf("%s: still runs after %s", e.Task, round(e.Duration)))
	case taskvisor.TaskReturned:
		t.print(slog.LevelWarn, e.Time, yellow, "returned", fmt.Sprintf("%s: %s after it was abandoned", e.Task, round(e.Duration)))
	case taskvisor.ControllerRejected:
		t.print(slog.LevelInfo, e.Time, dim, "refused", fmt.Sprintf("%s: %s", e.Task, strings.TrimPrefix(e.Reason.Error(), "taskvisor: ")))
	case taskvisor.ShutdownAnnounced, taskvisor.ShutdownRequested, taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded,
		taskvisor.SubscriberOverflow, taskvisor.SubscriberPanicked:
		t.supervisor(e)
	}
}

// notification prints what became of one: its one line at Info is printed by who
// delivers it, or here, if nobody could.
func (t *terminal) notification(e taskvisor.Event, target string) {
	switch {
	case e.Kind == taskvisor.BackoffScheduled:
		t.print(slog.LevelDebug, e.Time, yellow, "not sent", fmt.Sprintf("about %s: %s; retry in %s", target, brief(e.Err), round(e.Delay)))
	case e.Kind == taskvisor.ActorExhausted && e.Outcome == taskvisor.OutcomeFailed, e.Kind == taskvisor.ActorDead:
		t.print(slog.LevelWarn, e.Time, yellow, "not sent", fmt.Sprintf("about %s: %s, after %s", target, brief(e.Err), several(e.Attempt, "attempt")))
	}
}

// attempt prints what became of one attempt of a task, or of the task.
func (t *terminal) attempt(e taskvisor.Event) {
	trouble := t.failing[e.Task]
	switch {
	case e.Kind == taskvisor.TaskStopped && trouble != nil:
		t.print(slog.LevelInfo, e.Time, green, "recovered", fmt.Sprintf("%s: after %s, took %s", e.Task, several(trouble.failures, "failure"), round(e.Duration)))
		delete(t.failing, e.Task)
	case e.Kind == taskvisor.TaskStopped:
		t.print(slog.LevelDebug, e.Time, green, "good", fmt.Sprintf("%s: took %s", e.Task, round(e.Duration)))
	case e.Kind == taskvisor.BackoffScheduled && e.Err != nil:
		t.failure(e)
	case e.Kind == taskvisor.ActorExhausted && e.Outcome == taskvisor.OutcomeFailed, e.Kind == taskvisor.ActorDead:
		t.print(slog.LevelError, e.Time, red, "given up", fmt.Sprintf("%s: %s, after %s", e.Task, brief(e.Err), several(e.Attempt, "attempt")))
	case e.Kind == taskvisor.TaskRemoved:
		delete(t.failing, e.Task)
		if e.Outcome == taskvisor.OutcomeCompleted {
			t.print(slog.LevelInfo, e.Time, plain, "done", e.Task)
		}
	}
}

// failure prints a failure that is retried, if it is the first of its kind in a row,
// or else, at the second, fifth, tenth and so on, how many there were.
func (t *terminal) failure(e taskvisor.Event) {
	f := t.failing[e.Task]
	if f == nil {
		f = &trouble{since: e.Time}
		t.failing[e.Task] = f
	}
	f.failures++
	what := "failed"
	if p := (*taskvisor.PanicError)(nil); errors.As(e.Err, &p) {
		what = "panicked"
	}
	level := slog.LevelDebug
	detail := fmt.Sprintf("%s: %s; retry in %s", e.Task, brief(e.Err), round(e.Delay))
	switch shape := what + strings.Map(digitless, brief(e.Err)); {
	case shape != f.shape:
		level, f.shape, f.next = slog.LevelWarn, shape, rarer(f.failures)
	case f.failures >= f.next:
		level, f.next = slog.LevelWarn, rarer(f.failures)
		detail = fmt.Sprintf("%s: %s in %s, still %s", e.Task, several(f.failures, "failure"), round(e.Time.Sub(f.since)), brief(e.Err))
	}
	t.print(level, e.Time, yellow, what, detail)
}

// rarer returns the first of 5, 10, 20, 50, 100, … that is more than n.
func rarer(n int) int {
	for next := 5; ; next *= 10 {
		for _, factor := range []int{1, 2, 4, 10} {
			if next*factor > n {
				return next * factor
			}
		}
	}
}

// digitless is for errors that differ by a port or a time only.
func digitless(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}

// several is n of what, in words.
func several[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// brief is an error for one line: what the system said of a connection, without the
// addresses, which the target's name stands for.
func brief(err error) string {
	var op *net.OpError
	var code syscall.Errno
	if errors.As(err, &op) && errors.As(op, &code) {
		return op.Op + ": " + code.Error()
	}
	return reason(err)
}

// supervisor prints events that belong to no task.
func (t *terminal) supervisor(e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.ShutdownAnnounced:
		t.print(slog.LevelInfo, e.Time, plain, "stopping", fmt.Sprintf("in %s: %s", round(e.Delay), reason(e.Err)))
	case taskvisor.ShutdownRequested:
		t.print(slog.LevelInfo, e.Time, plain, "stopping", strings.TrimPrefix(reason(e.Err), "taskvisor: supervisor shut down: "))
	case taskvisor.AllStoppedWithinGrace:
		t.print(slog.LevelInfo, e.Time, plain, "stopped", "all within the grace, after "+round(e.Duration).String())
	case taskvisor.GraceExceeded:
		t.print(slog.LevelError, e.Time, red, "stopped", reason(e.Err))
	case taskvisor.SubscriberOverflow:
		t.print(slog.LevelWarn, e.Time, yellow, "lost", several(e.Dropped, "event")+" that came faster than could be printed")
	case taskvisor.SubscriberPanicked:
		t.print(slog.LevelError, e.Time, red, "bug", fmt.Sprintf("subscriber %s: %s", e.Subscriber, reason(e.Err)))
	}
}

// print writes one line, of at most 80 columns, or fewer if the terminal has no more:
// time, what, detail. It is safe for concurrent use.
func (t *terminal) print(level slog.Level, at time.Time, colour, what, detail string) {
	if level < t.level {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	width, _ := t.sizeLocked()
	line := strings.TrimRight(cut(fmt.Sprintf("%-9s %s", what, printable(detail)), min(width, columns)-len("15:04:05 ")), " ")
	if t.colour && colour != plain {
		line = "\x1b[" + colour + "m" + line + "\x1b[0m"
	}
	fmt.Fprintf(t.out, "%s %s\n", at.Format(time.TimeOnly), line)
	t.flushLocked()
}

// printable makes text that came from elsewhere fit for a terminal: one line,
// nothing that moves the cursor or turns the writing around.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case r == '\n' || r == '\t':
			return ' '
		}
		return '?'
	}, s)
}

// cut shortens s to n columns of a terminal.
func cut(s string, n int) string {
	if text.StringWidth(s) <= n {
		return s
	}
	return text.Trim(s, max(n-1, 0)) + "…"
}

// whereabouts names the innermost calls of a captured stack, which has a line
// with the function and then an indented one with the place for each.
func whereabouts(stack string) string {
	var calls []string
	before := ""
	for line := range strings.Lines(stack) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "\t") && len(calls) < maxCalls {
			calls = append(calls, lastWords(strings.TrimSuffix(before, "(...)")))
		}
		before = line
	}
	if len(calls) == 0 {
		return "its stack is unknown"
	}
	return "in " + strings.Join(calls, " < ")
}

// lastWords is the end of a function's name: its receiver, or what it is a closure
// of, and itself.
func lastWords(call string) string {
	call = call[strings.LastIndexByte(call, '/')+1:]
	if i := strings.LastIndexByte(call, '.'); i > 0 {
		if j := strings.LastIndexByte(call[:i], '.'); j >= 0 {
			return call[j+1:]
		}
	}
	return call
}

// round cuts a duration to what a person reads at a glance.
func round(d time.Duration) time.Duration {
	switch d = max(d, 0); {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
