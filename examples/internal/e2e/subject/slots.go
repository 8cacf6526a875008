package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// busy is how long full queues stay, so that scrapes see them.
const busy = 3 * time.Second

// office submits to a supervisor and notes how each submission has to be answered.
type office struct {
	*rig
	sup   *taskvisor.Supervisor
	noted *ledger.Supervisor
	err   error // the first that it met
}

// entry is one submission with its expected answer.
type entry struct {
	slot, task string
	policy     taskvisor.Admission
	verdict    string
	reason     string // why it is refused, at once or later
	outcome    string // of its task; completed if it is not said
	body       ledger.Body
	replaces   *holder
}

// holder is the owner of a slot until it is released.
type holder struct {
	task    *ledger.Task
	handle  *taskvisor.Handle
	release chan struct{}
}

// submit makes a submission from within a span, as a request would.
func (o *office) submit(e entry) (*ledger.Task, *taskvisor.Handle) {
	ctx, span := o.tracer.Start(o.ctx, "submit "+e.task)
	defer span.End()
	plan := once(e.outcome)
	if plan.Slot = e.slot; e.outcome == "" {
		plan.Outcome = "completed"
	}
	if e.reason != "" {
		plan.Outcome = "rejected"
	}
	if e.replaces != nil {
		plan.Replaces = e.replaces.task.Name
		e.replaces.task.Stopping(ledger.ReasonReplaced)
	}
	o.book.Submit(ledger.Submission{
		Supervisor: o.noted.Name, Task: e.task, Slot: e.slot, Policy: e.policy.String(),
		Verdict: e.verdict, Reason: e.reason, At: time.Now(),
	})
	t := o.book.Task(ctx, o.noted, e.task, plan)
	h, err := o.sup.Submit(ctx, taskvisor.Submission{Task: spec(t, e.body), Slot: e.slot, Admission: e.policy})
	if o.failed(err) {
		return t, nil
	}
	t.Taken()
	o.watch(t, h)
	return t, h
}

// join is a submission that becomes no task: it is given the owner's handle.
func (o *office) join(slot string, owner *holder) {
	o.book.Submit(ledger.Submission{
		Supervisor: o.noted.Name, Task: "joining", Slot: slot, Policy: taskvisor.Join.String(), Verdict: "joined", At: time.Now(),
	})
	body := func(context.Context) error { panic("a submission that joined was run") }
	h, err := o.sup.Submit(o.ctx, taskvisor.Submission{Task: taskvisor.Once("joining", body), Slot: slot, Admission: taskvisor.Join})
	if !o.failed(err) && h.ID() != owner.handle.ID() {
		o.failed(fmt.Errorf("the handle of a submission that joined is that of %q", h.Name()))
	}
}

// hold submits a task that keeps its slot until it is released or stopped, and waits
// until it runs.
func (o *office) hold(e entry) *holder {
	h := &holder{release: make(chan struct{})}
	begun := make(chan struct{})
	held := o.until(h.release, begun)
	after := e.body
	e.body = func(ctx context.Context, a *ledger.Attempt) error {
		if err := held(ctx, a); err == nil || after == nil {
			return err
		}
		return after(ctx, a)
	}
	h.task, h.handle = o.submit(e)
	if o.err != nil {
		return h
	}
	select {
	case <-begun:
	case <-h.handle.Done():
		o.failed(fmt.Errorf("%s did not run", e.task))
	}
	return h
}

func (o *office) failed(err error) bool {
	if o.err == nil {
		o.err = err
	}
	return err != nil
}

// finish lets the owner go and waits until the tasks have ended.
func (o *office) finish(h *holder, others ...*taskvisor.Handle) {
	close(h.release)
	for _, x := range append(others, h.handle) {
		if x != nil {
			_, err := x.Wait(o.ctx)
			o.failed(err)
		}
	}
}

// slots is the part of the script about admission: every policy, every refusal.
func (r *rig) slots(sup *taskvisor.Supervisor, noted *ledger.Supervisor) error {
	o := &office{rig: r, sup: sup, noted: noted}
	short := r.works(200 * ms)

	queue := o.hold(entry{slot: "queue", task: "q1", policy: taskvisor.Queue, verdict: "started"})
	_, q2 := o.submit(entry{slot: "queue", task: "q2", policy: taskvisor.Queue, verdict: "queued", body: short})
	left, q3 := o.submit(entry{slot: "queue", task: "q3", policy: taskvisor.Queue, verdict: "queued", reason: "removed", body: short})
	o.submit(entry{slot: "queue", task: "q4", policy: taskvisor.Queue, verdict: "rejected", reason: "queue_full", body: short})
	_ = rest(r.ctx, busy)
	if q3 != nil {
		left.Stopping(ledger.ReasonRemoved)
		q3.Stop()
	}
	o.finish(queue, q2)

	joined := o.hold(entry{slot: "join", task: "j1", policy: taskvisor.Join, verdict: "started"})
	o.join("join", joined)
	o.finish(joined)

	dropped := o.hold(entry{slot: "drop", task: "d1", policy: taskvisor.DropIfRunning, verdict: "started"})
	o.submit(entry{slot: "drop", task: "d2", policy: taskvisor.DropIfRunning, verdict: "rejected", reason: "slot_busy", body: short})
	o.finish(dropped)

	merged := o.hold(entry{slot: "merge", task: "c1", policy: taskvisor.Coalesce, verdict: "started"})
	c2, _ := o.submit(entry{slot: "merge", task: "c2", policy: taskvisor.Coalesce, verdict: "queued", reason: "superseded", body: short})
	c2.Stopping(ledger.ReasonReplaced)
	_, c3 := o.submit(entry{slot: "merge", task: "c3", policy: taskvisor.Coalesce, verdict: "queued", body: short})
	_ = rest(r.ctx, 500*ms)
	o.finish(merged, c3)

	o.replace(short)
	o.submit(entry{slot: "taken", task: "steady", policy: taskvisor.Queue, verdict: "rejected", reason: "already_exists", body: short})

	// These stay until the shutdown: what waits is refused then.
	o.hold(entry{slot: "last", task: "s1", policy: taskvisor.Queue, verdict: "started", outcome: "canceled"})
	o.submit(entry{slot: "last", task: "s2", policy: taskvisor.Queue, verdict: "queued", reason: "shutting_down", body: short})
	return o.err
}

// replace displaces an owner that goes, and one that does not go in peace.
func (o *office) replace(last ledger.Body) {
	slow := func(ctx context.Context, _ *ledger.Attempt) error {
		_ = rest(context.Background(), 400*ms) // it has to be waited for
		return context.Cause(ctx)
	}
	torn := func(context.Context, *ledger.Attempt) error { return errors.New("half of it is written") }
	r1 := o.hold(entry{slot: "replace", task: "r1", policy: taskvisor.Replace, verdict: "started", outcome: "canceled", body: slow})
	r2 := o.hold(entry{slot: "replace", task: "r2", policy: taskvisor.Replace, verdict: "queued", outcome: "canceled", body: torn, replaces: r1})
	_, r3 := o.submit(entry{slot: "replace", task: "r3", policy: taskvisor.Replace, verdict: "queued", body: last, replaces: r2})
	if r3 != nil {
		_, err := r3.Wait(o.ctx)
		o.failed(err)
	}
}
