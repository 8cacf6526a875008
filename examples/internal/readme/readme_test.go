package readme

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// failed keeps whether a test would have failed.
type failed struct {
	testing.TB
	is bool
}

func (f *failed) Helper()               {}
func (f *failed) Errorf(string, ...any) { f.is = true }

func in(t *testing.T, page string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("README.md", []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	in(t, "# x\n\n\tgo run .\n\n```text\nat 127.0.0.1:80\n10:00:00 one\ntwo\n```\n\n```text\nother\n```\n")
	for printed, wrong := range map[string]bool{
		"at 127.0.0.1:4711\n11:22:33.5 one\ntwo\n": false,
		"two\n11:22:33 one\nat 127.0.0.1:4711\n":   true,
		"at 127.0.0.1:80\n10:00:00 one\n":          true,
	} {
		f := &failed{TB: t}
		if Check(f, printed); f.is != wrong {
			t.Errorf("Check fails: %t, for\n%s", f.is, printed)
		}
	}
	for printed, wrong := range map[string]bool{
		"two\n11:22:33 one\nat 127.0.0.1:4711\n": false,
		"two\nat 127.0.0.1:4711\n":               true,
	} {
		f := &failed{TB: t}
		if CheckLines(f, printed); f.is != wrong {
			t.Errorf("CheckLines fails: %t, for\n%s", f.is, printed)
		}
	}
}

func TestOutput(t *testing.T) {
	log.SetFlags(0)
	got := Output(t, func() { fmt.Println("printed"); log.Print("logged") })
	if got != "printed\nlogged\n" {
		t.Errorf("%q", got)
	}
}

// Every example of this module says what it prints.
func TestEveryExampleHasItsOutput(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "internal" || e.Name() == "recipes" {
			continue
		}
		if _, err := os.Stat("../../" + e.Name() + "/go.mod"); err == nil {
			continue // a module of its own says itself what holds it
		}
		n++
		page, err := os.ReadFile("../../" + e.Name() + "/README.md")
		if begin, end, ok := block(string(page)); err != nil || !ok || end-begin < 10 {
			t.Errorf("%s: README.md has no output (%v)", e.Name(), err)
		}
		tests, err := filepath.Glob("../../" + e.Name() + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		held := false
		for _, path := range tests {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			held = held || strings.Contains(string(src), "readme.Check") || strings.Contains(string(src), `"README.md"`)
		}
		if !held {
			t.Errorf("%s: no test compares its output with its README", e.Name())
		}
	}
	if n < 13 {
		t.Errorf("%d examples", n)
	}
}

// What these show is small, and stays so: a file of at most 60 lines beside, in two of
// them, the work that it is about; and for what is asked for most, 30 lines of code,
// imports not counted.
func TestExamplesAreShort(t *testing.T) {
	for _, name := range []string{"cron", "order", "ratelimit", "window", "restforone", "stop", "cache", "probes"} {
		src, err := os.ReadFile("../../" + name + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(src), "\n"); n > 60 {
			t.Errorf("%s/main.go has %d lines", name, n)
		}
		_, code, ok := strings.Cut(string(src), "\n)\n")
		if !ok {
			t.Fatalf("%s/main.go has no imports", name)
		}
		n := 0
		for line := range strings.Lines(code) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				n++
			}
		}
		if n > 30 && slices.Contains([]string{"stop", "cache", "probes"}, name) {
			t.Errorf("%s/main.go has %d lines of code", name, n)
		}
	}
}
