package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// now is a reading of the clock as decisions are made by it: monotonic. It is never 0,
// which is "never": the epoch is a nanosecond before the supervisor was made.
func (s *Supervisor) now() life.Time { return life.Time(time.Since(s.epoch)) }

// instant is that of now, which must come from time.Now and still have its monotonic
// reading: without it the difference would be the wall clock's, which jumps.
func (s *Supervisor) instant(now time.Time) life.Time { return life.Time(now.Sub(s.epoch)) }

// calendar is where the instant 0 lies on the wall clock as it shows now. Times of
// several instants that are shown together are made with one calendar, so that a clock
// that was set meanwhile moves all of them or none, and the spans between them are right.
type calendar time.Time

// calendar makes one for now, a reading of time.Now with its monotonic part. The result
// has none: what is shown is compared and printed as wall time.
func (s *Supervisor) calendar(now time.Time) calendar {
	return calendar(now.Round(0).Add(-time.Duration(s.instant(now))))
}

// wall is the time of an instant. 0, never, is the zero time.
func (c calendar) wall(at life.Time) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Time(c).Add(time.Duration(at))
}
