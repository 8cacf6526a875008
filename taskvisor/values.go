package taskvisor

import (
	"context"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// lastID is the one global: ids are unique in the process, so that a log line or
// a profile of several supervisors can be told apart.
var lastID atomic.Uint64

// values are those of the context that was given to Add. If that comes from an attempt of
// another task, they are taken apart: what was laid on top of the attempt's context, and
// what was given to Add for the other task itself. The contexts in between are not kept, so
// that tasks which add each other without end do not make a chain that grows without end.
// While that other task lives they are seen through upper: no context can be asked for what
// was laid on another alone. They are fixed when made.
type values struct {
	upper, lower context.Context // asked in this order; nil: nothing there. Neither can end
	view         *views          // for events; nil: there are no subscribers
}

// valuesOf takes the values that ctx carries, without its end; nil if it carries none.
func valuesOf(ctx context.Context) *values {
	a := attemptFrom(ctx)
	if a == nil {
		if ctx == context.Background() || ctx == context.TODO() {
			return nil
		}
		return &values{lower: context.WithoutCancel(ctx)}
	}
	v := &values{}
	if below := a.t.values.Load(); below != nil { // nil: none, or that task is gone
		v.lower = below.lower // and not its upper: that would be the chain
	}
	if own, ok := ctx.(*attempt); !ok || own != a { // otherwise nothing was laid on top
		v.upper = context.WithoutCancel(ctx)
	}
	return v
}

// belongs reports whether key finds the attempt or callback that a context belongs to.
func belongs(key any) bool {
	switch key.(type) {
	case attemptKey, callbackKey, inlineKey:
		return true
	}
	return false
}

// Value hides which attempt or callback the context came from: the new task belongs to
// neither. It may be called on nil, which has no values.
func (v *values) Value(key any) any {
	if v == nil || belongs(key) {
		return nil
	}
	if v.upper != nil {
		if x := v.upper.Value(key); x != nil {
			return x
		}
	}
	if v.lower != nil {
		return v.lower.Value(key)
	}
	return nil
}

// taskCtx is a task as the context that carries its values: the root below the contexts of
// its attempts. It asks for them each time, since a task that is gone has none: a context
// that somebody keeps for ever then keeps none of them either.
type taskCtx task

func (*taskCtx) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*taskCtx) Done() <-chan struct{}       { return nil }
func (*taskCtx) Err() error                  { return nil }
func (*taskCtx) String() string              { return "taskvisor.task" }
func (c *taskCtx) Value(key any) any         { return (*task)(c).values.Load().Value(key) }

// labelled returns the context that carries the task's pprof labels, beside those of the
// context given to Add: one set, for its goroutines and its contexts. It asks the context
// given to Add, so no lock is held if there is one.
func (t *task) labelled() context.Context {
	return pprof.WithLabels((*taskCtx)(t), pprof.Labels(
		"taskvisor_supervisor", t.sup.cfg.name,
		"taskvisor_task", t.shownName(),
		stacks.Label, strconv.FormatUint(uint64(t.id), 10)))
}

// labelLocked returns that context, and makes it if there is none. It calls nobody then: with
// values it was made by newTask, and is never dropped.
func (t *task) labelLocked() context.Context {
	if t.label == nil {
		t.label = t.labelled()
	}
	return t.label
}

// shownName is the task's name in labels: its kind, where it has one, since there may be too
// many names for a profile.
func (t *task) shownName() string {
	if t.pol.kind != "" {
		return t.pol.kind
	}
	return t.name
}

// local returns the place where a subscriber keeps something about the task. nil, which keeps
// nothing, is for events of no task and for values that no subscriber was given.
func (t *task) local(s *sink) *Local {
	if t == nil || s == nil {
		return nil
	}
	all := t.locals.Load()
	if all == nil {
		made := make([]Local, len(t.sup.fan.sinks))
		t.locals.CompareAndSwap(nil, &made) // several may ask at once: all use those of the first
		all = t.locals.Load()
	}
	return &(*all)[s.index]
}
