// Package bus is a broadcast queue with a cursor for each reader: publishing
// costs nearly the same for one reader and for many, never waits for any of them,
// and a reader that falls too far behind loses the oldest items, counted exactly.
// It knows nothing of what it carries but the methods of Item.
//
// Each item that is kept has a position, from 1 without gaps. A reader's cursor is the
// position of the last item that it has taken or lost: the items after it are still to be
// read. Items stand in a list of chunks, from the one that the slowest cursor is in to
// the tail. A chunk that every cursor has left goes out of the list when another is
// needed, or when all readers are at rest.
//
// A reader that is capacity items behind loses the one after its cursor for each that is
// published. A terminal one is copied to the reader's ring first, since the chunk goes on
// without it: the end of a task is worth more than the steps on the way.
//
// Readers with nothing to read are parked. Parking and publishing happen under one lock:
// either the reader sees the item, or the publisher sees that the reader is parked. The
// publisher then wakes it after its own locks are released.
package bus

import (
	"sync"
	"sync/atomic"
)

// Item is what a bus carries: *E, with what the bus must know of it. The methods are
// called while the bus is locked: they read fields, and call nobody.
type Item[E any] interface {
	*E
	Number() uint64 // as it was set by the publisher; 0: a report, which nobody published
	Label() uint8   // its kind, by which losses are counted
	Terminal() bool // it is kept for a reader that lost others
}

// The chunks of a queue double from the first size to the last, so that a short
// queue is small and a long one is no list of thousands.
const (
	firstChunk = 16
	lastChunk  = 256
)

// chunk is a piece of the queue. When every reader has left it, it is used again at the
// other end, if that is wanted then, or becomes garbage: that is how memory is given back.
// Readers read items where they stand, without the lock: an item is written once, before
// Done, and not touched again before every reader has left its chunk.
type chunk[E any] struct {
	first uint64 // position of items[0]
	items []E    // of fixed length; those after the bus's position are not written yet
	next  *chunk[E]
}

func (c *chunk[E]) at(pos uint64) *E       { return &c.items[pos-c.first] }
func (c *chunk[E]) holds(pos uint64) bool  { return pos-c.first < uint64(len(c.items)) } // one before first wraps: false
func (c *chunk[E]) follow(n int) *chunk[E] { return &chunk[E]{first: c.end(), items: make([]E, n)} }
func (c *chunk[E]) end() uint64            { return c.first + uint64(len(c.items)) }
func (c *chunk[E]) nextSize() int          { return min(2*len(c.items), lastChunk) }
func newChunk[E any](pos uint64) *chunk[E] {
	return &chunk[E]{first: pos, items: make([]E, firstChunk)}
}

// Bus is the queue. The zero value is empty and ready; readers are added before
// the first item.
type Bus[E any, P Item[E]] struct {
	// A parked reader has something to do. It is written under mu, and read without, so
	// that a publisher does not lock again when nobody sleeps. It may be true for nothing,
	// which costs a look; it is never false while a parked reader is behind pos.
	asleep atomic.Bool

	mu      sync.Mutex      // guards the fields below; a leaf: under it only Item's methods and a reader's tell are called
	scratch E               // the last item, where nobody reads
	number  uint64          // of the last item, also of those that nobody wanted to keep: at least pos
	pos     uint64          // position of the last item that was kept
	sealed  bool            // the last item was published: there will be none any more
	head    *chunk[E]       // the oldest that a reader may be in, or one that all have left; nil like tail
	tail    *chunk[E]       // where the item at pos stands, or the next one is to; nil: nothing is kept
	readers []*Reader[E, P] // fixed before the first item; the chunk of each is from head to tail
}

// Next returns the place of the next item and its number, which the publisher fills in
// before Done; final seals the bus. After the seal there is no place, and nothing to be
// done. The publisher calls nobody in between: the bus is locked. The place may hold an
// old item, in a chunk that is used again: the publisher overwrites all of it.
func (b *Bus[E, P]) Next(final bool) (place P, number uint64) {
	b.mu.Lock()
	if b.sealed {
		b.mu.Unlock()
		return nil, 0
	}
	b.sealed = final
	b.number++
	if len(b.readers) == 0 {
		return &b.scratch, b.number
	}
	b.pos++
	return b.placeLocked(), b.number
}

