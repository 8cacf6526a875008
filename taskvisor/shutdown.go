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

// shutdown is the one operation that ends a supervisor. It runs on the goroutine of
// operate; others only ask for it and wait for its end.
//
//	close the registry → ShutdownRequested → reject what waits → stop every task,
//	stage by stage → wait for them, at most the grace → abandon what is left
//	→ verdict → drain subscribers → done
//
// The end of the last task of a Run goes straight to the verdict.
type shutdown struct {
	grace    time.Duration
	done     chan struct{} // closed last
	asked    chan struct{} // closed by the first who asks for a stop
	drainCtx context.Context
	endDrain context.CancelCauseFunc

	mu        sync.Mutex // guards the fields below
	since     time.Time  // when the stop was asked for; zero before
	warned    bool       // a signal has announced it; see WithPreStopDelay
	took      time.Duration
	bySignal  bool
	why       error                 // cause of every stop that the shutdown claims
	essential error                 // of the first essential task that ended
	herald    *task                 // that task
	failures  []failure             // of the tasks given to Run
	inner     map[*Supervisor]*task // supervisors that run, or have left something, in a task of this one

	err error // the result; written before done is closed
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

// requestStop asks for the shutdown, with what triggered it; herald is the essential
// task whose end did, if one has. The deadlines count from here, and from here on
// nobody is admitted.
func (s *Supervisor) requestStop(trigger error, herald *task, bySignal bool) {
	d := &s.shutdown
	d.mu.Lock()
	if herald != nil && d.herald == nil {
		d.herald, d.essential = herald, trigger
	}
	first := d.since.IsZero()
	if first {
		d.since, d.bySignal = time.Now(), bySignal
		d.why = because(ErrShutdown, trigger)
	}
	d.mu.Unlock()
	if !first {
		return
	}
	if s.reg.close() == SupervisorNew {
		s.reg.started.Store(true)
		if !s.reg.isLive() && s.fan.bus.Last() == 0 { // nothing has ever happened
			s.reg.stopped()
			d.endDrain(context.Canceled)
			close(d.done)
			return
		}
		s.operate(context.Background(), nil)
	}
	close(d.asked)
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

// operate starts what a supervisor needs while it runs.
func (s *Supervisor) operate(ctx context.Context, done <-chan struct{}) {
	s.fan.start()
	if outer := s.enclosing.Load(); outer != nil {
		outer.t.sup.shutdown.nest(s, outer.t)
	}
	signals := listen(s.cfg.signals)
	if done != nil {
		// Started by Run or Start, once; ends with ctx or the supervisor; nobody waits
		// for it. ctx may be the user's own: what it does harms nobody here.
		background(func() { s.watch(ctx, done) })
	}
	// Started by Run, Start or a Shutdown before them, once; ends when the shutdown has
	// ended, which is bounded; Run waits for it, and whoever reads Done.
	background(func() { s.supervise(signals) })
}

// watch asks for a stop when ctx ends, whatever its methods do.
func (s *Supervisor) watch(ctx context.Context, done <-chan struct{}) {
	select {
	case <-s.shutdown.done:
		return
	case <-done:
	}
	var cause error = context.Canceled
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
	c := make(chan os.Signal, 2) // the first and the second; nobody needs more
	signal.Notify(c, sigs...)
	return c
}

// supervise waits for the end and carries it out.
func (s *Supervisor) supervise(signals chan os.Signal) {
	d := &s.shutdown
	natural := s.await(signals)
	since := d.begin()
	s.fan.closing.Store(true)
	if !natural {
		s.fan.announce(Event{Kind: ShutdownRequested, Err: d.cause()})
		s.slots.refuseWaiting()
		s.stopAll(since, signals)
	}
	left := s.abandonRest()
	s.fan.announce(verdict(since, left))
	s.fan.drain(time.Now().Add(s.cfg.drain))
	d.endDrain(context.DeadlineExceeded)
	s.stacks.Hurry()
	if signals != nil {
		signal.Stop(signals)
	}
	s.reg.stopped()
	if outer := s.enclosing.Load(); outer != nil && left == nil {
		outer.t.sup.shutdown.unnest(s)
	}
	d.finish(left)
}

// await blocks until the supervisor is to end and reports whether it does so by
// itself. A stop that was asked for wins over the natural end, so that it is
// announced.
func (s *Supervisor) await(signals chan os.Signal) (natural bool) {
	var warned <-chan time.Time
	var first os.Signal
	for {
		select {
		case <-s.shutdown.asked:
			return false
		case sig := <-signals:
			if s.cfg.preStop > 0 && warned == nil {
				s.shutdown.warn()
				s.fan.closing.Store(true) // who hears of it must not hold up what follows
				s.fan.announce(Event{Kind: ShutdownAnnounced, Delay: s.cfg.preStop, Err: signalError{sig}})
				first = sig
				warned = time.After(s.cfg.preStop)
				continue
			}
			s.requestStop(signalError{sig}, nil, true)
		case <-warned:
			s.requestStop(signalError{first}, nil, true)
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

// warn makes the supervisor report that it is draining.
func (d *shutdown) warn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.warned = true
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

// stopAll stops every task and waits for them, at most until the grace has passed or
// a second signal comes. Tasks that others depend on are stopped when those have
// ended, or have used up their share of the grace.
func (s *Supervisor) stopAll(since time.Time, signals chan os.Signal) {
	w := waiting{s: s, signals: signals, deadline: since.Add(s.cfg.grace), second: s.shutdown.signaled()}
	stages := s.order.stages(s.reg.list())
	for i, tasks := range stages {
		share := since.Add(s.cfg.grace / time.Duration(len(stages)) * time.Duration(i+1))
		more := time.Duration(0)
		if len(stages) > 1 {
			s.fan.announce(Event{Kind: ShutdownStage, Stage: i + 1, Stages: len(stages), Queued: len(tasks)})
			more = max(time.Until(share), 0) // a stop in order is no fault
		}
		for _, t := range tasks {
			t.do(nil, func(now life.Time) life.Effects { return t.stopLocked(ErrShutdown, nil, more, now) })
		}
		if i < len(stages)-1 {
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

// waiting is what a shutdown waits for.
type waiting struct {
	s        *Supervisor
	signals  chan os.Signal
	deadline time.Time
	second   bool // the next signal is the second: it ends the waiting
	over     bool
}

// forTasks waits until all of tasks have ended, at most until then.
func (w *waiting) forTasks(tasks []*task, then time.Time) {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	for _, t := range tasks {
		for ended := false; !ended && !w.over; {
			select {
			case <-t.h.Done():
				_ = t.state() // its lock is held from there until TaskRemoved is published, which precedes the next stage
				ended = true
			case <-timer.C:
				return
			case <-w.signals:
				w.signaled()
			}
		}
	}
}

// forAll waits until no task is left.
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

// signaled cuts the grace to zero at the second signal, and gives the signals back.
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

// finish publishes the result to everybody who waits.
func (d *shutdown) finish(left error) {
	d.mu.Lock()
	d.took = time.Since(d.since)
	slices.SortFunc(d.failures, func(a, b failure) int { return cmp.Compare(a.t.place, b.t.place) })
	var errs []error
	for _, f := range d.failures {
		if f.t != d.herald { // its end is said already
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
		d.err = errs[0]
	} else {
		d.err = errors.Join(errs...)
	}
	d.failures = nil
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
