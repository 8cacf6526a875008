package taskvisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// shutdown is the one operation that ends a supervisor. It runs on the goroutine that
// operate starts; everybody else only asks for it, and waits for its end.
//
//	close the registry → ShutdownRequested → reject what waits → stop every task,
//	stage by stage → wait for them, at most the grace → abandon what is left
//	→ verdict → drain subscribers → done
//
// The end of the last task of a Run goes straight to the verdict.
type shutdown struct {
	grace    time.Duration
	done     chan struct{}           // closed last: err may be read then
	asked    chan struct{}           // closed by the first call that asks for a stop, when the registry is closed
	drainCtx context.Context         // below what subscribers are given: ends with the time for draining
	endDrain context.CancelCauseFunc // ends drainCtx

	mu        sync.Mutex            // guards the fields below; a leaf, taken under tasks' locks
	since     time.Time             // when the stop was asked for, or the natural end began; zero before. Deadlines count from it
	warned    bool                  // a signal has announced it; see WithPreStopDelay
	took      time.Duration         // from since to the end; 0 before that
	bySignal  bool                  // a signal has announced it or asked for it, so that the next one is the second
	why       error                 // cause of every stop that the shutdown claims; fixed once since is set
	essential error                 // of the first essential task that ended; nil: none has
	herald    *task                 // that task: its failure is in essential, and not told twice
	failures  []failure             // of the tasks given to Run, in the order in which they came
	inner     map[*Supervisor]*task // supervisors that run, or have left bodies running, in a task of this one

	err error // the result; written before done is closed, and read after
}

// failure is the end of a task that was given to Run.
type failure struct {
	t   *task
	err error
}

func (d *shutdown) init(grace time.Duration) {
	d.grace = grace
	d.why = ErrShutdown
	d.done = make(chan struct{})
	d.asked = make(chan struct{})
	d.drainCtx, d.endDrain = context.WithCancelCause(context.Background())
}

// cause is the error of every stop that the shutdown claims.
func (d *shutdown) cause() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.why
}

// by is when the grace of the shutdown ends; zero before it has begun.
func (d *shutdown) by() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		return time.Time{}
	}
	return d.since.Add(d.grace)
}

// blame keeps the failure of a task that was given to Run.
func (d *shutdown) blame(t *task, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, failure{t, err})
}

// signalError is what triggered a shutdown by signal.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string { return fmt.Sprintf("signal: %s", e.sig) }

// requestStop asks for the shutdown. trigger says why, nil for a plain Shutdown; herald is
// the essential task whose end asks, or nil. The first call counts: deadlines run from here,
// and when it returns no task is admitted any more. It never blocks.
func (s *Supervisor) requestStop(trigger error, herald *task, bySignal bool) {
	d := &s.shutdown
	d.mu.Lock()
	if herald != nil && d.herald == nil {
		d.herald, d.essential = herald, trigger
	}
	d.bySignal = d.bySignal || bySignal // also of a signal that came with another request: it was received, and counts
	first := d.since.IsZero()
	if first {
		d.since = time.Now()
		d.why = because(ErrShutdown, trigger)
	}
	d.mu.Unlock()
	if !first {
		return
	}
	if s.reg.close() == SupervisorNew {
		s.reg.started.Store(true)
		if !s.reg.isLive() && s.fan.bus.Last() == 0 { // nothing has ever happened
			s.reg.stopped() // no goroutine was started, no event is to come
			d.endDrain(context.Canceled)
			close(d.done)
			return
		}
		s.operate(context.Background(), nil) // for the tasks that were added, and their events
	}
	close(d.asked) // after reg.close: supervise then lists tasks that no other can join
}

// Shutdown stops the supervisor: nobody is admitted any more, what waits for a
// slot is rejected, every task is stopped, those that others depend on after those,
// and bodies that have not returned when the grace has passed are abandoned. It
// returns when that is done: every caller, an early or a late one, gets the same
// result, which is Run's. If ctx ends first, only the waiting ends, with its cause;
// called with a context that comes from an attempt or a callback of this supervisor,
// it begins the shutdown and returns ErrWouldWaitForSelf. A supervisor that was not
// started is closed.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	mustContext(ctx)
	s.requestStop(nil, nil, false)
	return s.wait(ctx, "shutdown")
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

