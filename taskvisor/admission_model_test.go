package taskvisor

import (
	"fmt"
	"slices"
	"testing"
)

// The table of admission, stated a second time: for each policy, what it makes
// of a slot in each phase, in words that spell resolves.
var admissionTable = map[Admission]map[occupancy]string{
	Queue:         {slotIdle: "start", slotOwned: "append", slotTerminating: "append", slotAbandoned: "append"},
	Replace:       {slotIdle: "start", slotOwned: "head and stop", slotTerminating: "head", slotAbandoned: "head"},
	DropIfRunning: {slotIdle: "start", slotOwned: "busy", slotTerminating: "busy", slotAbandoned: "busy"},
	Coalesce:      {slotIdle: "start", slotOwned: "coalesce", slotTerminating: "coalesce", slotAbandoned: "coalesce"},
	Join:          {slotIdle: "start", slotOwned: "join", slotTerminating: "busy", slotAbandoned: "busy"},
}

func spell(word string, room, coalesced bool) ruling {
	switch word {
	case "start":
		return ruling{verdict: VerdictStarted}
	case "join":
		return ruling{verdict: VerdictJoined}
	case "busy":
		return ruling{verdict: VerdictRejected, reason: ErrSlotBusy}
	case "head":
		return ruling{verdict: VerdictQueued, atHead: true}
	case "head and stop":
		return ruling{verdict: VerdictQueued, atHead: true, stopOwner: true}
	case "coalesce":
		if coalesced {
			return ruling{verdict: VerdictQueued, displace: true}
		}
	}
	if room {
		return ruling{verdict: VerdictQueued}
	}
	return ruling{verdict: VerdictRejected, reason: ErrQueueFull}
}

// rule agrees with the second statement for every input there can be, up to
// queues of four.
func TestAdmissionRule(t *testing.T) {
	seen := 0
	for policy, phases := range admissionTable {
		for phase, word := range phases {
			for queued := range 5 {
				for limit := range 5 {
					for _, coalesced := range []bool{false, true} {
						in := admissionInput{slot: phase, policy: policy, queued: queued, limit: limit, coalesced: coalesced}
						if got, want := rule(in), spell(word, queued < limit, coalesced); got != want {
							t.Errorf("rule(%+v) = %+v, want %+v", in, got, want)
						}
						seen++
					}
				}
			}
		}
	}
	if want := len(admissionLabels) * 4 * 5 * 5 * 2; seen != want {
		t.Errorf("%d inputs tried, want %d: the second statement has a hole", seen, want)
	}
}

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
	state State // StateIdle, StateRunning, StateTerminating, StateAbandoned
	sleep bool  // the owner waits for its next attempt
	why   Reason
	owner *modelTask
	queue []*modelTask
	tasks []*modelTask // all submissions, by step; nil: the step was none

	moves []string
	facts []string
}

type modelTask struct {
	n      int // step of its submission
	policy Admission
	taken  bool
	joined *modelTask
	end    string // outcome and reason; "" while there is none
}

func (m *modelSlot) move(to State) {
	m.moves = append(m.moves, to.String())
	m.state = to
}

func (m *modelSlot) fact(t *modelTask, what string) {
	m.facts = append(m.facts, fmt.Sprintf("%d %s", t.n, what))
}

func (m *modelSlot) reject(t *modelTask, why Reason) {
	t.end = "rejected " + why.String()
	m.fact(t, t.end)
}

// apply makes one input. It reports whether anything changed.
func (m *modelSlot) apply(op int) bool {
	before := len(m.facts) + len(m.moves)
	n := len(m.tasks)
	var t *modelTask
	if op <= opTaken {
		t = &modelTask{n: n, policy: Admission(op), taken: op == opTaken}
		if t.taken {
			t.policy = Queue
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
		m.stop(ErrRemoved)
	case opAbandon:
		if m.state == StateTerminating {
			m.owner.end = OutcomeAbandoned.String() + " " + m.why.String()
			m.move(StateAbandoned)
		}
	case opStopFirst:
		m.withdraw(0)
	case opStopLast:
		m.withdraw(len(m.queue) - 1)
	case opPurge:
		for len(m.queue) > 0 {
			m.withdraw(0)
		}
		m.stop(ErrRemoved)
	default:
		m.submit(t)
	}
	return len(m.facts)+len(m.moves) > before
}

func (m *modelSlot) submit(t *modelTask) {
	waits := func() bool { return m.state != StateIdle }
	switch {
	case !waits() && t.taken:
		m.fact(t, "submitted rejected")
		m.reject(t, ErrTaskExists)
	case !waits():
		m.fact(t, "submitted started")
		m.start(t)
	case t.policy == Replace:
		m.fact(t, "submitted queued")
		m.displace(t, 0)
		m.stop(ErrReplaced)
	case t.policy == Join && m.state == StateRunning:
		m.fact(m.owner, "submitted joined")
		t.joined = m.owner
	case t.policy == Join, t.policy == DropIfRunning:
		m.fact(t, "submitted rejected")
		m.reject(t, ErrSlotBusy)
	default:
		i := slices.IndexFunc(m.queue, func(w *modelTask) bool { return w.policy == Coalesce })
		if t.policy != Coalesce || i < 0 {
			i = len(m.queue)
		}
		if i == len(m.queue) && i >= m.limit {
			m.fact(t, "submitted rejected")
			m.reject(t, ErrQueueFull)
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
	m.reject(m.queue[i], ErrSuperseded)
	m.queue[i] = t
}

// start gives the idle slot to t.
func (m *modelSlot) start(t *modelTask) {
	m.move(StateAdmitting)
	if t.taken {
		m.reject(t, ErrTaskExists)
		m.next()
		return
	}
	m.owner, m.sleep, m.why = t, false, 0
	m.fact(t, "added")
	m.move(StateRunning)
}

// next frees the slot for whoever waits.
func (m *modelSlot) next() {
	if len(m.queue) == 0 {
		m.owner, m.sleep, m.why = nil, false, 0
		m.move(StateIdle)
		return
	}
	t := m.queue[0]
	m.queue = m.queue[1:]
	m.start(t)
}

func (m *modelSlot) removed(outcome OutcomeKind, why Reason) {
	m.owner.end = outcome.String() + " " + why.String()
	m.fact(m.owner, "removed "+m.owner.end)
	m.next()
}

func (m *modelSlot) returns(failed bool) bool {
	switch {
	case m.state == StateTerminating:
		m.removed(OutcomeCanceled, m.why)
	case m.state == StateAbandoned:
		m.removed(OutcomeAbandoned, m.why)
	case m.state != StateRunning || m.sleep:
		return false
	case failed:
		m.sleep = true
	default:
		m.removed(OutcomeCompleted, 0)
	}
	return true
}

func (m *modelSlot) stop(why Reason) {
	switch {
	case m.state == StateRunning && m.sleep:
		m.removed(OutcomeCanceled, why)
	case m.state == StateRunning:
		m.why = why
		m.move(StateTerminating)
	}
}

func (m *modelSlot) withdraw(i int) {
	if i < 0 || i >= len(m.queue) {
		return
	}
	m.reject(m.queue[i], ErrRemoved)
	m.queue = slices.Delete(m.queue, i, i+1)
}

// shutdown rejects the queue and stops the owner.
func (m *modelSlot) shutdown() {
	for _, t := range m.queue {
		m.reject(t, ErrShuttingDown)
	}
	m.queue = nil
	m.stop(ErrShutdown)
}
