package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

type spanKey struct{}

func spanOf(ctx context.Context) ledger.Span {
	s, _ := ctx.Value(spanKey{}).(ledger.Span)
	return s
}

// keep runs one task with a ledger until it ends, or is stopped after stop.
func keep(t *testing.T, p ledger.Plan, body ledger.Body, stop time.Duration, opts ...taskvisor.TaskOption) *ledger.Task {
	t.Helper()
	var kept *ledger.Task
	synctest.Test(t, func(t *testing.T) {
		book := ledger.New(spanOf)
		noted := book.Supervisor("sup", 0, time.Second)
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Subscribe(quiet{})))
		if err == nil {
			err = sup.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = book.Task(context.WithValue(t.Context(), spanKey{}, ledger.Span{Trace: "t", ID: "caller"}), noted, "job", p)
		h, err := sup.Add(context.WithValue(t.Context(), spanKey{}, ledger.Span{Trace: "t", ID: "body"}), taskvisor.Restartable("job", kept.Func(body), opts...))
		if err != nil {
			t.Fatal(err)
		}
		if stop > 0 {
			time.Sleep(stop)
			kept.Stopping(ledger.ReasonRemoved)
			h.Stop()
		}
		o, err := h.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept.Ended(o.Kind.String())
		noted.Stopping()
		_ = sup.Shutdown(context.Background())
		noted.Stopped()
	})
	return kept
}

type quiet struct{}

func (quiet) OnEvent(context.Context, taskvisor.Event) {}

var once = ledger.Plan{Retries: 0}

// TestEndings: the ledger knows each way in which a body can end, and agrees with the
// supervisor about what that means.
func TestEndings(t *testing.T) {
	boom := errors.New("boom")
	work := func(ctx context.Context) { <-ctx.Done() }
	for _, c := range []struct {
		name       string
		body       ledger.Body
		stop       time.Duration
		how, cause string
		result     string
		outcome    string
		text       string
	}{
		{"nil", func(context.Context, *ledger.Attempt) error { return nil }, 0, ledger.ReturnedNil, "", ledger.Success, "completed", ""},
		{"error", func(context.Context, *ledger.Attempt) error { return boom }, 0, ledger.ReturnedError, "", ledger.Failure, "failed", "boom"},
		{"fatal", func(_ context.Context, a *ledger.Attempt) error { return a.Dead(boom) }, 0, ledger.ReturnedError, "", ledger.Fatal, "fatal", "boom"},
		{"quits", func(_ context.Context, a *ledger.Attempt) error { return a.Quit(boom) }, 0, ledger.ReturnedError, "", ledger.Canceled, "canceled", "boom"},
		{"panic", func(_ context.Context, a *ledger.Attempt) error { a.Panic(boom); return nil }, 0, ledger.Panicked, "", ledger.Panic, "failed", "boom"},
		{"exit", func(_ context.Context, a *ledger.Attempt) error { a.Exit(); return nil }, 0, ledger.Exited, "", ledger.Failure, "failed", ""},
		{"later", func(_ context.Context, a *ledger.Attempt) error { return a.Later(time.Hour, boom) }, 0, ledger.ReturnedError, "", ledger.Failure, "failed", "boom"},
		{"timeout", func(ctx context.Context, _ *ledger.Attempt) error { work(ctx); return boom }, 0, ledger.ReturnedError, ledger.ReasonTimeout, ledger.Timeout, "failed", "boom"},
		{"timeout, nil", func(ctx context.Context, _ *ledger.Attempt) error { work(ctx); return nil }, 0, ledger.ReturnedNil, ledger.ReasonTimeout, ledger.Timeout, "failed", ""},
		{"stopped", func(ctx context.Context, _ *ledger.Attempt) error { work(ctx); return boom }, time.Second, ledger.ReturnedError, ledger.ReasonRemoved, ledger.Canceled, "canceled", "boom"},
		{"stopped, nil", func(ctx context.Context, _ *ledger.Attempt) error { work(ctx); return nil }, time.Second, ledger.ReturnedNil, ledger.ReasonRemoved, ledger.Success, "canceled", ""},
		{"child", func(ctx context.Context, a *ledger.Attempt) error {
			_ = taskvisor.Go(ctx, func(context.Context) { a.ChildPanics("lost"); panic("lost") })
			work(ctx)
			return nil
		}, 0, ledger.Panicked, "other", ledger.Panic, "failed", "lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kept := keep(t, once, c.body, c.stop, taskvisor.WithMaxRetries(0), taskvisor.WithTimeout(time.Minute))
			if len(kept.Attempts) != 1 {
				t.Fatalf("%d attempts", len(kept.Attempts))
			}
			a := kept.Attempts[0]
			if a.How != c.how || a.Cause != c.cause || a.Result() != c.result || kept.Heard != c.outcome {
				t.Errorf("how %q, cause %q, result %q, outcome %q", a.How, a.Cause, a.Result(), kept.Heard)
			}
			if a.Number != 1 || a.Span.ID != "body" || kept.Caller.ID != "caller" || !strings.Contains(a.Error, c.text) {
				t.Errorf("number %d, span %v, added from %v, error %q", a.Number, a.Span, kept.Caller, a.Error)
			}
			if canceled := !a.CanceledAt.IsZero(); canceled != (c.cause != "") {
				t.Errorf("cancelled at %v", a.CanceledAt)
			}
			if c.result == ledger.Panic && !strings.Contains(a.Func, "TestEndings.func") {
				t.Errorf("panicked in %q", a.Func)
			}
		})
	}
}

