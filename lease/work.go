package lease

import (
	"context"
	"errors"
	"maps"
	"time"
)

// worker makes requests, one after the other, until none is left.
func (o *Owner) worker() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.workers--
			o.mu.Unlock()
			return
		}
		l := o.queue[0]
		o.queue = o.queue[1:]
		state, token := l.state, l.token
		note, noted, again := l.note, l.noted, l.fails > 0
		l.again, l.refused = false, false
		o.mu.Unlock()
		switch state {
		case Seeking:
			o.acquire(l)
		case Leaving:
			o.release(l, token, note, noted, again)
		default:
			o.do(func(x *acts, now time.Time) { l.answered(x, now) })
		}
	}
}

// acquire asks for a lease.
func (o *Owner) acquire(l *lease) {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience())
	defer cancel()
	sent := time.Now() // before the request: the store counts from later
	token, note, err := l.take(ctx)
	o.do(func(x *acts, now time.Time) {
		var held *HeldError
		switch {
		case err == nil:
			o.ailing = false
			l.busy = false
			l.granted(x, token, note, sent, now)
		case errors.Is(err, ErrHeld):
			o.ailing = false
			l.holder, l.refused = "", true
			if errors.As(err, &held) {
				l.holder = held.Holder
			}
			l.fails = 0
		default:
			l.failed(x, err, now)
			l.again = true
		}
		l.answered(x, now)
	})
}

// release gives a lease back. It tries until the lease has expired anyway.
func (o *Owner) release(l *lease, token uint64, note string, noted, again bool) {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience())
	defer cancel()
	err := l.giveBack(ctx, token, note, noted, again)
	o.do(func(x *acts, now time.Time) {
		switch {
		case err == nil:
			o.ailing = false
			x.event(l, now, Event{Kind: Released, Token: token, Took: now.Sub(l.got)})
			l.busy = false
			l.left(x, now)
		case now.Before(l.expiry()):
			l.failed(x, err, now)
		default:
			l.failed(x, err, now)
			l.busy = false
			l.left(x, now)
		}
		l.answered(x, now)
	})
}

// answered goes on after a request.
func (l *lease) answered(x *acts, now time.Time) {
	for _, c := range l.waiters {
		close(c)
	}
	l.waiters = nil
	l.busy = false
	for _, queued := range l.o.queue { // by a transition above
		l.busy = l.busy || queued == l
	}
	l.settle(x, now)
}

// failed notes a request of which nothing is known, and lets the lease rest.
func (l *lease) failed(x *acts, err error, now time.Time) {
	l.fails++
	l.rest = now.Add(jitter(min(l.o.ttl/50<<min(l.fails, 4), l.o.every())))
	if !l.o.ailing {
		l.o.ailing = true
		x.event(l, now, Event{Kind: StoreFailed, Err: err})
	}
}

// keep renews what is held, until nothing is. What a request that renewed others has left
// is asked for again by itself, the more of it the later: requests grow by half at most.
func (o *Owner) keep() {
	all := time.Now().Add(o.every()) // when the next request for all of them is due
	next, rest, n := all, map[string]uint64(nil), 0
	for {
		held := o.renewable()
		if held == nil {
			return
		}
		if wait := time.Until(next); wait > 0 {
			o.keeper.sleep(wait)
			continue
		}
		sent := time.Now()
		whole := !sent.Before(all)
		if whole {
			all, n = sent.Add(o.every()), len(held)
		} else {
			maps.DeleteFunc(held, func(key string, token uint64) bool { return rest[key] != token })
		}
		err := o.renew(held, sent)
		rest, next = held, all
		switch {
		case err == nil:
		case whole && len(rest) == n: // nobody has answered
			all = time.Now().Add(jitter(o.ttl / 50))
			next = all
		default:
			pause := max(o.ttl/50, 2*o.every()*time.Duration(len(rest))/time.Duration(n))
			if again := time.Now().Add(jitter(pause)); again.Before(all) {
				next = again
			}
		}
	}
}

// renewable lists what is to be renewed. If that is nothing, the keeper has ended.
func (o *Owner) renewable() map[string]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var held map[string]uint64
	for key, l := range o.leases {
		if l.renewable() {
			if held == nil {
				held = make(map[string]uint64, len(o.leases))
			}
			held[key] = l.token
		}
	}
	if held == nil {
		o.keeper.on = false
	}
	return held
}

func (l *lease) renewable() bool { return l.state == Held && !l.lapsing }

// renew makes one request for leases that are held, and leaves in the map what that did
// not renew.
func (o *Owner) renew(held map[string]uint64, sent time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.patience())
	defer cancel()
	lost, err := o.store.Renew(ctx, o.id, held, o.ttl)
	renewed := maps.Clone(held)
	var some *RenewError
	switch {
	case errors.As(err, &some):
		for _, key := range some.Keys {
			delete(renewed, key)
		}
	case err != nil:
		clear(renewed)
	}
	o.do(func(x *acts, now time.Time) {
		for _, key := range lost {
			if l := o.leases[key]; l != nil && l.state == Held && l.token == held[key] {
				l.lose(x, LostStolen, now)
			}
			delete(held, key)
			delete(renewed, key)
		}
		if err != nil && !o.failing {
			x.events = append(x.events, Event{Time: now, Kind: RenewFailed, Owner: o.id, Err: err, Took: now.Sub(sent)})
		}
		o.failing = err != nil
		if err != nil && len(renewed) == 0 {
			return
		}
		least := o.deadline()
		for key, token := range renewed {
			if l := o.leases[key]; l != nil && l.token == token && l.valid(now) {
				least = min(least, l.renewed(sent, now))
			}
			delete(held, key)
		}
		x.events = append(x.events, Event{Time: now, Kind: Renewed, Owner: o.id, Took: now.Sub(sent), Margin: least})
	})
	return err
}
