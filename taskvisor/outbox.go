package taskvisor

import (
	"slices"
	"sync"
)

// outbox holds an owner's events on their way to inline subscribers; nil where there
// are none. It is
// guarded by the owner's lock; whoever releases that lock and finds it full and
// unattended delivers, so that order holds and a re-entrant call returns.
type outbox struct {
	buf      *outbuf // nil: it is empty
	attended bool
	room     chan struct{} // made by an attempt that waits; closed when there is room again
}

// outbuf is what somebody has taken from an outbox to deliver.
type outbuf struct {
	events []entry
	next   int // event being delivered
	sink   int // inline subscriber that it goes to
}

const (
	// maxBehind is how many events of a task may wait while its attempts go on. An
	// attempt that is further ahead of whoever delivers waits: the outbox would
	// otherwise grow without end.
	maxBehind = 64

	// maxKept is how many events somebody delivers who has something else to do.
	maxKept = 128

	// maxAttending is how many goroutines may be in inline subscribers before a
	// further one is left to a goroutine of its own. A subscriber that submits from
	// within a call calls itself, for another task: this bounds how deep.
	maxAttending = 64
)

// putLocked adds an event.
func (o *outbox) putLocked(f *fanout, en *entry) {
	if o.buf == nil {
		if o.buf, _ = f.bufs.Get().(*outbuf); o.buf == nil {
			o.buf = &outbuf{}
		}
	}
	n := len(o.buf.events)
	o.buf.events = slices.Grow(o.buf.events, 1)[:n+1]
	o.buf.events[n] = *en // append would make a copy on the stack of an attempt
	f.undelivered.Add(1)
}

// detachLocked takes what is in the outbox unless somebody attends to it already. The
// owner's lock is held; after releasing it the caller is to deliver.
func (o *outbox) detachLocked() *outbuf {
	if o == nil || o.buf == nil || o.attended {
		return nil
	}
	buf := o.buf
	o.buf, o.attended = nil, true
	return buf
}

// roomLocked lets an attempt go on that waits for room.
func (o *outbox) roomLocked() {
	if o != nil && o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// awaitRoom keeps an attempt from running too far ahead of whoever delivers its
// events, unless its task is being stopped: that waits for no subscriber.
func (t *task) awaitRoom() {
	o := t.out
	if o == nil {
		return
	}
	t.mu.Lock()
	if !o.attended || o.buf == nil || len(o.buf.events) <= maxBehind || t.m.StoppedFor() != 0 {
		t.mu.Unlock()
		return
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	room := o.room
	t.mu.Unlock()
	<-room
}

// deliver calls inline subscribers for what detach returned. The caller holds no lock
// and has nothing left to do that others wait for.
func (f *fanout) deliver(mu *sync.Mutex, o *outbox, buf *outbuf) {
	if buf == nil {
		return
	}
	if f.closing.Load() || f.attending.Load() >= maxAttending {
		background(func() { f.attend(mu, o, buf) }) // no subscriber can hold up the shutdown
		return
	}
	f.attend(mu, o, buf)
}

// attend delivers buf and what came meanwhile. An inline subscriber that calls
// runtime.Goexit ends the goroutine that this runs on, so another takes over.
func (f *fanout) attend(mu *sync.Mutex, o *outbox, buf *outbuf) {
	f.attending.Add(1)
	finished, taken := false, 0
	defer func() {
		f.attending.Add(-1)
		if !finished {
			background(func() { f.attend(mu, o, buf) })
		}
	}()
	for {
		taken += len(buf.events)
		f.deliverAll(buf)
		mu.Lock()
		o.roomLocked()
		if o.buf == nil {
			o.attended = false
			mu.Unlock()
			finished = true
			return
		}
		buf, o.buf = o.buf, nil
		mu.Unlock()
		if taken >= maxKept {
			return // not finished: a goroutine that has nothing else to do goes on
		}
	}
}

func (f *fanout) deliverAll(buf *outbuf) {
	for ; buf.next < len(buf.events); buf.next, buf.sink = buf.next+1, 0 {
		for buf.sink < len(f.inline) {
			s := f.inline[buf.sink]
			buf.sink++ // first: a call that does not come back is not repeated
			s.called.Add(1)
			f.call(s, &buf.events[buf.next])
		}
	}
	n := len(buf.events)
	clear(buf.events)
	buf.events, buf.next = buf.events[:0], 0
	f.bufs.Put(buf)
	if f.undelivered.Add(-int64(n)) == 0 {
		f.signalQuiet()
	}
}
