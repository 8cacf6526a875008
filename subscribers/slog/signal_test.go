//go:build unix

package slogsub_test

import (
	"context"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestAnnouncedShutdown sends a signal to this process: the log says at once what the
// tasks do not feel yet.
func TestAnnouncedShutdown(t *testing.T) {
	sub, log := record(slog.LevelInfo)
	sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub),
		taskvisor.WithSignals(syscall.SIGUSR2), taskvisor.WithPreStopDelay(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	<-sup.Done()
	got, _, _ := strings.Cut(log.text(), "INFO shutdown complete")
	if want := "INFO shutdown announced supervisor=sup delay=20ms cause=signal: user defined signal 2\n" +
		"INFO shutdown requested supervisor=sup cause=taskvisor: supervisor shut down: signal: user defined signal 2\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
