package taskvisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// Supervisor runs named tasks: it restarts them by their policies, stops them in
// bounded time, and tells subscribers every step. Make one with [New]. Its methods are
// safe for concurrent use, also in bodies; inline subscribers may call those that do not
// wait. Tasks may be added before Run or Start. A nil ctx panics.
type Supervisor struct {
	cfg     config                 // as New resolved it; fixed
	epoch   time.Time              // the instant 0, a nanosecond before New: so no instant is 0, which means never
	inherit *policy                // in force for a spec without options
	once    *policy                // in force for a Once without options
	recent  atomic.Pointer[policy] // the last one resolved, for equal ones to share; nil: none yet
	places  sync.Map               // file:line where tasks were registered, by program counter
	limit   *Limit                 // of WithMaxConcurrent; nil: none
	budget  *budget                // of WithRestartBudget; nil: none

	enclosing atomic.Pointer[attempt] // the one in which Run was called, of another supervisor's task; nil: none. Set once, by begin

	reg      registry
	order    ordering
	slots    controller
	fan      fanout
	stacks   stacks.Reader
	shutdown shutdown
}

// New returns a supervisor with the given options. It starts nothing. Errors are
// those of the options and of subscribers that refuse to be attached.
func New(opts ...Option) (*Supervisor, error) {
	mustOptions("Option", "New", opts)
	c := config{name: "taskvisor", grace: defaultGrace, drain: defaultDrain, maxQueue: defaultMaxQueue}
	for _, o := range opts {
		o.applySupervisor(&c)
	}
	if c.err != nil {
		return nil, fmt.Errorf("taskvisor: new: %w", c.err)
	}
	if c.defaults.set&setGrace == 0 {
		WithGrace(c.grace).applyTask(&c.defaults)
	}
	if len(c.subscribers) == 0 && !c.discard {
		c.subscribers = []subscriberConfig{{sub: reporter{}, name: reporterName, capacity: defaultCapacity, wants: reported}}
	}
	s := &Supervisor{cfg: c, epoch: time.Now().Add(-1)}
	s.reg.init(c.maxRegistered)
	s.slots = controller{sup: s, maxQueue: c.maxQueue}
	if c.maxConcurrent > 0 {
		s.limit = NewLimit("max_concurrent", c.maxConcurrent)
	}
	if c.budget > 0 {
		s.budget = newBudget(c.budget, c.budgetPer)
	}
	s.inherit, s.once = s.inForce(nil), s.inForce(oncePolicy)
	s.shutdown.init(c.grace)
	s.fan.init(s, s.shutdown.drainCtx, c.subscribers)
	if err := s.attach(); err != nil {
		return nil, err
	}
	return s, nil
}

// attach lets subscribers read state. If one refuses, those attached before it are closed, as
// far as they can be: nothing of a supervisor that New has not returned stays behind.
func (s *Supervisor) attach() error {
	for i, sink := range s.fan.sinks {
		a, ok := capability[Attacher](sink.sub)
		if !ok {
			continue
		}
		if err := a.Attach(s.Snapshot); err != nil {
			for _, earlier := range s.fan.sinks[:i] {
				if c, ok := capability[interface{ Close() }](earlier.sub); ok {
					c.Close()
				}
			}
			return fmt.Errorf("taskvisor: new: attach %q: %w", sink.name, err)
		}
	}
	return nil
}

// policyOf returns what is in force for a spec with the options own. Tasks with equal policies
// that are made one after the other share one. Concurrent calls may miss that: no harm.
func (s *Supervisor) policyOf(own *policy) *policy {
	switch own {
	case nil:
		return s.inherit
	case oncePolicy:
		return s.once
	}
	p := s.inForce(own)
	if last := s.recent.Load(); last != nil && last.same(p) {
		return last
	}
	s.recent.Store(p)
	return p
}

// inForce resolves the options own.
func (s *Supervisor) inForce(own *policy) *policy {
	p := resolve(&s.cfg.defaults, own)
	if gates := s.gatesOf(p); len(gates) > 0 {
		p.passes = &gates
	}
	return p
}

// Name returns the supervisor's name.
func (s *Supervisor) Name() string { return s.cfg.name }

