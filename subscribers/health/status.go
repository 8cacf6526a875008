package healthsub

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxReasons   = 100                  // in one status; the others are counted
	manyFailures = 3                    // in a row, until a task is called failing
	gaveUpFor    = time.Hour            // that a task which only degrades is remembered
	reuse        = 10                   // times as long as it took a reading is used again,
	cheap        = 2 * time.Millisecond // unless it took less
)

// Problem is what is not as it should be, as people read it.
type Problem string

// The problems.
const (
	NoSupervisor Problem = "no supervisor" // the Health was given to none
	NotStarted   Problem = "not started"   // a supervisor: neither Run nor Start was called
	ShuttingDown Problem = "shutting down" // or about to: see [taskvisor.WithPreStopDelay]
	Ended        Problem = "ended"         // a supervisor
	NotAdded     Problem = "not added yet" // a task that [WithLevel] names as critical
	NotReady     Problem = "not ready yet" // a task, since it was added
	Paused       Problem = "paused"        // a task
	GaveUp       Problem = "gave up"       // a task: it ended failed or fatal
	Failing      Problem = "failing"       // a task, three times in a row or more; this decides nothing
	Stuck        Problem = "stuck"         // a body that runs long after its deadline or its stop
	Abandoned    Problem = "abandoned"     // a body that still runs, after its grace
)

// Reason is something that is not as it should be. It marshals to JSON.
type Reason struct {
	Supervisor string    `json:"supervisor,omitzero"`
	Task       string    `json:"task,omitzero"`
	Level      Level     `json:"level,omitzero"` // of the task
	Problem    Problem   `json:"problem"`
	Gate       string    `json:"gate,omitzero"` // what a task that is not ready waits for
	Since      time.Time `json:"since,omitzero"`
	Unready    bool      `json:"unready,omitzero"` // it makes the process unready
	Unlive     bool      `json:"unlive,omitzero"`  // it calls for a restart of the process
}

// Status is how the process is. It marshals to JSON, and belongs to the caller.
type Status struct {
	Time    time.Time `json:"time"`
	Ready   bool      `json:"ready"`
	Live    bool      `json:"live"`
	Reasons []Reason  `json:"reasons"`           // at most 100: those that decide first, then the oldest
	LeftOut int       `json:"left_out,omitzero"` // reasons beyond these

	Leases        []Lease `json:"leases,omitempty"` // with [WithLeases], at most 100
	LeasesLeftOut int     `json:"leases_left_out,omitzero"`

	stopping bool // all supervisors shut down or have ended
}

// Status returns how the process is now, give or take some tenths of a second where
// there are very many tasks. It calls no code of the program's and waits for no task.
func (h *Health) Status() Status {
	turns := h.facts.turns.Load() // in this order: a turn is news first
	news := h.facts.news.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if turns != h.turns || !now.Before(h.good) {
		h.reopenLocked()
		if h.steady && news == h.news {
			h.last = h.lookLocked(now)
		} else {
			h.last, h.news = h.readLocked(now), news
		}
		h.turns = turns
		h.good = time.Time{}
		if took := time.Since(now); took > cheap {
			h.good = now.Add(reuse * took)
		}
	}
	st := h.last
	st.Reasons = slices.Clone(st.Reasons)
	st.Leases, st.LeasesLeftOut = h.leases() // read anew: they change without an event
	return st
}

// readLocked makes a status of fresh snapshots.
func (h *Health) readLocked(now time.Time) Status {
	r := h.reading(now)
	if len(h.attached) == 0 {
		r.add(Reason{Problem: NoSupervisor, Unready: true})
	}
	shots := make([]taskvisor.Snapshot, len(h.attached))
	newest := map[string]int{}
	for i, a := range h.attached {
		shots[i] = a.snapshot()
		newest[shots[i].Supervisor] = i
	}
	h.steady = len(h.attached) > 0
	r.st.stopping = len(h.attached) > 0
	kept := h.attached[:0:0]
	for i, a := range h.attached {
		if shots[i].State == taskvisor.SupervisorStopped && newest[shots[i].Supervisor] != i {
			continue // another has taken its place
		}
		kept = append(kept, a)
		h.steady = h.steady && shots[i].State == taskvisor.SupervisorRunning
		r.st.stopping = r.st.stopping && shots[i].State >= taskvisor.SupervisorDraining
		r.supervisor(a, &shots[i])
		a.last = taskvisor.Snapshot{Supervisor: shots[i].Supervisor, Created: shots[i].Created, State: shots[i].State}
	}
	h.attached = kept
	return r.done()
}

// lookLocked makes a status of the tasks that mattered before, which is what the others
// would add nothing to.
func (h *Health) lookLocked(now time.Time) Status {
	r := h.reading(now)
	for _, a := range h.attached {
		sn := a.last
		for _, t := range a.matter {
			if st := t.Status(); st.State != taskvisor.StateFinished {
				sn.Tasks = append(sn.Tasks, st)
			}
		}
		r.supervisor(a, &sn)
	}
	return r.done()
}

// reading is a status that is being made.
type reading struct {
	h   *Health
	now time.Time
	st  Status
}

func (h *Health) reading(now time.Time) reading {
	return reading{h: h, now: now, st: Status{Time: now.UTC().Round(0), Ready: true, Live: true, Reasons: []Reason{}}}
}

func (r *reading) add(why Reason) {
	r.st.Ready = r.st.Ready && !why.Unready
	r.st.Live = r.st.Live && !why.Unlive
	if !why.Since.IsZero() {
		why.Since = why.Since.UTC().Round(0)
	}
	r.st.Reasons = append(r.st.Reasons, why)
}

