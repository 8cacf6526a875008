package taskvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shutdown is the one operation that ends a supervisor. It runs on the goroutine
// of supervise; others only ask for it and wait for its end.
//
//	close the registry → ShutdownRequested → reject what waits → stop every task
//	→ wait for them, at most the grace → abandon what is left → verdict
//	→ drain subscribers → done
//
// The end of the last task of a Run goes straight to the verdict.
type shutdown struct {
	done     chan struct{} // closed last
	asked    chan struct{} // closed by the first who asks for a stop
	drainCtx context.Context
	endDrain context.CancelCauseFunc

	mu    sync.Mutex // guards the fields below
	since time.Time  // when the stop was asked for; zero before
	took  time.Duration
	fatal error // of the first essential task that ended

	cause atomic.Pointer[stopError] // written with since; nil: a call of Shutdown

	err error // the result; written before done is closed
}

func (d *shutdown) init() {
	d.done = make(chan struct{})
	d.asked = make(chan struct{})
	d.drainCtx, d.endDrain = context.WithCancelCause(context.Background())
}

// stopError is the cause that attempts see: ErrShutdown and what triggered it.
type stopError struct{ trigger error }

func (e *stopError) Error() string   { return ErrShutdown.Error() + ": " + e.trigger.Error() }
func (e *stopError) Unwrap() []error { return []error{ErrShutdown, e.trigger} }

// shutdownCause is the error of every stop that the shutdown claims.
func (s *Supervisor) shutdownCause() error {
	if e := s.shutdown.cause.Load(); e != nil {
		return e
	}
	return ErrShutdown
}

// signalError is what triggered a shutdown by signal.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string { return fmt.Sprintf("signal: %s", e.sig) }

// requestStop asks for the shutdown, with what triggered it; fatal is the error
// of an essential task, which becomes part of the result. The deadlines count
// from here, and from here on nobody is admitted.
func (s *Supervisor) requestStop(trigger, fatal error) {
	d := &s.shutdown
	d.mu.Lock()
	if d.fatal == nil {
		d.fatal = fatal
	}
	first := d.since.IsZero()
	if first {
		d.since = time.Now()
		if trigger != nil {
			d.cause.Store(&stopError{trigger})
		}
	}
	d.mu.Unlock()
	if !first {
		return
	}
	if s.reg.close() == StateNew {
		d.endDrain(context.Canceled)
		close(d.done)
		return
	}
	close(d.asked)
}

// Shutdown stops the supervisor: nobody is admitted any more, what waits for a
// slot is rejected, every task is stopped, and bodies that have not returned
// when the grace has passed are abandoned. It returns when that is done: every
// caller, an early or a late one, gets the same result, which is Run's. If ctx
// ends first, only the waiting ends, with its cause; called with a context that
// comes from an attempt or a callback of this supervisor, it begins the shutdown
// and returns ErrWouldWaitForSelf. A supervisor that was not started is closed.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	mustContext(ctx)
	s.requestStop(nil, nil)
	if s.waitsForSelf(ctx) && !s.ended() {
		return &TaskError{Op: "shutdown", Err: ErrWouldWaitForSelf}
	}
	select {
	case <-s.shutdown.done:
	default:
		select {
		case <-s.shutdown.done:
		case <-ctx.Done():
			return &TaskError{Op: "shutdown", Err: context.Cause(ctx)}
		}
	}
	return s.shutdown.err
}

// Done returns a channel that is closed when the supervisor has ended.
func (s *Supervisor) Done() <-chan struct{} { return s.shutdown.done }

func (s *Supervisor) ended() bool {
	select {
	case <-s.shutdown.done:
		return true
	default:
		return false
	}
}

// listen begins to receive signals; nil if there are none to receive.
func (d *shutdown) listen(sigs []os.Signal) chan os.Signal {
	if len(sigs) == 0 {
		return nil
	}
	c := make(chan os.Signal, 2) // the first and the second; nobody needs more
	signal.Notify(c, sigs...)
	return c
}

// supervise waits for the end and carries it out.
func (s *Supervisor) supervise(ctx context.Context, signals chan os.Signal) {
	d := &s.shutdown
	natural := s.await(ctx, signals)
	since := d.begin()
	s.fan.closing.Store(true)
	if !natural {
		s.fan.announce(Event{Kind: ShutdownRequested, Err: s.shutdownCause()})
		s.slots.refuseWaiting()
		s.stopAll()
		s.waitForTasks(since.Add(s.cfg.grace), signals)
	}
	graceErr := s.abandonRest()
	s.verdict(since, graceErr)
	s.fan.drain(time.Now().Add(s.cfg.drain))
	d.endDrain(context.DeadlineExceeded)
	signal.Stop(signals)
	s.reg.stopped()
	d.finish(graceErr)
}

