package lease

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Subscriber returns what a supervisor has to be given, with
// [taskvisor.WithSubscriber], whose tasks take leases of this owner; a fresh one for
// each supervisor. It hands attempts their tokens, learns when tasks have ended, which
// is when their leases are released, and has the end of the supervisor wait for that.
func (o *Owner) Subscriber() taskvisor.Subscribe { return &subscriber{o: o} }

// subscriber is queued, so that it may wait for the store at the end: the drain of the
// supervisor bounds that.
type subscriber struct {
	o        *Owner
	name     string
	snapshot func() taskvisor.Snapshot
}

// Attach implements taskvisor.Attacher.
func (s *subscriber) Attach(snapshot func() taskvisor.Snapshot) error {
	name := snapshot().Supervisor
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	s.name, s.snapshot = name, snapshot
	s.o.sups[s] = struct{}{}
	return nil
}

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
		for _, m := range s.o.tasks[a.TaskID] {
			if !m.inside {
				continue
			}
			m.running, m.begun = a.Number, true
			term = &Term{Key: m.l.name, Wait: m.wait, l: m.l}
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
	if term == nil {
		return ctx
	}
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

// attached reports whether a supervisor of that name has our subscriber.
func (o *Owner) attached(supervisor string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range o.sups {
		if s.name == supervisor {
			return true
		}
	}
	return false
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
