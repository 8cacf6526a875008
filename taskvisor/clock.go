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

// schedule is the calendar of a scheduled task; nil for others. It is the user's code.
func (t *task) schedule() func(time.Time) time.Time {
	if t.pol.more == nil {
		return nil
	}
	return t.pol.more.next
}

// armLocked sets the timer for the machine's next time. One that fires earlier is left
// alone: that costs one idle tick instead of a reset for every attempt.
func (t *task) armLocked(at life.Time) {
	wake := t.m.Wake()
	if t.x != nil && !t.x.next.IsZero() && wake != 0 {
		wake = min(wake, at.After(time.Minute)) // look again: the wall clock may be set meanwhile
	}
	switch {
	case wake == 0 && t.m.Phase() == life.Gone && t.timer != nil:
		t.timer.Stop() // it would keep the task and the supervisor until it fires
		t.timer, t.fires = nil, 0
		return
	case wake == 0 || t.fires != 0 && t.fires <= wake:
		return
	}
	d := max(time.Duration(wake-at), 0)
	t.fires = wake
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.tick)
		return
	}
	t.timer.Reset(d)
}

// tick is the timer's function. It may come early, late, or when the task is gone.
func (t *task) tick() {
	t.do(nil, func(now life.Time) life.Effects {
		t.fires = 0
		t.recalendar(now)
		return t.m.Tick(now)
	})
}

// recalendar keeps a scheduled task's start in step with the wall clock. The lock is held.
func (t *task) recalendar(now life.Time) {
	if t.x != nil && !t.x.next.IsZero() && t.m.Phase() == life.Delayed {
		t.m.Postpone(now.After(max(time.Until(t.x.next), 0)))
	}
}
