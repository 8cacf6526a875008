package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// TestTextOfARealRun: in a bubble the clock begins at midnight, UTC.
func TestTextOfARealRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		local := time.Local
		time.Local = time.UTC
		defer func() { time.Local = local }()
		logger := slog.New(slogsub.Text(&out, slog.LevelDebug))
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(slogsub.New(logger)))
		inner, _ := taskvisortest.Start(t, taskvisor.WithName("inner"), taskvisor.WithSubscriber(slogsub.New(logger)))
		for _, s := range []*taskvisor.Supervisor{sup, inner} {
			if _, err := s.Add(t.Context(), taskvisor.Once("import", afterAWhile)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if err := inner.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		want := `00:00:00.000 INFO  import: task added
00:00:00.000 DEBUG import#1: attempt started
00:00:01.234 ERROR import#1: task failed for good: line one\nline two\x1b[2J  outcome=failed duration=1.2346s
00:00:01.234 INFO  import: task removed  outcome=failed
00:00:02.000 INFO  inner/import: task added
00:00:02.000 DEBUG inner/import#1: attempt started
00:00:03.234 ERROR inner/import#1: task failed for good: line one\nline two\x1b[2J  outcome=failed duration=1.2346s
00:00:03.234 INFO  inner/import: task removed  outcome=failed
00:00:04.000 INFO  inner: shutdown requested
00:00:04.000 INFO  inner: shutdown complete  duration=0s
`
		if got := out.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

func afterAWhile(context.Context) error {
	time.Sleep(1234567 * time.Microsecond)
	return errors.New("line one\nline two\x1b[2J")
}

func TestTextShowsStacksBelow(t *testing.T) {
	var out bytes.Buffer
	slog.New(slogsub.Text(&out, nil)).Error("attempt panicked", "task", "job", "error", errBoom, "stack", "main.f(...)\n\t/src/main.go:12\n", "delay", 1500*time.Microsecond)
	_, got, _ := strings.Cut(out.String(), " ")
	want := "ERROR job: attempt panicked: boom  delay=1.5ms\n    main.f(...)\n        /src/main.go:12\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	out.Reset()
	if slog.New(slogsub.Text(&out, nil)).Debug("quiet"); out.Len() > 0 {
		t.Errorf("written: %s", &out)
	}
}

// TestTextIsAHandler holds the rules that log/slog has for handlers.
func TestTextIsAHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return slogsub.Text(&out, nil)
	}, func(t *testing.T) map[string]any { return parseText(t, out.String()) })
}

// parseText reads "[time] LEVEL message  key=value a.b=value".
func parseText(t *testing.T, line string) map[string]any {
	t.Helper()
	m := make(map[string]any)
	fields := strings.Fields(line)
	if strings.Contains(fields[0], ":") {
		m[slog.TimeKey], fields = fields[0], fields[1:]
	}
	m[slog.LevelKey], m[slog.MessageKey] = fields[0], fields[1]
	for _, f := range fields[2:] {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			t.Fatalf("%q in %q", f, line)
		}
		at := m
		names := strings.Split(key, ".")
		for _, group := range names[:len(names)-1] {
			inner, ok := at[group].(map[string]any)
			if !ok {
				inner = make(map[string]any)
				at[group] = inner
			}
			at = inner
		}
		at[names[len(names)-1]] = value
	}
	return m
}

func TestTextConcurrentSafe(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slogsub.Text(&out, nil))
	var writers sync.WaitGroup
	for range 100 {
		writers.Go(func() { logger.With("a", 1).WithGroup("g").Info("message", "b", "two words") })
	}
	writers.Wait()
	for line := range strings.Lines(out.String()) {
		if !strings.HasSuffix(line, " INFO  message  a=1 g.b=\"two words\"\n") {
			t.Errorf("line %q", line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 100 {
		t.Errorf("%d lines", n)
	}
}
