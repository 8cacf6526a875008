package bus

// Kept returns how many places the bus holds on to, and what stands in them.
func (b *Bus[E, P]) Kept() (places int, items []E) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := b.tail; c != nil; c = c.next {
		places += len(c.items)
		items = append(items, c.items...)
	}
	return places, items
}

// InHand reports whether the reader, or the bus behind the last chunk, holds on to
// anything that was published.
func (r *Reader[E, P]) InHand() bool {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	return r.batch != nil || r.at != nil || r.saved.items != nil || r.chunk != r.bus.tail || r.bus.head != r.bus.tail
}

// Rest is what a reader does that finds nothing more to read.
func (r *Reader[E, P]) Rest() {
	r.refill()
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.parked = false // it does not wait
}

// Park parks a reader that nobody runs. Who wakes it stands still until the channel
// is received from.
func (r *Reader[E, P]) Park() <-chan struct{} {
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.parked, r.wake = true, make(chan struct{})
	return r.wake
}

// Asleep reports what a reader that was woken sees: whether there is another to wake.
func (b *Bus[E, P]) Asleep() bool { return b.asleep.Load() }
