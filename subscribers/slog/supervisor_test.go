package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestConformance(t *testing.T) {
	taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe {
		logger := slog.New(slog.NewJSONHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		return slogsub.New(logger)
	})
}

// TestRealSupervisor is a run from its first record to its last.
func TestRealSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, h := record(slog.LevelInfo)
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(sub))
		ctx := context.WithValue(t.Context(), ctxKey{}, "trace-1")
		spec := taskvisor.Periodic("job", time.Minute, taskvisortest.Script(
			taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom), taskvisortest.Succeed()),
			taskvisor.ConstantBackoff(time.Second))
		job, err := sup.Add(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*time.Minute + time.Second)
		if _, err := job.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		expectWithoutIDs(t, h, `
			INFO task added supervisor=sup task=job; ctx=trace-1
			WARN attempt failed supervisor=sup task=job attempt=2 outcome=failure duration=0s error=boom; ctx=trace-1
			INFO task recovered supervisor=sup task=job attempt=4 suppressed=1; ctx=trace-1
			INFO stop requested supervisor=sup task=job reason=removed; ctx=trace-1
			INFO task removed supervisor=sup task=job outcome=canceled reason=removed; ctx=trace-1
			INFO shutdown requested supervisor=sup
			INFO shutdown complete supervisor=sup duration=0s
		`)
		expectKnown(t, sub, 0)
	})
}

// TestIdleIsSilent: a healthy periodic task writes nothing at Info.
func TestIdleIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, h := record(slog.LevelInfo)
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(sub))
		if _, err := sup.Add(t.Context(), taskvisor.Periodic("job", time.Second, taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := h.text()
		time.Sleep(24 * time.Hour)
		if after := h.text(); after != before {
			t.Errorf("written while idle: %s", after[len(before):])
		}
	})
}

// TestThousandSupervisors: one subscriber outlives them all and keeps nothing.
func TestThousandSupervisors(t *testing.T) {
	sub := slogsub.New(slog.New(discard{}))
	cycle := func() {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
		if err != nil {
			t.Fatal(err)
		}
		fails := taskvisor.Once("fails", func(context.Context) error { return errors.New("no") })
		if err := sup.Run(t.Context(), fails); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before, goroutines := heap(), runtime.NumGoroutine()
	for range 1000 {
		cycle()
	}
	expectKnown(t, sub, 0)
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("%d bytes are left behind", grown)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
