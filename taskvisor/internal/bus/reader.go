package bus

import "sync/atomic"

// batchSize is how many items a reader takes for one lock, at most. What is in a batch is
// out of reach for loseLocked, hence few.
const batchSize = 32

// Lost is what a reader has lost since it was last told: how many items, and
// their numbers.
type Lost struct{ N, First, Last uint64 }

// Status is a reader's account: Delivered, those in Dropped and Queued are
// together what was published for it. Reports of losses are in none of them.
type Status struct {
	Delivered uint64           // given out by Next
	Dropped   map[uint8]uint64 // by label; nil if none was lost
	Queued    int              // in the queue, saved, or in the batch
}

// Reader is one reader's place in the bus. Next is for one goroutine at a time;
// the rest is safe for all.
type Reader[E any, P Item[E]] struct {
	bus      *Bus[E, P]
	capacity int          // 1 or more; fixed
	tell     func(Lost) E // makes the item that tells of losses; called while the bus is locked

	// Guarded by bus.mu.
	chunk   *chunk[E]       // that the next item is in, or a later one has it; nil while the bus keeps none
	cursor  uint64          // position of the last item taken or lost: at most bus.pos, at least bus.pos − capacity
	saved   ring[E]         // copies of terminal items that were overtaken, the oldest first; at most capacity/4, or 1
	before  int             // that many of them are delivered before the next report of losses; −1: none is due
	lost    Lost            // since the last report; N is 0: nothing
	dropped *[1 << 8]uint64 // in all, by label; nil if none was lost
	taken   uint64          // items given to the worker, before this batch, without reports
	reports int             // in this batch: items that are not to be counted as delivered
	at      *chunk[E]       // that batch is a piece of, which nobody may write to; nil: of none
	reading bool            // it may be at an item of batch
	parked  bool            // it waits for wake, or is about to

	// The next item of batch; negative: the reader was cut off. Next moves it without the
	// lock, so that an item costs no lock; Cut, in one step, decides which items were begun.
	pos   atomic.Int32
	batch []E           // where the items stand; written under bus.mu by the goroutine that calls Next
	wake  chan struct{} // capacity 1: one value for each time that it parks
}

// Add adds a reader that may fall capacity items behind. It is not safe for concurrent
// use, and comes before the first item.
func (b *Bus[E, P]) Add(capacity int, tell func(Lost) E) *Reader[E, P] {
	r := &Reader[E, P]{bus: b, capacity: capacity, tell: tell, before: -1, wake: make(chan struct{}, 1)}
	b.readers = append(b.readers, r)
	return r
}

// loseLocked makes room for one item: the one after the cursor is dropped, or saved if it
// is terminal. The publisher does that, so a reader that hangs cannot keep it from it.
func (r *Reader[E, P]) loseLocked() {
	item := r.advanceLocked()
	if !P(item).Terminal() {
		r.dropLocked(item)
		return
	}
	most := max(1, r.capacity/4)
	if r.saved.n == most { // of the terminal ones the latest are worth most
		r.dropLocked(r.saved.at(0))
		r.saved.drop(1)
	}
	r.saved.push(item, most)
}

// advanceLocked moves the cursor to the next item, which it returns. There must be one.
func (r *Reader[E, P]) advanceLocked() *E {
	r.cursor++
	for !r.chunk.holds(r.cursor) {
		r.chunk = r.chunk.next
	}
	return r.chunk.at(r.cursor)
}

// dropLocked counts item as lost, for the account and for the next report. Numbers need
// not come in order: one that was saved for a while is lost after those that followed it.
func (r *Reader[E, P]) dropLocked(item *E) {
	r.countLocked(P(item).Label())
	n := P(item).Number()
	if r.lost.N == 0 || n < r.lost.First {
		r.lost.First = n
	}
	r.lost.Last = max(r.lost.Last, n)
	r.lost.N++
}

// countLocked counts one item as lost in the account. What is lost by Cut is counted here
// only: no report of it could be delivered.
func (r *Reader[E, P]) countLocked(label uint8) {
	if r.dropped == nil {
		r.dropped = new([1 << 8]uint64)
	}
	r.dropped[label]++
}

// Next returns the next item, which stays valid until the next call, and waits for
// one. It returns nil when there will be none any more: after the seal, or a Cut.
func (r *Reader[E, P]) Next() *E {
	for {
		for at := r.pos.Load(); at >= 0 && int(at) < len(r.batch); at = r.pos.Load() {
			if r.pos.CompareAndSwap(at, at+1) { // it fails if Cut came in between: the item is counted as lost
				return &r.batch[at]
			}
		}
		switch wait, ended := r.refill(); {
		case ended:
			return nil
		case wait:
			<-r.wake
			r.bus.Wake() // before it works: the next reader is not to wait for this one's item
		}
	}
}

// wakeLocked wakes a reader that is parked. Only one that is parked: the channel has room
// for one value, and a second one would block with the bus locked.
func (r *Reader[E, P]) wakeLocked() {
	r.parked = false
	r.wake <- struct{}{} // one for each time that it parks, capacity 1: never blocks
}

// refill takes the next batch, or parks: in one step under the lock, so that an item is
// published either before it, and taken, or after it, and finds the reader parked. The
// caller is then to wait for wake. It parks no more after the seal, when nobody would
// wake it; a reader that was parked at the seal is woken by WakeAll, and comes back here.
func (r *Reader[E, P]) refill() (wait, ended bool) {
	b := r.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	// The batch before is finished: its items are delivered, and their chunk may be used again.
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

// takeLocked fills the batch: first as many as were saved when losses were noticed, then
// the report of the losses, then what follows. So the report comes also while losses go
// on, when there would always be something saved that comes first. What is
// saved is older than what the cursor is at, so numbers only rise. The batch stays empty
// if there is nothing.
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
		if r.saved.n > 0 { // since the round began: another round, which is one call deep
			r.takeLocked()
			return
		}
	}
	if r.cursor == r.bus.pos {
		return
	}
	// They are read where they stand: what is published is not changed any more, and at
	// keeps the chunk from being used again. A batch is not counted against the capacity,
	// and cannot be lost: hence it is at most an eighth of that, or one item.
	r.advanceLocked()
	c, first := r.chunk, r.cursor
	n := min(batchSize, max(1, r.capacity/8), int(min(r.bus.pos+1, c.end())-first))
	r.cursor += uint64(n - 1)
	r.batch, r.at = c.items[first-c.first:][:n], c
}

// Cut ends a reader that was given up: what it did not begin to deliver is lost. Its
// goroutine may hang in an item, for ever perhaps; when it comes back, Next returns nil.
// It is for a bus that is sealed.
func (r *Reader[E, P]) Cut() {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	// pos is swapped once: of two goroutines only one counts an item, Next as begun or Cut
	// as lost. A second Cut finds it negative, and nothing left to count.
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
	begun := len(r.batch) // of one that was cut off, reports holds those that were not
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
