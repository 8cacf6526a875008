package taskvisor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// MaxRetries(n) allows n retries: n+1 attempts when all fail, however they do.
func TestStreakMaxRetries(t *testing.T) {
	failures := map[string]taskvisortest.Step{
		"error":     taskvisortest.Fail(errBoom),
		"panic":     taskvisortest.Panic(errBoom),
		"Goexit":    taskvisortest.Goexit(),
		"timeout":   taskvisortest.Block(),
		"requested": taskvisortest.Fail(taskvisor.RetryAfter(time.Second, errBoom)),
	}
	for how, step := range failures {
		for _, n := range []int{0, 1, 2, 7} {
			inRoom(t, func(r *room) {
				o := r.run(taskvisor.Restartable("a", taskvisortest.Script(step), taskvisor.WithMaxRetries(n), taskvisor.WithTimeout(time.Minute)))
				same(t, how+": attempts", o.Attempts, n+1)
				same(t, how+": outcome", o.Kind, taskvisor.OutcomeFailed)
				hit := map[bool]string{true: " T", false: ""}[how == "timeout"]
				r.trace("a", "A"+strings.Repeat(" S"+hit+" ✗ B", n)+" S"+hit+" ✗ E D")
			})
		}
	}
}

// Unlimited retries go on, with the delay at its maximum.
func TestStreakUnlimited(t *testing.T) {
	inRoom(t, func(r *room) {
		h := r.add(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.BackoffPolicy{First: time.Second, Max: time.Minute, Factor: 2}))
		time.Sleep(24 * time.Hour)
		st := h.Status()
		same(r, "state", st.State, taskvisor.StateBackoff)
		same(r, "streak", st.Streak, st.Attempt)
		if st.Attempt < 24*60 {
			r.Errorf("%d attempts in a day of delays of at most a minute", st.Attempt)
		}
		ds := r.delays()
		sameList(r, "delays", ds[:8], []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute})
		same(r, "last delay", ds[len(ds)-1], time.Minute)
	})
}

// A success resets the streak: the limit and the escalation begin anew.
func TestStreakResetBySuccess(t *testing.T) {
	inRoom(t, func(r *room) {
		fail, succeed := taskvisortest.Fail(errBoom), taskvisortest.Succeed()
		o := r.run(taskvisor.Restartable("a", taskvisortest.Script(fail, fail, succeed, fail, fail, succeed, fail),
			taskvisor.RestartAlways(time.Hour), taskvisor.WithMaxRetries(2), taskvisor.BackoffPolicy{First: time.Second, Max: time.Minute, Factor: 2}))
		r.trace("a", "A S ✗ B S ✗ B S ✓ B S ✗ B S ✗ B S ✓ B S ✗ B S ✗ B S ✗ E D")
		sameList(r, "delays", r.delays(), []time.Duration{time.Second, 2 * time.Second, time.Hour, time.Second, 2 * time.Second, time.Hour, time.Second, 2 * time.Second})
		same(r, "outcome", o.Kind, taskvisor.OutcomeFailed)
	})
}

