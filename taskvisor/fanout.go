package taskvisor

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// Waking a parked worker costs who publishes some 2 µs. So one that was woken
// again and again naps instead of resting until the next event: with 16
// subscribers and 100 000 events per second that is 1 000 naps instead of up to
// 100 000 wake-ups for each of them. And where so much came that it was called
// from its nap, it lingers afterwards until a batch is there, for two yields per
// reader: each lets the others run.
const (
	lingerPer = 2
	napAfter  = 16 // rests in a row that were shorter than a nap
	napTime   = time.Millisecond
	napShare  = 4 // a nap ends early when that part of the capacity is waiting
)

// fanout carries events from their owners (the tasks and the supervisor) to
// subscribers. Queued ones read the ring, each with a worker. Inline ones are
// called through the owner's outbox, after its lock was released.
type fanout struct {
	supervisor string
	clock      *clock
	plain      views       // for events without values
	silent     bool        // nobody listens: only numbers are given out
	queued     bool        // somebody reads the ring
	closing    atomic.Bool // the shutdown has begun
	sinks      []*sink     // all subscribers
	inline     []*sink
	brackets   []*sink
	gate       chan struct{} // a place in it for each that came in while a subscriber was behind
	quiet      chan struct{} // capacity 1: one of the two below may have dropped to 0
	bufs       sync.Pool     // of *outbuf

	_    apart
	seq  atomic.Uint64 // numbers, where nobody listens
	ring ring

	_           apart
	inside      atomic.Int64 // transitions under way; see maxInside
	undelivered atomic.Int64 // events in outboxes
	workers     atomic.Int64 // that have not ended

	mu   sync.Mutex // owner of the events that belong to no task
	root outbox     // guarded by mu
}

func (f *fanout) init(s *Supervisor, drain context.Context, subs []subscriberConfig) {
	f.supervisor, f.clock = s.cfg.name, &s.clock
	queued := context.WithValue(drain, callbackKey{}, s)
	f.plain = views{queued: eventCtx{queued, context.Background()},
		inline: eventCtx{context.WithValue(queued, inlineKey{}, s), context.Background()}}
	f.silent = len(subs) == 0
	f.quiet = make(chan struct{}, 1)
	f.gate = make(chan struct{}, maxInside/2)
	names := map[string]int{}
	for _, sc := range subs {
		s := &sink{subscriberConfig: sc}
		if names[sc.name]++; names[sc.name] > 1 {
			s.name = fmt.Sprintf("%s#%d", sc.name, names[sc.name])
		}
		if s.bracket, _ = sc.sub.(AttemptBracket); s.bracket != nil {
			f.brackets = append(f.brackets, s)
		}
		if sc.inline {
			f.inline = append(f.inline, s)
		} else {
			s.reader = f.ring.add(sc.capacity, sc.patience)
			f.queued = true
		}
		f.sinks = append(f.sinks, s)
	}
}

// start begins delivery to queued subscribers.
func (f *fanout) start() {
	for _, s := range f.sinks {
		if s.reader != nil {
			f.workers.Add(1)
			f.spawnWorker(s)
		}
	}
}

func (f *fanout) spawnWorker(s *sink) {
	// Started with the supervisor, or by a worker that runtime.Goexit ends; ends
	// when the ring is sealed and read, or its reader was cut off; the drain waits
	// for it, up to its deadline.
	go f.work(s)
}

// box puts a finished event into its owner's outbox, if there are inline
// subscribers. The owner's lock is held, and the ring's.
func (f *fanout) box(o *outbox, r *entry) {
	if len(f.inline) == 0 {
		return
	}
	if o.buf == nil {
		if o.buf, _ = f.bufs.Get().(*outbuf); o.buf == nil {
			o.buf = &outbuf{}
		}
	}
	o.buf.list = append(o.buf.list, *r)
	f.undelivered.Add(1)
}

// announce publishes an event that belongs to no task. No lock is held.
func (f *fanout) announce(e Event) {
	e.Time, _ = f.clock.now()
	f.mu.Lock()
	if f.silent {
		f.seq.Add(1)
	} else {
		f.ring.mu.Lock()
		if r := f.ring.next(e.Kind); r != nil {
			e.Seq = r.Seq
			r.view = nil
			r.Event = e
			f.box(&f.root, r)
		}
		f.ring.mu.Unlock()
	}
	f.unlock(&f.mu, &f.root)
}

// last returns the number of the last event.
func (f *fanout) last() uint64 {
	if f.silent {
		return f.seq.Load()
	}
	return f.ring.head.Load()
}

// stepAside yields to subscribers that are falling behind and have credit. It is
// called by publishers before a transition, without any lock.
func (f *fanout) stepAside() {
	for f.ring.pressed.Load() && f.ring.yield() {
		runtime.Gosched()
	}
}

// maxInside bounds the transitions that are under way at a time where there are
// queued subscribers. Each publishes at most four events, so that all of them fit
// into the free half of the default capacity: who steps aside loses nothing to
// those who need not.
const maxInside = 64

// enter precedes a transition that publishes, without any lock; exit follows it,
// and is given what enter returned. Who is inside waits for nothing but locks. As
// long as a subscriber is falling behind, or too many are inside, the others come
// in through a gate: a hundred thousand runnable goroutines that yield to each
// other would spend all credit before the worker has run once.
func (f *fanout) enter() (gated bool) {
	if !f.queued {
		return false
	}
	if f.inside.Add(1) <= maxInside && !f.ring.pressed.Load() {
		return false
	}
	f.inside.Add(-1)
	f.gate <- struct{}{} // who is past it gives way after a bounded number of yields
	f.stepAside()
	f.inside.Add(1)
	return true
}

