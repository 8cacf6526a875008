package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The table of restart policies: what follows a success, and what a failure.
func TestRestartPolicies(t *testing.T) {
	succeed, fail, block := taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Block()
	type row struct {
		restart taskvisor.TaskOption
		steps   []taskvisortest.Step
		trace   string
		kind    taskvisor.OutcomeKind // zero: it runs on
		starts  []time.Duration
	}
	const second = time.Second
	eachInRoom(t, map[string]row{
		"never, success":      {taskvisor.RestartNever(), []taskvisortest.Step{succeed}, "A S ✓ E D", taskvisor.OutcomeCompleted, []time.Duration{0}},
		"never, failure":      {taskvisor.RestartNever(), []taskvisortest.Step{fail}, "A S ✗ E D", taskvisor.OutcomeFailed, []time.Duration{0}},
		"on failure, success": {taskvisor.RestartOnFailure(), []taskvisortest.Step{succeed}, "A S ✓ E D", taskvisor.OutcomeCompleted, []time.Duration{0}},
		"on failure, failure": {taskvisor.RestartOnFailure(), []taskvisortest.Step{fail, fail, succeed}, "A S ✗ B S ✗ B S ✓ E D", taskvisor.OutcomeCompleted, []time.Duration{0, second, 2 * second}},
		"always, success":     {taskvisor.RestartAlways(time.Minute), []taskvisortest.Step{succeed, succeed, block}, "A S ✓ B S ✓ B S", 0, []time.Duration{0, time.Minute, 2 * time.Minute}},
		"always, failure":     {taskvisor.RestartAlways(time.Minute), []taskvisortest.Step{fail, succeed, fail, block}, "A S ✗ B S ✓ B S ✗ B S", 0, []time.Duration{0, second, 61 * second, 62 * second}},
		"interval counts from completion": {
			taskvisor.RestartAlways(time.Minute),
			[]taskvisortest.Step{taskvisortest.After(10*second, succeed), block},
			"A S ✓ B S", 0,
			[]time.Duration{0, 70 * second},
		},
	}, func(r *room, tt row) {
		opts := []taskvisor.TaskOption{tt.restart}
		if tt.restart != taskvisor.TaskOption(taskvisor.RestartNever()) {
			opts = append(opts, taskvisor.ConstantBackoff(second))
		}
		h := r.add(taskvisor.Restartable("a", taskvisortest.Script(tt.steps...), opts...))
		time.Sleep(time.Hour)
		r.trace("a", tt.trace)
		sameList(r, "starts", r.starts(), tt.starts)
		o, _ := h.Outcome()
		same(r, "outcome", o.Kind, tt.kind)
		if o.Kind == taskvisor.OutcomeFailed {
			isAll(r, "outcome", o.Err, errBoom)
		}
	})
}

// Periodic runs at once for the first time.
func TestRestartPeriodicRunsAtOnce(t *testing.T) {
	inRoom(t, func(r *room) {
		r.add(taskvisor.Periodic("p", time.Hour, noWork))
		r.trace("p", "A S ✓ B")
		time.Sleep(2*time.Hour + time.Second)
		sameList(r, "starts", r.starts(), []time.Duration{0, time.Hour, 2 * time.Hour})
		for _, e := range r.events(taskvisor.BackoffScheduled) {
			same(r, "source", e.Source, taskvisor.BackoffSuccess)
			same(r, "delay", e.Delay, time.Hour)
			same(r, "error", e.Err, nil)
		}
	})
}

// Attempt numbers start at 1, are consecutive, and never reset.
func TestRestartNumbersAttempts(t *testing.T) {
	inRoom(t, func(r *room) {
		fail, succeed := taskvisortest.Fail(errBoom), taskvisortest.Succeed()
		var numbers []int
		script := taskvisortest.Script(fail, succeed, taskvisortest.Panic(1), taskvisortest.Goexit(), taskvisortest.After(time.Hour, succeed), succeed, fail,
			taskvisortest.Fail(taskvisor.Fatal(errBoom)))
		o := r.run(taskvisor.Restartable("a", func(ctx context.Context) error {
			a, ok := taskvisor.FromContext(ctx)
			if !ok {
				r.Error("no attempt in the body's context")
			}
			numbers = append(numbers, a.Number)
			return script(ctx)
		}, taskvisor.RestartAlways(time.Minute), taskvisor.WithTimeout(time.Minute)))
		want := []int{1, 2, 3, 4, 5, 6, 7, 8}
		sameList(r, "FromContext", numbers, want)
		same(r, "outcome", o.Attempts, len(want))
		var started, ended, planned []int
		for _, e := range r.rec.Events("a") {
			switch e.Kind {
			case taskvisor.TaskStarting:
				started = append(started, e.Attempt)
			case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
				ended = append(ended, e.Attempt)
			case taskvisor.BackoffScheduled:
				planned = append(planned, e.Attempt)
			}
		}
		sameList(r, "TaskStarting", started, want)
		sameList(r, "terminal events", ended, want)
		sameList(r, "BackoffScheduled", planned, want[:7])
	})
}

