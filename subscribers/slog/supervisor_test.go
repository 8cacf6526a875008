package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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

// TestIdleIsSilent: a healthy periodic task writes nothing at Info.
func TestIdleIsSilent(t *testing.T) {
	live(t, slog.LevelInfo, nil, nil, func(l *life) {
		l.add(every(script(succeeds())))
		synctest.Wait()
		before := l.log.text()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if after := l.log.text(); after != before {
			t.Errorf("written while idle: %s", after[len(before):])
		}
	})
}

// TestFailingHandlerIsCounted: a log that cannot be written must not look healthy.
func TestFailingHandlerIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slogsub.New(slog.New(failing{}))))
		if _, err := sup.Add(context.Background(), every(script(fails(errBoom), succeeds()))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, s := range sup.Snapshot().Subscribers {
			if s.Name != "slogsub" {
				continue
			}
			if events := uint64(len(rec.Events())); s.Failures < events-2 || s.Failures > events || s.Panics != 0 {
				t.Errorf("%d failures and %d panics of %d events", s.Failures, s.Panics, events)
			}
			return
		}
		t.Error("no subscriber slogsub")
	})
}

type failing struct{ discard }

func (failing) Handle(context.Context, slog.Record) error { return errors.New("disk full") }

// TestWrappedTwice: a wrapper has one memory for all that it wraps. The second then does
// without, and neither takes the other's lines.
func TestWrappedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, a := record(slog.LevelInfo)
		second, b := record(slog.LevelInfo)
		tee := taskvisor.SubscribeFunc(func(ctx context.Context, e taskvisor.Event) {
			first.OnEvent(ctx, e)
			second.OnEvent(ctx, e)
		})
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("sup"), taskvisor.WithSubscriber(tee))
		if _, err := sup.Add(context.Background(), every(script(fails(errBoom)), taskvisor.WithMaxRetries(1))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, a, `
			INFO task added task=job
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			ERROR task failed for good task=job attempt=2 result=failure outcome=failed duration=0s error=boom
			INFO task removed task=job outcome=failed
		`)
		expect(t, b, `
			INFO task added task=job
			WARN attempt failed task=job attempt=1 result=failure duration=0s error=boom
			WARN attempt failed task=job attempt=2 result=failure duration=0s error=boom
			ERROR task failed for good task=job attempt=2 outcome=failed error=boom
			INFO task removed task=job outcome=failed
		`)
	})
}

func TestConcurrentSafe(t *testing.T) {
	sub, h := record(slog.LevelDebug)
	sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(sub, taskvisor.Inline()))
	const tasks = 64
	var all []*taskvisor.Handle
	for i := range tasks {
		n := 0
		job, err := sup.Add(t.Context(), taskvisor.Restartable(fmt.Sprint("job-", i), func(context.Context) error {
			if n++; n <= 20 {
				return errBoom
			}
			return nil
		}, taskvisor.ConstantBackoff(0)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, job)
	}
	for _, job := range all {
		if o, err := job.Wait(t.Context()); err != nil || o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("%s: %v %v", job.Name(), o.Kind, err)
		}
	}
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]int{"attempt succeeded": 1, "WARN attempt failed": 1, "task recovered": 1, "suppressed=19": 1, "task removed": 1} {
		if n := strings.Count(h.text(), message); n != want*tasks {
			t.Errorf("%d times %q, want %d", n, message, want*tasks)
		}
	}
}

// TestThousandSupervisors: one subscriber outlives them all and keeps nothing.
func TestThousandSupervisors(t *testing.T) {
	sub := slogsub.New(slog.New(discard{}))
	n := 0
	cycle := func() {
		n++
		panics := taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) { panic("oh no") })
		sup, err := taskvisor.New(taskvisor.WithName(fmt.Sprint("sup-", n)), taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(panics))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Run(t.Context(), taskvisor.Once("fails", script(fails(errBoom)))); !errors.Is(err, errBoom) {
			t.Fatal(err)
		}
	}
	cycle()
	before, goroutines := heap(), runtime.NumGoroutine()
	for range 1000 {
		cycle()
	}
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
