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

// Rest is what a reader does that finds nothing more to read.
func (r *Reader[E, P]) Rest() {
	r.refill()
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.parked = false // it does not wait
}
