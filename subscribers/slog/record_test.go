package slogsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestRecords(t *testing.T) {
	for _, c := range lives {
		t.Run(c.name, func(t *testing.T) {
			live(t, slog.LevelDebug, nil, c.opts, func(l *life) {
				c.play(l)
				l.expect(c.want)
			})
		})
	}
}

// TestEveryKindIsWritten: there is no event that nobody knows a message for.
func TestEveryKindIsWritten(t *testing.T) {
	seen := map[taskvisor.EventKind]bool{
		// These are tested with the flood control, and by TestAnnouncedShutdown.
		taskvisor.SubscriberOverflow: true, taskvisor.SubscriberPanicked: true, taskvisor.ShutdownAnnounced: true,
	}
	synctest.Test(t, func(t *testing.T) {
		for _, c := range lives {
			see := taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) { seen[e.Kind] = true })
			sub, h := record(slog.LevelDebug)
			sup, err := taskvisor.New(append([]taskvisor.Option{taskvisor.WithSubscriber(see), taskvisor.WithSubscriber(sub)}, c.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			c.play(&life{t, sup, h})
			_ = sup.Shutdown(context.Background()) // which some of the lives have done
			if strings.Contains(h.text(), "unknown") {
				t.Errorf("%s:\n%s", c.name, h.text())
			}
		}
		time.Sleep(time.Hour)
	})
	for kind := taskvisor.EventKind(1); !strings.HasPrefix(kind.String(), "unknown"); kind++ {
		recoveredOrFailed := kind == taskvisor.TaskRecovered || kind == taskvisor.ActorDead // of the failures' tests
		if !seen[kind] && !recoveredOrFailed {
			t.Errorf("no life has an event %s", kind)
		}
		if kind > 100 {
			t.Fatal("kinds without end")
		}
	}
}

// TestKeysAreDocumented: the package comment lists each key that is used, and no other.
func TestKeysAreDocumented(t *testing.T) {
	used := make(map[string]bool)
	for _, c := range lives {
		live(t, slog.LevelDebug, nil, c.opts, func(l *life) {
			c.play(l)
			l.add2(taskvisor.Once("ends", script(fails(errors.Join(taskvisor.RetryAfter(1, errBoom), exitError{})))))
			synctest.Wait()
			maps.Copy(used, l.log.keys)
		})
	}
	leases := leased(t, slog.LevelDebug, nil, func(sup *taskvisor.Supervisor, owner *lease.Owner, engine *leasetest.Memory) {
		singleton(t, sup, "billing", untilStopped(nil), owner.Singleton("invoices"))
		time.Sleep(5 * time.Second)
		engine.SetDown(true)
		time.Sleep(time.Minute)
	})
	maps.Copy(used, leases.keys)
	for _, of := range []string{"dropped", "subscriber", "suppressed"} { // see the flood control
		used[of] = true
	}
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if key, ok := strings.CutPrefix(line, "//\t"); ok && strings.Contains(key, "  ") {
			documented[strings.Fields(key)[0]] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(used)); !slices.Equal(got, want) {
		t.Errorf("documented %q\nused       %q", got, want)
	}
}

// add2 is add for supervisors that may have ended.
func (l *life) add2(spec taskvisor.TaskSpec) {
	if _, err := l.sup.Add(context.Background(), spec); err != nil && !errors.Is(err, taskvisor.ErrShuttingDown) {
		l.Error(err)
	}
}

// TestCommonRecordsDoNotAllocate holds the five attributes that a record has
// room for, and that those cost no memory.
func TestCommonRecordsDoNotAllocate(t *testing.T) {
	live(t, slog.LevelDebug, nil, nil, func(l *life) {
		l.add(every(script(succeeds()), taskvisor.WithTimeout(time.Minute)))
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, message := range []string{"attempt started", "attempt succeeded", "next attempt scheduled"} {
			if n := l.log.attrs[message]; n != 5 {
				t.Errorf("%q has %d attributes", message, n)
			}
		}
	})
	for _, e := range commonEvents() {
		quiet := slogsub.New(slog.New(discard{}))
		if n := testing.AllocsPerRun(100, func() { quiet.OnEvent(context.Background(), e) }); n != 0 {
			t.Errorf("%s: %v allocations", e.Kind, n)
		}
	}
}

