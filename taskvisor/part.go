package taskvisor

import "time"

// parting is what is left to do about a task without its lock. It is no part of
// the runner, whose every byte an idle task pays for.
type parting struct {
	now      time.Time // of the transition that ended the work
	last     actions   // of it
	held     bool      // a permit is to be released
	again    bool      // the next attempt got one at once
	next     *task     // who got it
	released bool      // the task left when it was abandoned
	account  account
	buf      *outbuf
}

// leaveLocked ends the goroutine's work: the task waits, or it is gone.
func (r *runner) leaveLocked(a actions, p *parting) {
	t := r.t
	t.run, r.c, r.live = nil, nil, nil
	t.armLocked(r.at)
	r.step = stepPart
	*p = parting{now: p.now, last: a, held: t.permit, released: t.releasedLocked(), account: t.accountLocked()}
	t.permit = false
	if a&doAgain != 0 { // others wait for a permit
		p.held = false
		p.next = t.sup.permits.requeue(t)
		if t.queued = !t.permit; t.permit {
			t.m.begin()
			p.again = true
		}
	}
	p.buf = t.sup.fan.detach(&t.out)
	t.mu.Unlock()
}

// part is a step of its own to be called from the loop: a task's end is the
// deepest point of its stack, and two kilobytes are to suffice for it.
func (r *runner) part(p *parting) {
	t := r.t
	s := t.sup
	if r.step = stepDone; p.again {
		r.step = stepBegin
	}
	if p.held {
		p.next = s.permits.release()
	}
	s.grant(p.next)
	var gone departed
	switch {
	case p.last&doLeave == 0:
	case !p.released:
		gone = t.depart(p.now, r.at, p.account)
	case p.last&doTerminal != 0:
		s.reg.returned(t, 1)
	default:
		s.reg.returned(t, 0)
	}
	s.fan.exit(r.gated) // TaskRemoved was one more event of the same transition
	if p.buf != nil {   // and then depart found the outbox attended
		gone.buf = p.buf
	}
	t.follow(gone)
}
