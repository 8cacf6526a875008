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

// attempt is one attempt of a task: what its goroutine does, and, as a context, what
// the body is given. It is made for each attempt, since contexts are kept; when it
// is over it refers to nothing of the user's.
type attempt struct {
	t      *task
	number int

	std atomic.Pointer[stdCtx] // the context that somebody has looked at; nil: nobody has

	// Fixed when it is made.
	past   past
	waited time.Duration

	step     step      // the goroutine's own, as end and brackets
	brackets *brackets // nil: there are none
	end      ending

	// Guarded by the task's lock.
	ended error     // why the context ended; nil: it has not
	why   error     // the cause given to Interrupt
	start life.Time // 0: it was not announced
}

// step is the next thing that an attempt's goroutine does. It is set before any
// code of the user's is called, so that a goroutine that runtime.Goexit ends is
// replaced by one that goes on behind the call.
type step uint8

const (
	stepBrackets step = iota // begin them
	stepStart                // announce the attempt
	stepBody                 // call the body
	stepJoin                 // wait for its children
	stepReturn               // decide the result
	stepEnd                  // end brackets
	stepSettle               // announce the end, begin what follows
	stepDone
)

// newAttempt makes the attempt that has just been let in.
func (t *task) newAttempt() *attempt {
	t.labelLocked()
	a := &attempt{t: t, number: t.m.Attempt() + 1, past: t.pastLocked(), waited: t.m.Waited()}
	if t.x != nil {
		t.x.value, t.x.note = nil, "" // of the attempt before
	}
	return a
}

// spawn starts the attempt's goroutine: a new one for each, so that a thread which
// a body has locked and changed goes with it.
func (a *attempt) spawn() {
	// Started by whoever made the attempt due; ends when the attempt has settled,
	// or by runtime.Goexit, and is then replaced; nobody waits for it: what it did
	// is in the machine before it ends, and a shutdown waits for that.
	go a.loop()
}

// loop takes the steps of the attempt. The frames from here to the body are all that
// a running task has on its stack.
func (a *attempt) loop() {
	defer a.handOver()
	pprof.SetGoroutineLabels(a.t.label) // without the lock: made before, and kept until the attempt has ended
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

// growStack gives the goroutine a stack of 8 KB while there is next to nothing on it to
// be copied. Brackets need that anyway, and it would grow twice, deep inside them: a
// sixth of an attempt with metrics, traces and a log.
//
//go:noinline
func growStack(i int) byte {
	var room [5 << 10]byte
	room[i] = 1
	return room[i/2]
}

// growStackHalf makes it 4 KB, which inline subscribers need without brackets: a third of
// an attempt with metrics alone.
//
//go:noinline
func growStackHalf(i int) byte {
	var room [2 << 10]byte
	room[i] = 1
	return room[i/2]
}

// handOver goes on with the attempt on a new goroutine if this one is being ended.
func (a *attempt) handOver() {
	if a.step != stepDone {
		a.spawn()
	}
}

func (a *attempt) take() {
	switch a.step {
	case stepBrackets:
		a.step = stepStart
		a.beginBrackets()
	case stepStart:
		a.begin()
	case stepBody:
		a.step = stepJoin
		a.call()
	case stepJoin:
		a.join()
		a.step = stepReturn
	case stepReturn:
		a.returned()
	case stepEnd:
		a.endBrackets()
		a.step = stepSettle
	case stepSettle:
		a.step = stepDone
		a.settle()
	}
}

// begin announces the attempt, unless a stop came first.
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
		a.expires(a.std.Load())
		return e
	})
	e.carryOut()
	t.awaitRoom()
}

// call calls the body and classifies what it does.
func (a *attempt) call() {
	defer a.caught()
	a.end = exited() // until proved otherwise
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

// ctx is what the body is given.
func (a *attempt) ctx() context.Context {
	if a.brackets != nil {
		return a.brackets.ctx
	}
	return a
}

// traced is a frame of its own, for the sake of those that are not.
//
//go:noinline
func (a *attempt) traced() error {
	defer trace.StartRegion(a.ctx(), "taskvisor.attempt").End()
	trace.Log(a.ctx(), "taskvisor.task", a.t.name)
	return a.t.fn(a.ctx())
}

// caught ends the attempt of a body that panicked.
func (a *attempt) caught() {
	if a.t.pol.set&noRecover != 0 {
		return // the process ends
	}
	if v := recover(); v != nil {
		a.end.panicked(v, newPanicError(v))
	}
}

// join cancels the attempt's context and waits for its children. One that failed
// counts like the body, whose own panic or exit comes first.
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

// returned decides the result, after the children have been joined.
func (a *attempt) returned() {
	t := a.t
	a.step = stepEnd
	if p, ok := a.end.err.(*PanicError); ok && t.sup.fan.listens() {
		stack := p.Stack()
		a.end.stack = &stack
	}
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		if std := a.std.Load(); std != nil && !std.over() { // somebody looked just now
			a.step = stepJoin
			return 0
		}
		e := t.m.Returned(a.end.Ending, now, rand.Float64)
		a.resultLocked(now)
		if a.brackets == nil && e&life.Events == 0 && !t.leavingLocked() { // nobody comes in between
			a.step = stepDone
			e |= a.settleLocked(now)
		}
		return e
	})
	if a.step == stepDone {
		a.end = ending{}
	}
	e.carryOut()
}

// resultLocked records what was decided.
func (a *attempt) resultLocked(now life.Time) {
	t := a.t
	if a.ended == nil {
		a.ended = t.causeLocked()
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
	if t.x != nil || a.end.code.known {
		t.extraLocked().code = a.end.code
	}
	if t.m.Result() != life.Success {
		t.lastErr, t.text = a.end.heard(), a.end.text
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

func (a *attempt) settleLocked(now life.Time) life.Effects {
	t := a.t
	e := t.m.Settle(a.end.aborted, now)
	t.blamed = e&life.Leave != 0 && !t.m.Abandoned() && !a.end.aborted && a.end.err != nil
	return e
}

// settle announces the end of the attempt and begins what follows.
func (a *attempt) settle() {
	t := a.t
	if std := a.std.Load(); std != nil && !std.over() { // a bracket of an attempt without a body has called Go
		a.join()
	}
	early := false
	var e effects
	t.transition(&e, nil, func(now life.Time) life.Effects {
		if early = t.leavingLocked(); early { // it is being released: TaskRemoved comes first
			return 0
		}
		return a.settleLocked(now)
	})
	if early {
		a.step = stepSettle
		e.carryOut()
		t.awaitRemoved()
		return
	}
	a.end, a.brackets = ending{}, nil // a context that is kept keeps nothing else
	e.carryOut()
}
