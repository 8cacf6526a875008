package bus

// ring is a queue of bounded length, in a slice that is used in a circle. The zero
// value is empty.
type ring[E any] struct {
	items []E // nil: there are none
	first int // the oldest
	n     int
}

// at is the place behind the i oldest.
func (q *ring[E]) at(i int) *E { return &q.items[(q.first+i)%len(q.items)] }

// push adds item. There are never more than most, which is the same for each call.
func (q *ring[E]) push(item *E, most int) {
	if q.items == nil {
		q.items = make([]E, most)
	}
	*q.at(q.n) = *item
	q.n++
}

// drop removes the n oldest, and keeps nothing of them.
func (q *ring[E]) drop(n int) {
	for i := range n {
		var none E
		*q.at(i) = none
	}
	q.first = (q.first + n) % len(q.items)
	if q.n -= n; q.n == 0 {
		*q = ring[E]{}
	}
}
