package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
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

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		readme.Check(t, out.String())
	})
}

// A week of a nightly report, one night of which fails and is retried.
func TestNightsOfAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble begins on Saturday, 2000-01-01, at midnight UTC
		var starts []string
		report, err := every("report", "CRON_TZ=Europe/Berlin 30 3 * * MON-FRI", func(ctx context.Context) error {
			starts = append(starts, time.Now().UTC().Format("Mon 15:04:05"))
			if len(starts) == 2 {
				return errors.New("no disk")
			}
			return nil
		}, taskvisor.ConstantBackoff(10*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		sup, _ := taskvisortest.Start(t)
		h, err := sup.Add(t.Context(), report)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * 24 * time.Hour)
		want := "Mon 02:30:00, Tue 02:30:00, Tue 02:40:00, Wed 02:30:00, Thu 02:30:00, Fri 02:30:00"
		if got := strings.Join(starts, ", "); got != want {
			t.Errorf("started at %s, want %s", got, want)
		}
		if next := h.Status().NextStart.UTC().Format("Mon 15:04"); next != "Mon 02:30" {
			t.Errorf("next start %s", next)
		}
	})
}

func TestBadEntryIsAnError(t *testing.T) {
	if _, err := every("report", "61 * * * *", func(context.Context) error { return nil }); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
		t.Errorf("error %v", err)
	}
}
