package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// asMain makes the test binary behave as the program itself, for tests that
// need a process to send signals to.
const asMain = "UPTIME_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	// The first Notify of a process starts a goroutine that never ends. It must
	// not be started inside a bubble, which would wait for it.
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	os.Exit(m.Run())
}

// program returns the program as a child process.
func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1", "OTEL_EXPORTER_OTLP_ENDPOINT=")
	return cmd
}

// newTestApp returns an app for the given targets, with flags as on the command
// line, that is not started.
func newTestApp(t testing.TB, w io.Writer, flags string, targets ...target) *app {
	t.Helper()
	cfg, err := parseFlags(strings.Fields(flags), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.targets = append(cfg.targets, targets...)
	a, err := newApp(cfg, noop.NewTracerProvider(), w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// probed is a target with a probe of the test's.
func probed(name string, probe taskvisor.Func) target {
	t, err := parseTarget("x=http://a.test/")
	if err != nil {
		panic(err)
	}
	t.name, t.probe = name, probe
	return t
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"-h":            {0, "usage: uptime"},
		"-log xml":      {2, "neither text nor json"},
		"not-a-url":     {2, "target 1: not a URL"},
		"-listen 1.2:x": {1, "choose another address"},
	} {
		var stderr strings.Builder
		if code := run(context.Background(), strings.Fields(args), io.Discard, &stderr); code != want.code {
			t.Errorf("%s: exit status %d, want %d", args, code, want.code)
		}
		if !strings.Contains(stderr.String(), want.text) {
			t.Errorf("%s: printed %q, want %q in it", args, &stderr, want.text)
		}
	}
}
