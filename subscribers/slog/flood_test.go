package slogsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// until fails n times, and then succeeds.
func until(n int) taskvisor.Func {
	tries := 0
	return func(context.Context) error {
		if tries++; tries <= n {
			return errBoom
		}
		return nil
	}
}

func TestCrashLoopDoesNotFlood(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		l.log.level = slog.LevelInfo
		l.add(every(until(150))) // one a second
		time.Sleep(time.Hour)
		l.expect(`
			INFO task added task=job
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			WARN attempt failed task=job attempt=61 result=failure duration=0s delay=1s error=boom suppressed=59
			WARN attempt failed task=job attempt=121 result=failure duration=0s delay=1s error=boom suppressed=59
			INFO task recovered task=job attempt=151 duration=0s suppressed=29
		`)
	})
}

// TestPanicIsNotHidden: by an ordinary failure a moment before, nor by a timeout.
func TestPanicIsNotHidden(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		l.add(every(script(fails(errBoom), panics(), fails(errBoom), blocks(), panics(), ignores(time.Minute), blocks()), taskvisor.WithTimeout(5*time.Second)))
		time.Sleep(time.Minute / 2)
		l.expect(`
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			ERROR attempt panicked task=job attempt=2 result=panic duration=0s delay=1s error=panic: oh no stack=slog_test.crash
			WARN attempt timed out task=job attempt=4 result=timeout duration=5s delay=1s error=attempt timed out after 5s suppressed=1
			ERROR attempt stuck task=job attempt=6 duration=10s stack=slog_test.deaf
		`)
		time.Sleep(time.Minute)
	})
}

// TestRecoveryIsToldWhenItComes: at the success, or of a resident body when it has run
// for so long; not at the shutdown days later.
func TestRecoveryIsToldWhenItComes(t *testing.T) {
	live(t, slog.LevelInfo, nil, nil, func(l *life) {
		l.add(taskvisor.Restartable("job", script(fails(errBoom), fails(errBoom), blocks()), taskvisor.ConstantBackoff(time.Second)))
		time.Sleep(62*time.Second + time.Millisecond)
		l.expect(`
			INFO task added task=job
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			INFO task recovered task=job attempt=3 duration=1m0.000000001s suppressed=1
		`)
		time.Sleep(48 * time.Hour)
		l.shutdown(true)
		if got := l.log.text("recovered"); strings.Count(got, "\n") != 1 {
			t.Errorf("got:\n%s", got)
		}
	})
}

// TestFlappingDoesNotFlood: a task that fails every other time is no crash
// loop, and would write as much if each streak began anew.
func TestFlappingDoesNotFlood(t *testing.T) {
	live(t, slog.LevelInfo, nil, nil, func(l *life) {
		n := 0
		l.add(every(func(context.Context) error {
			if n++; n%2 == 1 && n < 120 {
				return errBoom
			}
			return nil
		}))
		time.Sleep(time.Hour)
		l.expect(`
			INFO task added task=job
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			INFO task recovered task=job attempt=2 duration=0s
			WARN attempt failed task=job attempt=61 result=failure duration=0s delay=1s error=boom suppressed=29
			INFO task recovered task=job attempt=62 duration=0s
		`)
	})
}

func TestSuppressionOptions(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		want  int
	}{{0, 10}, {-1, 10}, {time.Second, 10}, {5 * time.Second, 2}, {time.Hour, 1}} {
		live(t, slog.LevelInfo, []slogsub.Option{slogsub.WithSuppression(c.every)}, nil, func(l *life) {
			l.add(every(until(10)))
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if n := strings.Count(l.log.text(), "attempt failed"); n != c.want {
				t.Errorf("every %s: %d records, want %d", c.every, n, c.want)
			}
			if n := strings.Count(l.log.text(), "recovered"); n != 1 {
				t.Errorf("every %s: %d records of recovery", c.every, n)
			}
		})
	}
}

