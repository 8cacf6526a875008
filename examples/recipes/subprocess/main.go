//go:build unix

// Command subprocess runs a program as a task: restarted when it fails, stopped
// politely, then by force.
package main

import (
	"context"
	"log"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	err = sup.Run(context.Background(),
		taskvisor.Restartable("sidecar", program("sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 1; done")))
	if err != nil {
		log.Fatal(err)
	}
}

// program runs a command in a process group of its own: Ctrl-C at the terminal is
// then the supervisor's to handle, not the child's, and the stop reaches what the
// child has started.
func program(name string, args ...string) taskvisor.Func {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second // then it is killed; below the grace, which is 20 s
		err := cmd.Run()
		if cmd.Process != nil && ctx.Err() != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // grandchildren that did not listen
		}
		return err // an *exec.ExitError: its code is in events, outcome, log and span
	}
}
