package promsub

import (
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// taskShards is how many locks tasks are spread over. Ids are consecutive, so
// tasks that run at the same time rarely meet at one.
const taskShards = 64

// taskSet knows every task by its id, from TaskAdded until nothing more can
// come of it.
type taskSet [taskShards]taskShard

type taskShard struct {
	mu    sync.Mutex // guards the field below and what it holds
	tasks map[taskvisor.TaskID]*task
}

// task is one registered task, or a removed one whose abandoned body still
// runs. Several may share one series, at once or one after the other.
type task struct {
	series    *series // never changes
	backoff   backoff
	abandoned bool // its body was given up and has not returned
	removed   bool
}

// backoff meters the time that a task spends in backoff. The counter moves at
// scrapes too, not only when a delay ends: a long one would otherwise be flat
// for its time and then a jump, and its rate no share of anything.
type backoff struct {
	since   time.Time
	delay   time.Duration // 0: not in backoff
	counted time.Duration // of delay
}

// spent returns the time in backoff since the last call. It is never more than
// the delay in all: what comes after is waiting for a permit.
func (b *backoff) spent(now time.Time) time.Duration {
	d := min(now.Sub(b.since), b.delay) - b.counted
	if d <= 0 {
		return 0
	}
	b.counted += d
	return d
}

func (ts *taskSet) shard(id taskvisor.TaskID) *taskShard { return &ts[id%taskShards] }

// add returns the series to release, in the one case that a task of that id was
// there already.
func (ts *taskSet) add(id taskvisor.TaskID, s *series) (former *series) {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t := sh.tasks[id]; t != nil {
		former = t.series
	}
	if sh.tasks == nil {
		sh.tasks = make(map[taskvisor.TaskID]*task)
	}
	sh.tasks[id] = &task{series: s}
	return former
}

// series returns nil for a task that is not known.
func (ts *taskSet) series(id taskvisor.TaskID) *series {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t := sh.tasks[id]; t != nil {
		return t.series
	}
	return nil
}

// startBackoff says that the task waits from now on, at most for delay.
func (ts *taskSet) startBackoff(id taskvisor.TaskID, now time.Time, delay time.Duration) {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t := sh.tasks[id]; t != nil {
		t.backoff = backoff{since: now, delay: delay}
	}
}

// endBackoff says that the task does not wait any more.
func (ts *taskSet) endBackoff(id taskvisor.TaskID, now time.Time) {
	sh := ts.shard(id)
	sh.mu.Lock()
	t := sh.tasks[id]
	var spent time.Duration
	if t != nil && t.backoff.delay > 0 {
		spent = t.backoff.spent(now)
		t.backoff = backoff{}
	}
	sh.mu.Unlock()
	if spent > 0 {
		t.series.backoff.Add(int64(spent))
	}
}

// abandon notes that the body of a task was given up.
func (ts *taskSet) abandon(id taskvisor.TaskID) {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t := sh.tasks[id]; t != nil {
		t.abandoned = true
	}
}

// returned notes that an abandoned body came back. Like remove, it returns the
// series to release if that was the last to be heard of the task.
func (ts *taskSet) returned(id taskvisor.TaskID) *series {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.tasks[id]
	if t == nil {
		return nil
	}
	t.abandoned = false
	return sh.forgetLocked(id, t)
}

func (ts *taskSet) remove(id taskvisor.TaskID) *series {
	sh := ts.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.tasks[id]
	if t == nil {
		return nil
	}
	t.removed = true
	return sh.forgetLocked(id, t)
}

// forgetLocked forgets a removed task, unless its abandoned body may still
// come back: the attempt's end is then counted, and must find its series.
func (sh *taskShard) forgetLocked(id taskvisor.TaskID, t *task) *series {
	if !t.removed || t.abandoned {
		return nil
	}
	delete(sh.tasks, id)
	return t.series
}

// settle brings the counters of backoff time up to now.
func (ts *taskSet) settle(now time.Time) {
	for i := range ts {
		ts[i].settle(now)
	}
}

func (sh *taskShard) settle(now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, t := range sh.tasks {
		if t.backoff.delay > 0 {
			t.series.backoff.Add(int64(t.backoff.spent(now)))
		}
	}
}