// commonEvents are those of an attempt in a task's ordinary life.
func commonEvents() []taskvisor.Event {
	e := taskvisor.Event{Time: time.Now(), Supervisor: "sup", Task: "job", TaskID: 700, Attempt: 1000}
	var all []taskvisor.Event
	for _, kind := range []taskvisor.EventKind{taskvisor.TaskStarting, taskvisor.TaskStopped, taskvisor.BackoffScheduled} {
		e := e
		e.Kind, e.Timeout = kind, time.Minute
		if kind != taskvisor.TaskStarting {
			e.Duration, e.Delay = time.Second, time.Second
		}
		e.Source = taskvisor.BackoffSuccess
		all = append(all, e)
	}
	return all
}

// discard is a handler that wants everything and does nothing with it.
type discard struct{}

func (discard) Enabled(context.Context, slog.Level) bool  { return true }
func (discard) Handle(context.Context, slog.Record) error { return nil }
func (h discard) WithAttrs([]slog.Attr) slog.Handler      { return h }
func (h discard) WithGroup(string) slog.Handler           { return h }

// TestContextAndTimeReachTheHandler: also of a record that waited for what follows it.
func TestContextAndTimeReachTheHandler(t *testing.T) {
	labels := slogsub.WithContextLabels(func(ctx context.Context) map[string]string {
		if v, ok := ctx.Value(ctxKey{}).(string); ok {
			return map[string]string{"trace_id": v, "span_id": "1"}
		}
		return nil
	})
	live(t, slog.LevelInfo, []slogsub.Option{labels}, nil, func(l *life) {
		ctx := context.WithValue(context.Background(), ctxKey{}, "t1")
		start := time.Now()
		if _, err := l.sup.Add(ctx, every(func(context.Context) error { time.Sleep(time.Second); return errBoom })); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Minute)
		l.shutdown(true)
		want := "WARN attempt failed task=job attempt=1 result=failure duration=1s delay=1s error=boom span_id=1 trace_id=t1; ctx=t1\n"
		if got := common.ReplaceAllString(l.log.text("attempt failed", "attempt=1 "), ""); got != want {
			t.Errorf("got %s", got)
		}
		if at := l.log.times["task added"]; !at.Equal(start) {
			t.Errorf("the record has the time %s, not the event's, %s", at, start)
		}
		if got := l.log.text("shutdown complete"); strings.Contains(got, "trace_id") {
			t.Errorf("got %s", got)
		}
	})
}

func TestLevels(t *testing.T) {
	levels := []slogsub.Option{slogsub.WithLevel(func(e taskvisor.Event) slog.Level {
		switch e.Kind {
		case taskvisor.TaskStarting:
			return slog.LevelError + 4
		case taskvisor.ActorExhausted:
			return slog.LevelDebug
		}
		return slogsub.DefaultLevel(e)
	}), slogsub.WithLevel(nil)}
	live(t, slog.LevelInfo, levels, nil, func(l *life) {
		l.add(taskvisor.Once("job", script(fails(errBoom))))
		l.expect(`
			INFO task added task=job
			ERROR+4 attempt started task=job attempt=1
			WARN task failed for good task=job attempt=1 result=failure outcome=failed duration=0s error=boom
			INFO task removed task=job outcome=failed
		`)
	})
}

// TestErrorFormatterSeesAllText: nothing that a body, a panic or a stack says
// passes it by.
func TestErrorFormatterSeesAllText(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	redact := func(err error) string { return strings.ReplaceAll(err.Error(), "hunter2", "***") }
	sub := slogsub.New(logger, slogsub.WithErrorFormatter(redact), slogsub.WithSuppression(0))
	secret := errors.New("password hunter2")
	for kind := range taskvisor.EventKind(48) {
		for _, err := range []error{secret, &taskvisor.PanicError{Value: secret}, &taskvisor.TimeoutError{Err: secret}, taskvisor.Fatal(secret)} {
			for result := range taskvisor.ResultKind(8) {
				sub.OnEvent(context.Background(), taskvisor.Event{Kind: kind, Result: result, Err: err, Stack: "main.login(hunter2)"})
			}
		}
	}
	if text := out.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "panic: password ***") || !strings.Contains(text, "main.login(***)") {
		t.Errorf("not redacted:\n%.2000s", text)
	}
}

func TestNilLoggerIsTheDefault(t *testing.T) {
	var out bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true})))
	slogsub.New(nil).OnEvent(t.Context(), taskvisor.Event{
		Kind: taskvisor.TaskFailed, Supervisor: "sup", Task: "job", TaskID: 7, Attempt: 1,
		Result: taskvisor.ResultFailure, Duration: time.Second, Err: errBoom,
	})
	want := "msg=\"attempt failed\" supervisor=sup task=job task_id=7 attempt=1 result=failure duration=1s error=boom\n"
	if got := out.String(); !strings.HasSuffix(got, want) || strings.Contains(got, "source=slogsub") {
		t.Errorf("got %s", got)
	}
}
