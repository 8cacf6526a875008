//go:build unix

// Command reload reads its configuration anew at SIGHUP, without a restart of the
// process.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var errHangup = errors.New("SIGHUP")

// reloader interrupts a task at each SIGHUP: its attempt ends, canceled and not
// failed, and the next begins at once.
func reloader(task *taskvisor.Handle) taskvisor.TaskSpec {
	return taskvisor.Restartable("reload", func(ctx context.Context) error {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		taskvisor.Ready(ctx) // before that a SIGHUP would end the process
		for {
			select {
			case <-hangups:
				task.Interrupt(errHangup)
			case <-ctx.Done():
				return nil
			}
		}
	}, taskvisor.WithReadiness())
}

// server reads the configuration at the begin of each attempt. What it cannot read
// is fatal at the start only: later the process goes on with what it had.
func server(path string) taskvisor.Func {
	var last []byte
	return func(ctx context.Context) error {
		cfg, err := os.ReadFile(path)
		switch {
		case err != nil && last == nil:
			return taskvisor.Fatal(err)
		case err != nil:
			log.Print("the old configuration stays: ", err)
		default:
			last = cfg
		}
		taskvisor.Beat(ctx, "serving "+strings.TrimSpace(string(last))) // seen in the status
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), errHangup) {
			fmt.Println("reloading")
		}
		return nil
	}
}

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	task, err := sup.Add(ctx, taskvisor.Restartable("server", server("server.conf"), taskvisor.WithEssential()))
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(ctx, reloader(task)); err != nil {
		log.Fatal(err)
	}
}
