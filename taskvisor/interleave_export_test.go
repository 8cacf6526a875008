package taskvisor

import (
	"sync"
	"time"
	"unsafe"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// What the tests of interleavings need to see and to do.

// Locks returns the locks that operations on h and its slot take, by name.
func Locks(h *Handle) map[string]sync.Locker {
	s := h.sup
	return map[string]sync.Locker{"controller": &s.slots.mu, "registry": &s.reg.mu, "task": &h.mu, "order": &s.order.mu,
		"shutdown": &s.shutdown.mu}
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

// Hang lets the time pass after which the body of h, which was told to end, is stuck.
func Hang(h *Handle) {
	h.do(nil, func(now life.Time) life.Effects { return h.m.Tick(max(now, h.m.Wake())) })
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

// SetWallClock makes what s knows be what it is when the wall clock has been set forth by
// d since s was made, or back: the monotonic clock goes on. There is no other way to have
// that but to set the clock of the machine. Nobody may be using s.
func SetWallClock(s *Supervisor, d time.Duration) {
	const hasMonotonic, nsecShift = 1 << 63, 30
	wall := (*uint64)(unsafe.Pointer(&s.epoch))
	if *wall&hasMonotonic == 0 {
		panic("the epoch has no monotonic reading")
	}
	*wall -= uint64(int64(d/time.Second)) << nsecShift
}

// SlowCapture makes the capture of a shutdown take d more, until restore is called.
func SlowCapture(d time.Duration) (restore func()) {
	captureAll = func() map[uint64]string {
		time.Sleep(d)
		return stacks.All()
	}
	return func() { captureAll = stacks.All }
}

// SetClock makes the next start of a scheduled h be what it is when the wall clock is set
// forward by d.
func SetClock(h *Handle, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.x.next = h.x.next.Add(-d)
}

// Ordered returns how many tasks s keeps because others depend on them, or they on others.
func Ordered(s *Supervisor) int {
	s.order.mu.Lock()
	defer s.order.mu.Unlock()
	return len(s.order.nodes)
}

// EnterLate is what is left of a transition that made h due, when another has begun to ask
// its gates since.
func EnterLate(h *Handle) { h.enter(false) }

// LateStack is the stack of a stuck body, of the attempt of that number, that was read late.
func LateStack(h *Handle, attempt int, stack string) { h.gotStack(attempt, stack) }

// SetWall sets the wall clock forward by d since s was made: what was read then shows as
// much less now, beside the same reading of the monotonic clock.
func SetWall(s *Supervisor, d time.Duration) {
	type reading struct { // a time.Time with both
		wall uint64 // a bit, 33 of seconds, 30 of nanoseconds
		ext  int64
		loc  *time.Location
	}
	(*reading)(unsafe.Pointer(&s.epoch)).wall -= uint64(d/time.Second) << 30
}

// ComeAndGo lets a child of an attempt come and go when the last one has just gone, and who
// waits for them has not looked yet.
func ComeAndGo() {
	c := &stdCtx{running: 1, idle: make(chan struct{})}
	c.leave()
	c.adopt()
	c.leave()
}