// TestTimes: durations and gaps are the body's own, to the nanosecond of the bubble.
func TestTimes(t *testing.T) {
	p := ledger.Plan{Retries: 3, First: 2 * time.Second, Max: 5 * time.Second}
	body := func(_ context.Context, a *ledger.Attempt) error {
		time.Sleep(time.Duration(a.Number) * time.Second)
		return fmt.Errorf("attempt %d", a.Number)
	}
	kept := keep(t, p, body, 0, taskvisor.WithMaxRetries(3), taskvisor.BackoffPolicy{First: p.First, Max: p.Max, Factor: 2})
	if len(kept.Attempts) != 4 {
		t.Fatalf("%d attempts", len(kept.Attempts))
	}
	for i, a := range kept.Attempts {
		if a.Duration != time.Duration(i+1)*time.Second || a.Ended.Sub(a.Started) != a.Duration {
			t.Errorf("attempt %d took %s", i+1, a.Duration)
		}
		next := kept.Next(i)
		gap, whole, known := kept.Gap(i)
		if i == 3 {
			if next.Cause != "" || known {
				t.Errorf("%v follows the last attempt, %s later", next, gap)
			}
			continue
		}
		if want := []time.Duration{2 * time.Second, 4 * time.Second, 5 * time.Second}[i]; next.Least != want || next.Most != want || gap != want || !whole {
			t.Errorf("after attempt %d: planned %v, waited %s", i+1, next, gap)
		}
		if kept.Streak(i+1) != i+1 {
			t.Errorf("streak %d before attempt %d", kept.Streak(i+1), i+2)
		}
	}
}

// TestStopDuringBackoff: the rest of the delay was not waited.
func TestStopDuringBackoff(t *testing.T) {
	fails := func(context.Context, *ledger.Attempt) error { return errors.New("no") }
	kept := keep(t, ledger.Plan{Retries: -1, First: time.Minute, Max: time.Minute}, fails, 10*time.Second, taskvisor.ConstantBackoff(time.Minute))
	if gap, whole, known := kept.Gap(0); gap != 10*time.Second || whole || !known {
		t.Errorf("waited %s, whole %t, known %t", gap, whole, known)
	}
	if kept.StopBy != ledger.ReasonRemoved {
		t.Errorf("stopped by %q", kept.StopBy)
	}
}