// TestLevelsBelowTheHandlersDoNotCount: what would not be written anyway takes
// no place in an interval, and needs no recovery.
func TestLevelsBelowTheHandlersDoNotCount(t *testing.T) {
	live(t, slog.LevelError, nil, nil, func(l *life) {
		l.add(every(script(fails(errBoom), panics(), panics(), succeeds())))
		time.Sleep(time.Minute)
		l.expect(`ERROR attempt panicked task=job attempt=2 result=panic duration=0s delay=1s error=panic: oh no stack=slog_test.crash`)
	})
	debug := slogsub.WithLevel(func(e taskvisor.Event) slog.Level { return min(slogsub.DefaultLevel(e), slog.LevelInfo) - 1 })
	live(t, slog.LevelInfo, []slogsub.Option{debug}, nil, func(l *life) {
		l.add(every(until(3)))
		time.Sleep(time.Minute)
		l.expect(``)
	})
}

// TestSuppressedFailureIsInTheDebugLog: who reads every attempt there would otherwise
// miss how this one went on.
func TestSuppressedFailureIsInTheDebugLog(t *testing.T) {
	live(t, slog.LevelDebug, nil, nil, func(l *life) {
		l.add(every(script(fails(errBoom), fails(errBoom), blocks())))
		time.Sleep(3 * time.Second)
		l.expect(`
			INFO task added task=job
			DEBUG attempt started task=job attempt=1
			WARN attempt failed task=job attempt=1 result=failure duration=0s delay=1s error=boom
			DEBUG attempt started task=job attempt=2
			DEBUG retry scheduled task=job attempt=2 delay=1s
			DEBUG attempt started task=job attempt=3
		`)
	})
}

