// Package fifo shares a number of places between holders, first in, first out.
//
// A holder that is known by its id is in one of three states: it waits; a place is kept
// for it, and it was told so; or it holds a place. A place that becomes free is kept for
// the first that waits at once, so that no newcomer overtakes it before it has asked again.
// A turn that was passed on is silent until its heir asks: it stays in line, and lets
// others go before it meanwhile, since nobody knows when that will be.
package fifo

import (
	"container/list"
	"sync"
)

// Queue hands out at most limit places. The zero value hands out none; see
// Resize. Every operation takes constant time, but for the silent turns that it steps
// over. It is safe for concurrent use.
type Queue struct {
	mu      sync.Mutex               // guards the fields below; nothing is called under it, since ready calls Enter
	limit   int                      // places that may be in use; inUse may be above it after Resize
	inUse   int                      // places taken or kept: len(kept) + len(held)
	waiting list.List                // of *waiter, the first in front; all are silent unless inUse ≥ limit
	who     map[uint64]*list.Element // those in waiting, by id; nil: none
	kept    map[uint64]struct{}      // ids that were told to enter, and have not yet
	held    map[uint64]struct{}      // ids that have entered
}

// waiter is an id that waits. An id is in at most one of who, kept and held.
type waiter struct {
	id    uint64
	ready func() // of its last Enter; nil: silent
}

// Enter takes a place for id, or has it wait: ready is called once, when entering
// again will succeed. Asked again while it waits, id keeps its turn. An id that holds a
// place must not ask for another.
func (q *Queue) Enter(id uint64, ready func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.kept[id]; ok { // its place is counted in inUse already
		delete(q.kept, id)
		q.hold(id)
		return true
	}
	e := q.who[id]
	if q.inUse < q.limit { // then all that wait are silent, and id is the first to ask: see admit
		if e != nil {
			q.forget(e)
		}
		q.inUse++
		q.hold(id)
		return true
	}
	if e != nil {
		e.Value.(*waiter).ready = ready // that of the question before is called no more
		return false
	}
	q.await(id, q.waiting.PushBack(&waiter{id, ready}))
	return false
}

// hold notes that id holds a place. q.mu is held.
func (q *Queue) hold(id uint64) {
	if q.held == nil {
		q.held = make(map[uint64]struct{})
	}
	q.held[id] = struct{}{}
}

// Leave gives up the place of id, or its turn; without any it changes nothing.
func (q *Queue) Leave(id uint64) {
	q.mu.Lock()
	_, kept := q.kept[id]
	_, held := q.held[id]
	switch e := q.who[id]; {
	case e != nil:
		q.forget(e)
	case kept:
		delete(q.kept, id)
		q.inUse--
	case held:
		delete(q.held, id)
		q.inUse--
	}
	told := q.admit()
	q.mu.Unlock()
	tell(told)
}

// Pass gives the turn of id, if it waits for a place or was just told to enter, to another
// that has neither, as a silent one. It reports whether there was any. A place that id
// holds is not passed on: its holder is still at work.
func (q *Queue) Pass(id, to uint64) bool {
	q.mu.Lock()
	e := q.who[id]
	if _, kept := q.kept[id]; kept { // it was the first, and the heir is again
		delete(q.kept, id)
		q.inUse--
		e = q.waiting.PushFront(&waiter{})
	}
	if e != nil {
		delete(q.who, id)
		*e.Value.(*waiter) = waiter{id: to}
		q.await(to, e)
	}
	told := q.admit()
	q.mu.Unlock()
	tell(told)
	return e != nil
}

// await notes where id waits. q.mu is held.
func (q *Queue) await(id uint64, e *list.Element) {
	if q.who == nil {
		q.who = make(map[uint64]*list.Element)
	}
	q.who[id] = e
}

// Resize sets the limit. Those that hold a place beyond it keep it.
func (q *Queue) Resize(limit int) {
	q.mu.Lock()
	q.limit = limit
	told := q.admit()
	q.mu.Unlock()
	tell(told)
}

// admit keeps free places for the first that wait and have asked, and returns what is to be
// called when q.mu, which is held, has been released. It follows every change that may free
// a place: Enter relies on it.
func (q *Queue) admit() (told []func()) {
	var next *list.Element
	for e := q.waiting.Front(); e != nil && q.inUse < q.limit; e = next {
		next = e.Next()
		w := e.Value.(*waiter)
		if w.ready == nil {
			continue
		}
		q.forget(e)
		q.inUse++
		if q.kept == nil {
			q.kept = make(map[uint64]struct{})
		}
		q.kept[w.id] = struct{}{}
		told = append(told, w.ready)
	}
	return told
}

func tell(told []func()) {
	for _, ready := range told {
		ready()
	}
}

// forget takes e out of those that wait. q.mu is held.
func (q *Queue) forget(e *list.Element) {
	delete(q.who, q.waiting.Remove(e).(*waiter).id)
	if len(q.who) == 0 {
		q.who = nil // a map that was large stays large
	}
}

// Used returns the limit and how many places are taken.
func (q *Queue) Used() (limit, inUse int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limit, q.inUse
}
