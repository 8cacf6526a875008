package lease

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Parts of the key space below the prefix. Singletons have the rest, see Owner.Singleton.
const (
	slotPart   = "slot/"
	shardPart  = "shard/"
	memberPart = "member/"
	sharedGate = "lease" // what tasks of slots and shards wait for: their keys are many
)

// Slot is [taskvisor.Supervisor.Submit] for a slot that is one in all processes. With
// the policy Queue the task waits for the slot in this process, first come, first
// served, and then at the gate "lease" for the lease of its key. With DropIfRunning it
// is refused with an error that wraps [ErrHeld] if another process has that, for which
// Slot asks the store and waits for the answer, at most until ctx ends. The other
// policies cannot reach another process, and are errors.
//
// The supervisor and the task must be as [Owner.Singleton] says.
func (o *Owner) Slot(ctx context.Context, sup *taskvisor.Supervisor, sub taskvisor.Submission) (*taskvisor.Handle, error) {
	key := sub.Slot
	if key == "" {
		key = sub.Task.Name()
	}
	refuse := func(err error) (*taskvisor.Handle, error) {
		return nil, &taskvisor.TaskError{Op: "submit", Task: sub.Task.Name(), Err: err}
	}
	if err := validKey("slot", key); err != nil {
		return refuse(err)
	}
	if !o.attached(sup) {
		return refuse(errNoSubscriber)
	}
	name := slotPart + key
	sub.Task = sub.Task.With(taskvisor.WithGate(&gate{o: o, name: name, label: sharedGate}))
	switch sub.Admission {
	case taskvisor.Queue:
		return sup.Submit(ctx, sub)
	case taskvisor.DropIfRunning:
		if err := o.claim(ctx, name); err != nil {
			return refuse(err)
		}
		defer o.unclaim(name)
		h, err := sup.Submit(ctx, sub)
		if err == nil && o.attachedTo(h) { // of another we would not hear that it has ended
			o.adopt(name, sup.Name(), h)
		}
		return h, err
	default:
		return refuse(fmt.Errorf("lease: the policy %s cannot reach another process", sub.Admission))
	}
}

// claim takes a lease on behalf of nobody yet. Unless it fails, unclaim has to follow.
// Without an answer it is asked again until ctx ends.
func (o *Owner) claim(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	o.do(func(x *acts, now time.Time) {
		l := o.leaseLocked(name, now)
		l.claims++
		l.again = true // who has it may be long ago
		l.settle(x, now)
	})
	for {
		var answered chan struct{}
		var err error
		o.do(func(x *acts, now time.Time) {
			l := o.leaseLocked(name, now)
			switch {
			case l.valid(now):
				return
			case l.state == Seeking && l.refused && !l.busy:
				err = &HeldError{Key: l.name, Holder: l.holder}
				return
			}
			answered = make(chan struct{})
			l.waiters = append(l.waiters, answered)
			l.settle(x, now)
		})
		if err == nil && answered == nil {
			return nil
		}
		if err == nil {
			select {
			case <-answered:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		o.unclaim(name)
		return err
	}
}

func (o *Owner) unclaim(name string) {
	o.do(func(x *acts, now time.Time) {
		l := o.leaseLocked(name, now)
		l.claims--
		l.settle(x, now)
	})
}

// adopt makes a task a member before it comes to its gate, so that the lease is kept
// until then.
func (o *Owner) adopt(name, supervisor string, h *taskvisor.Handle) {
	o.do(func(_ *acts, now time.Time) {
		o.leaseLocked(name, now).member(taskvisor.Attempt{TaskID: h.ID(), Task: h.Name(), Supervisor: supervisor}, h)
	})
	if _, ended := h.Outcome(); ended { // its TaskRemoved may have come before
		o.removed(h.ID())
	}
}

// member returns the id of the owner whose presence key is the lease of.
func (o *Owner) memberOf(key string) (id string, ok bool) {
	return strings.CutPrefix(key, o.prefix+memberPart)
}
