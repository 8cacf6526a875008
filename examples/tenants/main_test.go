package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

func TestSecondRevisionReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
		readme.Check(t, out.String())
	})
}

// TestReadmeShowsThisSubmission keeps the README's chapter on admission true.
func TestReadmeShowsThisSubmission(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(page), "\n## Admission")
	_, block, found := strings.Cut(chapter, "```go\n")
	block, _, _ = strings.Cut(block, "```")
	if !found || !strings.Contains(block, "sup.Submit(") || !strings.Contains(string(program), block) {
		t.Errorf("the README's submission is not in main.go:\n%s", block)
	}
}
