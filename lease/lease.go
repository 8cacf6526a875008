package lease

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// State is where an owner is with a lease; see the package comment.
type State uint8

// The states.
const (
	Idle    State = iota + 1 // nobody here wants it
	Seeking                  // asked for; a task waits for it
	Held                     // ours, until the deadline
	Losing                   // no longer relied on; bodies are being waited for
	Leaving                  // being released
)

var stateLabels = []string{"", "idle", "seeking", "held", "losing", "leaving"}

// String returns the stable label.
func (s State) String() string { return label(stateLabels, uint8(s)) }

// MarshalText returns the label.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// lease is one key as this owner sees it. Its fields are guarded by the owner's lock.
type lease struct {
	o    *Owner
	key  string // in the store
	name string // without the prefix

	state   State
	since   time.Time // of the state
	asked   time.Time // when it was first asked for, of Seeking
	token   uint64    // of Held, Losing and Leaving
	got     time.Time // likewise: when it was granted
	holder  string    // another owner, where it is known; of Seeking
	sent    time.Time // when the last renewal that succeeded was sent
	least   time.Duration
	timer   *time.Timer
	members map[taskvisor.TaskID]*member
	claims  int    // of submissions that are being made
	task    string // the first of its members, for events; it stays when that has gone
	sup     string // its supervisor

	busy    bool      // it is in the queue, or a worker makes a request for it
	refused bool      // the last answer was ErrHeld
	again   bool      // asked for since the last answer: ask once more
	fails   int       // requests in a row that failed
	rest    time.Time // no request before
	lapsing bool      // of Held and Losing: not renewed any more
	zombie  bool      // a body runs that nobody will hear of again: it is not released, it expires
	overrun bool      // of Losing: said so

	waiters []chan struct{} // closed at the next answer; see Owner.claim

	previous string // the note that came with the token, until an attempt was told of it
	kept     string // the note that the store has
	unsure   bool   // it may have another: a request to write one was not answered
	note     string // the one that it is to have
	noted    bool   // it was left under the token
	noting   bool   // it is among those that are to be written
}

// member is one task that is registered with a lease.
type member struct {
	l         *lease
	id        taskvisor.TaskID
	h         *taskvisor.Handle
	task      string
	sup       string        // the supervisor's name
	asked     time.Time     // since when it waits, or has waited until it was let in
	wait      time.Duration // of the attempt that was let in
	ready     func()        // it waits; nil: it does not
	inside    bool          // it was let in
	token     uint64        // under which
	running   int           // its attempt that runs; 0: none
	begun     bool          // an attempt of it has begun
	abandoned bool          // its body is, and has not come back
}

// wanted reports whether somebody would run if it were ours.
func (l *lease) wanted() bool {
	for _, m := range l.members {
		if m.ready != nil || m.inside {
			return true
		}
	}
	return l.claims > 0
}

// claimed reports whether it is to be kept.
func (l *lease) claimed() bool { return len(l.members) > 0 || l.claims > 0 }

// runs reports whether a body runs.
func (l *lease) runs() bool {
	for _, m := range l.members {
		if m.running != 0 {
			return true
		}
	}
	return false
}

// valid reports whether attempts may rely on it.
func (l *lease) valid(now time.Time) bool {
	return l.state == Held && now.Sub(l.sent) < l.o.deadline()
}

// expiry is the earliest time at which the store may give it to another.
func (l *lease) expiry() time.Time { return l.sent.Add(l.o.ttl) }

func (l *lease) enter(s State, now time.Time) {
	l.count(-1)
	l.state, l.since = s, now
	l.count(1)
}

// lapse ends the renewals.
func (l *lease) lapse() {
	l.count(-1)
	l.lapsing = true
	l.count(1)
}

// count adds n to the owner's counts of leases like this.
func (l *lease) count(n int) {
	switch {
	case l.state == Seeking:
		l.o.sought += n
	case l.renewable():
		l.o.held += n
	}
}

// settle does what the state asks for. It is called after every change.
func (l *lease) settle(x *acts, now time.Time) {
	switch l.state {
	case Idle:
		switch {
		case l.wanted():
			l.enter(Seeking, now)
			l.asked, l.holder, l.again, l.fails = now, "", true, 0
			l.settle(x, now)
		case l.claimed() || l.busy:
		case now.Before(l.rest): // remembered until then
			l.arm(l.rest.Sub(now))
		default:
			l.stop()
			if l.o.leases[l.key] == l {
				delete(l.o.leases, l.key)
			}
		}
	case Seeking:
		if !l.wanted() {
			l.enter(Idle, now)
			l.settle(x, now)
		} else if l.again {
			l.request(now)
		}
	case Held:
		if !l.claimed() && !l.zombie {
			l.leave(now)
		}
	case Losing:
		switch {
		case l.runs():
		case l.zombie:
			l.rest = l.expiry()
			l.forget(x, now)
			l.arm(l.rest.Sub(now))
		default:
			l.leave(now)
		}
	case Leaving:
		l.request(now)
	}
}

