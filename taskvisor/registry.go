package taskvisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// maxRecent is how many of the tasks that ended last a supervisor remembers.
const maxRecent = 64

// registry is the only authority on which tasks are registered, and on whether any more
// can be. It decides when a supervisor that runs by Run has nothing left to do, in the
// same step that refuses further tasks: an Add either prolongs Run or is refused.
//
// Its lock is taken after the controller's and the order's, before a task's, and never
// while a task's is held.
type registry struct {
	limit   int         // of tasks and waiting submissions together; 0: none; fixed
	started atomic.Bool // tasks may begin as soon as they are announced; never unset. Read without the lock

	mu      sync.Mutex      // guards the fields below
	state   SupervisorState // only ever moves on: new, running, draining, stopped
	natural bool            // started by Run: ends when live drops to 0. Start waits for a stop
	names   table[*task]    // the registered tasks by name, from add to free: abandoned ones too, until their bodies return or they are released
	waiting int             // submissions that wait for their slot; they have no name yet
	leaving int             // tasks between free and retire: the name is free, TaskRemoved is still to be published

	// live counts what keeps Run going, and what the verdict must wait for: tasks that are
	// neither abandoned nor retired, waiting submissions, and refusals that are still to
	// be announced. What add or hold has counted is taken off exactly once, by drop or retire.
	live int

	added, removed, begun, ended uint64             // tasks, ever; attempts of removed ones: the machines of others have theirs
	strays                       map[*task]struct{} // removed tasks whose bodies still run; see strayLocked
	recent                       []departed         // a ring of at most maxRecent
	latest                       int                // index of the newest in recent

	// quiet wakes the shutdown's goroutine: while draining, live or leaving has dropped to
	// 0. A capacity of 1 is enough, since the reader looks at the counts each time.
	quiet chan struct{}
}

func (r *registry) init(limit int) {
	r.limit = limit
	r.state = SupervisorNew
	r.quiet = make(chan struct{}, 1)
}

// open makes a supervisor run, with first among its tasks: all or, if one of them is
// refused, none, and then it stays new. It returns the tasks that were added before, which
// the caller is to launch. opened is called under the lock, so that nobody sees the
// supervisor run without what opened sets.
func (r *registry) open(natural bool, first []*task, opened func()) (before []*task, conflict *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.state {
	case SupervisorNew:
	case SupervisorRunning:
		return nil, nil, ErrAlreadyRunning
	default:
		return nil, nil, ErrShuttingDown
	}
	before = byID(r.tasksLocked()) // without first, which the caller announces and launches itself
	if conflict, err = r.addLocked(first); err != nil {
		return nil, conflict, err
	}
	r.state = SupervisorRunning
	r.natural = natural
	opened()
	r.started.Store(true) // last: a task that is announced from here on begins
	return before, nil, nil
}

// add registers all of ts or none. If a name is taken, also by an earlier one of ts, or the
// limit is reached, conflict is the first such task. The refusal counts as live, and the
// caller must drop it once it was announced: no verdict comes before. Other errors leave
// nothing to drop.
func (r *registry) add(ts ...*task) (conflict *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state > SupervisorRunning {
		return nil, ErrShuttingDown
	}
	return r.addLocked(ts)
}

// addLocked is add, whatever the state. Names are put one by one, so that two tasks of one
// batch cannot have the same, and taken back if a later one is refused; nobody sees that.
func (r *registry) addLocked(ts []*task) (conflict *task, err error) {
	if room := max(r.limit-len(r.names.m)-r.waiting, 0); r.limit > 0 && len(ts) > room {
		r.live++
		return ts[room], ErrTooManyTasks
	}
	for i, t := range ts {
		if r.names.m[t.name] != nil {
			for _, u := range ts[:i] {
				r.names.delete(u.name)
			}
			r.live++
			return t, ErrTaskExists
		}
		r.names.put(t.name, t)
	}
	r.live += len(ts)
	r.added += uint64(len(ts))
	return nil, nil
}

// admit registers a submission whose slot became free. It counts as live already, and
// goes on doing so if it is refused: refuseLocked drops it when that is announced.
func (r *registry) admit(t *task) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state > SupervisorRunning {
		return ErrShuttingDown
	}
	r.waiting--
	if _, err := r.addLocked([]*task{t}); err != nil {
		r.waiting++
		r.live-- // what addLocked has counted for the refusal
		return err
	}
	r.live-- // addLocked has counted it once more
	return nil
}

// hold counts as live a submission until what became of it was announced; with more, it is
// one more that waits for its slot. It is also counted if the limit refuses that.
func (r *registry) hold(more bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state > SupervisorRunning {
		return ErrShuttingDown
	}
	r.live++
	if more {
		if r.limit > 0 && len(r.names.m)+r.waiting >= r.limit {
			return ErrTooManyTasks
		}
		r.waiting++
	}
	return nil
}

// drop counts one less of what is live; waited says that it waited for a slot. If it was
// the last, this ends Run, in the same step that closes the registry.
func (r *registry) drop(waited bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if waited {
		r.waiting--
	}
	r.dropLocked()
}