// Run registers specs, all or none, starts the supervisor and blocks until it has
// ended: by itself when no task is left, or by a stop when ctx ends, Shutdown is
// called or, with [WithSignals], a signal arrives. Run then returns the failures of
// the tasks that it was given: a *TaskError for each that ended failed or fatal,
// joined, in their order; tasks added later are asked by their handles. Joined to
// them are a *GraceExceededError that names what still runs, and the error of a
// task [WithEssential]. nil means that all went well.
//
// If a spec is refused, the supervisor stays unstarted. A second call returns
// ErrAlreadyRunning, one after the shutdown ErrShuttingDown, and one with a ctx
// that has ended its cause.
func (s *Supervisor) Run(ctx context.Context, specs ...TaskSpec) error {
	mustContext(ctx)
	if err := s.begin(ctx, "run", true, specs); err != nil {
		return err
	}
	s.reg.endIfIdle() // without tasks there is no last one whose end would end Run
	<-s.shutdown.done
	return s.shutdown.err
}

// Start starts the supervisor and returns. It never ends by itself; when ctx
// ends, it shuts down gracefully. Errors are those of [Supervisor.Run].
func (s *Supervisor) Start(ctx context.Context) error {
	mustContext(ctx)
	return s.begin(ctx, "start", false, nil)
}

// Wait waits until the supervisor has ended, and returns the result of its shutdown:
// what [Supervisor.Run] returns. If ctx ends first, it returns its cause; given a
// context that comes from an attempt or a callback of this supervisor,
// ErrWouldWaitForSelf.
func (s *Supervisor) Wait(ctx context.Context) error {
	mustContext(ctx)
	return s.wait(ctx, "wait")
}

func (s *Supervisor) wait(ctx context.Context, op string) error {
	if !s.ended() && s.waitsForSelf(ctx) {
		return &TaskError{Op: op, Err: ErrWouldWaitForSelf}
	}
	select {
	case <-s.shutdown.done:
		return s.shutdown.err
	case <-ctx.Done():
	}
	if s.ended() { // both had come: the result wins
		return s.shutdown.err
	}
	return &TaskError{Op: op, Err: context.Cause(ctx)}
}

func (s *Supervisor) begin(ctx context.Context, op string, natural bool, specs []TaskSpec) error {
	from := callerOf(2)
	outer, done, err := s.usable(ctx, op)
	if err != nil {
		return err
	}
	tasks, err := s.newTasks(ctx, op, specs, from)
	if err != nil {
		return err
	}
	for i, t := range tasks { // nobody else knows them yet
		t.place = int32(i + 1)
	}
	if err := s.order.link(tasks, s.reg.lookup); err != nil {
		return err
	}
	before, conflict, err := s.reg.open(natural, tasks, func() {
		if natural {
			s.enclosing.Store(outer)
		}
	})
	if err != nil {
		s.order.unlink(tasks)
		return s.refuse(op, tasks, conflict, err)
	}
	s.operate(ctx, done)
	// Not here, since an inline subscriber that does not return would keep Run from returning.
	// Started by Run or Start, once; ends when all tasks were announced; nobody waits for it:
	// a shutdown announces those that are left.
	background(func() { s.announceAll(tasks, before) })
	return nil
}

// usable reports why a supervisor that is asked to begin cannot, as far as that is known
// before anything is registered; open decides. It asks ctx, which may be of the user's own
// type, for the attempt that it comes from and for its end; a panic in there is an error.
func (s *Supervisor) usable(ctx context.Context, op string) (outer *attempt, done <-chan struct{}, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
		if err != nil {
			err = &TaskError{Op: op, Err: err}
		}
	}()
	switch st := s.reg.current(); {
	case st == SupervisorRunning:
		err = ErrAlreadyRunning
	case st != SupervisorNew:
		err = ErrShuttingDown
	default:
		err = ended(ctx)
	}
	if err != nil && op == "run" && s.waitsForSelf(ctx) {
		err = errors.Join(err, ErrWouldWaitForSelf)
	}
	return attemptFrom(ctx), ctx.Done(), err
}

// Add registers a task and lets it begin as soon as the supervisor has started. A nil
// error means that it is registered, not that it has started. The attempts carry the
// values of ctx, never its end. Errors: what is wrong with spec, ErrTaskExists,
// ErrTooManyTasks, ErrShuttingDown, or the cause of a ctx that has ended.
//
// The values of ctx are asked for as long as the task lives: do not hand over the
// context of a request that a framework uses again for the next one. Of a ctx that comes
// from an attempt, a task keeps what was laid on top of that and what lies below all tasks;
// what its parents laid in between is seen only while the parent lives: lay it on again.
func (s *Supervisor) Add(ctx context.Context, spec TaskSpec) (*Handle, error) {
	mustContext(ctx)
	if err := checkSpec(ctx, "add", spec); err != nil {
		return nil, err
	}
	t, err := s.safeTask(ctx, "add", spec, callerOf(1), life.Added)
	if err != nil {
		return nil, err
	}
	if err := s.register("add", t); err != nil {
		return nil, err
	}
	t.announce(true)
	return t.h, nil
}

