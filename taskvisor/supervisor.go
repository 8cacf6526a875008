package taskvisor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Supervisor runs named tasks: it restarts them by their policies, stops them in
// bounded time, and tells subscribers every step. Make one with [New]. All its
// methods may be called at any time, from any goroutine, also from tasks; they
// panic if ctx is nil.
type Supervisor struct {
	cfg      config
	onceOnly *policy                // in force for a Once without options
	inherit  *policy                // in force for a spec without options
	recent   atomic.Pointer[policy] // the last one resolved: equal ones share it
	runners  sync.Pool              // of *runner
	waiters  sync.Pool              // of *waiter
	ids      idTexts
	past     chan struct{} // closed: the Done of tasks whose outcome is known

	enclosing *attemptCtx // of the attempt that called Run, which waits for this supervisor

	// What is written all the time stands apart from what is only read, and from
	// each other.
	_        apart
	clock    clock
	_        apart
	reg      registry
	_        apart
	slots    controller
	_        apart
	permits  permits
	_        apart
	fan      fanout
	stacks   stackReader
	shutdown shutdown
}

// apart keeps what processors write to from the cache lines that others read at
// the same time: two lines, which some fetch together.
type apart [128]byte

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
		graceOption(c.grace).applyTask(&c.defaults)
	}
	s := &Supervisor{cfg: c}
	s.clock.init(len(c.subscribers) == 0)
	s.inherit = resolve(&c.defaults, nil)
	s.onceOnly = resolve(&c.defaults, oncePolicy)
	s.reg.init()
	s.slots = controller{sup: s, maxQueue: c.maxQueue}
	s.permits.limit = c.maxConcurrent
	s.stacks.clock = &s.clock
	s.runners.New = func() any { return newRunner() }
	s.past = make(chan struct{})
	close(s.past)
	s.shutdown.init()
	s.fan.init(s, s.shutdown.drainCtx, c.subscribers)
	if err := s.attach(); err != nil {
		return nil, err
	}
	return s, nil
}

// attach lets subscribers read state. If one refuses, those before it that can
// be closed are, so that nothing of the failed supervisor stays behind.
func (s *Supervisor) attach() error {
	for i, sink := range s.fan.sinks {
		a, ok := sink.sub.(Attacher)
		if !ok {
			continue
		}
		if err := a.Attach(s.Snapshot); err != nil {
			for _, earlier := range s.fan.sinks[:i] {
				if c, ok := earlier.sub.(interface{ Close() }); ok {
					c.Close()
				}
			}
			return fmt.Errorf("taskvisor: new: attach %q: %w", sink.name, err)
		}
	}
	return nil
}

// policyOf returns what is in force for a spec with the options own. Tasks with
// equal policies share one.
func (s *Supervisor) policyOf(own *policy) *policy {
	switch own {
	case nil:
		return s.inherit
	case oncePolicy:
		return s.onceOnly
	}
	var p policy
	p.resolve(&s.cfg.defaults, own)
	if last := s.recent.Load(); last != nil && *last == p {
		return last
	}
	return s.remember(p)
}

func (s *Supervisor) remember(p policy) *policy {
	s.recent.Store(&p)
	return &p
}

// Name returns the supervisor's name.
func (s *Supervisor) Name() string { return s.cfg.name }

// Run registers specs, all or none, starts the supervisor and blocks until it has
// ended: by itself when no task is left, or by a stop when ctx ends, Shutdown is
// called or, with [WithSignals], a signal arrives. Run then returns nil if
// everything has stopped, even if tasks failed: outcomes are asked for, not
// guessed. Otherwise its error is or wraps a *GraceExceededError that names what
// still runs, or the error of a task [WithEssential].
//
// If a spec is refused, the supervisor stays unstarted. A second call returns
// ErrAlreadyRunning, one after the shutdown ErrShuttingDown, and one with a ctx
// that has ended its cause.
func (s *Supervisor) Run(ctx context.Context, specs ...TaskSpec) error {
	mustContext(ctx)
	if err := s.begin(ctx, "run", true, specs); err != nil {
		return err
	}
	s.reg.endIfIdle()
	<-s.shutdown.done
	return s.shutdown.err
}

// Start starts the supervisor and returns. It never ends by itself; when ctx
// ends, it shuts down gracefully. Errors are those of [Supervisor.Run].
func (s *Supervisor) Start(ctx context.Context) error {
	mustContext(ctx)
	return s.begin(ctx, "start", false, nil)
}

func (s *Supervisor) begin(ctx context.Context, op string, natural bool, specs []TaskSpec) error {
	if err := s.usable(ctx, op); err != nil {
		return err
	}
	tasks, err := s.newTasks(ctx, op, specs)
	if err != nil {
		return err
	}
	conflict, err := s.reg.open(natural, tasks, func() {
		if natural {
			s.enclosing = attemptFrom(ctx)
		}
	})
	if err != nil {
		return s.refuse(op, tasks, conflict, err)
	}
	s.fan.start()
	signals := s.shutdown.listen(s.cfg.signals)
	// Started by Run or Start, once; ends when the shutdown has ended, which is
	// bounded; Run waits for it, and so does who reads Done.
	go s.supervise(ctx, signals)
	s.announceAll(tasks, true)
	return nil
}

