package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

// watched is a log that calls then when it says that so many tasks were removed.
type watched struct {
	bytes.Buffer
	removed int
	then    func()
}

func (w *watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(`"task removed"`)) {
		if w.removed--; w.removed == 0 {
			w.then()
		}
	}
	return w.Buffer.Write(p)
}

func TestAllThreeTellTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	logs := watched{removed: 2, then: cancel} // those that end by themselves
	if err := run(ctx, &out, &logs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`taskvisor_task_attempts_total{result="failure",supervisor="demo",task="flaky"} 3`,
		`taskvisor_task_attempts_total{result="success",supervisor="demo",task="flaky"} 1`,
		`taskvisor_task_attempts_total{result="panic",supervisor="demo",task="panicking"} 1`,
		"run panicking (Error)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in:\n%s", want, &out)
		}
	}
	// The story of the streak is one trace: its first attempt and three below it.
	if n := strings.Count(out.String(), "   run flaky"); n != 3 {
		t.Errorf("%d retries are below the first attempt, want 3:\n%s", n, &out)
	}
	for line := range strings.Lines(logs.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	readme.CheckLines(t, regexp.MustCompile(`(task="good"}) \d+`).ReplaceAllString(out.String(), "$1 7")) // as fast as the machine is
	if !strings.Contains(logs.String(), "no such luck") {
		t.Errorf("the panic is not in the log:\n%s", &logs)
	}
}

// TestReadmeShowsThisWiring keeps the README's second block of code true: it is
// a function of this program.
func TestReadmeShowsThisWiring(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")
	if len(blocks) < 3 {
		t.Fatalf("the README has %d blocks of code", len(blocks)-1)
	}
	block, _, _ := strings.Cut(blocks[2], "```")
	if !strings.Contains(block, "promsub.New") || !strings.Contains(string(program), block) {
		t.Errorf("the README's second block of code is not in main.go:\n%s", block)
	}
}
