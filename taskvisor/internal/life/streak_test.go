package life

import (
	"math"
	"testing"
	"time"
)

// Streaks count in 64 bits: a worker that fails every millisecond is beyond 31 of them
// within a month.
func TestStreakBeyond31Bits(t *testing.T) {
	p := &Policy{Retries: Unlimited, Backoff: Backoff{First: time.Second, Max: time.Minute, Factor: 2}}
	m := New(p, Added, false, false)
	m.Announce(1)
	m.streak = math.MaxInt32 - 1
	m.Launch(0, 1)
	now := Time(1)
	for i := range 3 {
		m.Start(now)
		m.Returned(Ending{Kind: Failure}, now, nil)
		if want := math.MaxInt32 + i; m.Streak() != want || m.Delay() != time.Minute {
			t.Errorf("streak %d, delay %v, want %d, 1m", m.Streak(), m.Delay(), want)
		}
		m.Settle(false, now)
		now = m.DueAt()
		m.Tick(now)
	}
}
