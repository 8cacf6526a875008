package taskvisor

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstRing = 64 // entries a ring begins with; it grows when a reader needs it
	batchSize = 64 // entries a reader takes per lock
	yieldsPer = 64 // yields that one consumed event earns
)

// entry is one published event with the context that its readers get.
type entry struct {
	view *views // nil: no values
	Event
}

// noEvent is a number that no event gets.
const noEvent = ^uint64(0)

// ring is the broadcast queue: one array of entries, which every reader walks
// with a cursor of its own. Publishing costs the same for one reader and for
// many, and a reader that falls too far behind is moved on: a jump of its
// cursor, counted exactly.
type ring struct {
	mu        sync.Mutex // guards the fields below; a leaf: nothing is called under it
	entries   []entry    // a power of two; number n is at n & (len−1)
	tight     uint64     // some reader may be out of room once head reaches this
	half      uint64     // some reader may be half full once head passes this
	sealed    bool       // the verdict was published: nothing follows
	scratch   entry      // the last event, where nobody reads the ring
	readers   []*reader
	rouse     uint64 // some parked reader is to be woken once head reaches this
	forgotten uint64 // entries up to this one have been cleared

	head atomic.Uint64 // number of the last entry, which is its event's; written under mu

	_       apart       // publishers ask for the below before they take the lock
	wake    atomic.Bool // entries came while a reader was parked
	pressed atomic.Bool // a reader is more than half full, and has credit
}

// reader is one queued subscriber's place in the ring.
type reader struct {
	capacity int
	patience int
	batchMax int

	// Guarded by ring.mu.
	cursor  uint64  // number of the last entry taken or lost
	saved   []entry // terminal events that were overwritten: a ring, made when it is needed
	oldest  int     // of saved
	kept    int     // in saved
	dropped [kindCount]uint64
	lost    struct{ n, first, last uint64 } // since the last SubscriberOverflow
	taken   uint64                          // published events handed to the worker, before this batch
	size    int                             // entries in batch
	unsung  int                             // of these, SubscriberOverflow events, which nobody published
	parked  bool
	rouse   uint64 // the head that ends that
	credit  int

	_ apart // publishers look at the above while the worker writes the below

	pos   atomic.Int32  // next entry of batch; negative: cut off
	wake  chan struct{} // capacity 1: one sender per park
	seen  uint64        // the worker's copy of cursor
	short int           // rests in a row that were shorter than a nap
	busy  bool          // it was called from its last nap
	nap   *time.Timer   // the worker's own; made when it is needed
	batch [batchSize]entry
}

func (r *ring) add(capacity, patience int) *reader {
	rd := &reader{capacity: capacity, patience: patience, credit: patience, wake: make(chan struct{}, 1)}
	// A batch in hand is out of the ring's accounts; it stays small beside the capacity.
	rd.batchMax = min(batchSize, max(1, capacity/8))
	r.readers = append(r.readers, rd)
	return rd
}

// next gives an event of that kind the next number and returns its place, which
// is filled before the lock is released; nil after the seal. The lock of the
// event's owner is held too, so that the numbers follow the transitions.
func (r *ring) next(kind EventKind) *entry {
	if r.sealed {
		return nil
	}
	r.sealed = kind == AllStoppedWithinGrace || kind == GraceExceeded
	head := r.head.Load()
	en := &r.scratch
	if len(r.readers) > 0 {
		if head >= r.tight {
			r.makeRoom()
		}
		if head >= r.half {
			r.press()
		}
		if head+1 >= r.rouse {
			r.rouse = noEvent
			r.wake.Store(true)
		}
		en = &r.entries[(head+1)&uint64(len(r.entries)-1)]
	}
	en.Event = Event{}
	en.Seq, en.Kind = head+1, kind
	r.head.Store(head + 1)
	return en
}

// makeRoom lets one more entry in: by a larger array as long as a reader's
// capacity asks for one, then at the cost of the readers that are full.
func (r *ring) makeRoom() {
	head := r.head.Load()
	r.tight = noEvent
	for _, rd := range r.readers {
		for len(r.entries) < rd.capacity && head-rd.cursor >= uint64(len(r.entries)) {
			r.grow()
		}
		for head-rd.cursor >= uint64(rd.capacity) {
			rd.cursor++
			rd.lose(&r.entries[rd.cursor&uint64(len(r.entries)-1)])
		}
	}
	for _, rd := range r.readers {
		r.tight = min(r.tight, rd.cursor+uint64(min(rd.capacity, len(r.entries))))
	}
}

