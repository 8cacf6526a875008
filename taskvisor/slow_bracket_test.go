package taskvisor_test

import (
	"context"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// slowly is a bracket that takes its time on either side.
func slowly(begin, end time.Duration) taskvisor.Option {
	return taskvisor.WithSubscriber(&bracket{
		begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context { time.Sleep(begin); return ctx },
		end:   func(context.Context, taskvisor.Attempt, taskvisor.Result) { time.Sleep(end) },
	})
}

// Brackets belong to no attempt: a deadline counts from its start, which they precede,
// a delay from the body's return, and what events and outcomes say agrees with it.
func TestTimesBesideSlowBrackets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const begin, end, timeout, delay = 300 * time.Millisecond, 400 * time.Millisecond, time.Second, 5 * time.Second
		sup, rec := taskvisortest.Start(t, slowly(begin, end))
		added := time.Now()
		var bodies, deadlines, returns []time.Duration
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			bodies = append(bodies, time.Since(added))
			d, _ := ctx.Deadline()
			deadlines = append(deadlines, d.Sub(added))
			<-ctx.Done()
			returns = append(returns, time.Since(added))
			return nil // too late
		}, taskvisor.WithTimeout(timeout), taskvisor.ConstantBackoff(delay), taskvisor.WithMaxRetries(1)))
		o := outcomeOf(t, h)
		wantTrace(t, rec, "a", "A S T ✗ B S T ✗ E D")
		first, second := begin, begin+timeout+delay+begin
		sameList(t, "bodies begin", bodies, []time.Duration{first, second})
		sameList(t, "deadlines", deadlines, []time.Duration{first + timeout, second + timeout})
		sameList(t, "bodies return", returns, []time.Duration{first + timeout, second + timeout})
		same(t, "started", o.Started.Sub(added), first)
		same(t, "ended", o.Ended.Sub(added), second+timeout+end)
		last := time.Time{}
		for _, e := range rec.Events("a") {
			if e.Time.Before(last) {
				t.Errorf("%v is before what came before it", e)
			}
			last = e.Time
			switch e.Kind {
			case taskvisor.TaskFailed:
				same(t, "duration", e.Duration, timeout)
			case taskvisor.BackoffScheduled:
				same(t, "delay", e.Delay, delay)
			}
		}
	})
}

// A result past the deadline that the body could see is a timeout, also where the body
// was quicker than the timer.
func TestReturnAtTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
			d, _ := ctx.Deadline()
			time.Sleep(time.Until(d))
			return nil
		}, taskvisor.WithTimeout(time.Second)))
		same(t, "outcome", outcomeOf(t, h).Kind, taskvisor.OutcomeFailed)
		wantTrace(t, rec, "a", "A S T ✗ E D")
	})
}

// So it is where the timer is late, as on a busy processor, and the context says so for
// ever, although nobody had looked at it before.
func TestReturnPastTheDeadline(t *testing.T) {
	onOneProcessor(t)
	for range 20 {
		sup, rec := newSup(t)
		var kept context.Context
		err := sup.Run(context.Background(), taskvisor.Once("a", func(ctx context.Context) error {
			kept = ctx
			for begun := time.Now(); time.Since(begun) < 2*time.Millisecond; {
				continue // the timer has no processor
			}
			return nil
		}, taskvisor.WithTimeout(time.Millisecond)))
		isAll(t, "Run", err, context.DeadlineExceeded)
		if got, want := rec.Trace("a"), "A S T ✗ E D"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		same(t, "error of the context", kept.Err(), context.DeadlineExceeded)
		same(t, "its cause", context.Cause(kept), error(taskvisor.ErrAttemptTimeout))
	}
}

// An attempt that a stop reaches in its brackets never began: it has no duration, and
// its task did not end before it was stopped.
func TestTimesOfAnAbortedAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, slowly(time.Second, time.Second))
		added := time.Now()
		h := addTo(t, sup, taskvisor.Once("a", idle))
		time.Sleep(500 * time.Millisecond)
		h.Stop()
		o := outcomeOf(t, h)
		wantTrace(t, rec, "a", "A Q D")
		if !o.Started.IsZero() || o.Attempts != 0 {
			t.Errorf("an attempt that never began: %+v", o)
		}
		same(t, "ended", o.Ended.Sub(added), 2*time.Second)
	})
}
