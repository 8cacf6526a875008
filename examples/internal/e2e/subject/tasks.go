package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

const ms = time.Millisecond

// member is one task of the script.
type member struct {
	name string
	plan ledger.Plan
	body ledger.Body
}

// spec turns a plan, which the ledger keeps, into the words of the supervisor.
func spec(t *ledger.Task, body ledger.Body) taskvisor.TaskSpec {
	p, fn := t.Plan, t.Func(body)
	var opts []taskvisor.TaskOption
	if p.Timeout > 0 {
		opts = append(opts, taskvisor.WithTimeout(p.Timeout))
	}
	if p.Grace > 0 {
		opts = append(opts, taskvisor.WithGrace(p.Grace))
	}
	if p.StuckAfter > 0 {
		opts = append(opts, taskvisor.WithStuckAfter(p.StuckAfter))
	}
	if p.Once {
		return taskvisor.Once(t.Name, fn, opts...)
	}
	if p.Retries >= 0 {
		opts = append(opts, taskvisor.WithMaxRetries(p.Retries))
	}
	backoff := taskvisor.BackoffPolicy{First: p.First, Max: p.Max, Factor: 2}
	if p.Jitter {
		backoff.Jitter = taskvisor.EqualJitter
	}
	opts = append(opts, backoff)
	if p.Always {
		return taskvisor.Periodic(t.Name, p.Interval, fn, opts...)
	}
	return taskvisor.Restartable(t.Name, fn, opts...)
}

func once(outcome string) ledger.Plan { return ledger.Plan{Once: true, Outcome: outcome} }

func periodic(interval, backoff time.Duration) ledger.Plan {
	return ledger.Plan{Always: true, Interval: interval, Retries: -1, First: backoff, Max: backoff, Outcome: "canceled"}
}

func restartable(retries int, first, most time.Duration, outcome string) ledger.Plan {
	return ledger.Plan{Retries: retries, First: first, Max: most, Outcome: outcome}
}

// members are the tasks that alpha begins with. Two of them send on midst when they are in
// an attempt that only a stop ends.
func (r *rig) members(sup *taskvisor.Supervisor, midst chan<- struct{}) []member {
	hanging, exponential := periodic(200*ms, 250*ms), periodic(300*ms, 200*ms)
	hanging.Timeout = 300 * ms
	exponential.Max = 800 * ms
	stubborn := periodic(400*ms, 300*ms)
	stubborn.Timeout, stubborn.StuckAfter = 300*ms, 500*ms
	jittered := restartable(6, 100*ms, 400*ms, "failed")
	jittered.Jitter = true
	resident := restartable(-1, 300*ms, 300*ms, "canceled")
	resident.Resident = true
	deaf := periodic(400*ms, 300*ms)
	deaf.Grace, deaf.StuckAfter, deaf.Outcome = 700*ms, 300*ms, "abandoned"
	bounded := func(p ledger.Plan) ledger.Plan { p.Timeout = time.Minute; return p }
	return []member{
		{"steady", periodic(400*ms, 100*ms), r.works(120 * ms)},
		{"flaky", exponential, cycle(r.fails(100*ms), r.fails(130*ms), r.fails(100*ms), r.works(80*ms))},
		{"hanging", hanging, cycle(r.hangs(), r.hangs(), r.hangs(), r.works(50*ms))},
		{"panicking", periodic(300*ms, 300*ms), cycle(r.panics(100*ms, errors.New("index out of range")), r.works(60*ms), r.panics(90*ms, "not a number"))},
		{"parent", periodic(300*ms, 400*ms), cycle(r.childPanics(100*ms), r.works(100*ms))},
		{"exiting", periodic(500*ms, 300*ms), cycle(r.exits(100*ms), r.works(100*ms))},
		{"requesting", periodic(300*ms, 100*ms), cycle(r.asks(100*ms, 700*ms), r.works(100*ms))},
		{"triggered", periodic(900*ms, 700*ms), cycle(r.triggers(sup, "triggered", r.works(100*ms)), r.works(100*ms),
			r.triggers(sup, "triggered", r.fails(100*ms)), r.fails(100*ms), r.works(100*ms))},
		{"doomed", bounded(restartable(-1, 400*ms, 400*ms, "fatal")), times(2, r.fails(100*ms), r.dies(100*ms))},
		{"giving-up", bounded(jittered), r.fails(100 * ms)},
		{"quitting", bounded(restartable(-1, 200*ms, 200*ms, "canceled")), r.quits(700 * ms)},
		{"single", once("completed"), r.works(600 * ms)},
		{"unlucky", once("failed"), r.fails(500 * ms)},
		{"resident", resident, times(2, r.fails(1500*ms), r.works(time.Minute))},
		{"looping", bounded(restartable(-1, 60*ms, 60*ms, "completed")), times(40, r.fails(20*ms), r.works(100*ms))},
		{"stubborn", stubborn, cycle(r.ignores(2800*ms), r.works(100*ms))},
		{"stopped", periodic(300*ms, 100*ms), times(3, r.works(800*ms), tells(midst, r.loses()))},
		{"deaf", deaf, times(2, r.works(100*ms), tells(midst, r.outlives(3*time.Second)))},
	}
}

