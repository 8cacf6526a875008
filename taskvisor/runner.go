package taskvisor

import (
	"context"
	"math/rand/v2"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// maxSpare bounds the attempt contexts that are made at a time: 512 bytes, the
// largest object with pointers that the allocator serves without a header. Most
// tasks that fail at all fail a few times.
const (
	firstSpare = 6
	maxSpare   = 32
)

// step is the next thing that an attempt's goroutine does. It is set before any
// code of the user's is called, so that a goroutine that runtime.Goexit ends is
// replaced by one that goes on behind the call.
type step uint8

const (
	stepBegin    step = iota // give the attempt its context
	stepBrackets             // begin brackets
	stepStart                // announce it
	stepBody                 // call the body
	stepReturn               // decide the result
	stepEnd                  // end brackets
	stepSettle               // announce the end, begin what follows
	stepPart                 // part with the task, which waits or is gone
	stepDone
)

// runner is the state of the goroutine that runs a task's attempts, one after
// the other as long as no delay is between them.
type runner struct {
	t        *task
	entry    func() // run, as a value that is made once: a go statement would make a closure of 16 bytes for each start
	step     step
	chunk    uint8           // size of the next spare
	gated    bool            // of fanout.enter
	owed     actions         // whose events are to be numbered with the next; where nobody listens
	c        *attemptCtx     // guarded by the task's lock, as is live
	live     *liveCtx        // the same, once somebody has looked at it
	labelled context.Context // values with pprof labels; fixed before the task knows the runner
	waited   time.Duration   // for the attempt's permit
	spare    []attemptCtx    // for the next attempts
	brackets *bracketing     // nil if there are none
	at       instant         // of the last transition
	e        ending
}

// newRunner returns a runner. It is not on the goroutine's stack: that has two
// kilobytes, the user's body and the standard library's contexts need what is left
// of it, and a stack that has grown stays grown for as long as the body runs.
func newRunner() *runner {
	r := &runner{}
	r.entry = r.run
	return r
}

// runner returns one for t.
func (s *Supervisor) runner(t *task) *runner {
	r := s.runners.Get().(*runner)
	r.t, r.step, r.chunk = t, stepBegin, 1
	if n := len(s.fan.brackets); n > 0 && r.brackets == nil {
		r.brackets = &bracketing{begun: make([]context.Context, n)}
	}
	return r
}

// run is what the goroutine does: from the beginning, or where another one was
// ended. The labels are made here, where the stack is least deep: the allocator
// may take half a kilobyte of it.
func (r *runner) run() {
	defer r.handOver()
	if r.labelled == nil {
		r.labelled = r.t.label()
	}
	r.loop()
}

// handOver goes on with the task on a new goroutine if this one is being ended.
func (r *runner) handOver() {
	if r.step != stepDone {
		// Started by a goroutine that runtime.Goexit ends; lives on as its
		// predecessor did.
		go r.entry()
		return
	}
	s := r.t.sup
	r.clear()
	s.runners.Put(r)
}

// clear forgets the task; leaveLocked did its part. It writes what was written: the
// collector looks at every pointer that goes, and a store of all of r takes 20 ns.
func (r *runner) clear() {
	r.t, r.labelled = nil, nil
	if r.spare != nil {
		r.spare = nil
	}
	if r.e.err != nil {
		r.e.err = nil
	}
	r.brackets.clear()
}

// loop executes attempts until the task has to wait or is gone.
func (r *runner) loop() {
	var p parting // no code of the user's is called between leaveLocked and part
	for {
		switch r.step {
		case stepBegin:
			r.begin()
		case stepBrackets:
			r.beginBrackets()
		case stepStart:
			r.start()
		case stepBody:
			r.step = stepReturn
			r.call()
		case stepReturn:
			r.returned(&p)
		case stepEnd:
			r.endBrackets()
		case stepSettle:
			r.settle(&p)
		case stepPart:
			r.part(&p)
		default:
			return
		}
	}
}

// enter takes the task's lock for a transition of its attempt; exit, or part,
// follows it.
func (r *runner) enter() {
	r.gated = r.t.sup.fan.enter()
	r.t.mu.Lock()
}

func (r *runner) exit() {
	t := r.t
	buf := t.sup.fan.detach(&t.out)
	heir := t.out.claim(t.m.stop != 0)
	t.mu.Unlock()
	t.sup.fan.exit(r.gated)
	if heir != nil {
		buf = t.inherit(heir)
	}
	t.sup.fan.deliverAfter(&t.mu, &t.out, buf)
}

// begin gives the attempt, which has its permit, a context.
func (r *runner) begin() {
	t := r.t
	r.enter()
	now, at := t.sup.clock.now()
	r.at = at
	t.run = r
	r.beginLocked(now)
	r.exit()
}

// beginLocked leaves the lock to the caller; without brackets it also starts.
func (r *runner) beginLocked(now time.Time) {
	t := r.t
	t.m.prepare(r.at)
	r.waited = 0
	if t.queued && t.m.stop == 0 { // a stop has moved since, and no attempt follows
		r.waited = time.Duration(r.at - t.m.since)
	}
	t.queued = false
	r.c = r.nextCtx(t.m.attempt + 1)
	r.live = nil
	if t.x != nil {
		t.x.value = nil // of an attempt that did not complete the task
	}
	if r.brackets == nil {
		r.startLocked(now)
		return
	}
	r.describeLocked(now)
	r.step = stepBrackets
}

// nextCtx returns the context of the next attempt. Those of a loop are made in
// chunks that grow, the very first one is part of the task.
func (r *runner) nextCtx(number int) *attemptCtx {
	t := r.t
	if number == 1 && t.first.number == 0 {
		r.chunk = firstSpare
		t.first.number = 1
		t.first.node.Store(&t.fresh)
		return &t.first
	}
	if len(r.spare) == 0 {
		r.refill()
	}
	c := &r.spare[0]
	r.spare = r.spare[1:]
	c.number = number
	return c
}

// refill makes the next spare: of one after a delay, since another is likely to
// follow, and larger ones the longer the loop is. All but the first are copies: an
// atomic store for each is 7 ns of the 75 that an attempt takes.
func (r *runner) refill() {
	r.spare = make([]attemptCtx, r.chunk)
	r.spare[0].node.Store(&r.t.fresh)
	for n := 1; n < len(r.spare); n *= 2 {
		copy(r.spare[n:], r.spare[:n])
	}
	r.chunk = min(max(2*r.chunk, firstSpare), maxSpare)
}

// label returns the context that carries the task's pprof labels: one set per
// task, on its goroutines and in its attempts' contexts. It is made anew for each
// goroutine, since a task that waits should not pay for 170 bytes of labels.
func (t *task) label() context.Context {
	return pprof.WithLabels(t.values(), pprof.Labels(
		"taskvisor_supervisor", t.sup.fan.supervisor,
		"taskvisor_task", t.name,
		labelTaskID, t.sup.ids.text(t.id)))
}

// startLocked announces the attempt.
func (r *runner) startLocked(now time.Time) {
	t := r.t
	a := t.m.start()
	if a&doAbort != 0 {
		r.abortLocked()
		return
	}
	r.step = stepBody
	t.emit(a|r.owed, now, r.at, nil)
	r.owed = 0
	t.armLocked(r.at)
}

// abortLocked skips the body: a stop came first. The attempt did not happen;
// brackets that were begun are ended.
func (r *runner) abortLocked() {
	t := r.t
	r.e = ending{kind: ResultCanceled, err: t.stopErr()}
	r.step = stepSettle
	if r.brackets != nil {
		r.brackets.result = Result{Kind: ResultCanceled, Err: r.e.err, Reason: t.m.stop}
		r.step = stepEnd
	}
}

// ctx is what the body is given.
func (r *runner) ctx() context.Context {
	if r.brackets != nil {
		return r.brackets.ctx
	}
	return r.c
}

// call calls the body and classifies what it does. The frames from here to the
// goroutine's entry are all that a running task has on its stack.
func (r *runner) call() {
	defer r.caught()
	r.e = ending{kind: ResultFailure, goexit: true, err: ErrGoexit} // until proved otherwise
	pprof.SetGoroutineLabels(r.labelled)
	var err error
	if trace.IsEnabled() {
		err = r.traced()
	} else {
		err = r.t.fn(r.ctx())
	}
	r.e.classify(err)
}

// traced is a frame of its own, for the sake of those that are not.
//
//go:noinline
func (r *runner) traced() error {
	defer trace.StartRegion(r.ctx(), "taskvisor.attempt").End()
	trace.Log(r.ctx(), "taskvisor.task", r.t.name)
	return r.t.fn(r.ctx())
}

// returned decides the result, after the children have been joined.
func (r *runner) returned(p *parting) {
	t := r.t
	if r.c.node.Load() != &t.fresh {
		r.join()
	}
	r.enter()
	for r.live != nil && !r.live.over() { // somebody looked just now
		r.exit()
		r.join()
		r.enter()
	}
	now, at := t.sup.clock.now()
	r.at = at
	t.m.returned(&r.e, r.at, rand.Float64)
	if t.x != nil || r.e.coded {
		t.extraLocked().code = r.e.exit()
	}
	if t.m.result != ResultSuccess {
		t.lastErr = r.e.err
	}
	if r.brackets == nil {
		r.settleLocked(now, p)
		return
	}
	m := &t.m
	r.brackets.now = now
	r.brackets.result = Result{Kind: m.result, Err: r.e.err, Duration: time.Duration(r.at - m.started), Reason: m.stop,
		Retry: m.source != 0 && m.stop == 0}
	if r.brackets.result.Retry {
		r.brackets.result.Delay = m.delay
	}
	r.step = stepEnd
	r.exit()
}

// join cancels the attempt's context and waits for its children. A child that
// failed counts like the body, whose own panic or exit comes first.
func (r *runner) join() {
	t := r.t
	t.mu.Lock()
	live := r.live
	if live == nil {
		t.mu.Unlock()
		return
	}
	t.m.cancel(byEnd)
	cause := t.causeLocked()
	t.mu.Unlock()
	live.end(cause)
	failure := live.join()
	if failure != nil && r.e.kind != ResultPanic && !r.e.goexit {
		r.e = *failure
	}
}

func (r *runner) settle(p *parting) {
	if r.c.node.Load() != &r.t.fresh { // a bracket of an attempt without a body may have called Go
		r.join()
	}
	r.enter()
	var now time.Time
	if r.brackets != nil {
		now = r.brackets.now
	} else { // aborted
		now, r.at = r.t.sup.clock.now()
	}
	r.settleLocked(now, p)
}

// settleLocked announces the end of the attempt and begins what follows. It
// releases the lock.
func (r *runner) settleLocked(now time.Time, p *parting) {
	t := r.t
	s := t.sup
	var a actions
	if t.m.attempt == r.c.number {
		a = t.m.settle(r.at)
	} else {
		a = t.m.aborted(r.at)
	}
	if a&doLeave != 0 && !t.m.abandoned {
		t.blamed = t.m.attempt == r.c.number && r.e.err != nil
	}
	again := a&doAgain != 0 && !s.permits.contested()
	if again && s.fan.silent {
		r.owed = a // one number for what ends and what begins: 7 ns of 90
	} else {
		t.emit(a, now, r.at, &r.e)
	}
	if again {
		t.m.begin()
		if r.step = stepBegin; r.brackets == nil {
			r.beginLocked(now)
		}
		r.exit()
		return
	}
	p.now = now
	r.leaveLocked(a, p)
}
