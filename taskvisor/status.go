package taskvisor

import (
	"runtime"
	"strconv"
	"time"
)

// Snapshot returns the state of everything, read from the tasks themselves. It
// never calls the user's code and never waits for it.
func (s *Supervisor) Snapshot() Snapshot {
	now := time.Now()
	c := s.calendar(now)
	// The number comes first: an event with a later one may be shown already, and one with
	// this number or an earlier one is.
	sn := Snapshot{Supervisor: s.cfg.name, Seq: s.fan.bus.Last(), Time: now, Created: c.wall(1),
		MaxConcurrent: s.cfg.maxConcurrent}
	s.slots.snapshot(&sn, c)
	// The tasks and the totals of those that were removed are read in one step. A task is
	// in neither for as long as it is leaving, hence "at a quiet moment" in Snapshot's doc.
	tasks := s.reg.snapshot(&sn, func(d *departed) EndedTask { return d.show(c) })
	s.shutdown.snapshot(&sn)
	byID(tasks)
	sn.Tasks = make([]TaskStatus, len(tasks))
	running := 0
	for i, t := range tasks {
		t.mu.Lock() // one at a time: a snapshot stops no more than the task that it reads
		sn.Tasks[i] = t.statusLocked(c)
		runs := t.runningLocked()
		t.mu.Unlock()
		running += runs
		sn.Started += uint64(sn.Tasks[i].Attempt)
		sn.Ended += uint64(sn.Tasks[i].Attempt - runs)
	}
	sn.InUse = running + sn.Released
	if s.limit != nil { // its permits, also those that are kept for a task that was told to enter
		_, sn.InUse = s.limit.queue.Used()
	}
	for _, sink := range s.fan.sinks {
		if sink.name != reporterName { // nobody has asked for that one
			sn.Subscribers = append(sn.Subscribers, sink.status())
		}
	}
	return sn
}

// status is the account of one subscriber. Of a queued one Delivered, Dropped and Queued
// are read in one step, so that they add up.
func (s *sink) status() SubscriberStatus {
	st := SubscriberStatus{Name: s.name, Inline: s.inline, Panics: s.panics.Load(), Failures: s.failures.Load(),
		Delivered: s.called.Load()}
	if s.reader == nil {
		return st
	}
	account := s.reader.Status()
	st.Capacity, st.Delivered, st.Queued = s.capacity, account.Delivered, account.Queued
	for label, n := range account.Dropped {
		if st.Dropped == nil {
			st.Dropped = make(map[EventKind]uint64, len(account.Dropped))
		}
		st.Dropped[EventKind(label)] = n
	}
	return st
}

// Alive reports whether a task of that name is registered and was not abandoned.
func (s *Supervisor) Alive(name string) bool {
	t := s.reg.lookup(name)
	return t != nil && t.state().Alive()
}

// Count returns how many registered tasks are in the given state.
func (s *Supervisor) Count(st State) int {
	n := 0 // of instants that differ: no lock spans several tasks
	for _, t := range s.reg.tasks() {
		if t.state() == st {
			n++
		}
	}
	return n
}

// state is what others are shown.
func (t *task) state() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return State(t.m.State())
}

// place shows where a program counter comes from. The answers are kept, one for each
// call in the program that has registered a task: to find one takes longer than all
// the rest of a status (16 ms of a snapshot of 10 000 tasks).
func (s *Supervisor) place(pc uintptr) string {
	if pc == 0 { // runtime.Callers found no frame
		return ""
	}
	if known, ok := s.places.Load(pc); ok {
		return known.(string)
	}
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	at := f.File + ":" + strconv.Itoa(f.Line)
	s.places.Store(pc, at)
	return at
}
