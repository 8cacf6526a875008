//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// fileHas waits until a file has a line, and returns it.
func fileHas(t *testing.T, path string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(b), "\n") {
			return strings.TrimSpace(string(b))
		}
	}
	t.Fatalf("nothing in %s", path)
	return ""
}

func TestExitCodeIsKnown(t *testing.T) {
	sup, _ := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Once("job", program("sh", "-c", "exit 3")))
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := h.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if code, ok := outcome.ExitCode(); !ok || code != 3 || !errors.As(outcome.Err, &exit) {
		t.Errorf("exit code %d, %t: %v", code, ok, outcome.Err)
	}
}

func TestChildEndsPolitelyAndSoDoItsChildren(t *testing.T) {
	dir := t.TempDir()
	said, grandchild := filepath.Join(dir, "said"), filepath.Join(dir, "grandchild")
	script := `trap 'echo bye >` + said + `; exit 0' TERM; (trap '' TERM; exec sleep 60) & echo $! >` + grandchild + `; while :; do sleep 0.05; done`
	sup, rec := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("sidecar", program("sh", "-c", script)))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(fileHas(t, grandchild))
	if err != nil {
		t.Fatal(err)
	}
	pgid, err := syscall.Getpgid(pid)
	if own := syscall.Getpgrp(); err != nil || pgid == own {
		t.Errorf("the child is in our process group %d (its own: %d), %v: Ctrl-C would hit it first", own, pgid, err)
	}
	outcome, err := h.Cancel(t.Context())
	if err != nil || outcome.Kind != taskvisor.OutcomeCanceled {
		t.Errorf("%v, %v: %s", outcome.Kind, err, rec.Trace("sidecar"))
	}
	if got := fileHas(t, said); got != "bye" {
		t.Errorf("the child said %q", got)
	}
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the grandchild lives on")
		}
	}
}

// zombie reports whether a process has ended and nobody has asked for it: an orphan
// in a container without an init.
func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(b), ") Z ")
}
