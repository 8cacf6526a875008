// Package bus is a broadcast queue with a cursor for each reader: publishing
// costs nearly the same for one reader and for many, never waits for any of them,
// and a reader that falls too far behind loses the oldest items, counted exactly.
// It knows nothing of what it carries but the methods of Item.
package bus

import (
	"sync"
	"sync/atomic"
)

// Item is what a bus carries: *E, with what the bus must know of it.
type Item[E any] interface {
	*E
	Number() uint64 // as it was set by the publisher
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
type chunk[E any] struct {
	first uint64 // position of items[0]
	items []E
	next  *chunk[E]
}

func (c *chunk[E]) at(pos uint64) *E       { return &c.items[pos-c.first] }
func (c *chunk[E]) holds(pos uint64) bool  { return pos-c.first < uint64(len(c.items)) }
func (c *chunk[E]) follow(n int) *chunk[E] { return &chunk[E]{first: c.end(), items: make([]E, n)} }
func (c *chunk[E]) end() uint64            { return c.first + uint64(len(c.items)) }
func (c *chunk[E]) nextSize() int          { return min(2*len(c.items), lastChunk) }
func newChunk[E any](pos uint64) *chunk[E] {
	return &chunk[E]{first: pos, items: make([]E, firstChunk)}
}

// Bus is the queue. The zero value is empty and ready; readers are added before
// the first item.
type Bus[E any, P Item[E]] struct {
	asleep atomic.Bool // a parked reader has something to do

	mu      sync.Mutex // guards the fields below; a leaf: only Item's methods are called under it
	scratch E          // the last item, where nobody reads
	number  uint64     // of the last item, also of those that nobody wanted to keep
	pos     uint64     // of the last item that was kept
	sealed  bool
	head    *chunk[E] // the oldest that a reader may be in, or one that all have left
	tail    *chunk[E] // nil: nothing is kept
	readers []*Reader[E, P]
}

// Next returns the place of the next item and its number, which the publisher fills in
// before Done; final seals the bus. After the seal there is no place, and nothing to be
// done. The publisher calls nobody in between: the bus is locked.
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

// Done makes the item that Next gave a place to available to the readers. Wake is to
// follow as soon as the publisher holds no lock.
func (b *Bus[E, P]) Done() {
	for _, r := range b.readers {
		if b.pos-r.cursor > uint64(r.capacity) {
			r.loseLocked()
		}
		if r.parked {
			b.asleep.Store(true)
		}
	}
	b.mu.Unlock()
}

// Count gives n items that nobody wants to keep their numbers, and returns the last; 0
// after the seal.
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

// placeLocked is where the item at b.pos goes.
func (b *Bus[E, P]) placeLocked() *E {
	switch c := b.tail; {
	case c == nil:
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

// reuseLocked returns a chunk of the last size that every reader has left, to follow
// the tail; nil if there is none. A reader that has lost items may still be at one of a
// chunk that it has been moved out of: that chunk is no part of the queue any more, or all
// that comes after it would stay as long as the reader does.
func (b *Bus[E, P]) reuseLocked() *chunk[E] {
	for b.head != b.tail {
		c, free := b.head, true
		for _, r := range b.readers {
			if r.chunk == c {
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
// that a publisher pays for one. The caller holds no lock.
func (b *Bus[E, P]) Wake() {
	if b.asleep.Load() {
		b.wake(false)
	}
}

// WakeAll has every reader look again, also those that find nothing.
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
	// Until here it is set if there is more: the one that was woken looks at it at once,
	// without the lock, and is the only one that would wake the next.
	b.asleep.Store(more)
}

// restLocked lets go of everything when no reader reads or has anything left to: a
// bus at rest keeps nobody's errors and contexts, and no more memory than the first
// chunk. That one is kept because many a bus rests after each event: a new chunk for
// each is 4 KB and half of the time of a task that runs once.
func (b *Bus[E, P]) restLocked() {
	for _, r := range b.readers {
		if r.cursor < b.pos || r.reading {
			return
		}
	}
	if c := b.tail; c == nil || len(c.items) > firstChunk {
		b.tail = nil
	} else {
		clear(c.items[:min(b.pos+1-c.first, firstChunk)])
		c.first = b.pos + 1
	}
	b.head = b.tail
	for _, r := range b.readers {
		r.chunk = b.tail
	}
}
