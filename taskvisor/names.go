package taskvisor

import "hash/maphash"

// leastNames is the number of buckets that a nameTable begins with, and below
// which it never shrinks.
const leastNames = 64

// nameTable finds registered tasks by name. Its chains run through the tasks
// themselves: where Go's map takes 40 bytes for each of many names, and for a
// deletion a tenth of all that a one-shot task costs, this takes 16 and a third.
//
// It grows by linear hashing, a bucket at a time, so that no Add pays for a
// million others.
type nameTable struct {
	seed    maphash.Seed
	buckets []*task // heads of chains, linked by same
	half    int     // the buckets when the last round of splitting began: a power of two
	split   int     // those below it have been split in this round: len(buckets) is half + split
	count   int
	gone    [goneTogether]*task // departed tasks that are to be deleted together
	left    int                 // of these
}

// From goneFrom names on, the table is not in a cache any more, and who deletes
// waits for memory. Then goneTogether are deleted together: the waits overlap, and
// the lock is held through them once in 64 times. Fewer than so many ended tasks
// may stay in memory until others have ended, beside thousands that live.
const (
	goneFrom     = 4096
	goneTogether = 64
)

func (n *nameTable) init() {
	n.seed = maphash.MakeSeed()
	n.reset(leastNames)
}

func (n *nameTable) reset(half int) {
	n.buckets = make([]*task, half)
	n.half, n.split = half, 0
}

// chain returns the chain on which name is, if it is.
func (n *nameTable) chain(name string) **task {
	h := int(maphash.String(n.seed, name) >> 1)
	i := h & (n.half - 1)
	if i < n.split {
		i = h & (2*n.half - 1)
	}
	return &n.buckets[i]
}

func (n *nameTable) get(name string) *task {
	for t := *n.chain(name); t != nil; t = t.same {
		if t.name == name && !t.departed.Load() {
			return t
		}
	}
	return nil
}

// put adds t unless its name is taken.
func (n *nameTable) put(t *task) (free bool) {
	c := n.chain(t.name)
	for u := *c; u != nil; u = u.same {
		if u.name == t.name && !u.departed.Load() {
			return false
		}
	}
	t.chain(c)
	n.count++
	if n.count > len(n.buckets) {
		n.grow()
	}
	return true
}

// grow splits one bucket.
func (n *nameTable) grow() {
	chain := n.buckets[n.split]
	n.buckets[n.split] = nil
	n.buckets = append(n.buckets, nil)
	n.split++
	n.link(chain)
	if n.split == n.half {
		n.half, n.split = 2*n.half, 0
	}
}

// link puts the tasks of a chain where they belong.
func (n *nameTable) link(chain *task) {
	for chain != nil {
		t := chain
		chain = t.same
		t.chain(n.chain(t.name))
	}
}

// chain puts t at the head of a chain.
func (t *task) chain(head **task) {
	t.same, t.prior, *head = *head, nil, t
	if t.same != nil {
		t.same.prior = t
	}
}

// depart deletes t, which has departed, now or with others.
func (n *nameTable) depart(t *task) {
	if n.count < goneFrom && n.left == 0 {
		n.delete(t)
		return
	}
	n.gone[n.left] = t
	if n.left++; n.left < goneTogether && n.count >= goneFrom {
		return
	}
	for _, u := range n.gone[:n.left] {
		n.delete(u)
	}
	clear(n.gone[:n.left])
	n.left = 0
}

// delete removes t, which is in n. It writes to t's neighbours without having read
// them: with 100 000 names each would be a wait for memory, under a lock.
func (n *nameTable) delete(t *task) {
	if t.prior != nil {
		t.prior.same = t.same
	} else {
		*n.chain(t.name) = t.same
	}
	if t.same != nil {
		t.same.prior = t.prior
	}
	t.same, t.prior = nil, nil
	n.count--
	if len(n.buckets) > leastNames && n.count < len(n.buckets)/8 {
		n.rebuild(n.count) // give memory back
	}
}

// all returns the tasks that have not departed, in no order.
func (n *nameTable) all() []numbered {
	ts := make([]numbered, 0, n.count)
	for _, t := range n.buckets {
		for ; t != nil; t = t.same {
			if !t.departed.Load() {
				ts = append(ts, numbered{t.id, t})
			}
		}
	}
	return ts
}

// reserve makes room for a batch of more names, whose sender can wait for it, unless
// splitting as usual is as good.
func (n *nameTable) reserve(more int) {
	if more > len(n.buckets) {
		n.rebuild(n.count + more)
	}
}

// rebuild is not inlined: delete is called near the end of a small stack.
//
//go:noinline
func (n *nameTable) rebuild(room int) {
	old, half := n.buckets, leastNames
	for half < room {
		half *= 2
	}
	n.reset(half)
	for _, chain := range old {
		n.link(chain)
	}
}
