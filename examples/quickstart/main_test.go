package main

import (
	"log"
	"os"
	"os/signal"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

func TestMain(m *testing.M) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt) // outside of the bubble: see WithSignals
	signal.Stop(c)
	os.Exit(m.Run())
}

// The README's first program is this one, and prints what stands below it.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(page), "```go\n")
	shown, _, _ = strings.Cut(shown, "```\n")
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(program), "\n"+shown) {
		t.Errorf("main.go is not the README's first program:\n%s", shown)
	}
	var out readme.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(*testing.T) { main() })
	readme.CheckLines(t, out.String())
	t.Chdir("../..")
	readme.CheckLines(t, out.String())
}
