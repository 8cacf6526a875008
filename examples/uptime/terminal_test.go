package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

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
	want := `07:08:09.010  shop             failed     connection refused; retry 1 in 200ms
07:08:09.010  shop             panicked   panic: oops; retry 2 in 1s
07:08:09.010  shop             recovered  after 2 failed attempts, took 3ms
07:08:09.010  shop             stuck      does not react after 2.5s, in time.Sleep < main.(*demo).stubborn
07:08:09.010  shop             given up   connection refused; attempts made: 6
07:08:09.010  shop             refused    taskvisor: superseded by a later submission
07:08:09.010  shop             done
`
	if b.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", &b, want)
	}
}

func TestTerminalColours(t *testing.T) {
	var b bytes.Buffer
	term := newTerminal(&b, slog.LevelInfo)
	term.print(slog.LevelInfo, time.Time{}, "t", red, "what", "text")
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("%q: colours although it is no terminal", &b)
	}
	term.colour = true
	term.print(slog.LevelInfo, time.Time{}, "t", red, "what", "text")
	if !strings.Contains(b.String(), "\x1b[31mwhat") {
		t.Errorf("%q: no colour", &b)
	}
}

// FuzzPrintable: whatever a server makes an error say, it stays one short line
// that moves nothing on a terminal.
func FuzzPrintable(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[2Jgone\r\n\u202eright to left\x00\xff")
	f.Add(strings.Repeat("é", 1000))
	f.Fuzz(func(t *testing.T, s string) {
		p := printable(s)
		if !utf8.ValidString(p) || utf8.RuneCountInString(p) > maxLine {
			t.Errorf("%q", p)
		}
		for _, r := range p {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %U", p, r)
			}
		}
	})
}
