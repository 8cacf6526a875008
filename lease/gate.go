package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Singleton has the attempts of a task run in one process at a time, of all whose
// owners use the same store, prefix and key. In the others the task is pending, and
// its gate is "lease KEY", so keys of singletons should be few; [Owner.Shard] is for
// many. The lease is kept from the first attempt until the task ends, between attempts
// too. Tasks of one owner with the same key share the lease.
//
// The supervisor must have [Owner.Subscriber], and the task a grace
// ([taskvisor.WithGrace]) of no more than a quarter of the TTL, which is the time that
// a body has to return after the lease was lost. Otherwise the task never begins: it
// is stopped with an error that says what to set, and the event Refused says so too.
// Singleton panics if the key is unfit: empty, of more than 1024 bytes, not valid UTF-8, with
// control characters, or beginning with "slot/", "shard/" or "member/", where the leases of
// slots, of shards and of who shares them are.
func (o *Owner) Singleton(key string) taskvisor.TaskOption {
	err := validKey("key", key)
	if mode := modeOf(key); err == nil && mode != ModeSingleton {
		err = fmt.Errorf("key %q would be one of mode %s: %q, %q and %q are not for singletons", key, mode, slotPart, shardPart, memberPart)
	}
	if err != nil {
		panic("lease: " + err.Error())
	}
	return taskvisor.WithGate(&gate{o: o, name: key, label: "lease " + key})
}

// gate is the lease of one key as a gate.
type gate struct {
	o     *Owner
	name  string
	label string
}

// String implements taskvisor.Gate.
func (g *gate) String() string { return g.label }

// Enter implements taskvisor.Gate.
func (g *gate) Enter(a taskvisor.Attempt, ready func()) (ok bool) {
	if !g.check(a) {
		return false
	}
	g.o.do(func(x *acts, now time.Time) {
		l := g.o.leaseLocked(g.name, now)
		m := l.member(a, a.Handle())
		m.ready, m.inside, m.running = nil, false, 0
		if m.asked.IsZero() {
			m.asked = now
		}
		if l.valid(now) && !l.lapsing {
			m.inside, m.token, m.wait = true, l.token, now.Sub(m.asked)
			ok = true
			return
		}
		m.ready = ready
		l.settle(x, now)
	})
	return ok
}

// Leave implements taskvisor.Gate. The lease is kept for a task that has begun: whether
// it goes on is what the subscriber is told. One that has not is forgotten, since it may
// have ended while Enter was asked, and nothing more is said of it.
func (g *gate) Leave(a taskvisor.Attempt) {
	g.o.do(func(x *acts, now time.Time) {
		l := g.o.leases[g.o.prefix+g.name]
		if l == nil {
			return
		}
		if m := l.members[a.TaskID]; m != nil {
			m.ready, m.inside, m.running, m.asked = nil, false, 0, time.Time{}
			if !m.begun {
				g.o.forgetMember(m)
				m.drop(x, now)
				return
			}
			l.settle(x, now)
		}
	})
}

var errNoSubscriber = errors.New("lease: the supervisor needs taskvisor.WithSubscriber(owner.Subscriber())")

// check stops a task that cannot be leased, and reports whether it can be.
func (g *gate) check(a taskvisor.Attempt) bool {
	h := a.Handle()
	var err error
	switch grace := a.Spec.Grace(); {
	case !g.o.attachedTo(h):
		if _, ended := h.Outcome(); ended { // while it was asked: its supervisor knows it no more
			return false
		}
		err = errNoSubscriber
	case grace > g.o.margin():
		err = &graceError{a.Task, grace, g.o.ttl, g.o.margin()}
	default:
		return true
	}
	g.o.observe(Event{Time: time.Now(), Kind: Refused, Key: g.name, Owner: g.o.id, Task: a.Task, Supervisor: a.Supervisor, Err: err})
	h.StopFor(err)
	return false
}

// graceError says what to set.
type graceError struct {
	task               string
	grace, ttl, margin time.Duration
}

func (e *graceError) Error() string {
	return fmt.Sprintf("lease: task %q has a grace of %s, and a lease of %s leaves %s after its deadline: set taskvisor.WithGrace(%s) on the task, or lease.WithTTL(%s)",
		e.task, e.grace, e.ttl, e.margin, e.margin, 4*e.grace)
}

// leaseLocked returns the lease of a key, which it makes if there is none.
func (o *Owner) leaseLocked(name string, now time.Time) *lease {
	key := o.prefix + name
	l := o.leases[key]
	if l == nil {
		l = &lease{o: o, key: key, name: name, state: Idle, since: now, members: make(map[taskvisor.TaskID]*member)}
		o.leases[key] = l
	}
	return l
}

// member returns the task of a among those of the lease, which it joins if it is new.
func (l *lease) member(a taskvisor.Attempt, h *taskvisor.Handle) *member {
	m := l.members[a.TaskID]
	if m == nil {
		m = &member{l: l, id: a.TaskID, h: h, task: a.Task, sup: a.Supervisor}
		if len(l.members) == 0 {
			l.task, l.sup = a.Task, a.Supervisor
		}
		l.members[a.TaskID] = m
		l.o.tasks[a.TaskID] = append(l.o.tasks[a.TaskID], m)
	}
	return m
}

// drop forgets a task that has ended, or has not begun. If its body was abandoned and nobody will hear of
// its return, the lease is not released.
func (m *member) drop(x *acts, now time.Time) {
	l := m.l
	delete(l.members, m.id)
	if m.abandoned && (l.state == Held || l.state == Losing) {
		l.lapse()
		l.zombie = true
	}
	l.settle(x, now)
}

// forgetMember is for a task of which others may still be members.
func (o *Owner) forgetMember(m *member) {
	rest := slices.DeleteFunc(o.tasks[m.id], func(other *member) bool { return other == m })
	if o.tasks[m.id] = rest; len(rest) == 0 {
		delete(o.tasks, m.id)
	}
}

type termKey struct{}

// Term is what an attempt runs under.
type Term struct {
	Key      string // of the lease, without the prefix
	Token    uint64
	Wait     time.Duration // that the attempt waited for the lease; 0 where this process had it
	Previous string        // of the first attempt under a token: the note that was left under one before; see Note

	TaskID taskvisor.TaskID // of the attempt's task

	l *lease
}

// TermOf returns the lease that the attempt of ctx runs under, and whether there is one;
// with several leases, that of the last gate. It never changes for one ctx.
func TermOf(ctx context.Context) (Term, bool) {
	if t, _ := ctx.Value(termKey{}).(*Term); t != nil {
		return *t, true
	}
	return Term{}, false
}

// Token returns the token of the lease that the attempt of ctx runs under, and whether
// there is one, as [TermOf] does. Hand it to whatever the attempt writes to, which
// refuses a write whose token is less than one that it has seen: nothing else keeps out a
// process that was paused between its check and its write.
func Token(ctx context.Context) (token uint64, ok bool) {
	t, ok := TermOf(ctx)
	return t.Token, ok
}
