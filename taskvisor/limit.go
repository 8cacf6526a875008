package taskvisor

import (
	"container/list"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/fifo"
)

// Limit is a [Gate] that lets a number of attempts run at a time, those of all tasks
// that share it together, first come, first served. It is safe for concurrent use.
// Make one with [NewLimit].
type Limit struct {
	name  string
	queue fifo.Queue
}

// NewLimit returns a limit of n attempts, under a name that statuses, events and
// metrics show. It panics if the name is unfit or n is negative.
func NewLimit(name string, n int) *Limit {
	if err := validName("limit name", name, maxNameBytes); err != nil {
		panic("taskvisor: " + err.Error())
	}
	l := &Limit{name: name}
	l.Resize(n)
	return l
}

// Enter implements [Gate].
func (l *Limit) Enter(a Attempt, ready func()) bool { return l.queue.Enter(uint64(a.TaskID), ready) }

// Leave implements [Gate].
func (l *Limit) Leave(a Attempt) { l.queue.Leave(uint64(a.TaskID)) }

// Resize sets the limit to n; 0 lets nobody in. Attempts that run beyond it go on. It
// panics if n is negative.
func (l *Limit) Resize(n int) {
	if n < 0 {
		panic("taskvisor: limit " + strconv.Quote(l.name) + " of " + strconv.Itoa(n))
	}
	l.queue.Resize(n)
}

// String returns the name.
func (l *Limit) String() string { return l.name }

// budget is the gate of WithRestartBudget: a token bucket that retries take from, first
// come, first served. A retry that has to wait is told when there is a token for it, and
// then asks again; meanwhile the token is kept for it, or a newcomer would take it.
type budget struct {
	every time.Duration // between two tokens; at least 1, since it divides
	most  float64       // tokens that the bucket holds

	mu      sync.Mutex               // guards the fields below; nothing is called under it
	tokens  float64                  // as of at; those in kept are not among them
	at      time.Time                // when tokens was computed
	waiting list.List                // of *retry, the first in front; not empty: armed is set
	who     map[TaskID]*list.Element // the elements of waiting by task
	kept    map[TaskID]struct{}      // tasks for which a token is kept, until they enter or leave
	armed   bool                     // a timer will call refilled
}

// retry is a task that waits for a token.
type retry struct {
	id    TaskID
	ready func()
}

// newBudget returns a full bucket of n tokens that is refilled evenly in per.
func newBudget(n int, per time.Duration) *budget {
	every := min(max(per/time.Duration(n), 1), math.MaxInt64/2) // half of what fits, so that armLocked's sum does not wrap
	return &budget{every: every, most: float64(n), tokens: float64(n), at: time.Now(),
		who: make(map[TaskID]*list.Element), kept: make(map[TaskID]struct{})}
}

func (b *budget) String() string { return "restart_budget" }

// Enter implements Gate. Only a retry needs a token. A task that waits does not ask again
// before refilled has told it, or it has left: so it is in waiting once at most.
func (b *budget) Enter(a Attempt, ready func()) bool {
	if a.Streak == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.kept[a.TaskID]; ok {
		delete(b.kept, a.TaskID)
		return true
	}
	b.refillLocked()
	if b.waiting.Len() == 0 && b.tokens >= 1 { // a new token is for those who wait already
		b.tokens--
		return true
	}
	b.who[a.TaskID] = b.waiting.PushBack(&retry{a.TaskID, ready})
	b.armLocked()
	return false
}

// Leave implements Gate. A token that was kept for the task is lost, not given back.
func (b *budget) Leave(a Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, a.TaskID)
	if e := b.who[a.TaskID]; e != nil {
		b.waiting.Remove(e)
		delete(b.who, a.TaskID)
	}
}

// refillLocked adds the tokens of the time since it was last called.
func (b *budget) refillLocked() {
	now := time.Now()
	b.tokens = min(b.most, b.tokens+float64(now.Sub(b.at))/float64(b.every))
	b.at = now
}

// armLocked sees to it that refilled is called when the next token is there. The caller
// has just refilled.
func (b *budget) armLocked() {
	if !b.armed && b.waiting.Len() > 0 {
		b.armed = true
		missing := max(1-b.tokens, 0)
		time.AfterFunc(time.Duration(missing*float64(b.every))+1, b.refilled) // + 1: the product is rounded down
	}
}

// refilled is the timer's function. Tasks are told without the lock: they ask Enter again
// before ready returns.
func (b *budget) refilled() {
	b.mu.Lock()
	b.armed = false
	b.refillLocked()
	var told []func()
	for b.tokens >= 1 && b.waiting.Len() > 0 {
		r := b.waiting.Remove(b.waiting.Front()).(*retry)
		delete(b.who, r.id)
		b.kept[r.id] = struct{}{}
		b.tokens--
		told = append(told, r.ready)
	}
	b.armLocked()
	b.mu.Unlock()
	for _, ready := range told {
		ready()
	}
}
