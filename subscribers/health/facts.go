package healthsub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// maxGaveUp is how many tasks that gave up are remembered, of each level: a program
// whose jobs have names of their own may have any number of them.
const maxGaveUp = 64

// facts are what events say and snapshots do not. Apart from the tasks that gave up,
// which are bounded, nothing is kept of a task that is gone.
type facts struct {
	names map[string]Level // given by the program: the critical ones have to be there; fixed

	turns atomic.Uint64 // events so far after which an earlier reading is worth nothing
	news  atomic.Uint64 // and those after which the tasks that mattered then are not all
	lossy atomic.Bool   // events were lost, of a Health that was made queued after all

	mu     sync.Mutex                 // guards the fields below; held for a few lines
	levels map[taskvisor.TaskID]Level // given by the program
	ready  map[taskvisor.TaskID]bool  // said so once
	stuck  map[taskvisor.TaskID]stuck // that was reported last
	gaveUp map[place]gaveUp
	lives  map[string]int // supervisors that were attached, by name
	added  map[place]int  // of the tasks that have to be there: the life of the supervisor in which one was added last
}

// place is where a task can be added again.
type place struct{ supervisor, task string }

// stuck is the report of an attempt that is.
type stuck struct {
	attempt int
	at      time.Time
}

// gaveUp is a task that is gone because it failed.
type gaveUp struct {
	id    taskvisor.TaskID
	at    time.Time
	level Level
}

func (f *facts) init(names map[string]Level) {
	f.names, f.lives, f.added = names, map[string]int{}, map[place]int{}
	f.levels, f.ready = map[taskvisor.TaskID]Level{}, map[taskvisor.TaskID]bool{}
	f.stuck, f.gaveUp = map[taskvisor.TaskID]stuck{}, map[place]gaveUp{}
}

// attached begins a life of the supervisor and returns its number.
func (f *facts) attached(supervisor string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lives[supervisor]++
	return f.lives[supervisor]
}

// turn is called for what no earlier reading shows.
func (f *facts) turn() {
	f.news.Add(1)
	f.turns.Add(1)
}

// failed counts the failures of a task in a row up to the one that makes it matter.
func (f *facts) failed(e *taskvisor.Event) {
	l := e.Local()
	n, _ := l.Load().(int)
	if n++; n > manyFailures {
		return
	}
	if l.Store(n); n == manyFailures {
		f.news.Add(1)
	}
}

// recovered ends the row.
func (f *facts) recovered(e *taskvisor.Event) { e.Local().Store(nil) }

// taskAdded notes a task's level, and that its predecessor of the same name is replaced.
func (f *facts) taskAdded(e *taskvisor.Event, l Level) {
	if l == Critical || l == 0 && e.Spec().Essential() {
		f.news.Add(1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if l != 0 {
		f.levels[e.TaskID] = l
	}
	if f.presentLocked(e.Supervisor, e.Task) {
		f.turn()
	}
	// The end of the predecessor may yet have to come, as inline events of different
	// tasks have no order; a reading finds that out.
	if p := (place{e.Supervisor, e.Task}); f.gaveUp[p].id < e.TaskID {
		delete(f.gaveUp, p)
	}
}

func (f *facts) saidReady(id taskvisor.TaskID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready[id] = true
}

func (f *facts) gotStuck(id taskvisor.TaskID, attempt int, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stuck[id] = stuck{attempt, at}
	f.news.Add(1)
}

// removed forgets a task, unless it gave up.
func (f *facts) removed(e *taskvisor.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.levels[e.TaskID]
	delete(f.levels, e.TaskID)
	delete(f.ready, e.TaskID)
	delete(f.stuck, e.TaskID)
	if e.Outcome == taskvisor.OutcomeAbandoned {
		f.news.Add(1) // a task that is gone looks as it was left
	}
	if e.Outcome != taskvisor.OutcomeFailed && e.Outcome != taskvisor.OutcomeFatal {
		return
	}
	if l == 0 {
		l = Degrading // an essential one has begun a shutdown, which is reason enough
	}
	p := place{e.Supervisor, e.Task}
	if l != Ignored {
		f.gaveUp[p] = gaveUp{e.TaskID, e.Time, l}
		f.news.Add(1) // its successor may have been heard of first
		if l == Critical {
			f.turns.Add(1)
		}
		f.boundLocked(l)
	}
}

// boundLocked forgets the first to give up of a level that has too many.
func (f *facts) boundLocked(l Level) {
	var first place
	n := 0
	for p, g := range f.gaveUp {
		if g.level != l {
			continue
		}
		if n++; n == 1 || g.id < f.gaveUp[first].id {
			first = p
		}
	}
	if n > maxGaveUp {
		delete(f.gaveUp, first)
	}
}

// of returns what is known of a task.
func (f *facts) of(id taskvisor.TaskID) (l Level, ready bool, last stuck) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.levels[id], f.ready[id], f.stuck[id]
}

// gone returns those that gave up in the supervisor, which was made at the given time:
// what an earlier one of that name has left is forgotten.
func (f *facts) gone(supervisor string, created time.Time) map[string]gaveUp {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := map[string]gaveUp{}
	for p, g := range f.gaveUp {
		switch {
		case p.supervisor != supervisor:
		case g.at.Before(created):
			delete(f.gaveUp, p)
		default:
			list[p.task] = g
		}
	}
	return list
}

// replaced forgets that a task gave up whose name another one has now.
func (f *facts) replaced(supervisor, task string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.gaveUp, place{supervisor, task})
}

// missing returns the names of critical tasks that none of the supervisors was given.
func (f *facts) missing(all []*attached) (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, l := range f.names {
		here := func(a *attached) bool { return f.added[place{a.name, name}] >= a.life }
		if l == Critical && !slices.ContainsFunc(all, here) {
			names = append(names, name)
		}
	}
	return names
}

// present takes note that a task of that name is there.
func (f *facts) present(supervisor, task string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.presentLocked(supervisor, task)
}

// presentLocked reports whether that is news.
func (f *facts) presentLocked(supervisor, task string) bool {
	p, life := place{supervisor, task}, f.lives[supervisor]
	if f.names[task] != Critical || f.added[p] == life {
		return false
	}
	f.added[p] = life
	return true
}
