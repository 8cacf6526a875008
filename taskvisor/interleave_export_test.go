package taskvisor

import (
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// What the tests of interleavings need to see and to do.

// Locks returns the locks that operations on h and its slot take, by name.
func Locks(h *Handle) map[string]sync.Locker {
	s := h.sup
	return map[string]sync.Locker{"controller": &s.slots.mu, "registry": &s.reg.mu, "task": &h.mu, "order": &s.order.mu}
}

// Active reports whether the body of h is being called.
func Active(h *Handle) bool { return h.phase() == life.Active }

// Expire lets the deadline of h's attempt pass.
func Expire(h *Handle) {
	h.do(nil, func(now life.Time) life.Effects {
		if h.m.Phase() != life.Active || h.m.StoppedFor() != 0 {
			return 0
		}
		return h.m.Tick(max(now, h.m.DueAt()))
	})
}

// GiveUp lets the grace of h pass, if it was stopped.
func GiveUp(h *Handle) { h.giveUp() }

// WakesIn returns how long it takes until h's timer fires; 0: it does not.
func WakesIn(h *Handle) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fires == 0 {
		return 0
	}
	return time.Duration(h.fires - h.sup.instant(time.Now()))
}

// SetClock makes the next start of a scheduled h be what it is when the wall clock is set
// forward by d.
func SetClock(h *Handle, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.x.next = h.x.next.Add(-d)
}