// An attempt that ran longer than ResetAfter starts a new streak, of which its
// own failure is the first. Tasks with a timeout reset by time only if asked.
func TestStreakResetByTime(t *testing.T) {
	const minute = time.Minute
	exponential := taskvisor.BackoffPolicy{First: time.Second, Max: time.Hour, Factor: 2} // resets after 2 h
	slow := taskvisor.BackoffPolicy{First: time.Second, Max: 10 * time.Second, Factor: 2} // resets after 60 s
	endless := taskvisor.BackoffPolicy{First: time.Second, Max: forever, Factor: 2}       // never resets
	timeout := taskvisor.WithTimeout(5 * time.Hour)
	type row struct {
		ran   time.Duration // how long the third attempt runs
		opts  []taskvisor.TaskOption
		reset bool
	}
	eachInRoom(t, map[string]row{
		"default, 60 s":               {minute, []taskvisor.TaskOption{slow}, false},
		"default, just past 60 s":     {minute + 1, []taskvisor.TaskOption{slow}, true},
		"twice the maximum":           {2 * time.Hour, []taskvisor.TaskOption{exponential}, false},
		"past twice the maximum":      {2*time.Hour + 1, []taskvisor.TaskOption{exponential}, true},
		"maximum without end":         {3 * time.Hour, []taskvisor.TaskOption{endless}, false},
		"given":                       {minute, []taskvisor.TaskOption{exponential, taskvisor.WithResetAfter(minute)}, false},
		"past the given":              {minute + 1, []taskvisor.TaskOption{exponential, taskvisor.WithResetAfter(minute)}, true},
		"with a timeout":              {3 * time.Hour, []taskvisor.TaskOption{exponential, timeout}, false},
		"with a timeout, given":       {minute + 1, []taskvisor.TaskOption{exponential, timeout, taskvisor.WithResetAfter(minute)}, true},
		"with a timeout, not reached": {minute, []taskvisor.TaskOption{exponential, timeout, taskvisor.WithResetAfter(minute)}, false},
	}, func(r *room, tt row) {
		fail := taskvisortest.Fail(errBoom)
		o := r.run(taskvisor.Restartable("a", taskvisortest.Script(fail, fail, taskvisortest.After(tt.ran, fail), fail),
			append(tt.opts, taskvisor.WithMaxRetries(3))...))
		delays := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
		if tt.reset { // the third failure is the first of a new streak
			delays = []time.Duration{time.Second, 2 * time.Second, time.Second, 2 * time.Second, 4 * time.Second}
		}
		sameList(r, "delays", r.delays(), delays)
		same(r, "attempts", o.Attempts, len(delays)+1)
	})
}

// A timeout that outlasts ResetAfter starts a new streak as well.
func TestStreakResetByTimeout(t *testing.T) {
	inRoom(t, func(r *room) {
		h := r.add(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Block()), taskvisor.WithTimeout(time.Minute), taskvisor.WithResetAfter(time.Second),
			taskvisor.WithMaxRetries(0+1), taskvisor.ConstantBackoff(time.Second)))
		time.Sleep(time.Hour)
		same(r, "streak", h.Status().Streak, 1)
		same(r, "runs on", h.Status().Attempt > 50, true)
	})
}

// The position in the streak is what the body and the status see.
func TestStreakPosition(t *testing.T) {
	inRoom(t, func(r *room) {
		fail, succeed := taskvisortest.Fail(errBoom), taskvisortest.Succeed()
		script := taskvisortest.Script(fail, fail, succeed, succeed, taskvisortest.Panic(1), fail, taskvisortest.Fail(taskvisor.ErrCanceled))
		var streaks []int
		var previous []taskvisor.ResultKind
		var delays []time.Duration
		r.run(taskvisor.Restartable("a", func(ctx context.Context) error {
			a, _ := taskvisor.FromContext(ctx)
			streaks, previous, delays = append(streaks, a.Streak), append(previous, a.Previous), append(delays, a.Delay)
			return script(ctx)
		}, taskvisor.RestartAlways(time.Minute), taskvisor.ConstantBackoff(time.Second)))
		sameList(r, "streaks", streaks, []int{0, 1, 2, 0, 0, 1, 2})
		sameList(r, "previous", previous, []taskvisor.ResultKind{
			0, taskvisor.ResultFailure, taskvisor.ResultFailure, taskvisor.ResultSuccess,
			taskvisor.ResultSuccess, taskvisor.ResultPanic, taskvisor.ResultFailure,
		})
		sameList(r, "delays", delays, append([]time.Duration{0}, r.delays()...))
	})
}

