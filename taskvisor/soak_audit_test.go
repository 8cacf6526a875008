package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// auditor is an inline subscriber that holds the events of every task to the
// order that the contract allows, and counts what was published.
type auditor struct {
	mu     sync.Mutex // guards the fields below
	tasks  map[taskvisor.TaskID]*audit
	kinds  [64]uint64
	faults []string
}

// audit is where a task is, as far as its events tell.
type audit struct {
	phase     auditPhase
	attempt   int
	submitted bool
	stopped   bool // TaskRemoveRequested was seen, and so on
	timedOut  bool // in this attempt
	stuck     bool // in this attempt
	abandoned bool
	final     bool // ActorExhausted or ActorDead
	requeued  bool // BackoffScheduled, and the next attempt has not begun
	outcome   taskvisor.OutcomeKind

	paused      bool // TaskPaused, and not TaskResumed
	startable   bool // the attempt that was let in before the pause may begin
	interrupted bool // in this attempt
	early       bool // interrupted before it began: its delay, or its brackets
	triggered   bool // RunNow asked for one more while it ran
	readySaid   bool // in this attempt
	back        bool // TaskReturned or BodyReturned
}

// waits reports whether the next attempt is still to begin.
func (a *audit) waits() bool { return a.phase == auditIdle || a.phase == auditEnded && a.requeued }

type auditPhase string

const (
	auditNew    auditPhase = "new"    // nothing but its submission is known
	auditIdle   auditPhase = "idle"   // added, no attempt runs
	auditActive auditPhase = "active" // between TaskStarting and the attempt's terminal event
	auditEnded  auditPhase = "ended"  // after that event
	auditGone   auditPhase = "gone"   // after TaskRemoved or ControllerRejected
)

func newAuditor() *auditor { return &auditor{tasks: map[taskvisor.TaskID]*audit{}} }

func (*auditor) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (s *auditor) OnEvent(_ context.Context, e taskvisor.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[e.Kind]++
	if e.TaskID == 0 || e.Kind == taskvisor.ControllerSubmitted && e.Verdict == taskvisor.VerdictJoined {
		return // nobody's, or about a submission that became no task
	}
	a := s.tasks[e.TaskID]
	if a == nil {
		a = &audit{phase: auditNew}
		s.tasks[e.TaskID] = a
	}
	before := *a
	if !a.step(e) && len(s.faults) < 20 {
		s.faults = append(s.faults, fmt.Sprintf("%v\n\tafter %+v", e, before))
	}
}

// step follows one event. It reports false for one that cannot be here.
func (a *audit) step(e taskvisor.Event) bool {
	switch e.Kind {
	case taskvisor.ControllerSubmitted:
		return a.once(&a.submitted, a.phase == auditNew)
	case taskvisor.ControllerRejected:
		return a.to(auditGone, a.phase == auditNew && e.Reason != 0) && a.end(taskvisor.OutcomeRejected)
	case taskvisor.TaskAdded:
		return a.to(auditIdle, a.phase == auditNew)
	case taskvisor.TaskGated:
		return a.waits() && !a.stopped && !a.paused && !a.abandoned && e.Attempt == a.attempt+1 && e.Gate != ""
	case taskvisor.TaskStarting:
		ok := a.waits() && !a.stopped && !a.abandoned && e.Attempt == a.attempt+1 && (!a.paused || a.startable)
		a.attempt, a.timedOut, a.stuck, a.requeued, a.readySaid = e.Attempt, false, false, false, false
		a.startable, a.triggered = false, false
		return a.to(auditActive, ok)
	case taskvisor.TaskReady:
		return a.once(&a.readySaid, a.phase == auditActive && e.Attempt == a.attempt)
	case taskvisor.TaskRecovered:
		return a.phase == auditActive && e.Attempt == a.attempt
	case taskvisor.TimeoutHit:
		return a.once(&a.timedOut, a.phase == auditActive && !a.stopped && !a.interrupted)
	case taskvisor.TaskStuck: // of a body, or of brackets before it
		return a.once(&a.stuck, (a.phase == auditActive || a.waits()) && !a.abandoned)
	case taskvisor.TaskTriggered, taskvisor.TaskInterrupted, taskvisor.TaskPaused, taskvisor.TaskResumed:
		return a.steered(e)
	case taskvisor.TaskRemoveRequested:
		return a.once(&a.stopped, (a.waits() || a.phase == auditActive) && e.Reason != 0)
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		return a.terminal(e)
	case taskvisor.BackoffScheduled:
		return a.once(&a.requeued, a.phase == auditEnded && !a.stopped && !a.final && e.Attempt == a.attempt)
	case taskvisor.ActorExhausted, taskvisor.ActorDead:
		needed := a.waits() && e.Kind == taskvisor.ActorExhausted && errors.Is(e.Err, taskvisor.ErrDependency)
		return a.once(&a.final, (a.phase == auditEnded && !a.requeued || needed) && !a.stopped)
	case taskvisor.TaskAbandoned:
		// Its attempt need not have been announced: it had a goroutine already.
		return a.once(&a.abandoned, a.phase == auditActive || a.waits()) && a.end(e.Outcome)
	case taskvisor.TaskReturned:
		return a.once(&a.back, a.abandoned && a.phase != auditActive && a.phase != auditGone)
	case taskvisor.BodyReturned: // what a released body leaves: all else is over
		return a.once(&a.back, a.abandoned && a.phase == auditGone)
	case taskvisor.TaskRemoved:
		return a.removed(e)
	}
	return true
}

