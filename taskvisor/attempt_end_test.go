package taskvisor_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// lateEnds are what a body may do once its context was cancelled.
var lateEnds = map[string]func() error{
	"nil":      func() error { return nil },
	"error":    func() error { return errBoom },
	"cause":    func() error { return context.Canceled },
	"asks":     func() error { return taskvisor.RetryAfter(time.Hour, errBoom) },
	"fatal":    func() error { return taskvisor.Fatal(errBoom) },
	"canceled": func() error { return taskvisor.ErrCanceled },
	"panic":    func() error { panic(errBoom) },
	"Goexit":   func() error { runtime.Goexit(); return nil },
}

func afterDone(end func() error) taskvisor.Func {
	return untilStopped(func() error { time.Sleep(time.Second); return end() })
}

// Once the deadline came first, the result is timeout whatever the body returns;
// only a panic and Goexit come before it.
func TestResultAfterTimeout(t *testing.T) {
	for name, end := range lateEnds {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				o := r.run(taskvisor.Restartable("a", afterDone(end), taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(0)))
				r.trace("a", "A S T ✗ E D")
				e := r.terminal()
				same(t, "duration", e.Duration, 61*time.Second)
				same(t, "outcome", o.Kind, taskvisor.OutcomeFailed)
				switch name {
				case "panic":
					same(t, "result", e.Result, taskvisor.ResultPanic)
				case "Goexit":
					same(t, "result", e.Result, taskvisor.ResultFailure)
					isAll(t, "error", e.Err, taskvisor.ErrGoexit)
				default:
					same(t, "result", e.Result, taskvisor.ResultTimeout)
					isAll(t, "error", e.Err, taskvisor.ErrAttemptTimeout, context.DeadlineExceeded)
					var timeout *taskvisor.TimeoutError
					if !errors.As(e.Err, &timeout) || timeout.Timeout != time.Minute || (timeout.Err == nil) != (name == "nil") {
						t.Errorf("error %#v", e.Err)
					}
				}
				if hit := r.events(taskvisor.TimeoutHit)[0]; hit.Timeout != time.Minute || hit.Duration != time.Minute || hit.Attempt != 1 {
					t.Errorf("TimeoutHit: %v", hit)
				}
			})
		})
	}
}

// A timeout is retryable, even where the body called its error fatal.
func TestResultTimeoutIsRetryable(t *testing.T) {
	inRoom(t, func(r *room) {
		o := r.run(taskvisor.Restartable("a", afterDone(lateEnds["fatal"]), taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(1),
			taskvisor.ConstantBackoff(time.Second)))
		r.trace("a", "A S T ✗ B S T ✗ E D")
		same(r, "outcome", o.Kind, taskvisor.OutcomeFailed)
	})
}

// A body that is back just before its deadline did not time out, and one that
// returns an inner timeout did not either.
func TestResultBeforeTheDeadline(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("in time", taskvisortest.Script(taskvisortest.Ignore(time.Minute-1)), taskvisor.WithTimeout(time.Minute)))
		r.trace("in time", "A S ✓ E D")
		r.run(taskvisor.Once("inner", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		}, taskvisor.WithTimeout(time.Minute)))
		r.trace("inner", "A S ✗ E D")
		same(r, "result", r.events(taskvisor.TaskFailed)[0].Result, taskvisor.ResultFailure)
	})
}

// Once a stop was claimed the outcome is canceled, whatever the result, which
// stays on its event, its error on the outcome.
func TestResultAfterStop(t *testing.T) {
	type want struct {
		trace  string
		result taskvisor.ResultKind
	}
	wants := map[string]want{
		"nil":      {"A S Q ✓ D", taskvisor.ResultSuccess},
		"error":    {"A S Q C D", taskvisor.ResultCanceled},
		"cause":    {"A S Q C D", taskvisor.ResultCanceled},
		"asks":     {"A S Q C D", taskvisor.ResultCanceled},
		"fatal":    {"A S Q ✗ D", taskvisor.ResultFatal},
		"canceled": {"A S Q C D", taskvisor.ResultCanceled},
		"panic":    {"A S Q ✗ D", taskvisor.ResultPanic},
		"Goexit":   {"A S Q ✗ D", taskvisor.ResultFailure},
	}
	for name, end := range lateEnds {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				h := r.add(taskvisor.Periodic("a", time.Hour, afterDone(end), taskvisor.WithTimeout(1500*ms)))
				time.Sleep(time.Second)
				h.Stop()
				o := r.end(h) // the stop has disarmed the deadline, which would come before the body is back
				r.trace("a", wants[name].trace)
				e := r.terminal()
				same(t, "result", e.Result, wants[name].result)
				same(t, "outcome", o.Kind, taskvisor.OutcomeCanceled)
				same(t, "reason", o.Reason, taskvisor.ErrRemoved)
				if name == "nil" {
					same(t, "event's error", e.Err, nil)
					same(t, "outcome's error", o.Err, error(taskvisor.ErrRemoved))
					return
				}
				isAll(t, "outcome", o.Err, e.Err)
				if name == "error" || name == "asks" || name == "fatal" || name == "panic" {
					isAll(t, "outcome", o.Err, errBoom)
				}
				if e.Kind == taskvisor.TaskCanceled {
					same(t, "event's reason", e.Reason, taskvisor.ErrRemoved)
				}
			})
		})
	}
}

