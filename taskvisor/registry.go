package taskvisor

import (
	"cmp"
	"slices"
	"sync"
)

// registry is the only authority on who is registered and on whether anybody
// still can be. Its lock is taken before a task's and never while one is held.
type registry struct {
	mu      sync.Mutex // guards the fields below
	state   State      // StateNew, StateRunning, StateDraining, StateStopped
	natural bool       // Run: the end of the last live task is the end
	names   nameTable
	live    int // what keeps Run going: tasks that are neither abandoned nor removed, waiting submissions

	added, removed, started, ended uint64             // started, ended: attempts of removed tasks
	strays                         map[*task]struct{} // removed tasks whose bodies still run

	quiet chan struct{} // capacity 1: live has dropped to 0
}

func (r *registry) init() {
	r.state = StateNew
	r.names.init()
	r.quiet = make(chan struct{}, 1)
}

// open makes a registry accept tasks, with first among them: all or, if one of
// the names is refused, none. Such a refusal counts as live until it has been
// announced, so that no verdict comes before: the caller owes a drop.
func (r *registry) open(natural bool, first []*task, opened func()) (conflict *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.state {
	case StateNew:
	case StateRunning:
		return nil, ErrAlreadyRunning
	default:
		return nil, ErrShuttingDown
	}
	if conflict = r.addLocked(first); conflict != nil {
		r.live++
		return conflict, ErrTaskExists
	}
	r.state = StateRunning
	r.natural = natural
	opened()
	return nil, nil
}

// add registers all of ts or none; conflict is the first whose name is taken, for
// which the caller owes a drop as after open.
func (r *registry) add(ts ...*task) (conflict *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.openLocked(); err != nil {
		return nil, err
	}
	if conflict = r.addLocked(ts); conflict != nil {
		r.live++
		return conflict, ErrTaskExists
	}
	return nil, nil
}

// add1 is add for one task.
func (r *registry) add1(t *task) error {
	ts := [1]*task{t}
	_, err := r.add(ts[:]...)
	return err
}

func (r *registry) openLocked() error {
	switch r.state {
	case StateNew:
		return ErrNotStarted
	case StateRunning:
		return nil
	default:
		return ErrShuttingDown
	}
}

func (r *registry) addLocked(ts []*task) (conflict *task) {
	r.names.reserve(len(ts))
	for i, t := range ts {
		if !r.names.put(t) {
			for _, u := range ts[:i] {
				r.names.delete(u)
			}
			return t
		}
	}
	r.live += len(ts)
	r.added += uint64(len(ts))
	return nil
}

// admit registers a submission whose slot became free; it counts as live
// already. It is refused if its name is taken, or by a shutdown.
func (r *registry) admit(t *task) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.openLocked(); err != nil {
		return err
	}
	if r.addLocked([]*task{t}) != nil {
		return ErrTaskExists
	}
	r.live--
	return nil
}

// hold counts as live a submission that waits, or whose refusal is to be
// announced.
func (r *registry) hold() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.openLocked(); err != nil {
		return err
	}
	r.live++
	return nil
}

// retire takes t, whose name is free already, out of the table and counts it as
// removed, after TaskRemoved: one lock for both.
func (r *registry) retire(t *task, a account) {
	r.mu.Lock()
	r.names.depart(t)
	r.removed++
	r.started += uint64(a.attempts)
	r.ended += uint64(a.attempts - a.running)
	quiet := a.alive && r.dropLocked()
	r.mu.Unlock()
	if quiet {
		r.signalQuiet()
	}
}

// account is what the registry sums up of a removed task.
type account struct {
	attempts, running int
	alive             bool
}

// stray keeps a task on record that is removed while its body still runs.
func (r *registry) stray(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.strays == nil {
		r.strays = make(map[*task]struct{})
	}
	r.strays[t] = struct{}{}
}

// returned follows when that body came back; ended is 1 if it was in an attempt.
func (r *registry) returned(t *task, ended int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.strays, t)
	r.ended += uint64(ended)
}

