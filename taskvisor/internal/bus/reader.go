package bus

import "sync/atomic"

// batchSize is how many items a reader takes for one lock, at most.
const batchSize = 32

// Lost is what a reader has lost since it was last told: how many items, and
// their numbers.
type Lost struct{ N, First, Last uint64 }

// Status is a reader's account: Delivered, those in Dropped and Queued are
// together what was published for it.
type Status struct {
	Delivered uint64
	Dropped   map[uint8]uint64 // by label; nil if none was lost
	Queued    int
}

// Reader is one reader's place in the bus. Next is for one goroutine at a time;
// the rest is safe for all.
type Reader[E any, P Item[E]] struct {
	bus      *Bus[E, P]
	capacity int
	tell     func(Lost) E // makes the item that tells of losses

	// Guarded by bus.mu.
	chunk   *chunk[E] // that the next item is in, or in one behind it
	cursor  uint64    // position of the last item taken or lost
	saved   ring[E]   // terminal items that were overtaken, the oldest first
	before  int       // that many of them are delivered before the next report of losses; −1: none is due
	lost    Lost
	dropped *[1 << 8]uint64 // by label; nil if none was lost
	taken   uint64          // items given to the worker, before this batch
	reports int             // in this batch: items that nobody published
	at      *chunk[E]       // that batch is a piece of; nil: of none
	reading bool            // it may be at an item of batch
	parked  bool

	pos   atomic.Int32  // next item of batch; negative: the reader was cut off
	batch []E           // where the items stand; written under bus.mu by the goroutine that calls Next
	wake  chan struct{} // capacity 1
}

// Add adds a reader that may fall capacity items behind.
func (b *Bus[E, P]) Add(capacity int, tell func(Lost) E) *Reader[E, P] {
	r := &Reader[E, P]{bus: b, capacity: capacity, tell: tell, before: -1, wake: make(chan struct{}, 1)}
	b.readers = append(b.readers, r)
	return r
}

// loseLocked makes room for one item.
func (r *Reader[E, P]) loseLocked() {
	item := r.advanceLocked()
	if !P(item).Terminal() {
		r.dropLocked(item)
		return
	}
	most := max(1, r.capacity/4)
	if r.saved.n == most {
		r.dropLocked(r.saved.at(0))
		r.saved.drop(1)
	}
	r.saved.push(item, most)
}

// advanceLocked moves the cursor to the next item, which it returns.
func (r *Reader[E, P]) advanceLocked() *E {
	r.cursor++
	for !r.chunk.holds(r.cursor) {
		r.chunk = r.chunk.next
	}
	return r.chunk.at(r.cursor)
}

func (r *Reader[E, P]) dropLocked(item *E) {
	r.countLocked(P(item).Label())
	n := P(item).Number()
	if r.lost.N == 0 || n < r.lost.First {
		r.lost.First = n
	}
	r.lost.Last = max(r.lost.Last, n)
	r.lost.N++
}

func (r *Reader[E, P]) countLocked(label uint8) {
	if r.dropped == nil {
		r.dropped = new([1 << 8]uint64)
	}
	r.dropped[label]++
}

// Next returns the next item, which stays valid until the next call, and waits for
// one. It returns nil when there will be none any more.
func (r *Reader[E, P]) Next() *E {
	for {
		for at := r.pos.Load(); at >= 0 && int(at) < len(r.batch); at = r.pos.Load() {
			if r.pos.CompareAndSwap(at, at+1) {
				return &r.batch[at]
			}
		}
		switch wait, ended := r.refill(); {
		case ended:
			return nil
		case wait:
			<-r.wake
			r.bus.Wake()
		}
	}
}

// wakeLocked wakes a reader that is parked.
func (r *Reader[E, P]) wakeLocked() {
	r.parked = false
	r.wake <- struct{}{} // one for each time that it parks, capacity 1: never blocks
}

// refill takes the next batch, or parks.
func (r *Reader[E, P]) refill() (wait, ended bool) {
	b := r.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	r.taken += uint64(len(r.batch) - r.reports)
	r.batch, r.at, r.reports, r.reading = nil, nil, 0, false
	if r.pos.Load() < 0 {
		b.restLocked() // the others may have waited for what it was at
		return false, true
	}
	r.pos.Store(0)
	r.takeLocked()
	if r.reading = len(r.batch) > 0; r.reading {
		return false, false
	}
	b.restLocked()
	r.parked = !b.sealed
	return r.parked, !r.parked
}

// takeLocked fills the batch: as many as were saved when losses were noticed, the report
// of the losses, then what follows. So the report comes also while losses go on.
func (r *Reader[E, P]) takeLocked() {
	if r.before < 0 && (r.saved.n > 0 || r.lost.N > 0) {
		r.before = r.saved.n
	}
	if r.before > 0 {
		r.batch = make([]E, min(r.before, batchSize))
		for i := range r.batch {
			r.batch[i] = *r.saved.at(i)
		}
		r.saved.drop(len(r.batch))
		r.before -= len(r.batch)
		return
	}
	if r.before == 0 {
		r.before = -1
		if r.lost.N > 0 {
			r.batch, r.reports = []E{r.tell(r.lost)}, 1
			r.lost = Lost{}
			return
		}
		if r.saved.n > 0 { // since the round began
			r.takeLocked()
			return
		}
	}
	if r.cursor == r.bus.pos {
		return
	}
	// They are read where they stand: what is published is not changed any more, and a
	// chunk is used again when nobody reads. A batch is out of the queue's accounts: it
	// stays small beside the capacity.
	r.advanceLocked()
	c, first := r.chunk, r.cursor
	n := min(batchSize, max(1, r.capacity/8), int(min(r.bus.pos+1, c.end())-first))
	r.cursor += uint64(n - 1)
	r.batch, r.at = c.items[first-c.first:][:n], c
}

// Cut ends a reader that was given up: what it did not begin to deliver is lost.
func (r *Reader[E, P]) Cut() {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	if at := r.pos.Swap(-1); at >= 0 {
		for i := int(at); i < len(r.batch); i++ {
			if P(&r.batch[i]).Number() != 0 { // not a report
				r.countLocked(P(&r.batch[i]).Label())
				r.reports++ // not delivered either
			}
		}
	}
	for i := range r.saved.n {
		r.countLocked(P(r.saved.at(i)).Label())
	}
	r.saved = ring[E]{}
	for r.cursor < r.bus.pos {
		r.countLocked(P(r.advanceLocked()).Label())
	}
}

// Status returns the reader's account.
func (r *Reader[E, P]) Status() (st Status) {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	begun := len(r.batch)
	if at := r.pos.Load(); at >= 0 {
		begun = min(begun, int(at))
	}
	st.Delivered = r.taken + uint64(max(begun-r.reports, 0))
	var dropped uint64
	if r.dropped != nil {
		st.Dropped = make(map[uint8]uint64)
		for label, n := range r.dropped {
			if n > 0 {
				st.Dropped[uint8(label)] = n
				dropped += n
			}
		}
	}
	st.Queued = int(r.bus.pos - dropped - st.Delivered)
	return st
}
