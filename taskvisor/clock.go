package taskvisor

import "time"

// clock relates instants to wall time. Two readings of one clock share it.
type clock struct{ epoch time.Time }

func (c *clock) now() (time.Time, instant) {
	t := time.Now()
	return t, instant(t.Sub(c.epoch))
}

func (c *clock) at(t time.Time) instant { return instant(t.Sub(c.epoch)) }

// time returns an instant on the wall clock as it was when the clock was made.
func (c *clock) time(i instant) time.Time { return c.epoch.Add(time.Duration(i)) }

// wall returns a function that shows instants on the wall clock as it is at now,
// so that a clock which was set meanwhile does not make them look old. The
// instant 0 is shown as the zero time.
func (c *clock) wall(now time.Time) func(instant) time.Time {
	base := c.at(now)
	return func(i instant) time.Time {
		if i == 0 {
			return time.Time{}
		}
		return now.Round(0).Add(time.Duration(i - base))
	}
}