func TestNext(t *testing.T) {
	at := time.Unix(1000, 0)
	ended := func(how, cause string) *ledger.Attempt {
		return &ledger.Attempt{How: how, Cause: cause, Started: at, Ended: at.Add(time.Second)}
	}
	good, bad := ended(ledger.ReturnedNil, ""), ended(ledger.ReturnedError, "")
	asks := ended(ledger.ReturnedError, "")
	asks.Requested, asks.After = true, time.Hour
	again, againBad, againDead := *good, *bad, *bad
	again.Triggered, againBad.Triggered, againDead.Triggered, againDead.Fatal = true, true, true, true
	periodic := ledger.Plan{Always: true, Interval: time.Minute, Retries: -1, First: time.Second, Max: time.Second}
	restartable := ledger.Plan{Retries: 1, First: time.Second, Max: time.Second}
	for _, c := range []struct {
		name     string
		plan     ledger.Plan
		stop     time.Duration // after the start; 0: not
		attempts []*ledger.Attempt
		want     string
	}{
		{"a success of a periodic task", periodic, 0, []*ledger.Attempt{good}, "success 1m0s"},
		{"a failure", periodic, 0, []*ledger.Attempt{bad}, "failure 1s"},
		{"a wish", periodic, 0, []*ledger.Attempt{asks}, "requested 1h0m0s"},
		{"a wish after a timeout", periodic, 0, []*ledger.Attempt{{Requested: true, After: time.Hour, How: ledger.ReturnedError, Cause: ledger.ReasonTimeout, Ended: at}}, "failure 1s"},
		{"a success during which one more was asked for", periodic, 0, []*ledger.Attempt{&again}, "triggered 0s"},
		{"a failure during which one more was asked for", periodic, 0, []*ledger.Attempt{&againBad}, "triggered 0s"},
		{"a fatal failure during which one more was asked for", periodic, 0, []*ledger.Attempt{&againDead}, " 0s"},
		{"one too many during which one more was asked for", restartable, 0, []*ledger.Attempt{bad, &againBad}, "triggered 0s"},
		{"a success without a restart", restartable, 0, []*ledger.Attempt{good}, " 0s"},
		{"the first failure", restartable, 0, []*ledger.Attempt{bad}, "failure 1s"},
		{"one too many", restartable, 0, []*ledger.Attempt{bad, bad}, " 0s"},
		{"one after a success", restartable, 0, []*ledger.Attempt{bad, good, bad}, "failure 1s"},
		{"a failure of a Once", ledger.Plan{Once: true}, 0, []*ledger.Attempt{bad}, " 0s"},
		{"a stop", periodic, 0, []*ledger.Attempt{ended(ledger.ReturnedNil, ledger.ReasonShutdown)}, " 0s"},
		{"a stop behind a timeout", periodic, 500 * time.Millisecond, []*ledger.Attempt{ended(ledger.ReturnedNil, ledger.ReasonTimeout)}, " 0s"},
		{"a stop after a timeout", periodic, 2 * time.Second, []*ledger.Attempt{ended(ledger.ReturnedNil, ledger.ReasonTimeout)}, "failure 1s"},
		{"an attempt that runs", periodic, 0, []*ledger.Attempt{{Started: at}}, " 0s"},
	} {
		task := &ledger.Task{Plan: c.plan, Attempts: c.attempts}
		if c.stop > 0 {
			task.StopAt = at.Add(c.stop)
		}
		if next := task.Next(len(c.attempts) - 1); fmt.Sprint(next.Cause, " ", next.Most) != c.want {
			t.Errorf("after %s: %v, want %s", c.name, next, c.want)
		}
	}
}

// TestBackoff: the ledger's own formula is the documented one.
func TestBackoff(t *testing.T) {
	for _, p := range []ledger.Plan{{First: 3, Max: 1000}, {First: 100, Max: 100}, {First: 0, Max: 10}, {First: 70, Max: 1000, Jitter: true}} {
		policy := taskvisor.BackoffPolicy{First: p.First, Max: p.Max, Factor: 2}
		if p.Jitter {
			policy.Jitter = taskvisor.EqualJitter
		}
		for n := range 40 {
			least, most := p.Backoff(n)
			if lo, hi := policy.Delay(n, 0), policy.Delay(n, .999999); lo < least || hi > most || most-hi > most/1000+1 {
				t.Errorf("%v: delay %d is %d to %d, the policy's %d to %d", p, n, least, most, lo, hi)
			}
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.json")
	if _, err := ledger.Read(file); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
	book := ledger.New(spanOf)
	sup := book.Supervisor("sup", 3, time.Second)
	task := book.Task(t.Context(), sup, "job", ledger.Plan{Slot: "s", Retries: -1})
	book.Submit(ledger.Submission{Supervisor: "sup", Task: "job", Slot: "s", Policy: "queue", Verdict: "started"})
	if err := task.Func(func(context.Context, *ledger.Attempt) error { return errors.New("no") })(t.Context()); err == nil {
		t.Error("the body's error is gone")
	}
	if err := book.Write(file); err != nil {
		t.Fatal(err)
	}
	read, err := ledger.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Tasks) != 1 || len(read.Submissions) != 1 || read.Supervisors[0].Limit != 3 {
		t.Fatalf("read %+v", read)
	}
	if got := read.Tasks[0]; got.Plan != task.Plan || got.Attempts[0].Result() != ledger.Failure || got.Attempts[0].Error != "no" {
		t.Errorf("read %+v", got)
	}
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Read(file); err == nil {
		t.Error("half a file was read")
	}
}