// operate starts what a supervisor needs while it runs; once, by the call that took it out of
// the state new. done is that of ctx; nil: there is no context to watch.
func (s *Supervisor) operate(ctx context.Context, done <-chan struct{}) {
	s.fan.start()
	if outer := s.enclosing.Load(); outer != nil { // from here on the outer one's report includes this one
		outer.t.sup.shutdown.nest(s, outer.t)
	}
	signals := listen(s.cfg.signals)
	if done != nil {
		// Started by Run or Start, once; ends with ctx or the supervisor; nobody waits
		// for it. ctx may be of the user's own type: what its methods do is contained there.
		background(func() { s.watch(ctx, done) })
	}
	// Started by Run, Start or a Shutdown before them, once; ends when the shutdown has
	// ended, which is bounded; Run and all that read Done wait for it.
	background(func() { s.supervise(signals) })
}

// watch asks for a stop when ctx ends, also if its methods panic or exit.
func (s *Supervisor) watch(ctx context.Context, done <-chan struct{}) {
	select {
	case <-s.shutdown.done:
		return
	case <-done:
	}
	var cause error = context.Canceled // unless ctx gives one
	defer func() {
		_ = recover()
		s.requestStop(cause, nil, false)
	}()
	cause = context.Cause(ctx)
}

// listen begins to receive signals; nil if there are none to receive. Those that the
// process was started to ignore stay ignored.
func listen(sigs []os.Signal) chan os.Signal {
	sigs = slices.DeleteFunc(slices.Clone(sigs), signal.Ignored)
	if len(sigs) == 0 {
		return nil
	}
	c := make(chan os.Signal, 2) // Notify drops what does not fit: a burst of two is kept, more are not needed
	signal.Notify(c, sigs...)
	return c
}

// supervise waits for the end and carries it out. Nothing in it waits for a subscriber but
// drain, nor for a body but stopAll, and both have deadlines.
func (s *Supervisor) supervise(signals chan os.Signal) {
	d := &s.shutdown
	natural := s.await(signals)
	since := d.begin()
	s.fan.closing.Store(true) // from here on inline subscribers are called on goroutines of their own
	if !natural {
		s.fan.announce(Event{Kind: ShutdownRequested, Err: d.cause()})
		s.slots.refuseWaiting() // after the announcement, and before any task is stopped
		s.stopAll(since, signals)
	}
	left := s.abandonRest()
	s.fan.announce(verdict(since, left)) // seals the bus: the last event
	s.fan.drain(time.Now().Add(s.cfg.drain))
	d.endDrain(context.DeadlineExceeded) // for subscribers that hang
	s.stacks.Hurry()                     // its goroutine is not to outlive the supervisor by its rest
	if signals != nil {
		signal.Stop(signals)
	}
	s.reg.stopped()
	if outer := s.enclosing.Load(); outer != nil && left == nil { // otherwise the outer one reports what is left
		outer.t.sup.shutdown.unnest(s)
	}
	d.finish(left)
}