// drop counts one live thing less. The last one ends Run, in the same step that
// closes the registry.
func (r *registry) drop() {
	r.mu.Lock()
	quiet := r.dropLocked()
	r.mu.Unlock()
	if quiet {
		r.signalQuiet()
	}
}

func (r *registry) dropLocked() (quiet bool) {
	r.live--
	if r.live > 0 {
		return false
	}
	if r.natural && r.state == StateRunning {
		r.state = StateDraining
	}
	return r.state == StateDraining // before that nobody waits for it
}

func (r *registry) signalQuiet() {
	select {
	case r.quiet <- struct{}{}:
	default:
	}
}

// endIfIdle is drop for a Run that has nothing to do.
func (r *registry) endIfIdle() {
	r.mu.Lock()
	idle := r.live == 0 && r.natural && r.state == StateRunning
	if idle {
		r.state = StateDraining
	}
	r.mu.Unlock()
	if idle {
		r.signalQuiet()
	}
}

// close admits nobody any more. before is the state that it found.
func (r *registry) close() (before State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.state
	switch before {
	case StateNew:
		r.state = StateStopped
	case StateRunning:
		r.state = StateDraining
	}
	return before
}

func (r *registry) stopped() {
	r.mu.Lock()
	r.state = StateStopped
	r.mu.Unlock()
}

// closedBySelf reports whether the end of the last task has closed the registry.
func (r *registry) closedBySelf() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.natural && r.state == StateDraining && r.live == 0
}

func (r *registry) isLive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live > 0
}

func (r *registry) current() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *registry) lookup(name string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names.get(name)
}

// snapshot adds the registry's part and returns the registered tasks by id.
func (r *registry) snapshot(sn *Snapshot) []*task {
	r.mu.Lock()
	sn.State = r.state
	sn.Added, sn.Removed, sn.Started, sn.Ended, sn.Released = r.added, r.removed, r.started, r.ended, len(r.strays)
	r.mu.Unlock()
	return r.list()
}

// list returns the registered tasks by id.
func (r *registry) list() []*task { return sorted(r.unsorted()) }

func (r *registry) unsorted() []numbered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names.all()
}

// all returns the strays too. A task that is becoming one is on both lists, and
// is returned once.
func (r *registry) all() []*task {
	r.mu.Lock()
	ts := r.names.all()
	for t := range r.strays {
		ts = append(ts, numbered{t.id, t})
	}
	r.mu.Unlock()
	return slices.Compact(sorted(ts))
}

// numbered is a task with its id, so that many are sorted without a look at each.
type numbered struct {
	id TaskID
	t  *task
}

// digit is what sorted looks at in one pass over many tasks.
const digit = 11 // bits

// sorted returns the tasks by id. Of 100 000, which a shutdown sorts, it takes 1 ms;
// comparing them takes 5.
func sorted(ns []numbered) []*task {
	if len(ns) < 1<<digit {
		slices.SortFunc(ns, func(a, b numbered) int { return cmp.Compare(a.id, b.id) })
	} else {
		ns = radixSorted(ns)
	}
	ts := make([]*task, len(ns))
	for i, n := range ns {
		ts[i] = n.t
	}
	return ts
}

// radixSorted sorts by the least significant digit first.
func radixSorted(ns []numbered) []numbered {
	lo, hi := ns[0].id, ns[0].id
	for _, n := range ns {
		lo, hi = min(lo, n.id), max(hi, n.id)
	}
	other := make([]numbered, len(ns))
	for shift := 0; (hi-lo)>>shift > 0; shift += digit {
		var at [1 << digit]int // where the next with that digit goes
		for _, n := range ns {
			at[(n.id-lo)>>shift%(1<<digit)]++
		}
		sum := 0
		for d, n := range at {
			at[d], sum = sum, sum+n
		}
		for _, n := range ns {
			d := (n.id - lo) >> shift % (1 << digit)
			other[at[d]] = n
			at[d]++
		}
		ns, other = other, ns
	}
	return ns
}
