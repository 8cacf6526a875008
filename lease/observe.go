package lease

import (
	"slices"
	"sync"
)

// observer is one of those that [Owner.Observe] has added: its address is what it is
// found by.
type observer struct{ tell func(Event) }

// Observe has another observer told what happens to leases, beside that of
// [WithObserver] and under the same rules, until stop is called; an event that is under
// way may still come then. stop may be called again. It is for what counts: see
// WithLeases of packages promsub and otelsub.
func (o *Owner) Observe(observe func(Event)) (stop func()) {
	added := &observer{observe}
	o.change(func(all []*observer) []*observer { return append(all, added) })
	return sync.OnceFunc(func() {
		o.change(func(all []*observer) []*observer {
			return slices.DeleteFunc(all, func(one *observer) bool { return one == added })
		})
	})
}

// change replaces the list of observers, which is read without a lock.
func (o *Owner) change(to func([]*observer) []*observer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*observer
	if now := o.observers.Load(); now != nil {
		all = slices.Clone(*now)
	}
	all = to(all)
	o.observers.Store(&all)
}

// observe tells everybody. No lock is held.
func (o *Owner) observe(e Event) {
	o.first(e)
	if all := o.observers.Load(); all != nil {
		for _, one := range *all {
			one.tell(e)
		}
	}
}
