package taskvisor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// maxRecent is how many tasks that ended lately a supervisor remembers.
const maxRecent = 64

// registry is the only authority on who is registered and on whether anybody
// still can be. Its lock is taken before a task's and never while one is held.
type registry struct {
	limit   int         // of tasks and waiting submissions; 0: none
	started atomic.Bool // tasks begin as soon as they are announced

	mu      sync.Mutex // guards the fields below
	state   SupervisorState
	natural bool // Run: the end of the last live task is the end
	names   table[*task]
	waiting int // submissions that wait for their slot
	leaving int // tasks whose TaskRemoved is still to be published, although their name is free
	live    int // what keeps Run going: tasks that are neither abandoned nor removed, waiting submissions, refusals to be announced

	added, removed, begun, ended uint64             // begun, ended: attempts of removed tasks
	strays                       map[*task]struct{} // removed tasks whose bodies still run
	recent                       []departed         // a ring
	latest                       int                // of recent

	quiet chan struct{} // capacity 1: live has dropped to 0
}

func (r *registry) init(limit int) {
	r.limit = limit
	r.state = SupervisorNew
	r.quiet = make(chan struct{}, 1)
}

// open makes a supervisor run, with first among its tasks: all or, if one of them
// is refused, none. It returns those that were added before, which are to begin.
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
	before = byID(r.tasksLocked())
	if conflict, err = r.addLocked(first); err != nil {
		return nil, conflict, err
	}
	r.state = SupervisorRunning
	r.natural = natural
	opened()
	r.started.Store(true)
	return before, nil, nil
}

// add registers all of ts or none. If a name is taken, conflict is the first of
// those; its refusal counts as live until drop, so that no verdict comes before it
// was announced.
func (r *registry) add(ts ...*task) (conflict *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state > SupervisorRunning {
		return nil, ErrShuttingDown
	}
	return r.addLocked(ts)
}

func (r *registry) addLocked(ts []*task) (conflict *task, err error) {
	if r.limit > 0 && len(r.names.m)+r.waiting+len(ts) > r.limit {
		return nil, ErrTooManyTasks
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

// admit registers a submission whose slot became free. It counts as live already,
// and goes on doing so if its name is taken.
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
	r.live--
	return nil
}

// hold counts as live a submission that waits, or whose refusal is to be announced.
func (r *registry) hold(waits bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.state > SupervisorRunning:
		return ErrShuttingDown
	case waits && r.limit > 0 && len(r.names.m)+r.waiting >= r.limit:
		return ErrTooManyTasks
	}
	if waits {
		r.waiting++
	}
	r.live++
	return nil
}

// drop counts one live thing less; waited says that it waited for a slot. The last
// one ends Run, in the same step that closes the registry.
func (r *registry) drop(waited bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if waited {
		r.waiting--
	}
	r.dropLocked()
}

func (r *registry) dropLocked() {
	r.live--
	if r.live > 0 {
		return
	}
	if r.natural && r.state == SupervisorRunning {
		r.state = SupervisorDraining
	}
	if r.state == SupervisorDraining { // before that nobody waits for it
		r.signalLocked()
	}
}

// signalLocked never blocks.
func (r *registry) signalLocked() {
	select {
	case r.quiet <- struct{}{}:
	default:
	}
}

// endIfIdle ends a Run that has nothing to do.
func (r *registry) endIfIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == 0 && r.natural && r.state == SupervisorRunning {
		r.state = SupervisorDraining
		r.signalLocked()
	}
}

// free frees the name of a task that is gone, and is to be retired.
func (r *registry) free(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving++
	r.names.delete(t.name)
}

// retire counts a task as removed, after TaskRemoved. running is 1 if its body,
// which was given up, still runs; alive says that it has kept Run going.
func (r *registry) retire(t *task, running int, alive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed++
	if r.leaving--; r.leaving == 0 && r.state == SupervisorDraining {
		r.signalLocked()
	}
	if len(r.recent) < maxRecent {
		r.recent = append(r.recent, departed{})
		r.latest = len(r.recent) - 1
	} else {
		r.latest = (r.latest + 1) % maxRecent
	}
	d := &r.recent[r.latest]
	t.remember(d)
	r.begun += uint64(d.attempts)
	r.ended += uint64(d.attempts - running)
	if running > 0 {
		r.strayLocked(t)
	}
	if alive {
		r.dropLocked()
	}
}

// returned follows when the body of a task came back that was, or is about to be,
// removed while it ran.
func (r *registry) returned(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strayLocked(t)
	r.ended++
}

// strayLocked is called twice for a task that is removed while its body runs: by
// whoever removes it and by whoever comes back. The second ends what the first began.
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

// close admits nobody any more. before is the state that it found.
func (r *registry) close() (before SupervisorState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.state
	if before <= SupervisorRunning {
		r.state = SupervisorDraining
	}
	return before
}

func (r *registry) stopped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = SupervisorStopped
}

// closedBySelf reports whether the end of the last task has closed the registry.
func (r *registry) closedBySelf() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.natural && r.state == SupervisorDraining && r.live == 0
}

func (r *registry) isLive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live > 0
}

// isLeft reports whether no TaskRemoved is still to come of a task that has ended.
func (r *registry) isLeft() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live <= 0 && r.leaving == 0
}

func (r *registry) current() SupervisorState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *registry) lookup(name string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names.m[name]
}

// list returns the registered tasks by id.
func (r *registry) list() []*task { return byID(r.tasks()) }

// tasks returns them in no order: to sort many takes longer than anything that the lock
// is held for.
func (r *registry) tasks() []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasksLocked()
}

func (r *registry) tasksLocked() []*task {
	ts := make([]*task, 0, len(r.names.m)+len(r.strays))
	for _, t := range r.names.m {
		ts = append(ts, t)
	}
	return ts
}

// all returns the strays too, by id.
func (r *registry) all() []*task {
	r.mu.Lock()
	ts := r.tasksLocked()
	for t := range r.strays {
		ts = append(ts, t)
	}
	r.mu.Unlock()
	return slices.Compact(byID(ts))
}

func byID(ts []*task) []*task {
	slices.SortFunc(ts, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	return ts
}

// snapshot adds the registry's part and returns the registered tasks, in no order.
func (r *registry) snapshot(sn *Snapshot, show func(*departed) EndedTask) []*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	sn.State = r.state
	sn.Added, sn.Removed, sn.Started, sn.Ended, sn.Released = r.added, r.removed, r.begun, r.ended, len(r.strays)
	sn.Recent = make([]EndedTask, 0, len(r.recent))
	for i := range r.recent {
		sn.Recent = append(sn.Recent, show(&r.recent[(r.latest-i+len(r.recent))%len(r.recent)]))
	}
	return r.tasksLocked()
}
