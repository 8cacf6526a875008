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

// values are those of the context that was given to Add. One that comes from an
// attempt is looked at first for what was laid on top of it, then for what lies
// below it: not for what lies below those that are below, so that tasks which add
// each other without end do not make a chain without end.
type values struct {
	upper, lower context.Context
	view         *views // for events; nil where nobody listens
}

// valuesOf takes what ctx carries; nil if that is nothing.
func valuesOf(ctx context.Context) *values {
	a := attemptFrom(ctx)
	if a == nil {
		if ctx == context.Background() || ctx == context.TODO() {
			return nil
		}
		return &values{lower: context.WithoutCancel(ctx)}
	}
	v := &values{}
	if below := a.t.values.Load(); below != nil {
		v.lower = below.lower
	}
	if own, ok := ctx.(*attempt); !ok || own != a {
		v.upper = context.WithoutCancel(ctx)
	}
	return v
}

// Value hides which attempt or callback the context came from: that does not
// concern the new task.
func (v *values) Value(key any) any {
	switch key.(type) {
	case attemptKey, callbackKey, inlineKey:
		return nil
	}
	if v == nil {
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

// taskCtx is a task as the context that carries its values. A task that is gone has
// none: what was handed out keeps none of them.
type taskCtx task

func (*taskCtx) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*taskCtx) Done() <-chan struct{}       { return nil }
func (*taskCtx) Err() error                  { return nil }
func (*taskCtx) String() string              { return "taskvisor.task" }
func (c *taskCtx) Value(key any) any         { return (*task)(c).values.Load().Value(key) }

// labelled returns the context that carries the task's pprof labels, beside those
// of the context given to Add: one set, for its goroutines and its contexts.
func (t *task) labelled() context.Context {
	return pprof.WithLabels((*taskCtx)(t), pprof.Labels(
		"taskvisor_supervisor", t.sup.cfg.name,
		"taskvisor_task", t.shownName(),
		stacks.Label, strconv.FormatUint(uint64(t.id), 10)))
}

// labelLocked returns it, and makes it where that asks nobody's context.
func (t *task) labelLocked() context.Context {
	if t.label == nil {
		t.label = t.labelled()
	}
	return t.label
}

// shownName is the kind, where there is one: names may be many.
func (t *task) shownName() string {
	if t.pol.kind != "" {
		return t.pol.kind
	}
	return t.name
}

// local returns what a subscriber keeps about the task.
func (t *task) local(s *sink) *Local {
	if t == nil || s == nil {
		return nil
	}
	all := t.locals.Load()
	if all == nil {
		made := make([]Local, len(t.sup.fan.sinks))
		t.locals.CompareAndSwap(nil, &made)
		all = t.locals.Load()
	}
	return &(*all)[s.index]
}
