// Walk runs three ways through the core and leaves coverage counters of each in a
// directory: what scripts/walk.sh counts functions and files from.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"path/filepath"
	"runtime/coverage"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	if err := walk(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func walk(dir string) error {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := sup.Start(ctx); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	var failed error
	count := func(way string, f func()) {
		if failed != nil {
			return
		}
		if failed = coverage.ClearCounters(); failed != nil {
			return
		}
		f()
		to := filepath.Join(dir, way)
		failed = errors.Join(os.MkdirAll(to, 0o750), coverage.WriteMetaDir(to), coverage.WriteCountersDir(to))
		time.Sleep(100 * time.Millisecond)
	}
	began, fail := make(chan struct{}), make(chan error)
	var h *taskvisor.Handle
	count("1 Add to body", func() {
		h, err = sup.Add(ctx, taskvisor.Once("a", func(context.Context) error { close(began); return <-fail }))
		<-began
	})
	if err != nil {
		return err
	}
	count("2 error to outcome", func() {
		fail <- errors.New("no route to host")
		_, err = h.Wait(ctx)
	})
	if err != nil {
		return err
	}
	count("3 Submit to outcome", func() {
		if h, err = sup.Submit(ctx, taskvisor.Submission{Slot: "s", Task: taskvisor.Once("b", func(context.Context) error { return nil })}); err == nil {
			_, err = h.Wait(ctx)
		}
	})
	if failed != nil || err != nil {
		return errors.Join(failed, err)
	}
	return sup.Shutdown(ctx)
}
