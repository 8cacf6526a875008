package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// screen runs the program on a pseudo-terminal of that size. What is on it is read
// through show; whoever waits does so by await.
type screen struct {
	t    *testing.T
	tty  *os.File
	vt   vt10x.Terminal
	done chan struct{} // closed when the program has closed the terminal

	mu  sync.Mutex // guards raw
	raw bytes.Buffer
}

func newScreen(t *testing.T, columns, rows uint16, args ...string) (s *screen, wait func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := program(ctx, args...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "NO_COLOR=")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	s = &screen{t: t, tty: tty, vt: vt10x.New(vt10x.WithSize(int(columns), int(rows))), done: make(chan struct{})}
	// Ends when the program closes its side, at the latest when ctx kills it.
	go func() {
		defer close(s.done)
		var buf []byte // what the terminal has not seen yet: less than a character, but for now
		for {
			buf = slices.Grow(buf, 4096)
			n, err := tty.Read(buf[len(buf):cap(buf)])
			if err != nil {
				return
			}
			s.mu.Lock()
			s.raw.Write(buf[len(buf) : len(buf)+n])
			s.mu.Unlock()
			buf = buf[:len(buf)+n]
			whole := complete(buf)
			_, _ = s.vt.Write(buf[:whole])
			buf = append(buf[:0], buf[whole:]...)
		}
	}()
	t.Cleanup(func() { tty.Close() })
	return s, func() error { <-s.done; return cmd.Wait() }
}