func (a *audit) terminal(e taskvisor.Event) bool {
	interrupted := e.Kind == taskvisor.TaskCanceled && e.Reason == taskvisor.ErrInterrupted
	ok := a.phase == auditActive && (!interrupted || a.interrupted || a.early) && (e.Result != taskvisor.ResultTimeout || a.timedOut)
	a.interrupted, a.early = false, false
	return a.to(auditEnded, ok && e.Attempt == a.attempt && e.Duration >= 0 && e.Result != 0)
}

// steered follows what a handle's methods have changed: never after a stop, each only
// where it makes a difference.
func (a *audit) steered(e taskvisor.Event) bool {
	ok := (a.waits() || a.phase == auditActive) && !a.stopped && !a.abandoned
	if e.Kind != taskvisor.TaskInterrupted {
		ok = ok && e.Attempt == a.attempt
	}
	switch e.Kind {
	case taskvisor.TaskTriggered:
		return a.phase != auditActive && ok || a.once(&a.triggered, ok)
	case taskvisor.TaskInterrupted:
		if a.phase != auditActive {
			a.early = true
			return ok && (e.Attempt == 0 || e.Attempt == a.attempt+1) // a delay, or brackets
		}
		return a.once(&a.interrupted, ok && !a.timedOut && e.Attempt == a.attempt)
	case taskvisor.TaskPaused:
		a.startable = a.waits()
		return a.once(&a.paused, ok)
	default:
		ok = ok && a.paused
		a.paused, a.startable = false, false
		return ok
	}
}

func (a *audit) removed(e taskvisor.Event) bool {
	released := a.phase == auditActive && a.abandoned
	ok := released || a.phase == auditIdle || a.phase == auditEnded
	if e.Outcome == taskvisor.OutcomeCompleted || e.Outcome == taskvisor.OutcomeFailed || e.Outcome == taskvisor.OutcomeFatal {
		ok = ok && a.final && !a.stopped
	}
	return a.to(auditGone, ok && e.Attempt == a.attempt) && (a.abandoned && e.Outcome == a.outcome || a.end(e.Outcome))
}

func (a *audit) to(phase auditPhase, ok bool) bool {
	a.phase = phase
	return ok
}

func (a *audit) once(flag *bool, ok bool) bool {
	ok = ok && !*flag
	*flag = true
	return ok
}

// end notes the outcome, of which there is one.
func (a *audit) end(kind taskvisor.OutcomeKind) bool {
	ok := a.outcome == 0 && kind != 0
	a.outcome = kind
	return ok
}

// tally is a queued subscriber that counts what it gets and behaves badly.
type tally struct {
	name    string
	spoil   func(ctx context.Context) // what it does with every event
	kinds   [64]atomic.Uint64
	lost    atomic.Uint64 // as SubscriberOverflow told it
	entered atomic.Uint64
	inside  atomic.Int64
}

func (s *tally) OnEvent(ctx context.Context, e taskvisor.Event) {
	s.entered.Add(1)
	s.inside.Add(1)
	defer s.inside.Add(-1)
	s.kinds[e.Kind].Add(1)
	if e.Kind == taskvisor.SubscriberOverflow {
		s.lost.Add(e.Dropped)
	}
	if s.spoil != nil {
		s.spoil(ctx)
	}
}

// soakTallies are the subscribers of one round.
func soakTallies() []*tally {
	var hanging atomic.Uint64
	return []*tally{
		{name: "fast"},
		{name: "laggard", spoil: func(context.Context) { <-time.After(time.Duration(rand.IntN(200)) * time.Microsecond) }},
		{name: "panicky", spoil: func(context.Context) {
			switch rand.IntN(100) {
			case 0:
				panic("soak")
			case 1:
				runtime.Goexit()
			}
		}},
		{name: "hangs", spoil: func(ctx context.Context) {
			if hanging.Add(1)%500 == 0 {
				<-ctx.Done() // until the time for draining is over
			}
		}},
		{name: "deaf", spoil: func(context.Context) {
			if rand.IntN(1000) == 0 {
				<-time.After(150 * time.Millisecond) // also when that is over
			}
		}},
	}
}

func (s *tally) option() taskvisor.Option {
	capacity := 1 + rand.IntN(400)
	if s.name == "fast" {
		capacity = 4096
	}
	return taskvisor.WithSubscriber(s, taskvisor.WithName(s.name), taskvisor.Queued(capacity))
}

// check holds what the subscriber got against what was published and what the
// snapshot says was dropped: kind by kind, to the last event.
func (s *tally) check(t *testing.T, published *[64]uint64, st taskvisor.SubscriberStatus) {
	t.Helper()
	var dropped uint64
	for k := range published {
		kind := taskvisor.EventKind(k)
		if kind == taskvisor.SubscriberOverflow {
			continue
		}
		dropped += st.Dropped[kind]
		if got := s.kinds[k].Load(); got+st.Dropped[kind] != published[k] {
			t.Errorf("%s: %v: got %d, dropped %d, published %d", s.name, kind, got, st.Dropped[kind], published[k])
		}
	}
	if got := s.entered.Load() - s.kinds[taskvisor.SubscriberOverflow].Load(); st.Queued != 0 || st.Delivered != got {
		t.Errorf("%s: delivered %d, got %d; %d queued at the end", s.name, st.Delivered, got, st.Queued)
	}
	if told := s.lost.Load(); told > dropped {
		t.Errorf("%s: was told of %d lost events, %d were dropped", s.name, told, dropped)
	}
}