// dropLocked is drop for a caller that counts more in the same step.
func (r *registry) dropLocked() {
	r.live--
	if r.live > 0 {
		return
	}
	if r.natural && r.state == SupervisorRunning {
		r.state = SupervisorDraining
	}
	if r.state == SupervisorDraining { // before that nobody acts on it
		r.signalLocked()
	}
}

// signalLocked never blocks: if a signal is pending already, its reader sees this one too.
func (r *registry) signalLocked() {
	select {
	case r.quiet <- struct{}{}:
	default:
	}
}

// endIfIdle ends a Run that has nothing to do from the beginning: no drop would end it.
func (r *registry) endIfIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == 0 && r.natural && r.state == SupervisorRunning {
		r.state = SupervisorDraining
		r.signalLocked()
	}
}

// free frees the name of a task that is gone. retire follows, after TaskRemoved; until then
// the task counts as leaving, so that the verdict waits for that event.
func (r *registry) free(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving++
	r.names.delete(t.name)
}

// retire counts a task as removed, after TaskRemoved. running is 1 if an attempt that was
// announced had not ended when its task was abandoned with release, else 0; alive says
// that the task still counts as live: an abandoned one does not, unless it was released.
func (r *registry) retire(t *task, running int, alive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed++
	if r.leaving--; r.leaving == 0 && r.state == SupervisorDraining { // abandonRest may wait for it
		r.signalLocked()
	}
	if len(r.recent) < maxRecent {
		r.recent = append(r.recent, departed{})
		r.latest = len(r.recent) - 1
	} else {
		r.latest = (r.latest + 1) % maxRecent
	}
	d := &r.recent[r.latest] // the oldest, to be overwritten, or a new one
	t.remember(d)            // takes the task's lock, under this one
	r.begun += uint64(d.attempts)
	r.ended += uint64(d.attempts - running)
	if running > 0 { // its body may be back already: then returned has been here, and this undoes it
		r.strayLocked(t)
	}
	if alive {
		r.dropLocked()
	}
}

// returned counts the end of the attempt of a released task: its body came back after the
// task was removed, or while it is being removed.
func (r *registry) returned(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strayLocked(t)
	r.ended++
}

// strayLocked is called twice for a task that is removed while its body runs: when it is
// retired and when its body returns, in either order. The first call makes it a stray, the
// second undoes that.
func (r *registry) strayLocked(t *task) {
	if _, ok := r.strays[t]; ok {
		delete(r.strays, t)
		return
	}
	if r.strays == nil {
		r.strays = make(map[*task]struct{})
	}
	r.strays[t] = struct{}{}
}

// close refuses every further task. before is the state that it found.
func (r *registry) close() (before SupervisorState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.state
	if before <= SupervisorRunning {
		r.state = SupervisorDraining
	}
	return before
}

// stopped comes before Done is closed: a caller that has waited for Done finds the
// supervisor stopped.
func (r *registry) stopped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = SupervisorStopped
}

// closedBySelf reports whether the end of the last task has closed the registry. It may
// also be true after a stop that was asked for: await looks at that first.
func (r *registry) closedBySelf() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.natural && r.state == SupervisorDraining && r.live == 0
}

// isLive reports whether anything keeps the supervisor going. Abandoned tasks do not.
func (r *registry) isLive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live > 0
}

// isLeft reports whether every task that has ended has published its TaskRemoved, so that
// the verdict can be the last event.
func (r *registry) isLeft() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live <= 0 && r.leaving == 0
}

// current is the state now. It may change at once: open, add and hold look again.
func (r *registry) current() SupervisorState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// lookup returns the registered task of that name; nil: there is none.
func (r *registry) lookup(name string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names.m[name]
}

// list returns the registered tasks by id.
func (r *registry) list() []*task { return byID(r.tasks()) }

// tasks returns the registered tasks in no order. list sorts them without the lock, since
// that takes longer than anything else that the lock is held for.
func (r *registry) tasks() []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasksLocked()
}

func (r *registry) tasksLocked() []*task {
	// With room for the strays, which all appends.
	ts := make([]*task, 0, len(r.names.m)+len(r.strays))
	for _, t := range r.names.m {
		ts = append(ts, t)
	}
	return ts
}

// all returns the registered tasks and the strays, by id, each once.
func (r *registry) all() []*task {
	r.mu.Lock()
	ts := r.tasksLocked()
	for t := range r.strays {
		ts = append(ts, t)
	}
	r.mu.Unlock()
	return slices.Compact(byID(ts))
}

// byID sorts ts in place, and returns it. Ids are given in the order in which tasks are made.
func byID(ts []*task) []*task {
	slices.SortFunc(ts, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	return ts
}

// snapshot adds the registry's part and returns the registered tasks, in no order. show is
// called under the lock.
func (r *registry) snapshot(sn *Snapshot, show func(*departed) EndedTask) []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	sn.State = r.state
	sn.Added, sn.Removed, sn.Started, sn.Ended, sn.Released = r.added, r.removed, r.begun, r.ended, len(r.strays)
	sn.Recent = make([]EndedTask, 0, len(r.recent))
	for i := range r.recent { // the newest first
		sn.Recent = append(sn.Recent, show(&r.recent[(r.latest-i+len(r.recent))%len(r.recent)]))
	}
	return r.tasksLocked()
}