// register makes tasks known to the registry and the order, all or none.
func (s *Supervisor) register(op string, tasks ...*task) error {
	if err := s.order.link(tasks, s.reg.lookup); err != nil {
		return err
	}
	if conflict, err := s.reg.add(tasks...); err != nil {
		s.order.unlink(tasks)
		return s.refuse(op, tasks, conflict, err)
	}
	return nil
}

// AddAll registers all specs or, if one of them is refused, none. No attempt
// starts before every task has been announced. The handles are in the order of
// specs. Errors are those of [Supervisor.Add] and name the first conflict.
func (s *Supervisor) AddAll(ctx context.Context, specs ...TaskSpec) ([]*Handle, error) {
	mustContext(ctx)
	tasks, err := s.newTasks(ctx, "add", specs, callerOf(1))
	if err != nil {
		return nil, err
	}
	if err := s.register("add", tasks...); err != nil {
		return nil, err
	}
	handles := make([]*Handle, len(tasks))
	for i, t := range tasks {
		handles[i] = t.h
	}
	s.announceAll(tasks, nil)
	return handles, nil
}

func checkSpec(ctx context.Context, op string, spec TaskSpec) error {
	err := spec.validate()
	if err == nil {
		err = ended(ctx)
	}
	if err != nil {
		return &TaskError{Op: op, Task: spec.name, Err: err}
	}
	return nil
}

// ended returns the cause of a ctx that has ended; nil: it has not. It may be of the user's
// own type: a panic of its methods is the cause.
func ended(ctx context.Context) (cause error) {
	defer func() {
		if v := recover(); v != nil {
			cause = newPanicError(v)
		}
	}()
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// newTasks makes the tasks of a batch, which nobody else knows of yet: all or none.
func (s *Supervisor) newTasks(ctx context.Context, op string, specs []TaskSpec, from uintptr) ([]*task, error) {
	if err := ended(ctx); err != nil {
		return nil, &TaskError{Op: op, Err: err}
	}
	for _, spec := range specs {
		if err := checkSpec(ctx, op, spec); err != nil {
			return nil, err
		}
	}
	tasks := make([]*task, len(specs))
	for i, spec := range specs {
		t, err := s.safeTask(ctx, op, spec, from, life.Added)
		if err != nil {
			return nil, err
		}
		t.batch = true
		tasks[i] = t
	}
	return tasks, nil
}

// refuse announces a refused registration and returns its error. Tasks are announced only if
// one of them, conflict, was refused by the registry, which counts that as live until here:
// see add.
func (s *Supervisor) refuse(op string, tasks []*task, conflict *task, err error) error {
	if conflict == nil {
		if len(tasks) == 1 {
			return &TaskError{Op: op, Task: tasks[0].name, Err: err}
		}
		return &TaskError{Op: op, Err: err}
	}
	f := &s.fan
	f.mu.Lock()
	for _, t := range tasks {
		e := Event{Kind: TaskAddFailed, Task: t.name, TaskKind: t.pol.kind, Reason: ErrBatchRejected}
		if t == conflict {
			e.Reason, _ = err.(Reason)
		}
		f.recordRootLocked(e)
	}
	buf := f.root.detachLocked()
	f.mu.Unlock()
	s.reg.drop(false) // before delivery: from here on nothing depends on what subscribers do
	f.bus.Wake()
	f.deliver(&f.mu, &f.root, buf)
	return &TaskError{Op: op, Task: conflict.name, Err: err}
}

// announceAll announces a batch and then lets it begin, if the supervisor has started, and
// with it the tasks that were added before.
func (s *Supervisor) announceAll(batch, before []*task) {
	n := len(batch)
	inTurn(2*n+len(before), func(i int) {
		switch {
		case i < n:
			batch[i].announce(false)
		case i < 2*n:
			batch[i-n].launch(true)
		default:
			before[i-2*n].launch(false)
		}
	})
}

// Lookup returns the registered task of that name.
func (s *Supervisor) Lookup(name string) (*Handle, bool) {
	t := s.reg.lookup(name)
	if t == nil {
		return nil, false
	}
	return t.h, true
}

// List returns all registered tasks, by id, those being stopped and abandoned
// ones included.
func (s *Supervisor) List() []*Handle {
	tasks := s.reg.list()
	handles := make([]*Handle, len(tasks))
	for i, t := range tasks {
		handles[i] = t.h
	}
	return handles
}