func (r *ring) grow() {
	old, head := r.entries, r.head.Load()
	r.entries = make([]entry, max(firstRing, 2*len(old)))
	for n := head; n > 0 && head-n < uint64(len(old)); n-- {
		r.entries[n&uint64(len(r.entries)-1)] = old[n&uint64(len(old)-1)]
	}
}

// lose drops an entry that rd did not reach, or saves it if it is terminal; the
// saved ones may fill a quarter of the capacity.
func (rd *reader) lose(en *entry) {
	if !en.Kind.Terminal() {
		rd.drop(en.Kind, en.Seq)
		return
	}
	if rd.saved == nil {
		rd.saved = make([]entry, max(1, rd.capacity/4))
	}
	at := &rd.saved[(rd.oldest+rd.kept)%len(rd.saved)]
	if rd.kept == len(rd.saved) { // at is the oldest
		rd.drop(at.Kind, at.Seq)
		rd.oldest = (rd.oldest + 1) % len(rd.saved)
		rd.kept--
	}
	*at = *en
	rd.kept++
}

func (rd *reader) drop(kind EventKind, seq uint64) {
	rd.dropped[kind]++
	if rd.lost.n == 0 || seq < rd.lost.first {
		rd.lost.first = seq
	}
	rd.lost.last = max(rd.lost.last, seq)
	rd.lost.n++
}

// takeSaved moves saved events into the batch.
func (rd *reader) takeSaved() {
	for ; rd.size < rd.batchMax && rd.kept > 0; rd.size++ {
		at := &rd.saved[rd.oldest]
		rd.batch[rd.size] = *at
		*at = entry{}
		rd.oldest = (rd.oldest + 1) % len(rd.saved)
		rd.kept--
	}
}

func (r *ring) press() {
	head := r.head.Load()
	r.half = noEvent
	pressed := false
	for _, rd := range r.readers {
		if rd.capacity > 1 && head-rd.cursor >= uint64(rd.capacity/2) {
			pressed = pressed || rd.credit > 0
			r.half = head // look again at the next event
		} else {
			r.half = min(r.half, rd.cursor+uint64(rd.capacity/2))
		}
	}
	if r.pressed.Load() != pressed {
		r.pressed.Store(pressed)
	}
}

// yield reports whether a publisher should step aside once more: a reader that
// was more than half full has not come down to an eighth, and has credit left.
// Stopping at the half would mean a switch of goroutines for every batch, for as
// long as the publisher is the faster one.
func (r *ring) yield() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rd := range r.readers {
		if rd.credit > 0 && !rd.parked && r.head.Load()-rd.cursor > uint64(rd.capacity/8) {
			rd.credit--
			return true
		}
	}
	r.press()
	return false
}

// hasBatch reports whether a full batch is waiting for rd. Only its worker asks.
func (r *ring) hasBatch(rd *reader) bool { return r.head.Load()-rd.seen >= uint64(rd.batchMax) }

// take fills rd's batch and reports whether there is anything in it; ended means
// that there never will be. Without any, rd is parked: it is sent for when enough
// entries have come.
func (r *ring) take(rd *reader, name string, clock *clock, enough int) (some, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rd.taken += uint64(rd.size - rd.unsung)
	rd.size, rd.unsung = 0, 0
	switch {
	case rd.pos.Load() < 0:
		return false, true
	case rd.kept > 0:
		rd.takeSaved()
	case rd.lost.n > 0:
		now, _ := clock.now()
		rd.batch[0] = entry{nil, Event{Time: now, Kind: SubscriberOverflow, Subscriber: name,
			Dropped: rd.lost.n, FirstSeq: rd.lost.first, LastSeq: rd.lost.last}}
		rd.lost.n, rd.lost.first, rd.lost.last = 0, 0, 0
		rd.size, rd.unsung = 1, 1
	default:
		for rd.size < rd.batchMax && rd.cursor < r.head.Load() {
			rd.cursor++
			rd.batch[rd.size] = r.entries[rd.cursor&uint64(len(r.entries)-1)]
			rd.size++
		}
	}
	if rd.size == 0 {
		if !r.sealed {
			r.parkLocked(rd, enough)
		}
		return false, r.sealed
	}
	rd.credit = min(rd.patience, rd.credit+yieldsPer*rd.size)
	rd.seen = rd.cursor
	rd.pos.Store(0)
	return true, false
}

