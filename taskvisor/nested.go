package taskvisor

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
)

// AsTask returns the spec of a task that runs the supervisor: a supervisor among the
// tasks of another. It is a [Once], whatever the defaults say, that is ready while it
// runs, and whose error is what [Supervisor.Run] returns: a supervisor runs once, so an
// interruption ends it too, and a further attempt could only be refused. Make a new
// supervisor in the body of a [Restartable] where it is to be made anew. For the same
// reason it must not have been started. Options are those of the task.
//
// What it leaves running when it is stopped is part of the outer one's report, as
// "name/task". Its own events, metrics and spans have its own name, that of [WithName].
func (s *Supervisor) AsTask(name string, opts ...TaskOption) TaskSpec {
	return Once(name, func(ctx context.Context) error {
		Ready(ctx)
		err := s.Run(ctx)
		// Fatal, since RunNow and an interruption have another attempt follow; but one that was
		// stopped, or has timed out, ends as that.
		if cause := context.Cause(ctx); cause == nil || errors.Is(cause, ErrInterrupted) {
			return Fatal(cmp.Or(err, cause))
		}
		return err
	}, WithReadiness()).With(opts...)
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
// of the shutdown d. It forgets those that have ended since, and whose bodies came back late.
func (d *shutdown) nest(inner *Supervisor, t *task) {
	over := d.over()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range over {
		delete(d.inner, s)
	}
	if d.inner == nil {
		d.inner = make(map[*Supervisor]*task)
	}
	d.inner[inner] = t
}

// over lists the inner supervisors that have ended and in which nothing runs any more.
func (d *shutdown) over() (list []*Supervisor) {
	d.mu.Lock() // for a copy only: it is a leaf, and running takes other locks
	inner := slices.Collect(maps.Keys(d.inner))
	d.mu.Unlock()
	for _, s := range inner {
		if s.ended() && len(s.running()) == 0 {
			list = append(list, s)
		}
	}
	return list
}

// unnest follows when inner has ended and left nothing. One that has left bodies running
// stays until they are back: the outer supervisor may still be the one to report them.
func (d *shutdown) unnest(inner *Supervisor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inner, inner)
}

// leftInside lists the bodies that run in supervisors inside tasks, in no order, under the
// path of the names.
func (d *shutdown) leftInside() (left []TaskStatus) {
	d.mu.Lock() // for a copy only, as in over
	inner := maps.Clone(d.inner)
	d.mu.Unlock()
	for s, t := range inner {
		for _, st := range s.running() {
			st.Name = t.name + "/" + st.Name
			left = append(left, st)
		}
	}
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