// RetryAfter replaces the delay of one retry: neither jittered nor capped.
func TestRetryAfterReplacesTheDelay(t *testing.T) {
	type row struct {
		steps   []taskvisortest.Step
		delays  []time.Duration
		sources []taskvisor.BackoffSource
	}
	ask := func(d time.Duration) taskvisortest.Step {
		return taskvisortest.Fail(taskvisor.RetryAfter(d, errBoom))
	}
	fail := taskvisortest.Fail(errBoom)
	const own, asked = taskvisor.BackoffFailure, taskvisor.BackoffRequested
	eachInRoom(t, map[string]row{
		"short":                  {[]taskvisortest.Step{ask(time.Second), fail, fail}, []time.Duration{time.Second, 20 * time.Second}, []taskvisor.BackoffSource{asked, own}},
		"not capped":             {[]taskvisortest.Step{ask(100 * time.Hour), fail}, []time.Duration{100 * time.Hour, 20 * time.Second}, []taskvisor.BackoffSource{asked, own}},
		"it counts as a failure": {[]taskvisortest.Step{ask(time.Second), ask(time.Minute), ask(time.Hour)}, []time.Duration{time.Second, time.Minute}, []taskvisor.BackoffSource{asked, asked}},
		"after a failure":        {[]taskvisortest.Step{fail, ask(time.Second), fail}, []time.Duration{10 * time.Second, time.Second}, []taskvisor.BackoffSource{own, asked}},
		"negative is none":       {[]taskvisortest.Step{ask(-time.Hour), fail}, []time.Duration{ms, 20 * time.Second}, []taskvisor.BackoffSource{asked, own}},
		"joined": {
			[]taskvisortest.Step{taskvisortest.Fail(errors.Join(errors.New("x"), taskvisor.RetryAfter(time.Second, errBoom))), fail},
			[]time.Duration{time.Second, 20 * time.Second},
			[]taskvisor.BackoffSource{asked, own},
		},
		"the first in the tree": {
			[]taskvisortest.Step{taskvisortest.Fail(taskvisor.RetryAfter(time.Second, taskvisor.RetryAfter(time.Hour, errBoom))), fail},
			[]time.Duration{time.Second, 20 * time.Second},
			[]taskvisor.BackoffSource{asked, own},
		},
	}, func(r *room, tt row) {
		o := r.run(taskvisor.Restartable("a", taskvisortest.Script(tt.steps...), taskvisor.WithMaxRetries(2),
			taskvisor.BackoffPolicy{First: 10 * time.Second, Max: time.Minute, Factor: 2}))
		same(r, "attempts", o.Attempts, 3)
		sameList(r, "delays", r.delays(), tt.delays)
		var sources []taskvisor.BackoffSource
		for _, e := range r.events(taskvisor.BackoffScheduled) {
			sources = append(sources, e.Source)
			isAll(r, "error of the schedule", e.Err, errBoom)
		}
		sameList(r, "sources", sources, tt.sources)
		for _, e := range r.events(taskvisor.TaskFailed) {
			same(r, "result", e.Result, taskvisor.ResultFailure)
		}
	})
}

// A failure and the value of a panic may ask: a timeout and a fatal error may not.
func TestRetryAfterOfOtherResults(t *testing.T) {
	asked := taskvisor.RetryAfter(time.Hour, errBoom)
	type row struct {
		fn     taskvisor.Func
		result taskvisor.ResultKind
		trace  string
	}
	eachInRoom(t, map[string]row{
		"timeout": {func(ctx context.Context) error { <-ctx.Done(); return asked }, taskvisor.ResultTimeout, "A S T ✗ B S T ✗ E D"},
		"panic":   {func(context.Context) error { panic(asked) }, taskvisor.ResultPanic, "A S ✗ B S ✗ E D"},
		"fatal":   {func(context.Context) error { return taskvisor.Fatal(asked) }, taskvisor.ResultFatal, "A S ✗ X D"},
		"asked, then fatal": {
			func(context.Context) error { return taskvisor.RetryAfter(time.Hour, taskvisor.Fatal(errBoom)) },
			taskvisor.ResultFatal, "A S ✗ X D",
		},
		"canceled": {func(context.Context) error { return taskvisor.RetryAfter(time.Hour, taskvisor.ErrCanceled) }, taskvisor.ResultCanceled, "A S C D"},
	}, func(r *room, tt row) {
		r.run(taskvisor.Restartable("a", tt.fn, taskvisor.ConstantBackoff(time.Second), taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(1)))
		r.trace("a", tt.trace)
		for _, e := range r.events(taskvisor.BackoffScheduled) {
			source, delay := taskvisor.BackoffFailure, time.Second
			if tt.result == taskvisor.ResultPanic {
				source, delay = taskvisor.BackoffRequested, time.Hour
			}
			same(r, "source", e.Source, source)
			same(r, "delay", e.Delay, delay)
		}
		for _, e := range r.events(taskvisor.TaskFailed, taskvisor.TaskCanceled) {
			same(r, "result", e.Result, tt.result)
		}
	})
}
