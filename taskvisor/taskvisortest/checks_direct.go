package taskvisortest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The checks of this file call the subscriber themselves, in ways that no
// supervisor of this version does, or that it does rarely. A later version may
// have kinds, results and fields that a subscriber does not know.

// idle returns a probe whose subscriber is attached to a supervisor in which
// nothing happens.
func (r *rig) idle() (*taskvisor.Supervisor, *probe) {
	return r.start()
}

// oddEvents delivers events of every kind, known and unknown, with nothing set
// and with everything set to the limit.
func oddEvents(r *rig) {
	sup, p := r.idle()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	feed := func(e taskvisor.Event) {
		p.OnEvent(context.Background(), e)
		p.OnEvent(ended, e) // the drain deadline has passed
	}
	feed(taskvisor.Event{})
	for kind := range 256 {
		feed(taskvisor.Event{Kind: taskvisor.EventKind(kind)})
		for _, e := range extremes() {
			e.Kind = taskvisor.EventKind(kind)
			feed(e)
		}
	}
	if p.inline { // others are called one at a time
		var callers group
		for i := range 8 {
			callers.Go(func() {
				for kind := range 64 {
					p.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.EventKind(kind), Task: fmt.Sprint(kind % 3), Attempt: i})
				}
			})
		}
		callers.Wait()
	}
	r.shutdown(sup, false)
}

// extremes returns events with every field set, but for the kind.
func extremes() []taskvisor.Event {
	long := strings.Repeat("n", 128)
	largest := taskvisor.Event{
		Seq: math.MaxUint64, Time: time.Unix(1<<40, 0), Supervisor: long, Task: long, TaskID: math.MaxUint64, Attempt: math.MaxInt,
		Result: 255, Outcome: 255, Reason: 255, Source: 255, Admission: 255, Verdict: 255, From: 255, To: 255,
		Duration: math.MaxInt64, Delay: math.MaxInt64, Timeout: math.MaxInt64,
		Err: errors.New(strings.Repeat("\xff", 1<<16)), Stack: strings.Repeat("goroutine 1 [running]:\n", 1<<12),
		Slot: long, Owner: math.MaxUint64, Queued: math.MaxInt, TaskKind: long, Gate: long, Stage: math.MaxInt, Stages: math.MaxInt,
		Subscriber: long, Dropped: math.MaxUint64, FirstSeq: math.MaxUint64, LastSeq: math.MaxUint64,
	}
	smallest := taskvisor.Event{Time: time.Unix(-1<<40, 0), Task: "t", TaskID: 1, Err: (*nilError)(nil)}
	usual := taskvisor.Event{
		Seq: 1, Time: time.Now(), Supervisor: "s", Task: "t", TaskID: 1, Attempt: 1,
		Result: taskvisor.ResultPanic, Outcome: taskvisor.OutcomeAbandoned, Reason: taskvisor.ErrShutdown,
		Source: taskvisor.BackoffFailure, Verdict: taskvisor.VerdictJoined, Err: &taskvisor.PanicError{Value: 1},
		From: taskvisor.SlotIdle, To: taskvisor.SlotAdmitting, Slot: "t",
	}
	return []taskvisor.Event{largest, smallest, usual}
}

// nilError is an error whose nil pointer is valid.
type nilError struct{}

func (*nilError) Error() string { return "nil error" }

// oddAttempts brackets attempts that are zero, extreme, interleaved and
// concurrent.
func oddAttempts(r *rig) {
	sup, p := r.idle()
	bracket := func(a taskvisor.Attempt, results ...taskvisor.Result) {
		for _, res := range results {
			ctx := p.BeginAttempt(context.Background(), a)
			p.EndAttempt(ctx, a, res)
		}
	}
	largest := taskvisor.Result{Kind: 255, Err: errors.New(strings.Repeat("\xff", 1<<16)), Duration: math.MaxInt64, Reason: 255, Retry: true, Delay: math.MaxInt64}
	bracket(taskvisor.Attempt{}, taskvisor.Result{}, largest)
	bracket(taskvisor.Attempt{
		Supervisor: strings.Repeat("n", 128), Task: strings.Repeat("n", 128), TaskID: math.MaxUint64, Number: math.MaxInt,
		Streak: math.MaxInt, Previous: 255, Slot: strings.Repeat("n", 128), Admission: 255, Replaced: math.MaxUint64,
		SlotWait: math.MaxInt64, PermitWait: math.MaxInt64, Delay: math.MaxInt64, Started: time.Unix(1<<40, 0),
	}, taskvisor.Result{}, largest)
	for kind := range 256 {
		bracket(taskvisor.Attempt{Task: "t", TaskID: 1, Number: kind, Previous: taskvisor.ResultKind(kind)},
			taskvisor.Result{Kind: taskvisor.ResultKind(kind)},
			taskvisor.Result{Kind: taskvisor.ResultKind(kind), Err: taskvisor.Reason(kind)})
	}

	var callers group
	for i := range 8 {
		callers.Go(func() {
			for n := range 100 {
				// Half of them belong to one task, as after an abandoned body was released.
				a := taskvisor.Attempt{Task: "t", TaskID: taskvisor.TaskID(1 + i%2*i), Number: 1 + n*8 + i, Started: time.Now()}
				bracket(a, taskvisor.Result{Kind: taskvisor.ResultFailure, Err: errScripted})
			}
		})
	}
	callers.Wait()
	r.shutdown(sup, false)
}

