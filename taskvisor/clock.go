package taskvisor

import (
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// now is a reading of the clock as decisions are made by it: monotonic.
func (s *Supervisor) now() life.Time { return life.Time(time.Since(s.epoch)) }

// instant is that of now.
func (s *Supervisor) instant(now time.Time) life.Time { return life.Time(now.Sub(s.epoch)) }

// wall is an instant on the wall clock as it shows now, so that a clock that was
// set meanwhile moves nothing. 0, never, is the zero time.
func (s *Supervisor) wall(now time.Time, at life.Time) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return now.Round(0).Add(time.Duration(at - s.instant(now)))
}
