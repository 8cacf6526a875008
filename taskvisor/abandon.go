package taskvisor

import (
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// captureWait bounds the one capture of a shutdown.
const captureWait = 500 * time.Millisecond

// captureAll is that capture; tests make it slow.
var captureAll = stacks.All

// abandonRest gives up every body that still runs, and returns an error that lists
// them all, whenever they were stopped, those of supervisors in tasks included; nil
// if there is none. Outcomes do not wait for the stacks that the error has.
func (s *Supervisor) abandonRest() error {
	tasks := s.reg.all()
	for _, t := range tasks {
		if t.phase() == life.Added { // whoever added it has not come to that
			t.announce(false)
		}
	}
	run := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return !t.phase().Running() })
	left := s.abandonAll(run)
	for _, t := range tasks { // one that was abandoned before may be coming back just now
		t.awaitRemoved()
	}
	for !s.reg.isLeft() { // tasks that came back just now are leaving: nothing can be in their way
		<-s.reg.quiet
	}
	left = append(left, s.shutdown.leftInside()...)
	if len(left) == 0 {
		return nil
	}
	addStacks(left)
	for _, st := range left {
		st.Handle.keepStack(st.Stack)
	}
	return &GraceExceededError{Grace: s.cfg.grace, Tasks: left}
}

// abandonAll decides at one instant which of tasks, which are sorted by id, are given
// up: it holds all their locks, so that the list and the outcomes agree. Nobody else
// holds two of them at a time.
func (s *Supervisor) abandonAll(tasks []*task) []TaskStatus {
	for _, t := range tasks {
		t.mu.Lock()
	}
	wall := time.Now()
	now, c := s.instant(wall), s.calendar(wall)
	err := &GraceExceededError{Grace: s.cfg.grace}
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
	return slices.Clone(err.Tasks)
}

// addStacks adds the stacks that can be had within half a second.
func addStacks(left []TaskStatus) {
	got := make(chan map[uint64]string, 1)
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

// takeStack has the stacks of a stuck body read, and then announced.
func (t *task) takeStack() {
	t.mu.Lock()
	attempt := t.m.Number()
	t.mu.Unlock()
	t.sup.stacks.Ask(uint64(t.id), func(stack string) {
		// Started by the reader of stacks, which no subscriber may end or keep; ends when
		// the event was delivered; nobody waits for it.
		background(func() { t.gotStack(attempt, stack) })
	})
}

// gotStack announces that the body of the attempt is stuck, unless it came back. If
// it was given up meanwhile, that was announced, and its status shows where it is.
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