func (r *ring) parkLocked(rd *reader, enough int) {
	rd.parked = true
	rd.rouse = rd.cursor + uint64(enough)
	r.rouse = min(r.rouse, rd.rouse)
	if enough == 1 {
		clear(rd.batch[:])
		r.forgetLocked()
	}
}

// forgetLocked lets go of what every reader has taken: a ring at rest keeps no
// errors and no values of anybody's context.
func (r *ring) forgetLocked() {
	head := r.head.Load()
	for _, rd := range r.readers {
		if rd.cursor < head {
			return
		}
	}
	if head-r.forgotten >= uint64(len(r.entries)) {
		clear(r.entries)
		r.forgotten = head
	}
	for ; r.forgotten < head; r.forgotten++ {
		r.entries[(r.forgotten+1)&uint64(len(r.entries)-1)] = entry{}
	}
}

// doze waits until the parked rd is sent for, or for the length of a nap, and
// reports whether that was all.
func (rd *reader) doze(r *ring) (over bool) {
	if rd.nap == nil {
		rd.nap = time.NewTimer(napTime)
	} else {
		rd.nap.Reset(napTime)
	}
	select {
	case <-rd.wake:
		rd.nap.Stop()
		r.wakeNext()
		return false
	case <-rd.nap.C:
	}
	r.mu.Lock()
	parked := rd.parked
	rd.parked = false
	r.mu.Unlock()
	if !parked {
		rd.await(r) // it is being sent
	}
	return parked
}

// wakeParked sends for one parked reader that has enough to do; it sends for the
// next itself. The caller holds no lock.
func (r *ring) wakeParked() {
	if r.wake.Load() {
		r.wakeNext()
	}
}

func (r *ring) wakeNext() {
	r.mu.Lock()
	r.wake.Store(false)
	r.rouse = noEvent
	var woken *reader
	for _, rd := range r.readers {
		switch {
		case !rd.parked:
		case r.head.Load() < rd.rouse:
			r.rouse = min(r.rouse, rd.rouse)
		case woken == nil:
			rd.parked = false
			woken = rd
		}
	}
	r.mu.Unlock()
	if woken != nil {
		woken.wake <- struct{}{} // one sender per park, capacity 1: never blocks
	}
}

// await waits until rd, which is parked, is sent for.
func (rd *reader) await(r *ring) {
	<-rd.wake
	r.wakeNext()
}

// wakeAll sends for every parked reader.
func (r *ring) wakeAll() {
	r.mu.Lock()
	for _, rd := range r.readers {
		rd.rouse = 0
	}
	r.mu.Unlock()
	r.wakeNext()
}

// cut ends a reader that was given up: what it did not begin to deliver is
// dropped.
func (r *ring) cut(rd *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := rd.pos.Swap(-1); at >= 0 {
		for i := int(at); i < rd.size; i++ {
			if kind := rd.batch[i].Kind; kind != SubscriberOverflow {
				rd.dropped[kind]++
				rd.unsung++
			}
		}
	}
	for ; rd.kept > 0; rd.kept-- {
		rd.dropped[rd.saved[(rd.oldest+rd.kept-1)%len(rd.saved)].Kind]++
	}
	rd.saved = nil
	for ; rd.cursor < r.head.Load(); rd.cursor++ {
		rd.dropped[r.entries[(rd.cursor+1)&uint64(len(r.entries)-1)].Kind]++
	}
}

// status reports rd's accounts: delivered + dropped + queued is what was
// published.
func (r *ring) status(rd *reader, st *SubscriberStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun := uint64(rd.size - rd.unsung)
	if at := rd.pos.Load(); at >= 0 {
		begun = min(begun, uint64(at))
	}
	st.Delivered = rd.taken + begun
	st.Capacity = rd.capacity
	for k, n := range rd.dropped {
		if n > 0 {
			if st.Dropped == nil {
				st.Dropped = make(map[EventKind]uint64)
			}
			st.Dropped[EventKind(k)] = n
		}
	}
	var dropped uint64
	for _, n := range rd.dropped {
		dropped += n
	}
	st.Queued = int(r.head.Load() - dropped - st.Delivered)
}
