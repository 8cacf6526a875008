package bus

// ring is a queue of bounded length, in a slice that is used in a circle. The zero
// value is empty. Its owner's lock guards it.
type ring[E any] struct {
	items []E // nil: there are none; otherwise as long as the bound
	first int // place of the oldest
	n     int // how many there are, at most len(items)
}

// at is the place of the item that i others are older than; for i == n, that of the next
// item. There must be a slice.
func (q *ring[E]) at(i int) *E { return &q.items[(q.first+i)%len(q.items)] }

// push adds a copy of item. The caller makes room first: there are never more than most,
// which is the same for each call.
func (q *ring[E]) push(item *E, most int) {
	if q.items == nil {
		q.items = make([]E, most)
	}
	*q.at(q.n) = *item
	q.n++
}

// drop removes the n oldest, n being no more than there are, and keeps nothing of them:
// neither what the items refer to nor, when it is empty, the slice.
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
