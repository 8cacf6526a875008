package lease

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber returns what a supervisor has to be given, with
// [taskvisor.WithSubscriber], whose tasks take leases of this owner; a fresh one for
// each supervisor, whose New fails otherwise. It hands attempts their tokens, learns when
// tasks have ended, which is when their leases are released, and has the end of the
// supervisor wait for that.
func (o *Owner) Subscriber() taskvisor.Subscribe { return &subscriber{o: o} }

// subscriber is queued, so that it may wait for the store at the end: the drain of the
// supervisor bounds that.
type subscriber struct {
	o *Owner

	// Guarded by the owner's lock.
	name     string
	snapshot func() taskvisor.Snapshot
	sup      *taskvisor.Supervisor // that it belongs to; nil: no task of it has told yet
}

// Attach implements taskvisor.Attacher.
func (s *subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	name := snapshot().Supervisor
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if _, attached := s.o.sups[s]; attached {
		return errOneEach
	}
	s.name, s.snapshot, s.sup = name, snapshot, nil
	s.o.sups[s] = struct{}{}
	return nil
}

var errOneEach = errors.New("lease: the subscriber belongs to another supervisor: each has its own owner.Subscriber()")

// Close is called by New if another subscriber refuses.
func (s *subscriber) Close() {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	delete(s.o.sups, s)
}

// OnEvent implements taskvisor.Subscribe.
func (s *subscriber) OnEvent(ctx context.Context, e taskvisor.Event) {
	switch e.Kind {
	case taskvisor.TaskAbandoned:
		s.o.about(e.TaskID, func(m *member, x *acts, now time.Time) { m.abandon(x, now) })
	case taskvisor.TaskReturned:
		s.o.about(e.TaskID, func(m *member, _ *acts, _ time.Time) { m.abandoned = false })
	case taskvisor.TaskRemoved:
		s.o.removed(e.TaskID)
	case taskvisor.SubscriberOverflow:
		s.o.reconcile()
	case taskvisor.AllStoppedWithinGrace, taskvisor.GraceExceeded:
		s.o.flush(ctx)
		s.Close()
	default: // of no concern to leases
	}
}

// BeginAttempt implements taskvisor.AttemptBracket: it gives the attempt its token. One
// whose lease was lost between its gate and here is interrupted, so that its body is not
// called; so is one that loses it while other brackets begin.
func (s *subscriber) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	var term *Term
	s.o.do(func(x *acts, now time.Time) {
		if h := a.Handle(); h != nil {
			s.sup = h.Supervisor()
		}
		for _, m := range s.o.tasks[a.TaskID] {
			if !m.inside {
				continue
			}
			m.running, m.begun = a.Number, true
			term = &Term{Key: m.l.name, Wait: m.wait, TaskID: a.TaskID, l: m.l}
			if m.l.valid(now) {
				m.token = m.l.token // given anew while it waited at other gates
				term.Previous, m.l.previous = m.l.previous, ""
			} else {
				err := &LostError{Key: m.l.name, Token: m.token, Reason: LostDeadline}
				x.interrupt = append(x.interrupt, interruption{m.h, a.Number, err})
			}
			term.Token = m.token
		}
	})
	if of, ok := TermOf(ctx); term == nil && (!ok || of.TaskID == a.TaskID) { // the latter from another owner
		return ctx
	}
	// Without a term this hides that of an attempt which has added this task.
	return context.WithValue(ctx, termKey{}, term)
}

// EndAttempt implements taskvisor.AttemptBracket. The gate is left later, when all
// brackets have ended.
func (s *subscriber) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// about makes a transition of what is known about a task.
func (o *Owner) about(id taskvisor.TaskID, transition func(m *member, x *acts, now time.Time)) {
	o.do(func(x *acts, now time.Time) {
		for _, m := range o.tasks[id] {
			transition(m, x, now)
		}
	})
}

func (o *Owner) removed(id taskvisor.TaskID) {
	o.do(func(x *acts, now time.Time) {
		members := o.tasks[id]
		delete(o.tasks, id)
		for _, m := range members {
			m.drop(x, now)
		}
	})
}

// abandon stops renewing for a body that did not come back. Others must be able to take
// over from it, and until the deadline the body may rely on the lease.
func (m *member) abandon(x *acts, now time.Time) {
	l := m.l
	m.abandoned = true
	if l.state == Held && !l.lapsing {
		l.lapse()
		x.event(l, now, Event{Kind: Lapsing, Token: l.token, Task: m.task, Supervisor: m.sup})
	}
}

// reconcile looks itself which tasks have ended, or were abandoned, after events were lost.
// It asks each of them: a list of those that are registered would be older or younger than
// ours.
func (o *Owner) reconcile() {
	o.mu.Lock()
	known := make([]*taskvisor.Handle, 0, len(o.tasks))
	for _, members := range o.tasks {
		known = append(known, members[0].h)
	}
	o.mu.Unlock()
	for _, h := range known {
		registered, _ := h.Supervisor().Lookup(h.Name())
		abandoned := h.Status().State == taskvisor.StateAbandoned
		o.about(h.ID(), func(m *member, x *acts, now time.Time) {
			if m.abandoned = abandoned; abandoned {
				m.abandon(x, now)
			}
		})
		if registered != h { // without its name while its body runs, if it releases that
			o.removed(h.ID())
		}
	}
}

// flush waits until what is being released has been.
func (o *Owner) flush(ctx context.Context) {
	o.mu.Lock()
	if o.leaving == 0 {
		o.mu.Unlock()
		return
	}
	if o.flushed == nil {
		o.flushed = make(chan struct{})
	}
	flushed := o.flushed
	o.mu.Unlock()
	select {
	case <-flushed:
	case <-ctx.Done():
	}
}

// attached reports whether the supervisor has our subscriber, as far as is known before it
// has a task. Its name does not tell: others may have the same.
func (o *Owner) attached(sup *taskvisor.Supervisor) bool {
	known, maybe := o.subscribersOf(sup)
	return known || len(maybe) > 0
}

// attachedTo reports whether the task's supervisor has our subscriber. It looks at the
// supervisor's tasks once, with the first that asks.
func (o *Owner) attachedTo(h *taskvisor.Handle) bool {
	known, maybe := o.subscribersOf(h.Supervisor())
	for _, s := range maybe {
		for _, st := range s.snapshot().Tasks {
			if st.ID == h.ID() {
				o.mu.Lock()
				s.sup = h.Supervisor()
				o.mu.Unlock()
				return true
			}
		}
	}
	return known
}

// subscribersOf reports whether one of our subscribers is known to be of sup, or else
// lists those that may be.
func (o *Owner) subscribersOf(sup *taskvisor.Supervisor) (known bool, maybe []*subscriber) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range o.sups {
		switch {
		case s.sup == sup:
			return true, nil
		case s.sup == nil && s.name == sup.Name():
			maybe = append(maybe, s)
		}
	}
	return false, maybe
}

// interruptAll ends the attempts whose leases were lost. One that has ended meanwhile
// is left alone: an interruption would cut the delay after it. A task that waits at
// other gates is taken back to the first.
func interruptAll(all []interruption) {
	for _, i := range all {
		h := i.task
		st := h.Status()
		switch {
		case i.attempt == 0 && st.State == taskvisor.StatePending:
			if h.Pause(i.cause) {
				h.Resume(i.cause)
			}
		case st.Attempt <= i.attempt && (st.State == taskvisor.StateRunning || st.State == taskvisor.StatePending):
			h.Interrupt(i.cause)
		}
	}
}
