package taskvisor

import (
	"context"
	"math/rand/v2"
	"runtime/pprof"
	"runtime/trace"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// attempt is one attempt of a task: the steps that its goroutine takes, and also the
// context that the body is given (see context.go). Each attempt has its own, since a
// body may keep its context for ever; so when the attempt is over, this refers to
// nothing of the user's any more.
type attempt struct {
	t      *task
	number int // from 1; the machine counts it when the attempt is announced

	// std is the standard context behind this one; nil: nobody has looked at it yet. It is
	// set once, under the task's lock, and read without.
	std atomic.Pointer[stdCtx]

	// What the machine said when the attempt was let in; fixed. The machine moves on, and
	// FromContext still describes this attempt.
	past   past
	waited time.Duration // at gates

	// The goroutine's own: only the attempt's goroutine, or the one that replaces it, reads
	// or writes these. An exception is brackets.view, which other events of the task need:
	// brackets is set under the task's lock, and unset when run is no longer this attempt.
	step     step
	brackets *brackets // nil: there are none, or they have not begun
	end      ending

	// Guarded by the task's lock.
	ended error     // why the context ended; nil: it has not. The first reason stands
	why   error     // the cause given to Interrupt
	start life.Time // when it was announced; 0: it was not. From then on it counts as running
}

// step is the next thing that an attempt's goroutine does. It is set to what follows
// before the user's code is called: if runtime.Goexit ends the goroutine in there, its
// replacement begins behind the call and does not repeat it.
type step uint8

const (
	stepBrackets step = iota // begin them
	stepStart                // announce the attempt; if a stop came first, go to stepEnd
	stepBody                 // call the body
	stepJoin                 // wait for its children
	stepReturn               // decide the result; back to stepJoin if the context was looked at since
	stepEnd                  // end brackets
	stepSettle               // announce the end, begin what follows
	stepDone                 // the goroutine ends
)

// newAttempt makes the attempt that has just been let in. The lock is held. It calls
// labelLocked, since the goroutine reads label without the lock: see loop.
func (t *task) newAttempt() *attempt {
	t.labelLocked()
	a := &attempt{t: t, number: t.m.Attempt() + 1, past: t.pastLocked(), waited: t.m.Waited()}
	if t.x != nil {
		t.x.value, t.x.note = nil, "" // they were those of the attempt before
	}
	return a
}

// spawn starts the attempt's goroutine. Each attempt has its own: a body that has locked
// its thread and changed it takes the thread with it when the goroutine ends.
func (a *attempt) spawn() {
	// Started by the goroutine that made the attempt due, or by the predecessor that
	// runtime.Goexit ended; ends when the attempt has settled; nobody waits for it: what
	// it did is in the machine before it ends, and a shutdown waits for that.
	go a.loop()
}

// loop takes the steps of the attempt. A running task has the frames from here to the
// body on its stack, and no others: each one more costs memory for every running task.
func (a *attempt) loop() {
	defer a.handOver()
	pprof.SetGoroutineLabels(a.t.label) // without the lock: newAttempt has made it, and it is kept while run is a
	if a.step == stepBrackets {
		switch f := &a.t.sup.fan; {
		case len(f.brackets) > 0:
			growStack(0)
		case len(f.inline) > 0:
			growStackHalf(0)
		}
	}
	for a.step != stepDone {
		a.take()
	}
}

// growStack gives the goroutine a stack of 8 KB now, while next to nothing is on it that
// would have to be copied. Brackets need that much; it would otherwise grow twice, deep
// inside them, which is a sixth of the time of an attempt with metrics, traces and a log.
//
//go:noinline
func growStack(i int) byte {
	var room [5 << 10]byte
	room[i] = 1
	return room[i/2]
}

// growStackHalf makes it 4 KB, which inline subscribers need where there are no brackets:
// to grow later is a third of the time of an attempt with metrics alone.
//
//go:noinline
func growStackHalf(i int) byte {
	var room [2 << 10]byte
	room[i] = 1
	return room[i/2]
}

// handOver has a new goroutine go on with the attempt if runtime.Goexit ends this one. The
// body itself may have called it, as t.FailNow does.
func (a *attempt) handOver() {
	if a.step != stepDone {
		a.spawn()
	}
}

// take takes one step. Each may call the user's code: brackets, the body, inline
// subscribers, gates.
func (a *attempt) take() {
	switch a.step {
	case stepBrackets:
		a.step = stepStart // beginBrackets sets it back while brackets are left
		a.beginBrackets()
	case stepStart:
		a.begin()
	case stepBody:
		a.step = stepJoin
		a.call()
	case stepJoin:
		a.join() // may be repeated: see returned
		a.step = stepReturn
	case stepReturn:
		a.returned()
	case stepEnd:
		a.endBrackets() // counts down brackets.next first: a replacement ends the others
		a.step = stepSettle
	case stepSettle:
		a.step = stepDone
		a.settle()
	}
}

// begin announces the attempt. If a stop came while brackets were begun, it does not count:
// the body is not called, no event tells of it, and only its brackets are ended.
func (a *attempt) begin() {
	t := a.t
	a.step = stepBody
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		e := t.m.Start(now)
		if e&life.Abort != 0 {
			a.end = ending{aborted: true, err: t.stopErrLocked()}
			a.end.Kind = life.Canceled
			a.step = stepEnd
			return e
		}
		a.start = now
		a.expires(a.std.Load()) // the deadline counts from here; a bracket may have looked before
		return e
	})
	e.carryOut()
	t.awaitRoom() // an attempt must not run far ahead of the delivery of its events
}

