package taskvisor

import (
	"container/list"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// ordering knows which tasks depend on which: it is the gate that After and BoundTo
// put before a task, and what makes the stages of a shutdown. Its lock is taken before
// a task's, and never while one is held.
type ordering struct {
	mu    sync.Mutex // guards the fields below, and those of nodes
	nodes map[*task]*node
}

// node is a task that depends on others, or that others depend on.
type node struct {
	needs    []*edge
	neededBy list.List // of *edge, in the order in which they came
	ready    func()    // of the question that the order has not answered yet
}

// edge is one dependency.
type edge struct {
	from, to *task         // from depends on to
	place    *list.Element // among those that to is needed by; nil: to was gone
	bound    bool
}

// dependencyError says what has ended without having been ready. It calls nobody.
type dependencyError struct {
	name    string
	outcome OutcomeKind
}

func (e *dependencyError) Error() string { return fmt.Sprintf("%q ended %s", e.name, e.outcome) }

// String implements Gate.
func (o *ordering) String() string { return "after" }

// Enter implements Gate: it keeps ready until what the task needs is there.
func (o *ordering) Enter(a Attempt, ready func()) bool {
	o.mu.Lock()
	n := o.nodes[a.task]
	if n == nil {
		o.mu.Unlock()
		return true
	}
	met, dead := n.met()
	if !met {
		n.ready = ready // what has turned since waits for the lock
	}
	o.mu.Unlock()
	if dead != nil {
		background(func() { a.task.fail(dead) }) // the question is to be answered first
	}
	return met
}

// Leave implements Gate.
func (o *ordering) Leave(a Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.nodes[a.task]; n != nil {
		n.ready = nil
	}
}

// met reports whether all that the task needs is ready, or why it never will be.
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

// met reports whether the dependency is ready, or why it never will be; for one that is
// not bound, whether it was at any time.
func (e *edge) met() (met bool, dead error) {
	t := e.to
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.m.Ready() || !e.bound && t.m.WasReady():
		return true, nil
	case t.goneLocked():
		return false, because(ErrDependency, &dependencyError{t.name, OutcomeKind(t.m.Outcome())})
	}
	return false, nil
}

// link notes what the tasks of a batch, which are about to be registered, depend on.
// known finds a task by name.
func (o *ordering) link(batch []*task, known func(name string) *task) error {
	if !slices.ContainsFunc(batch, (*task).depends) {
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
			to := byName[name]
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
		e.to.ordered.Store(true) // from here on its end is told
		if !e.to.gone() {        // otherwise nobody would forget it, and who asks learns it
			e.place = o.nodeLocked(e.to).neededBy.PushBack(e)
		}
	}
	return nil
}

func (t *task) depends() bool { return t.pol.more != nil && len(t.pol.more.after) > 0 }

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

// acyclic reports tasks of a batch that wait for each other. Those registered before
// cannot depend on one of the batch.
func acyclic(edges []*edge) error {
	needs := map[*task][]*task{}
	for _, e := range edges {
		needs[e.from] = append(needs[e.from], e.to)
	}
	const open, done = 1, 2
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

// unlink forgets tasks that were refused after all.
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

// removeLocked forgets what t needs. Others may still need it.
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

// turned has those look again that depend on t, whose readiness may have changed:
// ended says that an attempt of t has, gone that t itself has.
func (o *ordering) turned(t *task, ended, gone bool) {
	var told []func()
	var interrupted []*task
	failed := map[*task]error{}
	o.mu.Lock()
	n := o.nodes[t]
	if n == nil {
		o.mu.Unlock()
		return
	}
	for x := n.neededBy.Front(); x != nil; x = x.Next() {
		e := x.Value.(*edge)
		if gone {
			if _, dead := e.met(); dead != nil {
				failed[e.from] = dead
			}
		}
		from := o.nodes[e.from]
		if from != nil && from.ready != nil {
			told = append(told, from.ready)
			from.ready = nil
		}
		if e.bound && (ended || gone) {
			interrupted = append(interrupted, e.from)
		}
	}
	if gone {
		o.removeLocked(t)
	}
	o.mu.Unlock()
	dead := byID(slices.Collect(maps.Keys(failed)))
	inTurn(len(interrupted)+len(dead)+len(told), func(i int) {
		if i < len(interrupted) {
			interrupted[i].h.interrupt(&boundError{t.name}, false)
		} else if i -= len(interrupted); i < len(dead) {
			dead[i].fail(failed[dead[i]])
		} else {
			told[i-len(dead)]()
		}
	})
}

// boundError is why a task was interrupted that is bound to another.
type boundError struct{ name string }

func (e *boundError) Error() string {
	return fmt.Sprintf("bound to %q, whose attempt has ended", e.name)
}

func (t *task) gone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.goneLocked()
}

// stages groups tasks for a shutdown: the first stage holds those that no other
// depends on, each further one those whose dependents are in the stages before.
func (o *ordering) stages(tasks []*task) [][]*task {
	o.mu.Lock()
	defer o.mu.Unlock()
	stage := map[*task]int{}
	var find func(t *task) int
	find = func(t *task) int {
		if at, ok := stage[t]; ok {
			return at
		}
		at := 0
		if n := o.nodes[t]; n != nil {
			for x := n.neededBy.Front(); x != nil; x = x.Next() {
				at = max(at, find(x.Value.(*edge).from)+1)
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