// Done makes the item that Next gave a place to available to the readers, and unlocks
// the bus. Wake is to follow as soon as the publisher holds no lock: until then a parked
// reader sleeps on.
func (b *Bus[E, P]) Done() {
	for _, r := range b.readers {
		if b.pos-r.cursor > uint64(r.capacity) { // by one: each item that is published makes room for itself
			r.loseLocked()
		}
		if r.parked {
			b.asleep.Store(true)
		}
	}
	b.mu.Unlock()
}

// Count gives n items that nobody wants to keep their numbers, and returns the last; 0
// after the seal. Readers learn nothing of it, also not of the seal: see WakeAll.
func (b *Bus[E, P]) Count(n uint64, final bool) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return 0
	}
	b.sealed = final
	b.number += n
	return b.number
}

// placeLocked is where the item at b.pos goes. The caller has just counted pos up.
func (b *Bus[E, P]) placeLocked() *E {
	switch c := b.tail; {
	case c == nil: // no reader has anything else to read: all cursors are just before pos
		b.tail = newChunk[E](b.pos)
		b.head = b.tail
		for _, r := range b.readers {
			r.chunk = b.tail
		}
	case !c.holds(b.pos):
		if c.next = b.reuseLocked(); c.next == nil {
			c.next = c.follow(c.nextSize())
		}
		b.tail = c.next
	}
	return b.tail.at(b.pos)
}

// reuseLocked takes chunks that every reader has left out of the queue, up to the first
// of the last size, which it returns to follow the tail; nil if there is none.
//
// A reader that has lost items may still be at one that stands in a chunk which its
// cursor has left. Such a chunk must not be written again, but it leaves the queue, and
// its link is cut: otherwise a reader that hangs would keep all that is published after it
// in memory. It becomes garbage when the reader is done with its batch.
func (b *Bus[E, P]) reuseLocked() *chunk[E] {
	for b.head != b.tail {
		c, free := b.head, true
		for _, r := range b.readers {
			if r.chunk == c { // what follows is needed too: chunks are left in order
				return nil
			}
			free = free && r.at != c
		}
		b.head, c.next = c.next, nil
		if free && len(c.items) == lastChunk {
			c.first = b.tail.end()
			return c
		}
	}
	return nil
}

// Last returns the number of the last item.
func (b *Bus[E, P]) Last() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.number
}

// Wake wakes a parked reader that has something to do; that one wakes the next, so
// that a publisher pays for one. The caller holds no lock. It need not be the goroutine
// that published: one call serves all items that were published before it.
func (b *Bus[E, P]) Wake() {
	if b.asleep.Load() {
		b.wake(false)
	}
}

// WakeAll has every reader look again, also those that find nothing: it is to follow the
// seal, since a reader that was parked before learns only so that nothing comes any more.
func (b *Bus[E, P]) WakeAll() { b.wake(true) }

func (b *Bus[E, P]) wake(all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	enough, more := false, false
	for _, r := range b.readers {
		switch {
		case !r.parked || !all && r.cursor == b.pos:
		case !enough:
			r.wakeLocked()
			enough = !all
		default:
			more = true
		}
	}
	// Last: the reader that was woken looks at asleep at once, without the lock, and only
	// it would wake the next. Until here it sees true, and has to wait for the lock.
	b.asleep.Store(more)
}

// restLocked lets go of everything when no reader reads or has anything left to: a
// bus at rest keeps nobody's errors and contexts, and no more memory than the first
// chunk. That one is kept because many a bus rests after each event: a new chunk for
// each is 4 KB and half of the time of a task that runs once.
//
// It is called by each reader that stops reading: the last one finds all at rest.
func (b *Bus[E, P]) restLocked() {
	for _, r := range b.readers {
		if r.cursor < b.pos || r.reading { // reading: it may look at an item in a chunk
			return
		}
	}
	if c := b.tail; c == nil || len(c.items) > firstChunk {
		b.tail = nil
	} else { // no reader is in it: it begins again, after the last position
		clear(c.items[:min(b.pos+1-c.first, firstChunk)])
		c.first = b.pos + 1
	}
	b.head = b.tail
	for _, r := range b.readers {
		r.chunk = b.tail
	}
}
