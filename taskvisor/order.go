package taskvisor

import (
	"container/list"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// ordering knows which tasks depend on which: it is the gate that After and BoundTo put
// before a task, and it makes the stages of a shutdown. Its lock is taken before the
// registry's and a task's, and never while one of these is held.
//
// Readiness itself is in the tasks' machines. A dependent cannot miss a change: Enter looks
// at them and keeps ready under the lock, and a task whose readiness has changed calls
// turned afterwards, which takes the same lock.
type ordering struct {
	mu    sync.Mutex      // guards the fields below, and those of nodes
	nodes map[*task]*node // the tasks of the graph; nil: none depends on another
}

// node is a task that depends on others, or that others depend on. It exists until the
// task is gone.
type node struct {
	needs    []*edge   // to what it depends on; fixed from link on
	neededBy list.List // of *edge, in the order in which they came
	ready    func()    // while the task waits at this gate; nil: it does not, or has been told
}

// edge is one dependency.
type edge struct {
	from, to *task         // from depends on to
	place    *list.Element // of this edge in neededBy of to, to take it out; nil: to was gone when it was linked
	bound    bool          // by BoundTo: from is interrupted when an attempt of to ends
}

// dependencyError says what has ended without having been ready. Its text calls no code of
// the user's, so that it can be made under locks.
type dependencyError struct {
	name    string
	outcome OutcomeKind
}

func (e *dependencyError) Error() string { return fmt.Sprintf("%q ended %s", e.name, e.outcome) }

// String implements Gate.
func (o *ordering) String() string { return "after" }

// Enter implements Gate: it keeps ready until all that the task needs is ready. A task
// without a node is gone, and is let in only to find that out.
func (o *ordering) Enter(a Attempt, ready func()) bool {
	o.mu.Lock()
	n := o.nodes[a.task]
	if n == nil {
		o.mu.Unlock()
		return true
	}
	met, dead := n.met()
	if !met {
		n.ready = ready // a turn of what it needs comes after this: turned waits for the lock
	}
	o.mu.Unlock()
	if dead != nil {
		// Elsewhere, since this goroutine walks, and fail is to find the question answered.
		background(func() { a.task.fail(dead) })
	}
	return met
}

// Leave implements Gate: the task waits no more. Its node stays, for its next attempt.
func (o *ordering) Leave(a Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.nodes[a.task]; n != nil {
		n.ready = nil
	}
}

// met reports whether all that the task needs is ready, or why it never will be. The order's
// lock is held; it takes the locks of what is needed, one after the other.
func (n *node) met() (met bool, dead error) {
	met = true
	for _, e := range n.needs {
		ready, dead := e.met()
		if dead != nil {
			return false, dead
		}
		met = met && ready
	}
	return met, nil
}

// met reports whether the dependency is ready, or why it never will be. Unless it is bound,
// it is enough that it was ready at any time.
func (e *edge) met() (met bool, dead error) {
	t := e.to
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.m.Ready() || !e.bound && t.m.WasReady(): // first: a Once that completed is ready, and gone
		return true, nil
	case t.goneLocked():
		return false, because(ErrDependency, &dependencyError{t.name, OutcomeKind(t.m.Outcome())})
	}
	return false, nil
}

// link notes what the tasks of a batch, which are about to be registered, depend on: other
// tasks of the batch, or registered ones, which known finds by name. It comes before the
// registration, since a task may begin as soon as it is registered and announced; a batch
// that is refused after all is unlinked. Nothing is noted if it returns an error.
func (o *ordering) link(batch []*task, known func(name string) *task) error {
	if !slices.ContainsFunc(batch, (*task).depends) { // most batches: no lock is needed
		return nil
	}
	byName := make(map[string]*task, len(batch))
	for _, t := range batch {
		byName[t.name] = t
	}
	var edges []*edge
	for _, t := range batch {
		if !t.depends() {
			continue
		}
		for _, name := range t.pol.more.after {
			to := byName[name] // the batch comes first: if a registered task has the name too, it will be refused
			if to == nil {
				to = known(name)
			}
			if to == nil {
				return &TaskError{Op: "add", Task: t.name, Err: fmt.Errorf("it depends on %q, which is not registered", name)}
			}
			edges = append(edges, &edge{from: t, to: to, bound: slices.Contains(t.pol.more.bound, name)})
		}
	}
	if err := acyclic(edges); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range edges {
		from := o.nodeLocked(e.from)
		from.needs = append(from.needs, e)
		e.from.ordered.Store(true)
		// In this order: from here on, a task that ends calls turned; one that has ended before
		// is found by the look that follows. It gets no node, which would stay for ever: Enter
		// sees in the task itself how it ended.
		e.to.ordered.Store(true)
		if !e.to.gone() {
			e.place = o.nodeLocked(e.to).neededBy.PushBack(e)
		}
	}
	return nil
}

// depends reports whether t names other tasks in After or BoundTo.
func (t *task) depends() bool { return t.pol.more != nil && len(t.pol.more.after) > 0 }

// nodeLocked returns the node of t, and makes it where there is none.
func (o *ordering) nodeLocked(t *task) *node {
	n := o.nodes[t]
	if n == nil {
		if o.nodes == nil {
			o.nodes = make(map[*task]*node)
		}
		n = &node{}
		o.nodes[t] = n
	}
	return n
}