// alpha is the supervisor with nearly everything.
func (r *rig) alpha() error {
	sup, noted, err := r.supervisor("alpha", 0, 5*time.Second, taskvisor.WithMaxQueue(2))
	if err == nil {
		err = sup.Start(r.ctx)
	}
	if err != nil {
		return err
	}
	over := time.Now().Add(r.runFor)
	tasks := map[string]*ledger.Task{}
	handles := map[string]*taskvisor.Handle{}
	midst := make(chan struct{}, 2)
	for _, m := range r.members(sup, midst) {
		if tasks[m.name], handles[m.name], err = r.add(sup, noted, m); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	var slotsErr, againErr error
	wg.Go(func() { slotsErr = r.slots(sup, noted) })
	wg.Go(func() { againErr = r.again(sup, noted) })
	_ = rest(r.ctx, 4*time.Second)
	for range cap(midst) {
		<-midst
	}
	for _, name := range []string{"deaf", "stopped"} {
		tasks[name].Stopping(ledger.ReasonRemoved)
		handles[name].Stop()
	}
	wg.Wait()
	_ = rest(r.ctx, time.Until(over))
	noted.Stopping()
	err = sup.Shutdown(r.ctx)
	noted.Stopped()
	return errors.Join(err, slotsErr, againErr)
}

// add registers a task from within a span, as a request would.
func (r *rig) add(sup *taskvisor.Supervisor, noted *ledger.Supervisor, m member) (*ledger.Task, *taskvisor.Handle, error) {
	ctx, span := r.tracer.Start(r.ctx, "add "+m.name)
	defer span.End()
	t := r.book.Task(ctx, noted, m.name, m.plan)
	h, err := sup.Add(ctx, spec(t, m.body))
	if err != nil {
		return nil, nil, err
	}
	t.Taken()
	r.watch(t, h)
	return t, h, nil
}

// watch notes the outcome when it is there.
func (r *rig) watch(t *ledger.Task, h *taskvisor.Handle) {
	r.watchers.Go(func() {
		if o, err := h.Wait(r.ctx); err == nil {
			t.Ended(o.Kind.String())
		}
	})
}

// again adds three tasks of one name, one after the other.
func (r *rig) again(sup *taskvisor.Supervisor, noted *ledger.Supervisor) error {
	for range 3 {
		_, h, err := r.add(sup, noted, member{"again", once("completed"), r.works(150 * ms)})
		if err != nil {
			return err
		}
		if _, err := h.Wait(r.ctx); err != nil {
			return err
		}
	}
	return nil
}

// beta has two permits for four tasks, and is given them when it is run.
func (r *rig) beta() error {
	sup, noted, err := r.supervisor("beta", 2, 5*time.Second)
	if err != nil {
		return err
	}
	var tasks []*ledger.Task
	var specs []taskvisor.TaskSpec
	for _, m := range []member{
		{"first", periodic(50*ms, 100*ms), r.works(200 * ms)},
		{"second", periodic(50*ms, 100*ms), r.works(150 * ms)},
		{"third", periodic(50*ms, 300*ms), cycle(r.fails(150*ms), r.works(150*ms))},
		{"fourth", periodic(20*ms, 100*ms), r.works(100 * ms)},
	} {
		t := r.book.Task(r.ctx, noted, m.name, m.plan)
		tasks, specs = append(tasks, t), append(specs, spec(t, m.body))
	}
	return r.run(sup, noted, r.runFor/2, tasks, specs)
}

// gamma does not get rid of one of its tasks.
func (r *rig) gamma() error {
	sup, noted, err := r.supervisor("gamma", 0, 700*ms)
	if err != nil {
		return err
	}
	stays := once("abandoned")
	stays.StuckAfter = 300 * ms
	tasks := []*ledger.Task{
		r.book.Task(r.ctx, noted, "staying", stays),
		r.book.Task(r.ctx, noted, "leaving", once("completed")),
	}
	specs := []taskvisor.TaskSpec{spec(tasks[0], r.ignores(time.Hour)), spec(tasks[1], r.works(700*ms))}
	err = r.run(sup, noted, r.runFor/3, tasks, specs)
	var grace *taskvisor.GraceExceededError
	if !errors.As(err, &grace) || !slices.ContainsFunc(grace.Tasks, func(t taskvisor.TaskStatus) bool { return t.Name == "staying" }) {
		return fmt.Errorf("gamma ended otherwise than with a report of the task that stays: %w", err)
	}
	return nil
}

// run runs a supervisor until its context is cancelled after d.
func (r *rig) run(sup *taskvisor.Supervisor, noted *ledger.Supervisor, d time.Duration, tasks []*ledger.Task, specs []taskvisor.TaskSpec) error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	// The handles of tasks that Run was given are found when it has begun.
	seeker := time.AfterFunc(100*ms, func() {
		for _, t := range tasks {
			if h, ok := sup.Lookup(t.Name); ok {
				r.watch(t, h)
			}
		}
	})
	defer seeker.Stop()
	stopper := time.AfterFunc(d, func() {
		noted.Stopping()
		cancel(errors.New("the script says so"))
	})
	defer stopper.Stop()
	err := sup.Run(ctx, specs...)
	noted.Stopped()
	return err
}
