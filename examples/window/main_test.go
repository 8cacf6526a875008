package main

import (
	"context"
	"os"
	"os/signal"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestMain(m *testing.M) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt) // outside of the bubbles: see WithSignals
	signal.Stop(c)
	os.Exit(m.Run())
}

func TestNothingBeginsInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble begins at midnight
		var out readme.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 2700*time.Millisecond)
		defer cancel()
		if err := run(ctx, window{from: time.Second, to: 2 * time.Second}, &out); err != nil {
			t.Fatal(err)
		}
		readme.Check(t, out.String())
	})
}

// Who waits says for what; a stop does not wait for the end of the window, and
// the window's end finds nobody.
func TestWaitingIsSeenAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h, err := sup.Add(t.Context(), taskvisor.Once("sync", taskvisortest.Script(taskvisortest.Succeed()), taskvisor.WithGate(window{to: time.Hour})))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := h.Status(); st.State != taskvisor.StatePending || st.Gate != "maintenance" {
			t.Errorf("%v at the gate %q", st.State, st.Gate)
		}
		began := time.Now()
		if outcome, err := h.Cancel(t.Context()); err != nil || outcome.Attempts != 0 || time.Since(began) != 0 {
			t.Errorf("stopped after %v and %d attempts: %v", time.Since(began), outcome.Attempts, err)
		}
		time.Sleep(2 * time.Hour)
		if got, want := rec.Trace("sync"), "A Q D"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
