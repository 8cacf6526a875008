package taskvisor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Nothing of a supervisor that has ended waits for the next capture of stacks: a bubble
// whose test is over finds what waits for time to pass.
func TestNoCaptureIsWaitedForAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := newSup(t)
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		back := make(chan struct{})
		for _, name := range []string{"a", "b", "c"} {
			h := addTo(t, sup, taskvisor.Once(name, func(context.Context) error { <-back; return nil }, taskvisor.WithGrace(time.Millisecond)))
			synctest.Wait()
			h.Stop()
			time.Sleep(2 * time.Millisecond) // abandoned: its stacks are asked for
		}
		close(back)
		synctest.Wait()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The stacks of a stuck body may come late: if it is abandoned before that, it was
// announced as stuck without them, and first; for one that was released TaskRemoved is
// the last word but for its return; if it came back, there is nothing to report.
func TestStuckIsNotReportedTooLate(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		grace      time.Duration
		opts       []taskvisor.TaskOption
	}{
		{"abandoned", "A S Q K N ✓ R D", 1500 * time.Millisecond, nil},
		{"released", "A S Q K N D Y", 1500 * time.Millisecond, []taskvisor.TaskOption{taskvisor.WithReleaseOnAbandon()}},
		{"back", "A S Q ✓ D", time.Hour, nil},
		{"still there", "A S Q K ✓ D", time.Hour, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				back := make(chan struct{})
				body := func(context.Context) error { <-back; return nil }
				opts := append(tt.opts, taskvisor.WithStuckAfter(time.Second), taskvisor.WithGrace(tt.grace))
				other := addTo(t, sup, taskvisor.Once("other", body, taskvisor.WithStuckAfter(900*time.Millisecond), taskvisor.WithGrace(time.Hour)))
				h := addTo(t, sup, taskvisor.Once("a", body, opts...))
				synctest.Wait()
				other.Stop() // the capture for it, at 0.9 s, keeps that for h waiting until 1.9 s
				h.Stop()
				time.Sleep(1600 * time.Millisecond)
				if tt.name == "back" {
					close(back)
				}
				time.Sleep(10 * time.Second)
				if tt.name != "back" {
					close(back)
				}
				wantTrace(t, rec, "a", tt.want)
			})
		})
	}
}

// A body that is back is not stuck, however long a bracket takes after it: whether it
// came back before its time was over, or before its stacks were read, or its task is
// given up meanwhile.
func TestNotStuckInASlowBracket(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		back       time.Duration
		grace      time.Duration
	}{
		{"before its time", "A S Q ✓ D", 500 * time.Millisecond, time.Hour},
		{"before it is read", "A S Q ✓ D", 1600 * time.Millisecond, time.Hour},
		{"given up, before its time", "A S Q N ✓ R D", 500 * time.Millisecond, 3 * time.Second},
		{"given up, before it is read", "A S Q N ✓ R D", 1600 * time.Millisecond, 1800 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t, slowly(0, 10*time.Second))
				back, never := make(chan struct{}), make(chan struct{})
				stuckAfter := func(d time.Duration) taskvisor.TaskOption { return taskvisor.WithStuckAfter(d) }
				other := addTo(t, sup, taskvisor.Once("other", stubborn(never), stuckAfter(900*time.Millisecond), taskvisor.WithGrace(time.Hour)))
				h := addTo(t, sup, taskvisor.Once("a", stubborn(back), stuckAfter(time.Second), taskvisor.WithGrace(tt.grace)))
				synctest.Wait()
				other.Stop() // the capture for it, at 0.9 s, keeps that for h waiting until 1.9 s
				h.Stop()
				time.Sleep(tt.back)
				close(back)
				time.Sleep(time.Minute)
				close(never)
				wantTrace(t, rec, "a", tt.want)
			})
		})
	}
}

// The stacks of an earlier attempt's body are no report about the next one's.
func TestStuckIsOfItsOwnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		hang := func(d time.Duration) taskvisor.Func {
			return func(context.Context) error { time.Sleep(d); return nil }
		}
		opts := []taskvisor.TaskOption{taskvisor.WithTimeout(time.Second), taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(0)}
		addTo(t, sup, taskvisor.Restartable("other", hang(3*time.Second), append(opts, taskvisor.WithStuckAfter(900*time.Millisecond))...))
		// It is stuck at 2 s, and the capture comes at 2.9 s, in its second attempt.
		addTo(t, sup, taskvisor.Restartable("a", hang(2100*time.Millisecond), append(opts, taskvisor.WithStuckAfter(time.Second))...))
		time.Sleep(time.Minute)
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskStuck && e.Duration < 2*time.Second {
				t.Errorf("reported as stuck after %v: %v", e.Duration, e)
			}
		}
	})
}

