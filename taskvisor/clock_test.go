package taskvisor

import (
	"testing"
	"testing/synctest"
	"time"
)

// Events show the wall clock, although it is not read for each of them.
func TestClockShowsTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.init(false)
		for _, step := range []time.Duration{0, 1, wallFor - 1, 1, wallFor, 1, time.Hour, wallFor / 2, wallFor / 2} {
			time.Sleep(step)
			want := time.Now()
			now, at := c.now()
			if !now.Equal(want) || at != c.at(want) || now.Location() != time.Local {
				t.Errorf("after %v: %v at %d, want %v at %d", step, now, at, want, c.at(want))
			}
		}
		// A clock that is set shows within a millisecond.
		c.wallZero.Add(int64(time.Hour))
		if now, _ := c.now(); now.Equal(time.Now()) {
			t.Error("the wall clock is read for each event")
		}
		time.Sleep(wallFor)
		if now, _ := c.now(); !now.Equal(time.Now()) {
			t.Errorf("%v a millisecond after the clock was set", now)
		}
	})
}

// Where nobody listens nothing but instants is asked for.
func TestClockIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.init(true)
		time.Sleep(time.Second)
		now, at := c.now()
		if !now.IsZero() || at != c.at(time.Now()) {
			t.Errorf("%v at %d", now, at)
		}
		if both, i := c.both(); !both.Equal(time.Now()) || i != at {
			t.Errorf("%v at %d", both, i)
		}
	})
}
