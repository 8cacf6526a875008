package taskvisor

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// captureWait is how long a shutdown waits for its one capture of stacks, beyond the grace.
const captureWait = 500 * time.Millisecond

// captureAll takes that capture; tests make it slow.
var captureAll = stacks.All

// abandonRest gives up every body that still runs, and returns an error that lists them all,
// also those that were abandoned or released before, and those of supervisors in tasks;
// nil if there is none. Then it waits for tasks that are just leaving, so that the
// verdict is the last event. Outcomes do not wait for the stacks that the error has.
func (s *Supervisor) abandonRest() error {
	tasks := s.reg.all()
	for _, t := range tasks {
		if t.phase() == life.Added { // its Add is between registering and announcing it; the second announcement does nothing
			t.announce(false)
		}
	}
	run := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return !t.phase().Running() })
	left := s.abandonAll(run)
	// Tasks whose bodies came back just now, or which were released, are leaving on other
	// goroutines. Before TaskRemoved they call no code of the user's, so this is short.
	for _, t := range tasks {
		t.awaitRemoved()
	}
	for !s.reg.isLeft() { // also those that were not among tasks any more
		<-s.reg.quiet
	}
	left = append(left, s.shutdown.leftInside()...)
	slices.SortFunc(left, func(a, b TaskStatus) int { return cmp.Compare(a.ID, b.ID) })
	if len(left) == 0 {
		return nil
	}
	addStacks(left)
	for _, st := range left {
		st.Handle.keepStack(st.Stack)
	}
	return &GraceExceededError{Grace: s.cfg.grace, Tasks: left}
}

// abandonAll decides at one instant which of tasks are given up: it holds all their locks,
// so that the list and the outcomes agree. tasks are sorted by id, and nothing else holds two
// tasks' locks at a time, so this cannot deadlock.
func (s *Supervisor) abandonAll(tasks []*task) []TaskStatus {
	for _, t := range tasks {
		t.mu.Lock()
	}
	wall := time.Now()
	now, c := s.instant(wall), s.calendar(wall)
	err := &GraceExceededError{Grace: s.cfg.grace} // one for all: complete before any outcome has it
	for _, t := range tasks {
		if t.m.Running() {
			err.Tasks = append(err.Tasks, t.statusLocked(c))
		}
	}
	gone := make([]effects, len(tasks))
	for i, t := range tasks {
		t.transitionLocked(&gone[i], now, nil, t.abandonLocked(now, err))
	}
	for _, t := range tasks {
		t.mu.Unlock()
	}
	for i, t := range tasks {
		t.abandoned(gone[i])
	}
	return slices.Clone(err.Tasks) // addStacks writes to these; err is in outcomes, which others read
}

// addStacks adds the stacks that can be had within captureWait, and no others.
func addStacks(left []TaskStatus) {
	got := make(chan map[uint64]string, 1) // with room, for a capture that comes too late
	// Started by a shutdown whose grace is over; ends with the capture, which stops
	// the world for as long as it takes; the shutdown waits for captureWait.
	background(func() { got <- captureAll() })
	timer := time.NewTimer(captureWait)
	defer timer.Stop()
	select {
	case all := <-got:
		for i := range left {
			if stack := all[uint64(left[i].ID)]; stack != "" {
				left[i].Stack = stack
			}
		}
	case <-timer.C:
	}
}

// takeStack has the stacks of a stuck body read, and then announced. By now, or when the
// answer comes, another attempt may run: attempt says which one was meant.
func (t *task) takeStack(attempt int) {
	t.sup.stacks.Ask(uint64(t.id), func(stack string) {
		// Started by the reader of stacks, which no subscriber may end or keep; ends when
		// the event was delivered; nobody waits for it.
		background(func() { t.gotStack(attempt, stack) })
	})
}

// gotStack announces that the body of the attempt is stuck, unless it came back. If it was
// given up meanwhile, that has been announced; then only its status shows where it is.
func (t *task) gotStack(attempt int, stack string) {
	t.do(nil, func(now life.Time) life.Effects {
		if stack != "" && t.m.Out(attempt) {
			t.extraLocked().stack = stack
		}
		if t.m.GotStuck(attempt) {
			t.recordStuck(now, stack)
		}
		return 0
	})
}