// The stack in the status of an abandoned task is that of its body: one that is back has
// none, although a helper that it has leaked wears its label.
func TestStackOfABodyThatIsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		back, helper := make(chan struct{}), make(chan struct{})
		body := func(context.Context) error {
			go func() { <-helper }()
			<-back
			return nil
		}
		first := addTo(t, sup, taskvisor.Once("first", body, taskvisor.WithGrace(time.Millisecond)))
		h := addTo(t, sup, taskvisor.Once("a", body, taskvisor.WithGrace(2*time.Millisecond), taskvisor.WithReleaseOnAbandon()))
		synctest.Wait()
		first.Stop()
		h.Stop()
		time.Sleep(10 * time.Millisecond) // the stack of the first was taken, that of a waits for its turn
		close(back)
		time.Sleep(time.Minute)
		if st := h.Status(); st.Stack != "" {
			t.Errorf("stack %q", st.Stack)
		}
		if o := outcomeOf(t, first); !strings.Contains(o.Stack, "stuck_end_test") {
			t.Errorf("stack of the first: %q", o.Stack)
		}
		close(helper)
	})
}

// A shutdown waits for half a second for its stacks, and then goes without them.
func TestShutdownWaitsForItsStacksOnlySoLong(t *testing.T) {
	for slow, want := range map[time.Duration]time.Duration{400 * time.Millisecond: 400 * time.Millisecond, time.Hour: 500 * time.Millisecond} {
		bubble(t, func(t *testing.T) {
			defer taskvisor.SlowCapture(slow)()
			sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
			release := make(chan struct{})
			h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { return bodyBlocks(release) }))
			synctest.Wait()
			began := time.Now()
			go func() { sup.Shutdown(context.Background()) }()
			o := outcomeOf(t, h)
			same(t, "the outcome comes after", time.Since(began), time.Second)
			same(t, "outcome", o.Kind, taskvisor.OutcomeAbandoned)
			var late *taskvisor.GraceExceededError
			if err := sup.Wait(context.Background()); !errors.As(err, &late) || len(late.Tasks) != 1 {
				t.Fatalf("Wait: %v", err)
			}
			same(t, "the end comes after", time.Since(began), time.Second+want)
			same(t, "it has the stack", strings.Contains(late.Tasks[0].Stack, "bodyBlocks"), slow == want)
			close(release)
			time.Sleep(slow)
		})
	}
}

// A body that ignores an interruption is stuck because of that.
func TestStuckAfterAnInterruption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		release := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(release), taskvisor.WithStuckAfter(time.Second)))
		synctest.Wait()
		h.Interrupt(nil)
		time.Sleep(time.Minute)
		close(release)
		n := 0
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskStuck {
				if n++; e.Reason != taskvisor.ErrInterrupted || e.Duration < time.Second {
					t.Errorf("stuck: %v", e)
				}
			}
		}
		if n != 1 {
			t.Errorf("%d times stuck", n)
		}
	})
}

// Nor are they where the body returns between the two steps of finding it stuck: the next
// attempt has begun when its stacks are asked for. The lock, which its waiters get in turn
// once one has waited for long, makes that so; hence this is no bubble.
func TestStuckAtTheReturn(t *testing.T) {
	sup, rec := newSup(t)
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back, n := make(chan struct{}), 0
	h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
		if n++; n == 1 {
			<-back
		} else {
			<-ctx.Done()
		}
		return nil
	}, taskvisor.WithTimeout(time.Hour), taskvisor.WithStuckAfter(time.Hour), taskvisor.ConstantBackoff(0), taskvisor.WithoutRestartFloor()))
	eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
	taskvisor.Expire(h)
	lock := taskvisor.Locks(h)["task"]
	lock.Lock()
	go taskvisor.Hang(h)
	eventually(t, "it is to be stuck", func() bool { return atLocks() > 0 })
	close(back)
	eventually(t, "it returns", func() bool { return atLocks() > 1 })
	<-time.After(5 * time.Millisecond)
	lock.Unlock()
	lock.Lock() // before the one that has waited: from now on they get it in turn
	<-time.After(5 * time.Millisecond)
	lock.Unlock()
	eventually(t, "the next attempt runs", func() bool { return h.Status().Attempt == 2 })
	<-time.After(100 * time.Millisecond) // in which it would be announced, if it were
	h.Stop()
	if err := sup.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	same(t, "events", rec.Trace("a"), "A S T ✗ B S Q ✓ D")
}
