package taskvisor

// outbox holds an owner's events on their way to inline subscribers. It is
// guarded by the owner's lock; whoever releases that lock and finds it full and
// unattended delivers, so that order holds and a re-entrant call returns.
type outbox struct {
	buf      *outbuf
	attended bool
	taken    uint32 // events that this attendance has found meanwhile
}

type outbuf struct {
	list []entry
	next int           // entry being delivered
	sink int           // inline subscriber that it goes to
	heir chan struct{} // closed when the runner that waits for it may go on
}

// detach takes what is in the outbox unless somebody attends to it already. The
// owner's lock is held; after releasing it the caller owes a deliverAfter.
func (f *fanout) detach(o *outbox) *outbuf {
	if o.buf == nil || o.attended {
		return nil
	}
	buf := o.buf
	o.buf = nil
	o.attended, o.taken = true, 0
	return buf
}

// maxBehind is how many events of a task others deliver while its attempts go on;
// then the one that makes them delivers them itself. Without that, attempts that
// follow each other at once keep an Add that found the first of their events for
// as long as they are the faster ones, and fill the outbox without end.
const maxBehind = 64

// maxKept is how many events of others somebody delivers before a goroutine that
// has nothing else to do takes over. They come from many who refuse, join or stop
// at the same time, or from a subscriber that begets them.
const maxKept = 1024

// take counts n more events of others and reports whether that is enough. The
// owner's lock is held.
func (o *outbox) take(n int) (enough bool) {
	if o.taken += uint32(n); o.taken < maxKept {
		return false
	}
	o.taken = 0
	return true
}

// claim is called by a task's runner when it has published. If it is too far ahead
// of whoever attends to the outbox, it gets what to wait for, see inherit; not if
// the task is being stopped: that waits for no subscriber. The owner's lock is
// held.
func (o *outbox) claim(stopped bool) (heir chan struct{}) {
	if !o.attended || stopped || o.buf == nil || int(o.taken)+len(o.buf.list) <= maxBehind {
		return nil
	}
	o.buf.heir = make(chan struct{})
	return o.buf.heir
}

// release lets the runner go on that waits, if one does. The owner's lock is held.
func (o *outbox) release() {
	if o.buf != nil && o.buf.heir != nil {
		close(o.buf.heir)
		o.buf.heir = nil
	}
}

// inherit waits until the outbox was left to the runner, whose goroutine this is,
// or the task is stopped, and returns what is to be delivered. Who attends to an
// outbox waits for no runner, and a runner that waits attends to none.
func (t *task) inherit(heir chan struct{}) *outbuf {
	f := &t.sup.fan
	f.ring.wakeParked()
	<-heir
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.detach(&t.out)
}
