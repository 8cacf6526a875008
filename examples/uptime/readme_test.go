package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

var numbers = regexp.MustCompile(`\d+(\.\d+)?(µs|ms|s|m)?`)

// gist is a line without numbers and without what was cut off differently.
func gist(line string) string {
	line = numbers.ReplaceAllString(strings.TrimRight(line, "\n"), "N")
	runes := []rune(strings.TrimSuffix(line, "…"))
	return string(runes[:min(len(runes), 45)])
}

// What the README shows is what the program prints: each line but the counts of
// repeated failures, which are as many as there was time for.
func TestReadme(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(page), "## What it prints")
	command := regexp.MustCompile(`\tgo run ./examples/uptime (.*)\n`).FindStringSubmatch(chapter)
	_, shown, found := strings.Cut(chapter, "```text\n")
	shown, _, closed := strings.Cut(shown, "```")
	if command == nil || !found || !closed {
		t.Fatal("README.md shows no command with its output")
	}
	printed := make(map[string]bool)
	var missing, last string
	for range 4 { // a busy machine does not get to all of it in one run
		var out watched
		if code := run(context.Background(), append(strings.Fields(command[1]), "-listen", "127.0.0.1:0"), &out, io.Discard); code != 0 {
			t.Fatalf("exit status %d:\n%s", code, &out)
		}
		last = out.String()
		for line := range strings.Lines(last) {
			printed[gist(line)] = true
			if n := utf8.RuneCountInString(line) - 1; n > columns {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		missing = ""
		for line := range strings.Lines(shown) {
			if !printed[gist(line)] && !strings.Contains(line, "failures in") {
				missing += line
			}
		}
		if missing == "" {
			return
		}
	}
	t.Errorf("README.md says\n%sbut the program prints\n%s", missing, last)
}
