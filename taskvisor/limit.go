package taskvisor

import (
	"container/list"
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
func (l *Limit) Leave(a Attempt) { callAll(l.queue.Leave(uint64(a.TaskID))) }

// Resize sets the limit to n; 0 lets nobody in. Attempts that run beyond it go on. It
// panics if n is negative.
func (l *Limit) Resize(n int) {
	if n < 0 {
		panic("taskvisor: limit " + strconv.Quote(l.name) + " of " + strconv.Itoa(n))
	}
	callAll(l.queue.Resize(n))
}

// String returns the name.
func (l *Limit) String() string { return l.name }

// budget is the gate of WithRestartBudget: a token bucket that retries take from,
// first come, first served.
type budget struct {
	every time.Duration // between two tokens
	most  float64

	mu      sync.Mutex // guards the fields below; nothing is called under it
	tokens  float64
	at      time.Time                // when that was
	waiting list.List                // of *retry, the first in front
	who     map[TaskID]*list.Element // those in waiting
	kept    map[TaskID]struct{}      // those who were given a token and have not taken it
	armed   bool                     // a timer is
}

type retry struct {
	id    TaskID
	ready func()
}

// newBudget returns a full bucket of n tokens that is refilled evenly in per.
func newBudget(n int, per time.Duration) *budget {
	return &budget{every: max(per/time.Duration(n), 1), most: float64(n), tokens: float64(n), at: time.Now(),
		who: make(map[TaskID]*list.Element), kept: make(map[TaskID]struct{})}
}

func (b *budget) String() string { return "restart_budget" }

// Enter implements Gate. Only a retry needs a token.
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
	if b.waiting.Len() == 0 && b.tokens >= 1 {
		b.tokens--
		return true
	}
	b.who[a.TaskID] = b.waiting.PushBack(&retry{a.TaskID, ready})
	b.armLocked()
	return false
}

// Leave implements Gate.
func (b *budget) Leave(a Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, a.TaskID)
	if e := b.who[a.TaskID]; e != nil {
		b.waiting.Remove(e)
		delete(b.who, a.TaskID)
	}
}

func (b *budget) refillLocked() {
	now := time.Now()
	b.tokens = min(b.most, b.tokens+float64(now.Sub(b.at))/float64(b.every))
	b.at = now
}

func (b *budget) armLocked() {
	if !b.armed && b.waiting.Len() > 0 {
		b.armed = true
		missing := max(1-b.tokens, 0)
		time.AfterFunc(time.Duration(missing*float64(b.every))+1, b.refilled)
	}
}

// refilled is the timer's function.
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
	callAll(told)
}

// callAll calls ready functions.
func callAll(told []func()) {
	if len(told) > 0 {
		inTurn(len(told), func(i int) { told[i]() })
	}
}