// A stop after TimeoutHit leaves the result a timeout, the outcome canceled.
func TestResultAfterTimeoutThenStop(t *testing.T) {
	inRoom(t, func(r *room) {
		for name, end := range map[string]func() error{"nil": lateEnds["nil"], "error": lateEnds["error"], "fatal": lateEnds["fatal"]} {
			h := r.add(taskvisor.Restartable(name, afterDone(end), taskvisor.WithTimeout(time.Minute)))
			time.Sleep(time.Minute + 500*ms)
			h.Stop()
			o := r.end(h)
			r.trace(name, "A S T Q ✗ D")
			same(r, name, o.Kind, taskvisor.OutcomeCanceled)
			isAll(r, name, o.Err, taskvisor.ErrAttemptTimeout)
		}
	})
}

// A stop between the result and the next attempt voids the planned one.
func TestResultThenStopInEndAttempt(t *testing.T) {
	for want, spec := range map[string]taskvisor.TaskSpec{
		"A S Q ✗ D": taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom))),
		"A S Q ✓ D": taskvisor.Periodic("a", 0, noWork, taskvisor.WithoutRestartFloor()),
	} {
		b := &stopInEnd{h: make(chan *taskvisor.Handle, 1)}
		inRoom(t, func(r *room) {
			h := r.add(spec)
			b.h <- h
			o := r.end(h)
			same(r, "outcome", o.Kind, taskvisor.OutcomeCanceled)
			same(r, "attempts", o.Attempts, 1)
			same(r, "planned", b.result.Retry, true)
			r.trace("a", want)
		}, taskvisor.WithSubscriber(b))
	}
}

// stopInEnd is a bracket that stops the task in EndAttempt.
type stopInEnd struct {
	h      chan *taskvisor.Handle
	result taskvisor.Result
}

func (b *stopInEnd) OnEvent(context.Context, taskvisor.Event) {}

func (b *stopInEnd) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	return ctx
}

func (b *stopInEnd) EndAttempt(_ context.Context, _ taskvisor.Attempt, res taskvisor.Result) {
	b.result = res
	(<-b.h).Stop()
}

// stopWhenAdded stops tasks as soon as they are announced.
type stopWhenAdded struct{ sup *taskvisor.Supervisor }

func (*stopWhenAdded) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (s *stopWhenAdded) OnEvent(_ context.Context, e taskvisor.Event) {
	if h, ok := s.sup.Lookup(e.Task); ok && e.Kind == taskvisor.TaskAdded && e.Task != "resident" {
		h.Stop()
	}
}

// A stop that comes between TaskAdded and the first attempt takes effect at once,
// in a batch, and alone where no permit is free; otherwise the attempt may begin
// before an inline subscriber hears of TaskAdded.
func TestStopOfATaskThatIsAnnounced(t *testing.T) {
	for name, opts := range map[string][]taskvisor.Option{"": nil, "no permit free": {taskvisor.WithMaxConcurrent(1)}} {
		s := &stopWhenAdded{}
		inRoom(t, func(r *room) {
			s.sup = r.sup
			r.add(taskvisor.Once("resident", taskvisortest.Script(taskvisortest.Block())))
			stopped, err := r.sup.AddAll(context.Background(), taskvisor.Once("a", noWork), taskvisor.Once("b", noWork))
			if err != nil {
				r.Fatal(err)
			}
			if len(opts) > 0 {
				stopped = append(stopped, r.add(taskvisor.Once("alone", noWork)))
			}
			synctest.Wait()
			for _, h := range stopped {
				r.trace(h.Name(), "A Q D")
				o, known := h.Outcome()
				same(r, name+": known at once", known, true)
				same(r, "outcome", o.Kind, taskvisor.OutcomeCanceled)
				same(r, "attempts", o.Attempts, 0)
			}
		}, append(opts, taskvisor.WithSubscriber(s))...)
	}
}