// TestNothingIsLeftUncounted: failures that were left out show up in the record of the
// last one, at the task's end, whatever that is.
func TestNothingIsLeftUncounted(t *testing.T) {
	loops := func(after taskvisor.Func) taskvisor.Func {
		n := 0
		return func(ctx context.Context) error {
			if n++; n <= 10 {
				return errBoom
			}
			return after(ctx)
		}
	}
	const last = "WARN attempt failed task=job attempt=10 result=failure duration=0s delay=1s error=boom suppressed=8"
	for name, c := range map[string]struct {
		after taskvisor.Func
		opts  []taskvisor.TaskOption
		end   func(l *life, h *taskvisor.Handle)
		want  string
	}{
		"stopped": {
			script(blocks()), nil,
			func(_ *life, h *taskvisor.Handle) { h.Stop() },
			last,
		},
		"abandoned at the shutdown": {
			script(ignores(time.Hour)), nil,
			func(l *life, _ *taskvisor.Handle) { l.shutdown(false) },
			last,
		},
		"abandoned and released": {
			script(ignores(time.Hour)), []taskvisor.TaskOption{taskvisor.WithReleaseOnAbandon()},
			func(_ *life, h *taskvisor.Handle) { h.Stop(); time.Sleep(time.Minute) },
			last,
		},
		"fatal": {
			script(fails(taskvisor.Fatal(errBoom))), nil,
			func(*life, *taskvisor.Handle) {},
			"ERROR task failed fatally task=job attempt=11 result=fatal outcome=fatal duration=0s error=boom suppressed=9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, slog.LevelInfo, nil, nil, func(l *life) {
				h := l.add(every(loops(c.after), append(c.opts, taskvisor.WithStuckAfter(time.Hour))...))
				time.Sleep(30 * time.Second)
				c.end(l, h)
				synctest.Wait()
				got := common.ReplaceAllString(l.log.text("suppressed="), "")
				if !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
					t.Errorf("got:\n%s\nin:\n%s", got, l.log.text())
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestStuckAttemptsDoNotFlood(t *testing.T) {
	live(t, slog.LevelWarn, nil, nil, func(l *life) {
		l.add(every(script(ignores(9*time.Second)), taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if stuck, failed := strings.Count(l.log.text(), "stuck"), strings.Count(l.log.text(), "timed out"); stuck != 5 || failed < 4 || failed > 10 {
			t.Errorf("%d and %d records in 5 minutes:\n%s", stuck, failed, l.log.text())
		}
	})
}

// TestSteeringDoesNotFlood: a program may run a task whenever a file changes, and a
// binding may interrupt one whenever another flaps.
func TestSteeringDoesNotFlood(t *testing.T) {
	live(t, slog.LevelInfo, nil, nil, func(l *life) {
		h := l.add(taskvisor.Periodic("job", time.Hour, script(blocks())))
		for range 300 {
			time.Sleep(time.Second)
			h.Interrupt(errors.New("changed"))
		}
		synctest.Wait()
		if n := strings.Count(l.log.text(), "task interrupted"); n != 5 {
			t.Errorf("%d records in 5 minutes:\n%s", n, l.log.text())
		}
	})
}

// TestPanickingSubscriberDoesNotFlood: another one's panics are not this log's only
// content, and are all accounted for.
func TestPanickingSubscriberDoesNotFlood(t *testing.T) {
	var panicked atomic.Int64
	bad := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.TaskStopped {
			panicked.Add(1)
			panic("oh no")
		}
	})
	opts := []taskvisor.Option{taskvisor.WithSubscriber(bad, taskvisor.WithName("bad"))}
	live(t, slog.LevelWarn, nil, opts, func(l *life) {
		l.add(every(script(succeeds())))
		time.Sleep(150 * time.Second)
		synctest.Wait() // what is panicked after the verdict, nobody is told
		l.shutdown(true)
		lines := l.log.text("subscriber panicked supervisor=sup subscriber=bad error=panic: oh no stack=")
		if n := strings.Count(lines, "\n"); n != 3 || strings.Count(lines, "suppressed=59") != 2 {
			t.Errorf("%d records in 150 s:\n%s", n, lines)
		}
		rest := fmt.Sprintf("ERROR subscriber panicked supervisor=sup subscriber=bad suppressed=%d\n", panicked.Load()-121)
		if got := l.log.text("panicked", "suppressed=", "subscriber=bad s"); !strings.HasSuffix(got, rest) {
			t.Errorf("got:\n%swant the last to be %s", got, rest)
		}
	})
}

// TestNextSupervisorReportsAtOnce: what was said about the last one of its name is no
// reason to be silent.
func TestNextSupervisorReportsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub, h := record(slog.LevelError)
		for i := range 3 {
			bad := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStopped {
					panic("oh no")
				}
			})
			sup, err := taskvisor.New(taskvisor.WithSubscriber(sub), taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")))
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := sup.Add(context.Background(), taskvisor.Once("job", script(succeeds()))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := strings.Count(h.text(), "subscriber panicked"); n != i+1 {
				t.Errorf("%d records of supervisor %d:\n%s", n, i+1, h.text())
			}
			if err := sup.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestDropsAreAddedUp: a log that is too slow for its supervisor must not be
// made slower by records about that.
func TestDropsAreAddedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowHandler{recorder: recorder{level: slog.LevelDebug}}
		sup, err := taskvisor.New(taskvisor.WithName("sup"), taskvisor.WithSubscriberDrain(time.Hour),
			taskvisor.WithSubscriber(slogsub.New(slog.New(h)), taskvisor.Queued(4)))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := sup.Add(context.Background(), taskvisor.Periodic("job", 100*time.Millisecond, script(succeeds()))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		var lost uint64
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, n := range sup.Snapshot().Subscribers[0].Dropped {
			lost += n
		}
		lines := h.text("WARN events dropped supervisor=sup subscriber=slogsub dropped=")
		if n := strings.Count(lines, "\n"); n < 5 || n > 7 {
			t.Errorf("%d records in 5 minutes:\n%s", n, lines)
		}
		var told uint64
		for line := range strings.Lines(lines) {
			var n uint64
			if _, err := fmt.Sscanf(line[strings.LastIndex(line, "=")+1:], "%d", &n); err != nil {
				t.Fatal(err)
			}
			told += n
		}
		if told != lost || lost == 0 {
			t.Errorf("%d losses were told of %d", told, lost)
		}
	})
}

// slowHandler takes a second for each record.
type slowHandler struct{ recorder }

func (h *slowHandler) Handle(ctx context.Context, r slog.Record) error {
	time.Sleep(time.Second)
	return h.recorder.Handle(ctx, r)
}
