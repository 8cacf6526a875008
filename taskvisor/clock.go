package taskvisor

import "time"

// clock relates instants to wall time. Two readings of one clock share it.
type clock struct {
	epoch  time.Time
	silent bool // nobody is told the time of an event
}

// now returns the time, for events, and the instant, for decisions. Where nobody
// is told of events it reads the monotonic clock alone and leaves the time zero:
// 26 ns instead of 47, of about 90 that an attempt takes.
func (c *clock) now() (time.Time, instant) {
	if c.silent {
		return time.Time{}, instant(time.Since(c.epoch))
	}
	return c.both()
}

// both is now where the time goes into something else than an event.
func (c *clock) both() (time.Time, instant) {
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