// At least 1 ms lies between the starts of two attempts, whatever computed the
// delay, and BackoffScheduled shows the delay that is really waited.
func TestRestartFloor(t *testing.T) {
	const us = time.Microsecond
	type row struct {
		body   time.Duration // how long an attempt takes
		err    error
		opts   []taskvisor.TaskOption
		delay  time.Duration
		source taskvisor.BackoffSource
	}
	always, none := taskvisor.RestartAlways(0), taskvisor.ConstantBackoff(0)
	off := taskvisor.WithoutRestartFloor()
	eachInRoom(t, map[string]row{
		"success":              {0, nil, []taskvisor.TaskOption{always}, ms, taskvisor.BackoffSuccess},
		"success, some work":   {300 * us, nil, []taskvisor.TaskOption{always}, 700 * us, taskvisor.BackoffSuccess},
		"success, enough work": {2 * ms, nil, []taskvisor.TaskOption{always}, 0, taskvisor.BackoffSuccess},
		"short interval":       {0, nil, []taskvisor.TaskOption{taskvisor.RestartAlways(400 * us)}, ms, taskvisor.BackoffSuccess},
		"interval after work":  {800 * us, nil, []taskvisor.TaskOption{taskvisor.RestartAlways(400 * us)}, 400 * us, taskvisor.BackoffSuccess},
		"long interval":        {0, nil, []taskvisor.TaskOption{taskvisor.RestartAlways(5 * ms)}, 5 * ms, taskvisor.BackoffSuccess},
		"failure":              {0, errBoom, []taskvisor.TaskOption{none}, ms, taskvisor.BackoffFailure},
		"failure, some work":   {300 * us, errBoom, []taskvisor.TaskOption{none}, 700 * us, taskvisor.BackoffFailure},
		"requested":            {0, taskvisor.RetryAfter(0, errBoom), nil, ms, taskvisor.BackoffRequested},
		"requested, negative":  {0, taskvisor.RetryAfter(-time.Hour, errBoom), nil, ms, taskvisor.BackoffRequested},
		"opted out, success":   {0, nil, []taskvisor.TaskOption{always, off}, 0, taskvisor.BackoffSuccess},
		"opted out, failure":   {0, errBoom, []taskvisor.TaskOption{none, off}, 0, taskvisor.BackoffFailure},
		"opted out, requested": {0, taskvisor.RetryAfter(-1, errBoom), []taskvisor.TaskOption{off}, 0, taskvisor.BackoffRequested},
		"opted out, interval":  {0, nil, []taskvisor.TaskOption{taskvisor.RestartAlways(us), off}, us, taskvisor.BackoffSuccess},
	}, func(r *room, tt row) {
		const attempts = 4
		n := 0
		r.run(taskvisor.Restartable("a", func(context.Context) error {
			time.Sleep(tt.body)
			if n++; n == attempts {
				return taskvisor.Fatal(errBoom)
			}
			return tt.err
		}, tt.opts...))
		var starts []time.Duration
		for i := range attempts {
			starts = append(starts, time.Duration(i)*(tt.body+tt.delay))
		}
		sameList(r, "starts", r.starts(), starts)
		for _, e := range r.events(taskvisor.BackoffScheduled) {
			same(r, "delay", e.Delay, tt.delay)
			same(r, "source", e.Source, tt.source)
		}
		r.trace("a", "A S"+strings.Repeat(map[bool]string{true: " ✓ B S", false: " ✗ B S"}[tt.err == nil], attempts-1)+" ✗ X D")
	})
}

