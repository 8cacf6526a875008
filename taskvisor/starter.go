package taskvisor

import "sync"

// starter hands tasks to their goroutines: first in, first out, one each. A go
// statement with an argument allocates a closure for it, a fifth of what a
// one-shot task allocates otherwise.
type starter struct {
	run func() // next, as a value that is made once

	mu    sync.Mutex // guards the fields below
	queue []*task    // from taken on
	taken int
}

// leastQueue is the room that an empty queue keeps at most.
const leastQueue = 1024

func (q *starter) put(ts []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue)+len(ts) > cap(q.queue) && q.taken > len(q.queue)/2 { // rather than grow
		n := copy(q.queue, q.queue[q.taken:])
		clear(q.queue[n:])
		q.queue, q.taken = q.queue[:n], 0
	}
	q.queue = append(q.queue, ts...)
}

func (q *starter) take() *task {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.queue[q.taken]
	q.queue[q.taken] = nil
	if q.taken++; q.taken == len(q.queue) {
		q.queue, q.taken = q.queue[:0], 0
		if cap(q.queue) > leastQueue {
			q.queue = nil
		}
	}
	return t
}

// next is what a task's goroutine does. The labels are made here, where the stack
// is least deep: the allocator may take half a kilobyte of it.
func (q *starter) next() {
	t := q.take()
	r := t.sup.runner(t)
	defer r.handOver()
	r.labelled = t.label()
	r.loop()
}