// complete is how much of b is whole characters: a read may end within one.
func complete(b []byte) int {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// lines are the rows of the screen that are not empty, as they would be read.
func (s *screen) lines() (lines []string) {
	for line := range strings.Lines(s.vt.String()) {
		if line = strings.TrimRight(line, " \n\x00"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// await waits until the screen is as asked, which it does not have to be for long, and
// returns what was on it.
func (s *screen) await(what string, is func(lines []string) bool) []string {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		lines := s.lines()
		if is(lines) {
			return lines
		}
		if time.Now().After(end) {
			s.t.Fatalf("no %s:\n%s", what, strings.Join(lines, "\n"))
		}
	}
}

func (s *screen) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

var journalLine = regexp.MustCompile(`^\d\d:\d\d:\d\d \w`)

// tableOn returns where the table begins, or -1, and its lines.
func tableOn(lines []string) (at int, rows []string) {
	for i, line := range lines {
		if strings.HasPrefix(line, "TARGET") {
			return i, lines[i:]
		}
	}
	return -1, nil
}

// On a terminal there is one table, below the lines, that is redrawn in place; it goes
// when the program ends, whose Ctrl-C works, and no line is wider than the terminal.
func TestTerminalShowsATable(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	s, wait := newScreen(t, 80, 24, "-listen", "127.0.0.1:0", "-interval", "100ms", "-backoff", "10ms", "-backoff-max", "200ms",
		"good="+srv.URL+"/good", "bad="+srv.URL+"/bad")
	var counts []string // of good checks, in the table's row of the good target
	lines := s.await("three states of the table", func(lines []string) bool {
		at, rows := tableOn(lines)
		if at < 1 || len(rows) != 3 || !strings.Contains(rows[2], "failing (") {
			return false
		}
		count := regexp.MustCompile(`\d+ of \d+`).FindString(rows[1])
		if len(counts) == 0 || counts[len(counts)-1] != count {
			counts = append(counts, count)
		}
		return len(counts) == 3
	})
	at, rows := tableOn(lines)
	if !strings.HasSuffix(rows[2], "HTTP 502 Bad Gateway") {
		t.Errorf("the table is\n%s", strings.Join(rows, "\n"))
	}
	for _, line := range lines[:at] {
		if !journalLine.MatchString(line) {
			t.Errorf("%q is no line of the journal", line)
		}
	}
	if _, err := s.tty.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	end := s.lines()
	if at, _ := tableOn(end); at >= 0 {
		t.Errorf("the table is still there:\n%s", strings.Join(end, "\n"))
	}
	for _, line := range end {
		if !journalLine.MatchString(line) {
			t.Errorf("%q is left on the screen", line)
		}
	}
	if last := end[len(end)-1]; !strings.Contains(last, "result    bad: 0 of ") {
		t.Errorf("it ends with %q", last)
	}
	if raw := s.written(); !strings.Contains(raw, "\x1b[33mfailed") {
		t.Errorf("no colours:\n%q", raw)
	}
}

// No line wraps, whatever the width, and more targets than there is room for show
// those in trouble.
func TestTheTableFitsTheTerminal(t *testing.T) {
	for _, size := range []struct{ columns, rows uint16 }{{80, 24}, {40, 12}} {
		t.Run(fmt.Sprintf("%dx%d", size.columns, size.rows), func(t *testing.T) {
			s, wait := newScreen(t, size.columns, size.rows, "-listen", "127.0.0.1:0", "-interval", "300ms", "-timeout", "300ms", "-backoff", "20ms", "-backoff-max", "200ms")
			room := max(int(size.rows)-journalRows, 3)
			s.await("table with trouble", func(lines []string) bool {
				_, rows := tableOn(lines)
				return len(rows) == min(room, 12) && strings.Contains(strings.Join(rows, "\n"), "failing (") &&
					(room >= 12 || strings.HasPrefix(rows[len(rows)-1], "and "))
			})
			if size.columns == 80 {
				s.await("table as in README.md", likeReadme(t))
			}
			if _, err := s.tty.WriteString("\x03"); err != nil {
				t.Fatal(err)
			}
			if err := wait(); err != nil {
				t.Error(err)
			}
			control := regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]|\r|\\^C\r?") // the terminal's own echo of Ctrl-C is overwritten
			for line := range strings.Lines(s.written()) {
				if line = strings.TrimRight(control.ReplaceAllString(line, ""), "\n"); text.StringWidth(line) > int(size.columns) {
					t.Errorf("%d columns: %q", text.StringWidth(line), line)
				}
			}
		})
	}
}

// likeReadme returns whether a screen has the table of README.md: its columns, its
// targets in their order, and of each that always fails or never does its state and
// its error.
func likeReadme(t *testing.T) func(lines []string) bool {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown := tableOn(strings.Split(string(page), "\n"))
	steady := regexp.MustCompile(`^(TARGET|healthy|failing|reset) `)
	essence := func(rows []string) string {
		var b strings.Builder
		for _, row := range rows[:min(len(rows), 12)] {
			if steady.MatchString(row) {
				b.WriteString(strings.Join(strings.Fields(numbers.ReplaceAllString(row, "N")), " "))
			} else {
				b.WriteString(strings.Fields(row)[0])
			}
			b.WriteByte('\n')
		}
		return strings.ReplaceAll(b.String(), " now ", " N ")
	}
	return func(lines []string) bool {
		_, rows := tableOn(lines)
		return essence(rows) == essence(shown)
	}
}

// Each state of a target has its words.
func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard), taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		fail := func(err error) taskvisor.Func { return func(context.Context) error { return err } }
		tasks, err := sup.AddAll(t.Context(),
			taskvisor.Periodic("good", time.Hour, fail(nil)),
			taskvisor.Periodic("bad", time.Hour, fail(errors.New("no answer\x1b[2J"))),
			taskvisor.Periodic("gone", time.Hour, fail(taskvisor.Fatal(errors.New("HTTP 410 Gone")))),
			taskvisor.Periodic("a-name-that-is-far-too-long-for-a-cell", time.Hour, fail(nil)),
			taskvisor.Periodic("slow", time.Hour, func(ctx context.Context) error { <-ctx.Done(); return nil }),
			taskvisor.Periodic("deaf", time.Hour, func(context.Context) error { time.Sleep(time.Hour); return nil }, taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)),
			taskvisor.Periodic("held", time.Hour, fail(nil)),
		)
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tasks[6].Pause(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		check := func(width, height int, want string) {
			t.Helper()
			var b bytes.Buffer
			lines := board(&b, tasks, time.Now(), width, height)
			if b.String() != want || lines != strings.Count(want, "\n") {
				t.Errorf("%d lines:\n%s\nwant:\n%s", lines, &b, want)
			}
		}
		check(80, 24, `TARGET                   STATE         GOOD   NEXT LAST ERROR
good                     good        1 of 1 59m50s
bad                      failing (1) 0 of 1    50s no answer?[2J
gone                     given up    0 of 1        HTTP 410 Gone
a-name-that-is-far-too-… good        1 of 1 59m50s
slow                     new         0 of 0    now
deaf                     stuck       0 of 0    now
held                     paused      1 of 1
`)
		check(80, 11, `TARGET STATE         GOOD NEXT LAST ERROR
deaf   stuck       0 of 0  now
gone   given up    0 of 1      HTTP 410 Gone
bad    failing (1) 0 of 1  50s no answer?[2J
and 4 more
`)
		check(40, 24, `TARGET        STATE         GOOD   NEX…
good          good        1 of 1 59m50s
bad           failing (1) 0 of 1    50…
gone          given up    0 of 1      …
a-name-that-… good        1 of 1 59m50s
slow          new         0 of 0    now
deaf          stuck       0 of 0    now
held          paused      1 of 1
`)
		time.Sleep(time.Hour)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