// await blocks until the supervisor is to end and reports whether it does so by
// itself. A stop that was asked for wins over the natural end, so that it is
// announced.
func (s *Supervisor) await(ctx context.Context, signals chan os.Signal) (natural bool) {
	for {
		select {
		case <-s.shutdown.asked:
			return false
		case <-ctx.Done():
			s.requestStop(context.Cause(ctx), nil)
		case sig := <-signals:
			s.requestStop(signalError{sig}, nil)
		case <-s.reg.quiet:
			if s.reg.closedBySelf() {
				select {
				case <-s.shutdown.asked:
					return false
				default:
					return true
				}
			}
		}
	}
}

// begin fixes when the end began.
func (d *shutdown) begin() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		d.since = time.Now()
	}
	return d.since
}

// stopAll stops every task, by id. It lets a crowd of
// them end before it goes on, while what it touched of them is still in the
// cache; but only as long as that is quick: where bodies keep the processors busy,
// a yield takes milliseconds.
func (s *Supervisor) stopAll() {
	quick := true
	for i, t := range s.reg.list() {
		s.fan.stepAside()
		t.stopFor(ErrShutdown)
		if quick && (i+1)%crowd == 0 {
			begun := time.Now()
			runtime.Gosched()
			quick = time.Since(begun) < time.Millisecond
		}
	}
}

// waitForTasks waits until no task is left, at most until the deadline, or until
// a second signal. Tasks that were stopped here have no timers of their own yet:
// most end at once. The first that may be stuck is a reason to arm them all.
func (s *Supervisor) waitForTasks(deadline time.Time, signals chan os.Signal) {
	grace := time.NewTimer(time.Until(deadline))
	defer grace.Stop()
	arm := time.NewTimer(s.stuckAfter())
	defer arm.Stop()
	interrupts := 0
	if errors.As(s.shutdownCause(), new(signalError)) {
		interrupts = 1
	}
	for s.reg.isLive() {
		select {
		case <-s.reg.quiet:
		case <-grace.C:
			return
		case <-arm.C:
			_, at := s.clock.now()
			for _, t := range s.reg.list() {
				t.mu.Lock()
				t.armLocked(at)
				t.mu.Unlock()
			}
		case <-signals:
			if interrupts++; interrupts == 2 {
				signal.Stop(signals)
				return
			}
		}
	}
}

// stuckAfter is the shortest time after which a task counts as stuck.
func (s *Supervisor) stuckAfter() time.Duration {
	shortest := s.inherit.stuckAfter
	for _, t := range s.reg.list() {
		shortest = min(shortest, t.m.policy.stuckAfter)
	}
	return shortest
}

// abandonRest gives up every body that still runs, and returns an error that
// lists them all, whenever they were stopped; nil if there is none.
func (s *Supervisor) abandonRest() error {
	var result error // not a nil *GraceExceededError
	tasks := s.reg.all()
	for _, t := range tasks {
		t.announce(false) // if who added it has not come to that
	}
	tasks = slices.DeleteFunc(tasks, func(t *task) bool { return !t.outlives() })
	if len(tasks) > 0 {
		if err := s.abandonAll(tasks, captureWithin()); err != nil {
			result = err
		}
	}
	for s.reg.isLive() { // tasks that came back just now are leaving: nothing can be in their way
		<-s.reg.quiet
	}
	return result
}

// abandonAll decides at one instant which of tasks, which are sorted by id, are
// given up: it holds all their locks, so that the list and the outcomes agree.
// Nobody else holds two of them at a time.
func (s *Supervisor) abandonAll(tasks []*task, stacks map[TaskID]string) *GraceExceededError {
	for _, t := range tasks {
		t.mu.Lock()
	}
	now, at := s.clock.both() // for the outcomes
	w := s.clock.wall(now)
	err := &GraceExceededError{Grace: s.cfg.grace}
	for _, t := range tasks {
		if t.m.phase.running() {
			st := t.statusLocked(w)
			st.Stack = stacks[t.id]
			err.Tasks = append(err.Tasks, st)
		}
	}
	gone := make([]givenUp, len(tasks))
	for i, t := range tasks {
		gone[i] = t.abandonLocked(now, at, stacks[t.id], err)
	}
	for _, t := range tasks {
		t.mu.Unlock()
	}
	for i, t := range tasks {
		t.abandonRest(now, at, gone[i])
	}
	if len(err.Tasks) == 0 {
		return nil
	}
	return err
}

// outlives reports whether the task has a goroutine.
func (t *task) outlives() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.phase.running()
}

// verdict publishes a supervisor's last event.
func (s *Supervisor) verdict(since time.Time, graceErr error) {
	e := Event{Kind: AllStoppedWithinGrace, Duration: time.Since(since)}
	if graceErr != nil {
		e.Kind, e.Err = GraceExceeded, graceErr
	}
	s.fan.announce(e)
}

// finish publishes the result to everybody who waits.
func (d *shutdown) finish(graceErr error) {
	d.mu.Lock()
	d.took = time.Since(d.since)
	switch {
	case d.fatal == nil:
		d.err = graceErr
	case graceErr == nil:
		d.err = d.fatal
	default:
		d.err = errors.Join(d.fatal, graceErr)
	}
	d.mu.Unlock()
	close(d.done)
}

func (d *shutdown) snapshot(sn *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sn.StopSince, sn.StopTook = d.since, d.took
}
