//go:build unix

package taskvisor_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

//go:noinline
func panicsUnrecovered(context.Context) error { panic("no such table") }

// unrecovered has a task whose panic is the process's.
func unrecovered() childReport {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
	must(err)
	must(sup.Start(context.Background()))
	_, err = sup.Add(context.Background(), taskvisor.Restartable("idle", untilDone))
	must(err)
	h, err := sup.Add(context.Background(), taskvisor.Restartable("a", panicsUnrecovered, taskvisor.WithoutRecover()))
	must(err)
	_, err = h.Wait(context.Background())
	must(err)
	return childReport{Err: "the process has survived"}
}

// A panic of a task WithoutRecover ends the process as Go would: exit status 2, and
// the goroutine that panicked comes first, with its body on top.
func TestWithoutRecover(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=unrecovered", "GOTRACEBACK=all")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("%v, said %q and %q", err, out, stderr.String())
	}
	said := stderr.String()
	first := regexp.MustCompile(`(?s)goroutine \d+ .*?\n\n`).FindString(said)
	if !strings.HasPrefix(said, "panic: no such table") || !strings.Contains(first, "panicsUnrecovered") {
		t.Errorf("said %s", said)
	}
}