// usable reports why a supervisor that is asked to begin cannot, as far as that
// is known before anything is registered.
func (s *Supervisor) usable(ctx context.Context, op string) error {
	var err error
	switch st := s.reg.current(); {
	case st == StateRunning:
		err = ErrAlreadyRunning
	case st != StateNew:
		err = ErrShuttingDown
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	if op == "run" && s.waitsForSelf(ctx) {
		err = errors.Join(err, ErrWouldWaitForSelf)
	}
	return &TaskError{Op: op, Err: err}
}

// Add registers a task and lets it begin. A nil error means that it is
// registered, not that it has started. The attempts carry the values of ctx,
// never its end. Errors: what is wrong with spec, ErrTaskExists, ErrNotStarted,
// ErrShuttingDown, or the cause of a ctx that has ended.
func (s *Supervisor) Add(ctx context.Context, spec TaskSpec) (*Handle, error) {
	mustContext(ctx)
	if err := checkSpec(ctx, "add", spec); err != nil {
		return nil, err
	}
	t := s.newTask(ctx, spec)
	if err := s.reg.add1(t); err != nil {
		if err == ErrTaskExists {
			return nil, s.refuse("add", []*task{t}, t, err)
		}
		return nil, &TaskError{Op: "add", Task: spec.name, Err: err}
	}
	t.announce(true)
	return t, nil
}

// AddAll registers all specs or, if one of them is refused, none. No attempt
// starts before every task has been announced. The handles are in the order of
// specs. Errors are those of [Supervisor.Add] and name the first conflict.
func (s *Supervisor) AddAll(ctx context.Context, specs ...TaskSpec) ([]*Handle, error) {
	mustContext(ctx)
	tasks, err := s.newTasks(ctx, "add", specs)
	if err != nil {
		return nil, err
	}
	if conflict, err := s.reg.add(tasks...); err != nil {
		return nil, s.refuse("add", tasks, conflict, err)
	}
	s.announceAll(tasks, false)
	return tasks, nil
}

func checkSpec(ctx context.Context, op string, spec TaskSpec) error {
	err := spec.validate()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return &TaskError{Op: op, Task: spec.name, Err: err}
	}
	return nil
}

// newTasks makes the tasks of a batch, which nobody knows of yet.
func (s *Supervisor) newTasks(ctx context.Context, op string, specs []TaskSpec) ([]*task, error) {
	if err := ctx.Err(); err != nil {
		return nil, &TaskError{Op: op, Err: context.Cause(ctx)}
	}
	for _, spec := range specs {
		if err := checkSpec(ctx, op, spec); err != nil {
			return nil, err
		}
	}
	tasks := make([]*task, len(specs))
	for i, spec := range specs {
		tasks[i] = s.newTask(ctx, spec)
	}
	return tasks, nil
}

// refuse announces a refused registration and returns its error. Tasks are
// announced only where a name was in the way.
func (s *Supervisor) refuse(op string, tasks []*task, conflict *task, err error) error {
	if conflict == nil {
		return &TaskError{Op: op, Err: err}
	}
	defer s.reg.drop()
	s.announceFailed(tasks, conflict)
	return &TaskError{Op: op, Task: conflict.name, Err: err}
}

// announceFailed announces all of tasks, although an inline subscriber may end
// this goroutine meanwhile.
func (s *Supervisor) announceFailed(tasks []*task, conflict *task) {
	defer func() {
		if len(tasks) > 0 {
			s.announceFailed(tasks, conflict)
		}
	}()
	for len(tasks) > 0 {
		e := Event{Kind: TaskAddFailed, Task: tasks[0].name, Reason: ErrBatchRejected}
		if tasks[0] == conflict {
			e.Reason = ErrTaskExists
		}
		tasks = tasks[1:]
		s.fan.announce(e)
	}
}

// crowd is how many goroutines Run starts before it lets them run for a moment.
// They would otherwise all be there before the first has run, every one of them
// and its stack new and in nobody's cache: 1300 ns for each of 100 000 instant
// tasks instead of 710. Run waits for them anyway; who calls AddAll does not, and
// with as many busy bodies as processors a yield takes milliseconds for each. A
// shutdown stops as many at a time, for the same reason.
const crowd = 64

// announceAll announces a batch and lets it begin. Both are complete even if an
// inline subscriber ends this goroutine.
func (s *Supervisor) announceAll(tasks []*task, yield bool) {
	defer func() {
		for i, t := range tasks {
			s.fan.stepAside()
			if t.launch() {
				s.spawn(t)
			}
			if yield && (i+1)%crowd == 0 {
				runtime.Gosched()
			}
		}
	}()
	s.announceEach(tasks)
}

func (s *Supervisor) announceEach(tasks []*task) {
	defer func() {
		if len(tasks) > 0 {
			s.announceEach(tasks)
		}
	}()
	for len(tasks) > 0 {
		t := tasks[0]
		tasks = tasks[1:]
		t.announce(false)
	}
}

// Lookup returns the registered task of that name.
func (s *Supervisor) Lookup(name string) (*Handle, bool) {
	t := s.reg.lookup(name)
	return t, t != nil
}

// List returns all registered tasks, by id, those being stopped and abandoned
// ones included.
func (s *Supervisor) List() []*Handle { return s.reg.list() }

// Alive reports whether a task of that name is registered and was not abandoned.
func (s *Supervisor) Alive(name string) bool {
	t := s.reg.lookup(name)
	if t == nil {
		return false
	}
	st := t.state()
	return st != StateAbandoned && st != StateFinished
}

// Count returns how many registered tasks are in the given state.
func (s *Supervisor) Count(st State) int {
	n := 0
	for _, m := range s.reg.unsorted() {
		if m.t.state() == st {
			n++
		}
	}
	return n
}

func (t *task) state() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.state()
}

// waitsForSelf reports whether ctx comes from something that the end of s waits
// for: an attempt or a callback of s, or of a supervisor that is run inside one.
func (s *Supervisor) waitsForSelf(ctx context.Context) bool {
	if ctx.Value(callbackKey{}) == s {
		return true
	}
	for c := attemptFrom(ctx); c != nil; {
		sup := c.node.Load().t.sup
		if sup == s {
			return true
		}
		c = sup.enclosing
	}
	return false
}
