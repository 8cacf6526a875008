package taskvisor

import "sync"

// What the tests of interleavings need to see and to do.

// Locks returns the locks that operations on h and its slot take, by name.
func Locks(h *Handle) map[string]sync.Locker {
	s := h.sup
	return map[string]sync.Locker{"controller": &s.slots.mu, "registry": &s.reg.mu, "task": &h.mu, "permits": &s.permits.mu, "ring": &s.fan.ring.mu}
}

// Active reports whether the body of h is being called.
func Active(h *Handle) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.m.phase == phaseActive
}

// Expire lets the deadline of h's attempt pass.
func Expire(h *Handle) {
	h.mu.Lock()
	if h.m.phase == phaseActive && h.m.stop == 0 && h.m.due != 0 {
		_, h.m.due = h.sup.clock.now()
	}
	h.mu.Unlock()
	h.tick()
}

// GiveUp lets the grace of h pass, if it was stopped.
func GiveUp(h *Handle) { h.giveUp() }