// contextPassesOn demands that the context from BeginAttempt is cancelled when
// the given one is, with its cause: the body would never hear of a stop.
func contextPassesOn(r *rig) {
	sup, p := r.idle()
	given, cancel := context.WithCancelCause(context.Background())
	a := taskvisor.Attempt{Supervisor: sup.Name(), Task: "t", TaskID: 1, Number: 1, Started: time.Now()}
	got := p.BeginAttempt(given, a)
	cancel(errScripted)
	synctest.Wait()
	switch {
	case got.Err() == nil:
		r.complain("BeginAttempt returned a context that is not cancelled with the given one")
	case context.Cause(got) != errScripted:
		r.complain("BeginAttempt returned a context that changes the cause of the given one to %q", context.Cause(got))
	}
	p.EndAttempt(got, a, taskvisor.Result{Kind: taskvisor.ResultCanceled, Err: errScripted, Reason: taskvisor.ErrRemoved})
	r.shutdown(sup, false)
}

// argumentsKept hands the subscriber errors that share memory with others and
// looks whether it changed them.
func argumentsKept(r *rig) {
	sup, p := r.idle()
	late := func() []taskvisor.TaskStatus {
		return []taskvisor.TaskStatus{{ID: 2, Name: "b", Stack: "goroutine 2"}, {ID: 1, Name: "a", Stack: "goroutine 1"}}
	}
	for _, c := range []struct{ given, want error }{
		{&taskvisor.GraceExceededError{Grace: time.Second, Tasks: late()}, &taskvisor.GraceExceededError{Grace: time.Second, Tasks: late()}},
		{&taskvisor.PanicError{Value: []int{1, 2}}, &taskvisor.PanicError{Value: []int{1, 2}}},
		{&taskvisor.TimeoutError{Timeout: time.Second, Err: errScripted}, &taskvisor.TimeoutError{Timeout: time.Second, Err: errScripted}},
		{&taskvisor.TaskError{Op: "add", Task: "t", Err: errScripted}, &taskvisor.TaskError{Op: "add", Task: "t", Err: errScripted}},
	} {
		for kind := range 32 {
			p.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.EventKind(kind), Task: "t", TaskID: 1, Err: c.given})
		}
		a := taskvisor.Attempt{Task: "t", TaskID: 1, Number: 1}
		p.EndAttempt(p.BeginAttempt(context.Background(), a), a, taskvisor.Result{Kind: taskvisor.ResultFailure, Err: c.given})
		synctest.Wait()
		if !reflect.DeepEqual(c.given, c.want) {
			r.complain("changed a %T that it was given", c.given)
		}
	}
	r.shutdown(sup, false)
}

// afterShutdown calls the subscriber when its supervisor has ended.
func afterShutdown(r *rig) {
	sup, p := r.start()
	r.add(sup, taskvisor.Once("task", Script(Succeed())))
	a := taskvisor.Attempt{Supervisor: sup.Name(), Task: "late", TaskID: math.MaxUint64, Number: 1, Started: time.Now()}
	ctx := p.BeginAttempt(context.Background(), a)
	r.shutdown(sup, false)
	for _, e := range extremes() {
		for kind := range taskvisor.SubscriberPanicked + 2 {
			e.Kind = kind
			p.OnEvent(context.Background(), e)
		}
	}
	p.EndAttempt(ctx, a, taskvisor.Result{Kind: taskvisor.ResultSuccess})
	a.Number++
	p.EndAttempt(p.BeginAttempt(context.Background(), a), a, taskvisor.Result{Kind: taskvisor.ResultFailure, Err: errScripted, Retry: true})
}
