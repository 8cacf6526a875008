package taskvisor

import (
	"slices"
	"sync"
)

// outbox holds an owner's events on their way to inline subscribers; nil where there
// are none. It is guarded by the owner's lock.
//
// A goroutine that made a transition detaches what is in the outbox before it releases
// that lock, and delivers it afterwards: it attends to the outbox, until it finds it
// empty. While it does, others only put events in and go on. So one goroutine at a time
// delivers an owner's events, in their order. A subscriber may call, say, Stop on the task
// that it is called for: that returns at once, and its event is delivered after the call.
type outbox struct {
	buf      *outbuf       // not taken yet; nil: nothing is
	attended bool          // a goroutine has detached events, and looks for more before it stops
	room     chan struct{} // made by an attempt that waits; closed when there is room again; nil: none waits
}

// outbuf is what a goroutine has taken from an outbox to deliver. It says how far that has
// come, so that another goroutine can go on when a subscriber has ended this one.
type outbuf struct {
	events []entry
	next   int // event being delivered
	sink   int // inline subscriber that it goes to next
}

const (
	// maxBehind is how many events of a task may wait while its attempts go on. An
	// attempt that is further ahead of the goroutine that delivers waits: the outbox
	// would otherwise grow without end.
	maxBehind = 64

	// maxKept is about how many events a goroutine delivers before it returns to what it
	// came from, a call of Add for instance. The rest is left to a goroutine of its own:
	// events of others could keep it without end.
	maxKept = 128

	// maxAttending is how many goroutines may be in inline subscribers before a
	// further one is left to a goroutine of its own. A subscriber that submits from
	// within a call calls itself, for another task: this bounds how deep.
	maxAttending = 64
)

// putLocked adds a copy of en. The owner's lock is held and the bus is locked, so it must
// not block. The caller detaches before it releases the owner's lock.
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

// detachLocked takes what is in the outbox unless a goroutine attends to it already, which
// will find it. The owner's lock is held; after releasing it the caller must deliver what
// it got: nobody else does, from here on. nil: there is nothing to deliver.
func (o *outbox) detachLocked() *outbuf {
	if o == nil || o.buf == nil || o.attended {
		return nil
	}
	buf := o.buf
	o.buf, o.attended = nil, true
	return buf
}

// roomLocked lets an attempt go on that waits for room: because events were delivered, or
// because its task was stopped. The owner's lock is held; o may be nil.
func (o *outbox) roomLocked() {
	if o != nil && o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// awaitRoom keeps an attempt from running too far ahead of the goroutine that delivers its
// events, unless its task is being stopped: that waits for no subscriber. It is called on
// the attempt's goroutine, which does not deliver then, without a lock.
func (t *task) awaitRoom() {
	o := t.out
	if o == nil {
		return
	}
	t.mu.Lock()
	// Only a goroutine that attends makes room: without one nobody would end the wait.
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

// deliver calls inline subscribers for what detachLocked returned. The caller holds no lock
// and has nothing left to do that others wait for: a subscriber may end its goroutine,
// or never return. mu is the lock of o's owner.
func (f *fanout) deliver(mu *sync.Mutex, o *outbox, buf *outbuf) {
	if buf == nil {
		return
	}
	if f.closing.Load() || f.attending.Load() >= maxAttending { // no subscriber can hold up the shutdown
		// Started by the goroutine whose transition it was; ends when the outbox is empty;
		// the drain waits for the events, by undelivered. So do those started by attend.
		background(func() { f.attend(mu, o, buf) })
		return
	}
	f.attend(mu, o, buf)
}

// attend delivers buf and what came meanwhile. An inline subscriber that calls
// runtime.Goexit ends the goroutine that this runs on, so another takes over. The outbox
// counts as attended through all of that, so no other goroutine delivers in between.
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
		if o.buf == nil { // decided under the lock: an event that comes later finds it unattended
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

// deliverAll calls every inline subscriber for each event of buf, from where it stands,
// and gives buf back. A panic is contained in call; after a Goexit buf points to the next
// subscriber, so that no call is repeated.
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
	clear(buf.events) // a pool must not keep the user's errors and contexts
	buf.events, buf.next = buf.events[:0], 0
	f.bufs.Put(buf)
	if f.undelivered.Add(-int64(n)) == 0 {
		f.signalQuiet()
	}
}
