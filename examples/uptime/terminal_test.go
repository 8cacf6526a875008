package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestTerminalLines(t *testing.T) {
	var b bytes.Buffer
	term := newTerminal(&b, slog.LevelInfo)
	at := time.Date(2024, 5, 6, 7, 8, 9, 10e6, time.UTC)
	down := errors.New("connection refused")
	for _, e := range []taskvisor.Event{
		{Kind: taskvisor.TaskStarting},
		{Kind: taskvisor.TaskStopped, Duration: time.Millisecond}, // good, and was good before: debug
		{Kind: taskvisor.TaskFailed, Err: down},
		{Kind: taskvisor.BackoffScheduled, Source: taskvisor.BackoffFailure, Err: down, Delay: 200 * time.Millisecond},
		{Kind: taskvisor.BackoffScheduled, Source: taskvisor.BackoffFailure, Err: &taskvisor.PanicError{Value: "oops"}, Delay: time.Second},
		{Kind: taskvisor.TaskStopped, Duration: 3 * time.Millisecond},
		{Kind: taskvisor.BackoffScheduled, Source: taskvisor.BackoffSuccess, Delay: time.Minute},
		{Kind: taskvisor.TaskStuck, Duration: 2500 * time.Millisecond, Stack: "1 goroutine(s):\ntime.Sleep\n\t/go/time.go:1\ngithub.com/x/main.(*demo).stubborn(...)\n\t/src/demo.go:2\n"},
		{Kind: taskvisor.ActorExhausted, Outcome: taskvisor.OutcomeFailed, Attempt: 6, Err: down},
		{Kind: taskvisor.ControllerRejected, Reason: taskvisor.ErrSuperseded},
		{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCompleted},
		{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCanceled},
	} {
		e.Task, e.Time = "shop", at
		term.OnEvent(context.Background(), e)
	}
	want := `07:08:09 failed    shop: connection refused; retry in 200ms
07:08:09 panicked  shop: panic: oops; retry in 1s
07:08:09 recovered shop: after 2 failures, took 3ms
07:08:09 stuck     shop: no reaction after 2.5s, in time.Sleep < (*demo).stubbo…
07:08:09 given up  shop: connection refused, after 6 attempts
07:08:09 refused   shop: superseded by a later submission
07:08:09 done      shop
`
	if b.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", &b, want)
	}
}

// What goes on failing is printed when it begins, when it changes, and then ever
// more rarely.
func TestTerminalCollapsesRepeatedFailures(t *testing.T) {
	var b bytes.Buffer
	term := newTerminal(&b, slog.LevelInfo)
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	fail := func(n int, err func(i int) error) {
		for i := range n {
			term.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.BackoffScheduled, Source: taskvisor.BackoffFailure, Task: "shop", Time: at, Err: err(i), Delay: time.Second})
			at = at.Add(time.Second)
		}
	}
	fail(60, func(i int) error { // the port is another one each time
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 40000 + i}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	})
	fail(2, func(i int) error { return fmt.Errorf("HTTP 500 after %dms", 10+i) })
	term.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "shop", Time: at, Duration: time.Millisecond})
	fail(1, func(int) error { return errors.New("HTTP 500 Internal Server Error") })
	term.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "shop", Time: at, Duration: time.Millisecond})
	want := `07:08:09 failed    shop: read: connection reset by peer; retry in 1s
07:08:13 failed    shop: 5 failures in 4s, still read: connection reset by peer
07:08:18 failed    shop: 10 failures in 9s, still read: connection reset by peer
07:08:28 failed    shop: 20 failures in 19s, still read: connection reset by pe…
07:08:58 failed    shop: 50 failures in 49s, still read: connection reset by pe…
07:09:09 failed    shop: HTTP 500 after 10ms; retry in 1s
07:09:11 recovered shop: after 62 failures, took 1ms
07:09:11 failed    shop: HTTP 500 Internal Server Error; retry in 1s
07:09:12 recovered shop: after 1 failure, took 1ms
`
	if b.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", &b, want)
	}
}

// Whatever became of the task of a notification, there is one line about it.
func TestTerminalPrintsOneLinePerNotification(t *testing.T) {
	var b bytes.Buffer
	term := newTerminal(&b, slog.LevelInfo)
	busy := errors.New("HTTP 500 Internal Server Error")
	for _, e := range []taskvisor.Event{
		{Kind: taskvisor.BackoffScheduled, Source: taskvisor.BackoffFailure, Err: busy, Delay: time.Second},
		{Kind: taskvisor.TaskStopped},
		{Kind: taskvisor.ActorExhausted, Outcome: taskvisor.OutcomeCompleted},
		{Kind: taskvisor.TaskRemoved, Outcome: taskvisor.OutcomeCompleted},
	} {
		e.Task = notifyPrefix + "shop"
		term.OnEvent(t.Context(), e)
	}
	if b.Len() > 0 {
		t.Errorf("beside the line of the delivery:\n%s", &b)
	}
	term.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.ActorExhausted, Task: notifyPrefix + "shop", Outcome: taskvisor.OutcomeFailed, Attempt: 5, Err: busy})
	if want := "00:00:00 not sent  about shop: HTTP 500 Internal Server Error, after 5 attempts\n"; b.String() != want {
		t.Errorf("printed %q, want %q", &b, want)
	}
}

func TestMessagesForPeople(t *testing.T) {
	for want, m := range map[string]message{
		"shop is up":                   {Target: "shop", State: "up"},
		"shop is down: refused":        {Target: "shop", State: "down", Error: "dial tcp 1.2.3.4: refused", brief: "refused"},
		"shop is no longer watched: x": {Target: "shop", State: "ended", Error: "x"},
	} {
		if m.String() != want {
			t.Errorf("%q, want %q", m, want)
		}
	}
	if one, two := several(1, "check"), several(2, "check"); one != "1 check" || two != "2 checks" {
		t.Errorf("%s, %s", one, two)
	}
}

func TestTerminalColours(t *testing.T) {
	var b bytes.Buffer
	term := newTerminal(&b, slog.LevelInfo)
	term.print(slog.LevelInfo, time.Time{}, red, "what", "text")
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("%q: colours although it is no terminal", &b)
	}
	term.colour = true
	term.print(slog.LevelInfo, time.Time{}, red, "what", "text")
	if !strings.Contains(b.String(), "\x1b[31mwhat") {
		t.Errorf("%q: no colour", &b)
	}
}

// A character of two columns counts as two.
func TestTerminalWideCharacters(t *testing.T) {
	var b bytes.Buffer
	newTerminal(&b, slog.LevelInfo).print(slog.LevelInfo, time.Time{}, plain, "what", strings.Repeat("漢", 70))
	if want := "00:00:00 what      " + strings.Repeat("漢", 30) + "…\n"; b.String() != want {
		t.Errorf("%q, want %q", &b, want)
	}
}

// FuzzPrintable: whatever a server makes an error say, it stays one line of 80
// columns that moves nothing on a terminal.
func FuzzPrintable(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[2Jgone\r\n\u202eright to left\x00\xff")
	f.Add(strings.Repeat("é", 1000))
	f.Add(strings.Repeat("漢", 70) + "a")
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		newTerminal(&b, slog.LevelInfo).print(slog.LevelInfo, time.Time{}, plain, "what", s)
		line, ended := strings.CutSuffix(b.String(), "\n")
		wide := 0
		for _, r := range line {
			wide += text.StringWidth(string(r))
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %U", line, r)
			}
		}
		if !ended || !utf8.ValidString(line) || wide > columns {
			t.Errorf("%d columns: %q", wide, line)
		}
	})
}
