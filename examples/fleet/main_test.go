package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Replicas are this binary.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-replica") {
		main()
		return
	}
	os.Exit(m.Run())
}

// output is what the parent has said so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Everything has an owner, one alone, also after a replica was killed or frozen and when
// the others have ended.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out output
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"-chaos", "-ttl", "2s"}, &out, os.Stderr) }()
	full := func(text string) bool {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		last := lines[len(lines)-1]
		if strings.Count(last, "BILLING") != 1 {
			return false
		}
		for _, tenant := range tenants {
			if strings.Count(last, tenant) != 1 {
				return false
			}
		}
		return true
	}
	wait := func(what string, holds func(text string) bool) (text string) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			if text = out.String(); holds(text) {
				return text
			}
			if time.Since(begun) > 3*time.Minute {
				t.Fatalf("%s: not after three minutes:\n%s", what, text)
			}
		}
	}
	harmed := regexp.MustCompile(`is killed|is frozen`)
	wait("everything is owned", full)
	wait("a replica is harmed", harmed.MatchString)
	before := wait("everything is owned again", full)
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit status %d", code)
	}
	t.Logf("\n%s", out.String())
	for line := range strings.Lines(out.String()) {
		if strings.Count(line, "BILLING") > 1 {
			t.Errorf("two owners: %s", line)
		}
	}
	likeReadme(t, out.String())
	lines := strings.Split(strings.TrimSpace(before), "\n") // the last names those that live; one that was killed may not be back
	alive := regexp.MustCompile(`r\d:`).FindAllString(lines[len(lines)-1], -1)
	after := strings.TrimPrefix(out.String(), before)
	for _, r := range alive {
		r = strings.TrimSuffix(r, ":")
		if !strings.Contains(after, r+" has ended\n") && !strings.Contains(after, r+" is killed") {
			t.Errorf("%s was not stopped in order", r)
		}
	}
	if len(alive) < 2 {
		t.Errorf("%q are alive", alive)
	}
}

// likeReadme demands that the README shows lines of the forms that the program prints:
// who has what, and when, is another matter each time.
func likeReadme(t *testing.T, printed string) {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(page), "```text\n")
	shown, _, ok := strings.Cut(shown, "```")
	if !ok || strings.Count(shown, "\n") < 10 {
		t.Fatal("README.md shows no output")
	}
	form := regexp.MustCompile(`^ *\d+\.\ds  (r\d is up, its page is http://127\.0\.0\.1:\d+/|r\d is killed|r\d is frozen|r\d goes on|r\d has ended|` +
		`( *r\d:( BILLING\(\d+\))?( (` + strings.Join(tenants, "|") + `))*)*) *$`)
	for what, text := range map[string]string{"README.md": shown, "the program": printed} {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); !form.MatchString(line) {
				t.Errorf("%s: a line of another form: %q", what, line)
			}
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"-replicas", "0"}, {"-ttl", "1s"}, {"-nonsense"}} {
		if code := run(context.Background(), args, &output{}, &output{}); code != 1 {
			t.Errorf("%q: exit status %d", args, code)
		}
	}
	if code := run(context.Background(), []string{"-h"}, &output{}, &output{}); code != 0 {
		t.Errorf("help: exit status %d", code)
	}
}
