// Package fifo shares a number of places between holders, first in, first out.
package fifo

import (
	"container/list"
	"sync"
)

// Queue hands out at most limit places. The zero value hands out none; see
// Resize. Every operation takes constant time. It is safe for concurrent use.
type Queue struct {
	mu      sync.Mutex // guards the fields below; nothing is called under it
	limit   int
	inUse   int                      // places taken or kept for somebody
	waiting list.List                // of *waiter, the first in front
	who     map[uint64]*list.Element // those in waiting
	kept    map[uint64]struct{}      // those who were told that they may enter, and have not yet
	held    map[uint64]struct{}      // those who have
}

type waiter struct {
	id    uint64
	ready func()
}

// Enter takes a place for id, or has it wait: ready is called once, when entering
// again will succeed. Asked again while it waits, id keeps its turn.
func (q *Queue) Enter(id uint64, ready func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.kept[id]; ok {
		delete(q.kept, id)
		q.hold(id)
		return true
	}
	if e := q.who[id]; e != nil {
		e.Value.(*waiter).ready = ready
		return false
	}
	if q.inUse < q.limit { // then nobody waits: see admit
		q.inUse++
		q.hold(id)
		return true
	}
	if q.who == nil {
		q.who = make(map[uint64]*list.Element)
	}
	q.who[id] = q.waiting.PushBack(&waiter{id, ready})
	return false
}

func (q *Queue) hold(id uint64) {
	if q.held == nil {
		q.held = make(map[uint64]struct{})
	}
	q.held[id] = struct{}{}
}

// Leave gives up the place of id, or its turn; without any it changes nothing. The
// caller calls told, the ready functions of those that can enter now.
func (q *Queue) Leave(id uint64) (told []func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
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
	return q.admit()
}

// Pass gives the place or the turn of id, if it waits for one or was just told to
// enter, to another that has neither. It reports whether there was any.
func (q *Queue) Pass(id, to uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.who[id]; e != nil {
		delete(q.who, id)
		q.who[to] = e
		w := e.Value.(*waiter)
		w.id, w.ready = to, nil
		return true
	}
	if _, ok := q.kept[id]; ok {
		delete(q.kept, id)
		q.kept[to] = struct{}{}
		return true
	}
	return false
}

// Resize sets the limit. Those that hold a place beyond it keep it. The caller calls
// told, as after Leave.
func (q *Queue) Resize(limit int) (told []func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
	return q.admit()
}

// admit keeps free places for the first that wait, who are to be told.
func (q *Queue) admit() (told []func()) {
	for q.inUse < q.limit && q.waiting.Len() > 0 {
		w := q.waiting.Front().Value.(*waiter)
		q.forget(q.waiting.Front())
		q.inUse++
		if q.kept == nil {
			q.kept = make(map[uint64]struct{})
		}
		q.kept[w.id] = struct{}{}
		if w.ready != nil { // nil: its turn was passed on, and the heir has not asked yet
			told = append(told, w.ready)
		}
	}
	return told
}

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