func (f *fanout) exit(gated bool) {
	if !f.queued {
		return
	}
	f.inside.Add(-1)
	if gated {
		<-f.gate
	}
}

// unlock releases an owner's lock and delivers what the owner published.
func (f *fanout) unlock(mu *sync.Mutex, o *outbox) {
	buf := f.detach(o)
	mu.Unlock()
	f.deliverAfter(mu, o, buf)
}

// deliverAfter wakes workers and delivers what detach returned. It calls
// subscribers: the caller holds no lock and has nothing left to do that others
// wait for.
func (f *fanout) deliverAfter(mu *sync.Mutex, o *outbox, buf *outbuf) {
	if f.silent {
		return
	}
	f.ring.wakeParked()
	switch {
	case buf == nil:
	case f.closing.Load(): // no subscriber can hold up the shutdown
		f.attendAside(mu, o, buf)
	default:
		f.attend(mu, o, buf)
	}
}

// attend delivers buf and what came meanwhile. An inline subscriber that calls
// runtime.Goexit ends the goroutine that this runs on, so another takes over.
func (f *fanout) attend(mu *sync.Mutex, o *outbox, buf *outbuf) {
	finished := false
	defer func() {
		if !finished {
			f.attendAside(mu, o, buf)
		}
	}()
	for {
		f.deliver(buf)
		mu.Lock()
		if o.buf == nil || o.buf.heir != nil {
			o.attended = false
			o.release()
			mu.Unlock()
			finished = true
			return
		}
		buf, o.buf = o.buf, nil
		enough := o.take(len(buf.list))
		mu.Unlock()
		if enough {
			f.attendAside(mu, o, buf)
			finished = true
			return
		}
	}
}

func (f *fanout) attendAside(mu *sync.Mutex, o *outbox, buf *outbuf) {
	// Started by who publishes during a shutdown, by a goroutine that runtime.Goexit
	// ends, or by one that has done enough for others; ends when the outbox is empty
	// or as those do; the drain waits for what is undelivered.
	go f.attend(mu, o, buf)
}

func (f *fanout) deliver(buf *outbuf) {
	for ; buf.next < len(buf.list); buf.next, buf.sink = buf.next+1, 0 {
		r := &buf.list[buf.next]
		for buf.sink < len(f.inline) {
			s := f.inline[buf.sink]
			buf.sink++ // first: a call that does not come back is not repeated
			s.called.Add(1)
			r.Supervisor = f.supervisor
			f.call(s, r)
		}
	}
	n := len(buf.list)
	clear(buf.list)
	buf.list, buf.next = buf.list[:0], 0
	f.bufs.Put(buf)
	if f.undelivered.Add(-int64(n)) == 0 {
		f.signalQuiet()
	}
}

func (f *fanout) signalQuiet() {
	select {
	case f.quiet <- struct{}{}:
	default:
	}
}

// work delivers s's events until there are none any more.
func (f *fanout) work(s *sink) {
	ended := false
	defer func() {
		if !ended { // runtime.Goexit: it costs the event and this goroutine
			f.spawnWorker(s)
			return
		}
		f.workers.Add(-1)
		f.signalQuiet()
	}()
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(),
		pprof.Labels("taskvisor_subscriber", s.name, "taskvisor_supervisor", f.supervisor)))
	for {
		f.deliverBatch(s)
		if ended = f.refill(s); ended {
			return
		}
	}
}

// deliverBatch delivers what is in hand, and goes on behind an event that the
// subscriber panicked about. It reports false if the reader was cut off.
func (f *fanout) deliverBatch(s *sink) {
	for !f.deliverRest(s) {
		continue
	}
}

// deliverRest advances the position before each call, so that whoever cuts the
// reader off, or takes over from a worker that was ended, goes on behind the
// event that did not come back.
func (f *fanout) deliverRest(s *sink) (done bool) {
	rd := s.reader
	var kind EventKind
	defer func() {
		if !done {
			f.contain(s, kind, recover())
		}
	}()
	for i := rd.pos.Load(); i >= 0 && int(i) < rd.size; i++ {
		if !rd.pos.CompareAndSwap(i, i+1) {
			break // cut off
		}
		r := &rd.batch[i]
		kind = r.Kind
		r.Supervisor = f.supervisor
		v := r.view
		if v == nil {
			v = &f.plain
		}
		s.sub.OnEvent(&v.queued, r.Event)
	}
	return true
}

// refill waits for the next batch and reports whether there will be none.
func (f *fanout) refill(s *sink) (ended bool) {
	r, rd := &f.ring, s.reader
	for i := 0; rd.busy && i < lingerPer*len(r.readers) && !r.hasBatch(rd); i++ {
		runtime.Gosched()
	}
	if rd.short >= napAfter {
		some, ended := r.take(rd, s.name, f.clock, max(1, rd.capacity/napShare))
		if some || ended {
			return ended
		}
		if rd.busy = !rd.doze(r); rd.busy {
			return false
		}
	}
	some, ended := r.take(rd, s.name, f.clock, 1)
	if some || ended {
		return ended
	}
	begun := time.Now()
	rd.await(r)
	if rd.short++; time.Since(begun) >= napTime {
		rd.short = 0
	}
	return false
}

// drain waits until inline and queued subscribers have seen everything, after
// the ring was sealed, or until the deadline; then it gives up those that have
// not.
func (f *fanout) drain(deadline time.Time) {
	f.ring.wakeAll()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for f.workers.Load() > 0 || f.undelivered.Load() > 0 {
		select {
		case <-f.quiet:
		case <-timer.C:
			for _, s := range f.sinks {
				if s.reader != nil {
					f.ring.cut(s.reader)
				}
			}
			f.ring.wakeAll()
			return
		}
	}
}
