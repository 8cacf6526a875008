package ledger_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// TestDeadlineIsAwaited: a body that ends when its deadline is near ends behind it, so that
// the supervisor and the ledger cannot disagree.
func TestDeadlineIsAwaited(t *testing.T) {
	for _, c := range []struct {
		works, takes time.Duration
		result       string
	}{{time.Second, time.Second, ledger.Success}, {59950 * time.Millisecond, time.Minute, ledger.Timeout}} {
		body := func(context.Context, *ledger.Attempt) error { time.Sleep(c.works); return nil }
		kept := keep(t, ledger.Plan{Timeout: time.Minute}, body, 0, taskvisor.WithMaxRetries(0), taskvisor.WithTimeout(time.Minute))
		if a := kept.Attempts[0]; a.Duration != c.takes || a.Result() != c.result {
			t.Errorf("%s: a %s after %s", c.works, a.Result(), a.Duration)
		}
	}
}

// TestFrame: what the supervisor says of an attempt lies between the readings around it.
func TestFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := ledger.New(spanOf)
		var ended taskvisor.Event
		sup, err := taskvisor.New(taskvisor.WithSubscriber(ledger.Frame{}), taskvisor.WithSubscriber(slow{}),
			taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStopped {
					ended = e
				}
			})))
		if err != nil {
			t.Fatal(err)
		}
		kept := book.Task(t.Context(), book.Supervisor("sup", 0, time.Second), "job", once)
		began := time.Now()
		body := func(context.Context, *ledger.Attempt) error { time.Sleep(time.Minute); return nil }
		if err := sup.Run(t.Context(), taskvisor.Once("job", kept.Func(body))); err != nil {
			t.Fatal(err)
		}
		a := kept.Attempts[0]
		if !a.Opened.Equal(began) || a.Started.Sub(a.Opened) != time.Second || a.Closed.Sub(a.Ended) != 2*time.Second ||
			a.Framed != time.Minute+3*time.Second || ended.Duration != time.Minute {
			t.Errorf("opened %s, started %s, closed %s after its end, %s in all, for the supervisor %s",
				a.Opened.Sub(began), a.Started.Sub(began), a.Closed.Sub(a.Ended), a.Framed, ended.Duration)
		}
	})
}

// slow takes its time around an attempt.
type slow struct{ quiet }

func (slow) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	time.Sleep(time.Second)
	return ctx
}

func (slow) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {
	time.Sleep(2 * time.Second)
}

// TestReadings and stalls are written down: a stall is what a goroutine meets that is due
// while the processors are busy.
func TestReadingsAndStalls(t *testing.T) {
	book := ledger.New(spanOf)
	stop := book.Watch()
	for n := range 2 {
		got, done := book.Reading()
		if got != n+1 {
			t.Errorf("reading %d is number %d", n+1, got)
		}
		done()
	}
	var end atomic.Bool
	for range 64 * runtime.GOMAXPROCS(0) { // each has a turn of 10 ms before a watcher has one
		go func() {
			for !end.Load() {
				runtime.KeepAlive(book)
			}
		}()
	}
	time.Sleep(500 * time.Millisecond)
	end.Store(true)
	stop()
	file := filepath.Join(t.TempDir(), "ledger.json")
	if err := book.Write(file); err != nil {
		t.Fatal(err)
	}
	read, err := ledger.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Readings) != 2 || read.Readings[1].Ended.Before(read.Readings[1].Began) || read.Readings[0].Ended.IsZero() {
		t.Errorf("readings %v", read.Readings)
	}
	longest := time.Duration(0)
	for _, s := range read.Stalls {
		longest = max(longest, s.Lost)
	}
	if longest < 20*time.Millisecond {
		t.Errorf("the longest of %d stalls is %s", len(read.Stalls), longest)
	}
}

// TestStoppingAtAnEnd: no stop is noted while an attempt comes to its end, and no attempt
// ends between the note and the stop.
func TestStoppingAtAnEnd(t *testing.T) {
	for _, c := range []struct {
		name            string
		noted, stopped  time.Duration // since the start, without the time that the note takes
		wantNote        time.Duration
		cause, wantText string
	}{
		{"behind the end of the body, within that of the attempt", 62 * time.Second, 62 * time.Second, 63*time.Second + 11*time.Millisecond, "", "done"},
		{"before it, and the stop comes later", 30 * time.Second, 64 * time.Second, 30 * time.Second, ledger.ReasonShutdown, "done"},
	} {
		synctest.Test(t, func(t *testing.T) {
			book := ledger.New(spanOf)
			noted := book.Supervisor("sup", 0, time.Second)
			sup, err := taskvisor.New(taskvisor.WithSubscriber(ledger.Frame{}), taskvisor.WithSubscriber(slow{}))
			if err == nil {
				err = sup.Start(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			kept := book.Task(t.Context(), noted, "job", once)
			began := time.Now()
			body := func(context.Context, *ledger.Attempt) error { time.Sleep(time.Minute); return errors.New("done") }
			if _, err := sup.Add(t.Context(), taskvisor.Restartable("job", kept.Func(body), taskvisor.ConstantBackoff(time.Hour))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(c.noted)
			noted.Stopping()
			if d := noted.StopAt.Sub(began); d < c.wantNote-2*time.Millisecond || d > c.wantNote+2*time.Millisecond {
				t.Errorf("%s: noted at %s", c.name, d)
			}
			time.Sleep(time.Until(began.Add(c.stopped)))
			_ = sup.Shutdown(context.Background())
			if a := kept.Attempts[0]; a.Cause != c.cause || a.Error != c.wantText {
				t.Errorf("%s: cause %q, error %q", c.name, a.Cause, a.Error)
			}
		})
	}
}
