package taskvisor

import "sync"

// permits limits how many attempts run at the same time. Waiters are served
// first in, first out.
type permits struct {
	limit int // 0: no limit, and nothing below is used

	mu         sync.Mutex // guards the fields below; taken under a task's lock
	inUse      int
	head, tail *ticket
}

// ticket is a place in the queue. It belongs to a task, or, with a nil t, to the
// successor of a replaced one, which is about to take it over.
type ticket struct {
	t          *task
	granted    bool
	prev, next *ticket
}

// acquire takes a permit for t, or queues it and sets its ticket. t's lock is
// held. A ticket that t brought along is honoured.
func (p *permits) acquire(t *task) bool {
	if p.limit == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := t.ticket; k != nil {
		k.t = t
		if k.granted {
			t.ticket = nil
		}
		return k.granted
	}
	if p.inUse < p.limit {
		p.inUse++
		return true
	}
	k := &ticket{t: t, prev: p.tail}
	if p.tail == nil {
		p.head = k
	} else {
		p.tail.next = k
	}
	p.tail = k
	t.ticket = k
	return false
}

// release gives a permit back and returns the task that got it, which is to be
// granted.
func (p *permits) release() *task {
	if p.limit == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.head
	if k == nil {
		p.inUse--
		return nil
	}
	p.removeLocked(k)
	k.granted = true
	return k.t
}

// withdraw gives a ticket up. If it has been granted, whoever granted it finds
// its task gone and passes the permit on; a reserved one nobody grants, so that
// withdraw reports it: the permit is then to be released.
func (p *permits) withdraw(k *ticket) (granted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !k.granted {
		p.removeLocked(k)
		return false
	}
	return k.t == nil
}

// reserve keeps a place, with the permit if its turn has just come, for the one
// that replaces its task.
func (p *permits) reserve(k *ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k.t = nil
}

// bequeathed reports whether the permit that was meant for t, which was stopped
// before it came, is kept for the task that replaces t. t's lock is held.
func (t *task) bequeathed() bool {
	if t.ticket == nil {
		return t.sub != nil && t.sub.bequeathed
	}
	t.sup.permits.reserve(t.ticket) // whoever passes t's slot on decides
	return true
}

// requeue passes t's permit to the first waiter, which it returns, and puts t at
// the end of the queue, in one step. t's lock is held.
func (p *permits) requeue(t *task) *task {
	p.mu.Lock()
	k := p.head
	if k != nil {
		p.removeLocked(k)
		k.granted = true
	} else {
		p.inUse--
	}
	p.mu.Unlock()
	if p.acquire(t) {
		t.permit = true
	}
	if k == nil {
		return nil
	}
	return k.t
}

// contested reports whether anybody waits.
func (p *permits) contested() bool {
	if p.limit == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head != nil
}

func (p *permits) used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

func (p *permits) removeLocked(k *ticket) {
	if k.prev == nil {
		p.head = k.next
	} else {
		k.prev.next = k.next
	}
	if k.next == nil {
		p.tail = k.prev
	} else {
		k.next.prev = k.prev
	}
	k.prev, k.next = nil, nil
}