// leave begins the release.
func (l *lease) leave(now time.Time) {
	l.stop()
	l.enter(Leaving, now)
	l.o.leaving++
	l.fails = 0
	l.request(now)
}

// left ends it, whatever came of the request.
func (l *lease) left(x *acts, now time.Time) {
	o := l.o
	if o.leaving--; o.leaving == 0 && o.flushed != nil {
		close(o.flushed)
		o.flushed = nil
	}
	l.forget(x, now)
}

// forget makes the lease nobody's, as far as we are concerned.
func (l *lease) forget(x *acts, now time.Time) {
	l.enter(Idle, now)
	l.token, l.lapsing, l.zombie, l.overrun = 0, false, false, false
	l.settle(x, now)
}

// granted takes a lease that was asked for at sent.
func (l *lease) granted(x *acts, token uint64, note string, sent, now time.Time) {
	l.token, l.got, l.sent, l.least, l.fails = token, now, sent, l.o.deadline(), 0
	l.previous, l.kept, l.note, l.noted, l.unsure = readable(note), note, note, false, false
	l.lapsing, l.zombie, l.overrun = false, false, false
	if l.state != Seeking || now.Sub(sent) >= l.o.deadline() { // nobody wants it any more, or it comes too late
		l.leave(now)
		return
	}
	x.event(l, now, Event{Kind: Acquired, Token: token, Took: now.Sub(l.asked)})
	l.enter(Held, now)
	l.holder = ""
	l.arm(l.o.deadline() - now.Sub(sent))
	for _, m := range l.members {
		if m.ready != nil {
			x.ready = append(x.ready, m.ready)
			m.ready = nil
			m.inside = false
		}
	}
	l.o.keeper.wake()
}

// renewed moves the deadline: the renewal was sent at sent. It returns what was left of
// the time until the former.
func (l *lease) renewed(sent, now time.Time) (left time.Duration) {
	left = l.o.deadline() - now.Sub(l.sent)
	l.least = min(l.least, left)
	l.sent = sent
	l.arm(l.o.deadline() - now.Sub(sent))
	return left
}

// lose ends the reliance on the lease, and interrupts what runs under it.
func (l *lease) lose(x *acts, reason LossReason, now time.Time) {
	err := &LostError{Key: l.name, Token: l.token, Reason: reason}
	x.event(l, now, Event{Kind: Lost, Token: l.token, Reason: reason, Err: err, Took: now.Sub(l.since)})
	l.enter(Losing, now)
	for _, m := range l.members {
		if m.inside {
			x.interrupt = append(x.interrupt, interruption{m.h, m.running, err})
		}
	}
	l.arm(l.expiry().Sub(now))
	l.settle(x, now)
}

// arm has fired called in d.
func (l *lease) arm(d time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(max(d, 0), l.fired)
		return
	}
	l.timer.Reset(max(d, 0))
}

func (l *lease) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// fired is the timer's function: for each state it looks at what is due, since the
// timer may have been moved meanwhile.
func (l *lease) fired() {
	l.o.do(func(x *acts, now time.Time) {
		switch l.state {
		case Held:
			switch {
			case l.valid(now):
				l.arm(l.o.deadline() - now.Sub(l.sent))
			case l.lapsing:
				l.lose(x, LostAbandoned, now)
			default:
				l.lose(x, LostDeadline, now)
			}
		case Losing:
			l.overran(x, now)
		case Idle, Seeking, Leaving:
			l.settle(x, now)
		}
	})
}

// overran says that a body runs although the lease may be another's.
func (l *lease) overran(x *acts, now time.Time) {
	if wait := l.expiry().Sub(now); wait > 0 {
		l.arm(wait)
		return
	}
	for _, m := range l.members {
		if m.running != 0 && !l.overrun {
			x.event(l, now, Event{Kind: Overrun, Token: l.token, Task: m.task, Supervisor: m.sup, Took: now.Sub(l.expiry())})
		}
	}
	l.overrun = true
}

// request has a worker do what the state asks for, unless one is at it, or it is to
// rest.
func (l *lease) request(now time.Time) {
	switch {
	case l.busy:
	case now.Before(l.rest):
		l.arm(l.rest.Sub(now))
	default:
		l.busy = true
		l.o.queue = append(l.o.queue, l)
	}
}
