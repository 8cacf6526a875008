package taskvisor_test

import (
	"fmt"
	"slices"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The inputs of a slot: a submission of each policy, one whose name is taken,
// and everything that can happen to owner and queue.
const (
	opTaken     = 5 + iota // a Queue submission whose name another task has
	opReturn               // the owner's body returns nil
	opFail                 // it returns an error
	opWake                 // the owner's delay is over
	opStop                 // the owner is stopped through its handle
	opAbandon              // the owner's grace is over
	opStopFirst            // the first that waits is stopped
	opStopLast             // the last
	opStopSlot             // StopSlot without purge
	opPurge                // StopSlot with purge
	opCount
)

// modelSlot is a slot as the contract describes it, without locks, goroutines
// and events. Each input appends to moves what the slot goes through, and to
// facts what becomes of tasks.
type modelSlot struct {
	limit int
	state taskvisor.SlotState // idle, running, terminating or abandoned
	sleep bool                // the owner waits for its next attempt
	why   taskvisor.Reason
	owner *modelTask
	queue []*modelTask
	tasks []*modelTask // all submissions, by step; nil: the step was none

	moves []string
	facts []string
}

type modelTask struct {
	n      int // step of its submission
	policy taskvisor.Admission
	taken  bool
	joined *modelTask
	end    string // outcome and reason; "" while there is none
}

func (m *modelSlot) move(to taskvisor.SlotState) {
	m.moves = append(m.moves, to.String())
	m.state = to
}

func (m *modelSlot) fact(t *modelTask, what string) {
	m.facts = append(m.facts, fmt.Sprintf("%d %s", t.n, what))
}

func (m *modelSlot) reject(t *modelTask, why taskvisor.Reason) {
	t.end = "rejected " + why.String()
	m.fact(t, t.end)
}

// apply makes one input. It reports whether anything changed.
func (m *modelSlot) apply(op int) bool {
	before := len(m.facts) + len(m.moves)
	n := len(m.tasks)
	var t *modelTask
	if op <= opTaken {
		t = &modelTask{n: n, policy: taskvisor.Admission(op), taken: op == opTaken}
		if t.taken {
			t.policy = taskvisor.Queue
		}
	}
	m.tasks = append(m.tasks, t)
	switch op {
	case opReturn, opFail:
		return m.returns(op == opFail)
	case opWake:
		woken := m.sleep
		m.sleep = false
		return woken
	case opStop, opStopSlot:
		m.stop(taskvisor.ErrRemoved)
	case opAbandon:
		if m.state == taskvisor.SlotTerminating {
			m.owner.end = taskvisor.OutcomeAbandoned.String() + " " + m.why.String()
			m.move(taskvisor.SlotAbandoned)
		}
	case opStopFirst:
		m.withdraw(0)
	case opStopLast:
		m.withdraw(len(m.queue) - 1)
	case opPurge:
		for len(m.queue) > 0 {
			m.withdraw(0)
		}
		m.stop(taskvisor.ErrRemoved)
	default:
		m.submit(t)
	}
	return len(m.facts)+len(m.moves) > before
}

func (m *modelSlot) submit(t *modelTask) {
	waits := func() bool { return m.state != taskvisor.SlotIdle }
	switch {
	case !waits() && t.taken:
		m.fact(t, "submitted rejected")
		m.reject(t, taskvisor.ErrTaskExists)
	case !waits():
		m.fact(t, "submitted started")
		m.start(t)
	case t.policy == taskvisor.Replace:
		m.fact(t, "submitted queued")
		m.displace(t, 0)
		m.stop(taskvisor.ErrReplaced)
	case t.policy == taskvisor.Join && m.state == taskvisor.SlotRunning:
		m.fact(m.owner, "submitted joined")
		t.joined = m.owner
	case t.policy == taskvisor.Join, t.policy == taskvisor.DropIfRunning:
		m.fact(t, "submitted rejected")
		m.reject(t, taskvisor.ErrSlotBusy)
	default:
		i := slices.IndexFunc(m.queue, func(w *modelTask) bool { return w.policy == taskvisor.Coalesce })
		if t.policy != taskvisor.Coalesce || i < 0 {
			i = len(m.queue)
		}
		if i == len(m.queue) && i >= m.limit {
			m.fact(t, "submitted rejected")
			m.reject(t, taskvisor.ErrQueueFull)
			return
		}
		m.fact(t, "submitted queued")
		m.displace(t, i)
	}
}

// displace puts t at i, where somebody may wait already.
func (m *modelSlot) displace(t *modelTask, i int) {
	if i == len(m.queue) {
		m.queue = append(m.queue, t)
		return
	}
	m.reject(m.queue[i], taskvisor.ErrSuperseded)
	m.queue[i] = t
}

// start gives the idle slot to t.
func (m *modelSlot) start(t *modelTask) {
	m.move(taskvisor.SlotAdmitting)
	if t.taken {
		m.reject(t, taskvisor.ErrTaskExists)
		m.next()
		return
	}
	m.owner, m.sleep, m.why = t, false, 0
	m.fact(t, "added")
	m.move(taskvisor.SlotRunning)
}

// next frees the slot for whoever waits.
func (m *modelSlot) next() {
	if len(m.queue) == 0 {
		m.owner, m.sleep, m.why = nil, false, 0
		m.move(taskvisor.SlotIdle)
		return
	}
	t := m.queue[0]
	m.queue = m.queue[1:]
	m.start(t)
}

func (m *modelSlot) removed(outcome taskvisor.OutcomeKind, why taskvisor.Reason) {
	m.owner.end = outcome.String() + " " + why.String()
	m.fact(m.owner, "removed "+m.owner.end)
	m.next()
}

func (m *modelSlot) returns(failed bool) bool {
	switch {
	case m.state == taskvisor.SlotTerminating:
		m.removed(taskvisor.OutcomeCanceled, m.why)
	case m.state == taskvisor.SlotAbandoned:
		m.removed(taskvisor.OutcomeAbandoned, m.why)
	case m.state != taskvisor.SlotRunning || m.sleep:
		return false
	case failed:
		m.sleep = true
	default:
		m.removed(taskvisor.OutcomeCompleted, 0)
	}
	return true
}

func (m *modelSlot) stop(why taskvisor.Reason) {
	switch {
	case m.state == taskvisor.SlotRunning && m.sleep:
		m.removed(taskvisor.OutcomeCanceled, why)
	case m.state == taskvisor.SlotRunning:
		m.why = why
		m.move(taskvisor.SlotTerminating)
	}
}

func (m *modelSlot) withdraw(i int) {
	if i < 0 || i >= len(m.queue) {
		return
	}
	m.reject(m.queue[i], taskvisor.ErrRemoved)
	m.queue = slices.Delete(m.queue, i, i+1)
}

// shutdown rejects the queue and stops the owner.
func (m *modelSlot) shutdown() {
	for _, t := range m.queue {
		m.reject(t, taskvisor.ErrShuttingDown)
	}
	m.queue = nil
	m.stop(taskvisor.ErrShutdown)
}