// call calls the body and classifies what it does. No lock is held: the body, the methods
// of its error and the schedule are the user's. fn is not cleared while an attempt runs.
func (a *attempt) call() {
	defer a.caught()
	a.end = exited() // this stands if runtime.Goexit ends the goroutine from here on
	var err error
	if trace.IsEnabled() {
		err = a.traced()
	} else {
		err = a.t.fn(a.ctx())
	}
	a.end.judge(err)
	if next := a.t.schedule(); next != nil && a.end.Kind == life.Success {
		a.end.plan(next, a.t.sup)
	}
}

// ctx is what the body is given: the attempt, or what brackets have derived from it.
func (a *attempt) ctx() context.Context {
	if a.brackets != nil {
		return a.brackets.ctx
	}
	return a
}

// traced calls the body in a region of the execution trace. It is a function of its own
// so that its frame is on the stack of traced attempts only.
//
//go:noinline
func (a *attempt) traced() error {
	defer trace.StartRegion(a.ctx(), "taskvisor.attempt").End()
	trace.Log(a.ctx(), "taskvisor.task", a.t.name)
	return a.t.fn(a.ctx())
}

// caught turns the panic of a body into its result. It is deferred directly: recover works
// in no function that it would call.
func (a *attempt) caught() {
	if a.t.pol.set&noRecover != 0 {
		return // the process ends
	}
	if v := recover(); v != nil {
		a.end.panicked(v, newPanicError(v))
	}
}

// join cancels the attempt's context and waits for its children, which are told by that
// to end. A child that panicked or exited counts as if the body had; the body's own panic
// or exit comes first. Where nobody has looked at the context there are no children.
func (a *attempt) join() {
	if a.std.Load() == nil {
		return
	}
	t := a.t
	var e effects
	t.transition(&e, nil, func(life.Time) life.Effects { return t.m.CancelEnd() })
	e.carryOut()
	if failure := a.std.Load().join(); failure != nil && a.end.Kind != life.Panic && !a.end.Exited {
		a.end = *failure
	}
}

// returned decides the result, after the children have been joined. Without brackets it
// mostly settles too, in the same transition.
func (a *attempt) returned() {
	t := a.t
	a.step = stepEnd
	if p, ok := a.end.err.(*PanicError); ok && t.sup.fan.listens() {
		stack := p.Stack() // rendered here, without the lock: events carry it
		a.end.stack = &stack
	}
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		// A goroutine that the body has left behind may have looked at the context since the
		// join, and have called Go. One that is made after Returned lets no child in.
		if std := a.std.Load(); std != nil && !std.over() {
			a.step = stepJoin
			return 0
		}
		e := t.m.Returned(a.end.Ending, now, rand.Float64)
		a.resultLocked(now)
		// Nothing comes in between: no brackets to be ended, no event of this transition,
		// which settling may overwrite by beginning the next attempt, and no TaskRemoved of a
		// released task, which settle waits for.
		if a.brackets == nil && e&life.Events == 0 && !t.leavingLocked() {
			a.step = stepDone
			e |= a.settleLocked(now)
		}
		return e
	})
	if a.step == stepDone {
		a.end = ending{} // first: carryOut may not come back. The events have copies
	}
	e.carryOut()
}

// resultLocked records what the machine has decided; it has called Returned.
func (a *attempt) resultLocked(now life.Time) {
	t := a.t
	if a.ended == nil {
		a.ended = t.causeLocked() // a context first looked at later reads as ended
	}
	switch ResultKind(t.m.Result()) {
	case ResultTimeout:
		timeout := &TimeoutError{Timeout: t.limitLocked(), Idle: t.m.Silent(), Err: a.end.err}
		a.end.err, a.end.text = timeout, cutText(timeout.text(a.end.text), maxErrorText)
	case ResultCanceled:
		if a.end.err == nil { // interrupted, and returned nil
			a.end.err = because(ErrInterrupted, a.why)
			a.end.text = ErrInterrupted.Error()
		}
	}
	if t.x != nil || a.end.code.known { // where there is an extra, to reset the code before
		t.extraLocked().code = a.end.code
	}
	if t.m.Result() != life.Success {
		t.lastErr, t.text = a.end.heard(), a.end.text // without its marks, such as Fatal: those were for us
	}
	a.end.duration = time.Duration(now - a.start)
	a.end.stirred = t.m.Interrupted()
	if t.pol.Scheduled { // only a start by the calendar follows the wall clock
		x := t.extraLocked()
		if x.next = (time.Time{}); t.m.Source() == life.AfterSuccess && a.end.next != nil {
			x.next = *a.end.next
		}
	}
}

// settleLocked ends the attempt in the machine: what was planned begins, or the task ends.
// Its outcome then has the attempt's error, unless the body never ran or returned nil:
// see outErrLocked.
func (a *attempt) settleLocked(now life.Time) life.Effects {
	t := a.t
	e := t.m.Settle(a.end.aborted, now)
	t.blamed = e&life.Leave != 0 && !t.m.Abandoned() && !a.end.aborted && a.end.err != nil
	return e
}

// settle announces the end of the attempt and begins what follows, after the brackets: the
// end of an attempt is the end of its span, too.
func (a *attempt) settle() {
	t := a.t
	// An aborted attempt has skipped stepJoin, and a bracket may have called Go.
	if std := a.std.Load(); std != nil && !std.over() {
		a.join()
	}
	early := false
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		// A task that was released while the body ran is still leaving, on another goroutine:
		// its TaskRemoved comes before what is said of the late body.
		if early = t.leavingLocked(); early {
			return 0
		}
		return a.settleLocked(now)
	})
	if early {
		a.step = stepSettle // once more
		e.carryOut()        // nothing has changed, but e may have taken events to deliver
		t.awaitRemoved()
		return
	}
	a.end, a.brackets = ending{}, nil // a context that is kept keeps nothing else
	e.carryOut()
}