// acyclic reports tasks of a batch that wait for each other, with the names on the way. To
// look at the batch is enough: tasks registered before cannot depend on one of it, since
// names are found when a task is linked.
func acyclic(edges []*edge) error {
	needs := map[*task][]*task{}
	for _, e := range edges {
		needs[e.from] = append(needs[e.from], e.to)
	}
	const open, done = 1, 2 // on the path that is being walked; known to lead to no cycle
	seen := map[*task]int{}
	var visit func(t *task, path []string) error
	visit = func(t *task, path []string) error {
		path = append(path, t.name)
		switch seen[t] {
		case done:
			return nil
		case open:
			return &TaskError{Op: "add", Task: t.name, Err: fmt.Errorf("tasks wait for each other: %q", path)}
		}
		seen[t] = open
		for _, to := range needs[t] {
			if err := visit(to, path); err != nil {
				return err
			}
		}
		seen[t] = done
		return nil
	}
	for _, e := range edges {
		if err := visit(e.from, nil); err != nil {
			return err
		}
	}
	return nil
}

// unlink forgets tasks that were linked, and then refused. No task outside the batch can
// depend on them: they were never found by name.
func (o *ordering) unlink(batch []*task) {
	if !slices.ContainsFunc(batch, (*task).depends) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range batch {
		o.removeLocked(t)
	}
}

// removeLocked takes t out of the graph. Edges of others to it stay in their needs: met still
// finds in the task itself how it ended.
func (o *ordering) removeLocked(t *task) {
	n := o.nodes[t]
	if n == nil {
		return
	}
	for _, e := range n.needs {
		if to := o.nodes[e.to]; to != nil && e.place != nil {
			to.neededBy.Remove(e.place)
		}
	}
	delete(o.nodes, t)
}

// turned has the tasks that depend on t look again, since its readiness may have changed.
// ended says that an attempt of t has ended, gone that t itself is. No lock is held, and it
// comes after the transition that changed t.
//
// What is to be done is collected under the lock and done without, since it takes tasks
// through transitions of their own. Failures come in the order of ids, whatever the map's
// order is; those that may go on are told last, and go on elsewhere.
func (o *ordering) turned(t *task, ended, gone bool) {
	var told []func()
	var interrupted []*task
	failed := map[*task]error{}
	o.mu.Lock()
	n := o.nodes[t]
	if n == nil { // it was gone before, or refused
		o.mu.Unlock()
		return
	}
	ready := t.ready()
	for x := n.neededBy.Front(); x != nil; x = x.Next() {
		e := x.Value.(*edge)
		met, dead := e.met()
		if dead != nil {
			failed[e.from] = dead // fail leaves alone what runs: it fails when it asks again
		}
		from := o.nodes[e.from]
		if from != nil && from.ready != nil && (met || dead != nil) {
			told = append(told, from.ready)
			from.ready = nil // once only: it asks again, with a new one
		}
		if e.bound && (ended || gone || !ready) { // the former also if t is ready again already
			interrupted = append(interrupted, e.from)
		}
	}
	if gone { // the last turn of t: its dependents have been collected
		o.removeLocked(t)
	}
	o.mu.Unlock()
	dead := byID(slices.Collect(maps.Keys(failed)))
	inTurn(len(interrupted)+len(dead)+len(told), func(i int) {
		if i < len(interrupted) {
			interrupted[i].h.interrupt(&boundError{t.name}, true)
		} else if i -= len(interrupted); i < len(dead) {
			dead[i].fail(failed[dead[i]])
		} else {
			told[i-len(dead)]()
		}
	})
}

// boundError is the cause of the interruption of a task that is bound to another.
type boundError struct{ name string }

func (e *boundError) Error() string {
	return fmt.Sprintf("bound to %q, which is not ready any more", e.name)
}

func (t *task) ready() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.Ready()
}

// gone is goneLocked for callers without the task's lock.
func (t *task) gone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.goneLocked()
}

// stages groups tasks for a shutdown: the first stage holds those that no other depends on,
// each further one those whose dependents are all in the stages before. There is at least
// one stage, perhaps an empty one.
func (o *ordering) stages(tasks []*task) [][]*task {
	o.mu.Lock()
	defer o.mu.Unlock()
	stage := map[*task]int{} // found so far, from 0; dependents need not be in tasks
	var find func(t *task) int
	find = func(t *task) int {
		if at, ok := stage[t]; ok {
			return at
		}
		at := 0
		if n := o.nodes[t]; n != nil {
			for x := n.neededBy.Front(); x != nil; x = x.Next() {
				at = max(at, find(x.Value.(*edge).from)+1) // ends: see acyclic
			}
		}
		stage[t] = at
		return at
	}
	stages := make([][]*task, 1)
	if len(o.nodes) == 0 {
		stages[0] = tasks
		return stages
	}
	for _, t := range tasks {
		at := find(t)
		for len(stages) <= at {
			stages = append(stages, nil)
		}
		stages[at] = append(stages[at], t)
	}
	return stages
}