// Every delay yields at once to a stop, a removal and a shutdown.
func TestRestartDelayYields(t *testing.T) {
	for delay, fn := range map[string]taskvisor.TaskSpec{
		"backoff":   taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(24*time.Hour)),
		"interval":  taskvisor.Periodic("a", 24*time.Hour, noWork),
		"requested": taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(taskvisor.RetryAfter(24*time.Hour, errBoom)))),
	} {
		for how, stop := range map[string]func(r *room, h *taskvisor.Handle){
			"stop":     func(_ *room, h *taskvisor.Handle) { h.Stop() },
			"cancel":   func(_ *room, h *taskvisor.Handle) { h.Cancel(context.Background()) },
			"shutdown": func(r *room, _ *taskvisor.Handle) { r.sup.Shutdown(context.Background()) },
		} {
			t.Run(delay+" "+how, func(t *testing.T) {
				inRoom(t, func(r *room) {
					h := r.add(fn)
					time.Sleep(time.Hour)
					before := time.Now()
					stop(r, h)
					o := r.end(h)
					same(t, "waited", time.Since(before), 0)
					same(t, "outcome", o.Kind, taskvisor.OutcomeCanceled)
					same(t, "attempts", o.Attempts, 1)
					letter := map[bool]string{true: "✓", false: "✗"}[delay == "interval"]
					want := map[bool]string{true: "A S " + letter + " B D", false: "A S " + letter + " B Q D"}[how == "shutdown"]
					r.trace("a", want)
				})
			})
		}
	}
}

// The delays are the same with observers and without.
func TestRestartScheduleIgnoresObservers(t *testing.T) {
	schedule := func(opts ...taskvisor.Option) (starts string) {
		synctest.Test(t, func(t *testing.T) {
			sup, err := taskvisor.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			var b strings.Builder
			steps := taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Panic(1), taskvisortest.Fail(taskvisor.RetryAfter(7*time.Second, errBoom)),
				taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Fail(taskvisor.ErrCanceled))
			err = sup.Run(t.Context(), taskvisor.Restartable("a", func(ctx context.Context) error {
				fmt.Fprintln(&b, time.Since(begin))
				return steps(ctx)
			}, taskvisor.RestartAlways(time.Minute), taskvisor.BackoffPolicy{First: time.Second, Max: time.Hour, Factor: 3}))
			if err != nil {
				t.Error(err)
			}
			starts = b.String()
		})
		return starts
	}
	var delivered atomic.Int64
	count := subscriberFunc(func(taskvisor.Event) { delivered.Add(1) })
	alone := schedule()
	same(t, "alone", alone, "0s\n1s\n4s\n11s\n1m11s\n1m12s\n")
	same(t, "observed", schedule(taskvisor.WithSubscriber(count), taskvisor.WithSubscriber(&taskvisortest.Recorder{})), alone)
	if delivered.Load() == 0 {
		t.Error("nobody observed")
	}
}

// subscriberFunc is a queued subscriber.
type subscriberFunc func(e taskvisor.Event)

func (f subscriberFunc) OnEvent(_ context.Context, e taskvisor.Event) { f(e) }

// A goroutine exists for a task only while an attempt runs: pending, backoff and
// waiting tasks have none.
func TestRestartDelayHasNoGoroutine(t *testing.T) {
	inRoom(t, func(r *room) {
		time.Sleep(time.Second)
		before := runtime.NumGoroutine()
		const n = 100
		for i := range n {
			r.add(taskvisor.Restartable(fmt.Sprintf("backoff %d", i), taskvisortest.Script(taskvisortest.Fail(errors.New("x"))), taskvisor.ConstantBackoff(time.Hour)))
			r.add(taskvisor.Periodic(fmt.Sprintf("waiting %d", i), time.Hour, noWork))
		}
		synctest.Wait()
		same(r, "in backoff", r.sup.Count(taskvisor.StateBackoff), n)
		same(r, "waiting", r.sup.Count(taskvisor.StateWaiting), n)
		r.add(taskvisor.Once("resident", taskvisortest.Script(taskvisortest.Block()))) // takes the one permit
		for i := range n {
			r.add(taskvisor.Once(fmt.Sprintf("pending %d", i), noWork))
		}
		synctest.Wait()
		same(r, "pending", r.sup.Count(taskvisor.StatePending), n)
		if now := runtime.NumGoroutine(); now > before+n/2 { // others of the process may come and go
			r.Errorf("%d tasks wait in %d goroutines", 3*n, now-before)
		}
	}, taskvisor.WithMaxConcurrent(1))
}
