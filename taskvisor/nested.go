package taskvisor

import (
	"context"
	"errors"
	"slices"
)

// AsTask returns the spec of a task that runs the supervisor: a supervisor among the
// tasks of another. What it leaves running when it is stopped is part of the outer
// one's report, under the path of both names. A supervisor runs once: after a failure
// the task ends, since a further attempt could only be refused; make a new supervisor
// in the body of a [Restartable] where it is to be made anew. For the same reason it
// must not have been started. Options are those of the task.
func (s *Supervisor) AsTask(name string, opts ...TaskOption) TaskSpec {
	return Restartable(name, func(ctx context.Context) error {
		err := s.Run(ctx)
		if errors.Is(err, ErrShuttingDown) || errors.Is(err, ErrAlreadyRunning) {
			return Fatal(err)
		}
		return err
	}, opts...)
}

// waitsForSelf reports whether ctx comes from something that the end of s waits for: an
// attempt or a callback of s, or an attempt of a supervisor that is run inside one, at any
// depth. To wait there for the end of s would be to wait for ever.
func (s *Supervisor) waitsForSelf(ctx context.Context) bool {
	if ctx.Value(callbackKey{}) == s {
		return true
	}
	for a := attemptFrom(ctx); a != nil; a = a.t.sup.enclosing.Load() { // from the inside out
		if a.t.sup == s {
			return true
		}
	}
	return false
}

// nest notes that inner runs in the task t, so that what it leaves running is in the report
// of the shutdown d.
func (d *shutdown) nest(inner *Supervisor, t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inner == nil {
		d.inner = make(map[*Supervisor]*task)
	}
	d.inner[inner] = t
}

// unnest follows when inner has ended and left nothing. One that has left bodies running
// stays: the outer supervisor may still be the one to report them.
func (d *shutdown) unnest(inner *Supervisor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inner, inner)
}

// leftInside lists the bodies that run in supervisors inside tasks, by id, under the path
// of the names.
func (d *shutdown) leftInside() (left []TaskStatus) {
	d.mu.Lock() // for a copy only: it is a leaf, and running takes other locks
	inner := make(map[*Supervisor]*task, len(d.inner))
	for s, t := range d.inner {
		inner[s] = t
	}
	d.mu.Unlock()
	for s, t := range inner {
		for _, st := range s.running() {
			st.Name = t.name + "/" + st.Name
			left = append(left, st)
		}
	}
	slices.SortFunc(left, func(a, b TaskStatus) int { return int(a.ID) - int(b.ID) })
	return left
}

// running lists the bodies that run, those of supervisors in tasks included. They are read one
// after the other: nothing is decided by the list.
func (s *Supervisor) running() (list []TaskStatus) {
	for _, t := range s.reg.all() {
		if st := t.h.Status(); t.phase().Running() {
			list = append(list, st)
		}
	}
	return append(list, s.shutdown.leftInside()...)
}