// done adds what is about no task there is, and puts first what decides, then what is
// oldest.
func (r *reading) done() Status {
	for _, name := range r.h.facts.missing(r.h.attached) {
		r.add(Reason{Task: name, Level: Critical, Problem: NotAdded, Unready: true})
	}
	rank := func(why Reason) int {
		switch {
		case why.Unlive:
			return 0
		case why.Unready:
			return 1
		}
		return 1 + int(why.Level)
	}
	slices.SortStableFunc(r.st.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Since.Compare(b.Since), cmp.Compare(a.Supervisor, b.Supervisor), cmp.Compare(a.Task, b.Task))
	})
	if n := len(r.st.Reasons) - maxReasons; n > 0 {
		r.st.LeftOut, r.st.Reasons = n, slices.Clone(r.st.Reasons[:maxReasons])
	}
	return r.st
}

// supervisor looks at a supervisor and its tasks.
func (r *reading) supervisor(a *attached, sn *taskvisor.Snapshot) {
	switch sn.State {
	case taskvisor.SupervisorNew:
		r.add(Reason{Supervisor: sn.Supervisor, Problem: NotStarted, Since: sn.Created, Unready: true})
	case taskvisor.SupervisorDraining:
		r.add(Reason{Supervisor: sn.Supervisor, Problem: ShuttingDown, Since: sn.StopSince, Unready: true})
	case taskvisor.SupervisorStopped:
		r.add(Reason{Supervisor: sn.Supervisor, Problem: Ended, Since: sn.StopSince.Add(sn.StopTook), Unready: true})
	}
	gone := r.h.facts.gone(sn.Supervisor, sn.Created)
	ready := make(map[taskvisor.TaskID]bool, len(a.ready))
	matter := make([]*taskvisor.Handle, 0, len(a.matter))
	for i := range sn.Tasks {
		st := &sn.Tasks[i]
		if g, ok := gone[st.Name]; ok && g.id < st.ID {
			delete(gone, st.Name)
			r.h.facts.replaced(sn.Supervisor, st.Name)
		}
		if r.task(sn, st, a.ready[st.ID], ready) {
			matter = append(matter, st.Handle)
		}
	}
	a.ready, a.matter = ready, matter
	for name, g := range gone {
		if g.level == Critical || r.now.Sub(g.at) < gaveUpFor {
			r.add(Reason{Supervisor: sn.Supervisor, Task: name, Level: g.level, Problem: GaveUp, Since: g.at, Unready: g.level == Critical})
		}
	}
}

// task looks at one task, and reports whether it matters; wasReady is what the reading
// before has found, ready what this one finds.
func (r *reading) task(sn *taskvisor.Snapshot, st *taskvisor.TaskStatus, wasReady bool, ready map[taskvisor.TaskID]bool) bool {
	level, said, last := r.h.facts.of(st.ID)
	if level == 0 { // or its TaskAdded is still under way
		level = cmp.Or(r.h.names[st.Name], byDefault(st.Spec.Essential()))
		r.h.facts.present(sn.Supervisor, st.Name)
	}
	if level == Ignored {
		return false
	}
	before := len(r.st.Reasons)
	why := Reason{Supervisor: sn.Supervisor, Task: st.Name, Level: level, Since: st.Since}
	if st.Stuck && last.attempt != st.Attempt && r.h.facts.lossy.Load() { // who knows since when
		last = stuck{st.Attempt, r.now}
		r.h.facts.gotStuck(st.ID, st.Attempt, r.now)
	}
	if reported := st.Stuck && last.attempt == st.Attempt; reported || st.State == taskvisor.StateAbandoned {
		r.late(sn, st, why, reported, last.at)
	}
	if st.State == taskvisor.StatePaused {
		paused := why
		paused.Problem, paused.Unready = Paused, level == Critical
		r.add(paused)
	}
	if st.Streak >= manyFailures {
		failing := why
		failing.Problem, failing.Since = Failing, st.LastSuccess
		if st.LastSuccess.IsZero() {
			failing.Since = st.Added
		}
		r.add(failing)
	}
	if level != Critical {
		return len(r.st.Reasons) > before
	}
	if ready[st.ID] = wasReady || said || st.Ready || !st.LastSuccess.IsZero(); !ready[st.ID] {
		r.notReady(st, why)
	}
	return true
}

// notReady is about a critical task that never was.
func (r *reading) notReady(st *taskvisor.TaskStatus, why Reason) {
	switch {
	case st.State == taskvisor.StatePaused: // said already
	case st.State == taskvisor.StateStopping, st.State == taskvisor.StateAbandoned: // nobody waits for it any more
	case !r.h.standby(st.Gate):
		why.Problem, why.Unready, why.Since, why.Gate = NotReady, true, st.Added, st.Gate
		r.add(why)
	}
}

// late is about a body that does not return when it should. A supervisor that shuts down or
// has ended needs nobody to end it.
func (r *reading) late(sn *taskvisor.Snapshot, st *taskvisor.TaskStatus, why Reason, reported bool, at time.Time) {
	why.Problem = Stuck
	if st.State == taskvisor.StateAbandoned {
		why.Problem = Abandoned
	}
	if reported {
		why.Since = at // it is older than its being abandoned
	}
	why.Unlive = why.Level == Critical && sn.State < taskvisor.SupervisorDraining && r.now.Sub(why.Since) >= r.h.limit
	r.add(why)
}