// await blocks until the supervisor is to end and reports whether it does so by itself. A
// stop that was asked for wins over the natural end, so that it is announced.
func (s *Supervisor) await(signals chan os.Signal) (natural bool) {
	var warned <-chan time.Time // the end of the pre-stop delay; nil: it has not begun
	var first os.Signal
	for {
		select {
		case <-s.shutdown.asked:
			return false
		case sig := <-signals:
			if s.cfg.preStop > 0 && warned == nil {
				s.shutdown.warn()
				s.fan.closing.Store(true) // an inline subscriber must not hold up what follows
				s.fan.announce(Event{Kind: ShutdownAnnounced, Delay: s.cfg.preStop, Err: signalError{sig}})
				first = sig
				warned = time.After(s.cfg.preStop)
				continue
			}
			s.requestStop(signalError{sig}, nil, true) // closes asked, which ends this loop
		case <-warned:
			s.requestStop(signalError{first}, nil, true)
		case <-s.reg.quiet:
			if s.reg.closedBySelf() { // quiet is a hint only: the counts decide
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

// warn makes the supervisor report that it is draining.
func (d *shutdown) warn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.warned, d.bySignal = true, true
}

// begin fixes when the end began: when it was asked for, or now for a natural end.
func (d *shutdown) begin() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		d.since = time.Now()
	}
	return d.since
}

// stopAll stops every task and waits for them, at most until the grace has passed or a second
// signal comes. Tasks that others depend on are stopped when their dependents have ended or
// have used up their share of the grace, which is the same for every stage.
func (s *Supervisor) stopAll(since time.Time, signals chan os.Signal) {
	w := waiting{s: s, signals: signals, deadline: since.Add(s.cfg.grace), second: s.shutdown.signaled()}
	stages := s.order.stages(s.reg.list())
	for i, tasks := range stages {
		share := since.Add(s.cfg.grace / time.Duration(len(stages)) * time.Duration(i+1))
		more := time.Duration(0)
		if len(stages) > 1 {
			s.fan.announce(Event{Kind: ShutdownStage, Stage: i + 1, Stages: len(stages), Queued: len(tasks)})
			more = max(time.Until(share), 0) // a body that uses its share of the grace is not stuck
		}
		for _, t := range tasks {
			t.do(nil, func(now life.Time) life.Effects { return t.stopLocked(ErrShutdown, nil, more, now) })
		}
		if i < len(stages)-1 { // the last stage is waited for with everything else
			w.forTasks(tasks, share)
		}
	}
	w.forAll()
}

func (d *shutdown) signaled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bySignal
}

// waiting is how a shutdown waits for tasks. Only its goroutine uses it.
type waiting struct {
	s        *Supervisor
	signals  chan os.Signal
	deadline time.Time
	second   bool // the next signal is the second: it ends the waiting
	over     bool // it has: wait for nothing more
}

// forTasks waits until all of tasks have ended and left, at most until then.
func (w *waiting) forTasks(tasks []*task, then time.Time) {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	for _, t := range tasks {
		for ended := false; !ended && !w.over; {
			select {
			case <-t.h.Done():
				_ = t.state() // takes its lock: leave closes Done and publishes TaskRemoved under one hold, so the next stage comes after both
				ended = true
			case <-timer.C:
				return
			case <-w.signals:
				w.signaled()
			}
		}
	}
}

// forAll waits until no task keeps the supervisor going, at most until the deadline.
func (w *waiting) forAll() {
	timer := time.NewTimer(time.Until(w.deadline))
	defer timer.Stop()
	for !w.over && w.s.reg.isLive() {
		select {
		case <-w.s.reg.quiet:
		case <-timer.C:
			return
		case <-w.signals:
			w.signaled()
		}
	}
}

// signaled cuts the grace to zero at the second signal, and gives the signals back to the
// process, so that a third has its usual effect.
func (w *waiting) signaled() {
	if w.second {
		signal.Stop(w.signals)
		w.over = true
	}
	w.second = true
}

// verdict is a supervisor's last event.
func verdict(since time.Time, left error) Event {
	e := Event{Kind: AllStoppedWithinGrace, Duration: time.Since(since)}
	if left != nil {
		e.Kind, e.Err = GraceExceeded, left
	}
	return e
}

// finish makes the result, and publishes it by closing done.
func (d *shutdown) finish(left error) {
	d.mu.Lock()
	d.took = time.Since(d.since)
	slices.SortFunc(d.failures, func(a, b failure) int { return cmp.Compare(a.t.place, b.t.place) })
	var errs []error
	for _, f := range d.failures {
		if f.t != d.herald { // whose error is essential
			errs = append(errs, f.err)
		}
	}
	if d.essential != nil {
		errs = slices.Insert(errs, 0, d.essential)
	}
	if left != nil {
		errs = append(errs, left)
	}
	if len(errs) == 1 {
		d.err = errs[0] // as it is, not wrapped by Join
	} else {
		d.err = errors.Join(errs...)
	}
	d.failures = nil // they keep tasks
	d.mu.Unlock()
	close(d.done)
}

func (d *shutdown) snapshot(sn *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sn.StopSince, sn.StopTook = d.since, d.took
	if !d.since.IsZero() {
		sn.StopBy = d.since.Add(d.grace)
	}
	if d.warned && sn.State == SupervisorRunning {
		sn.State = SupervisorDraining
	}
}
