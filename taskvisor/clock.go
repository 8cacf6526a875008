package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// now is a reading of the clock as decisions are made by it: monotonic.
func (s *Supervisor) now() life.Time { return life.Time(time.Since(s.epoch)) }

// instant is that of now.
func (s *Supervisor) instant(now time.Time) life.Time { return life.Time(now.Sub(s.epoch)) }

// calendar is where the instant 0 lies on the wall clock as it shows now, so that a
// clock that was set meanwhile moves nothing.
type calendar time.Time

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
