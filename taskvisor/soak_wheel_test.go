package taskvisor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// capricious is a gate that opens and closes as it likes, says ready at any time, also
// late and twice, and panics now and then. It holds the supervisor to its promises: the
// calls for one task follow each other, and each entry is left once.
type capricious struct {
	fault func(format string, args ...any)

	mu     sync.Mutex // guards the fields below
	rng    *rand.Rand
	busy   map[taskvisor.TaskID]bool // somebody is in Enter or Leave for it
	asked  map[taskvisor.TaskID]bool // Enter has been called, and Leave has not
	inside map[taskvisor.TaskID]bool // Enter has returned true
	panics bool
}

func newCapricious(rng *rand.Rand, panics bool, fault func(string, ...any)) *capricious {
	return &capricious{fault: fault, panics: panics, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), busy: map[taskvisor.TaskID]bool{},
		asked: map[taskvisor.TaskID]bool{}, inside: map[taskvisor.TaskID]bool{}}
}

func (*capricious) String() string { return "capricious" }

// begin notes a call, and draws its caprice.
func (g *capricious) begin(a taskvisor.Attempt, entering bool) (caprice int, later time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := a.TaskID
	switch {
	case g.busy[id]:
		g.fault("two calls of a gate at a time for %q", a.Task)
	case entering && g.inside[id]:
		g.fault("%q enters a gate that it has entered", a.Task)
	case !entering && !g.asked[id]:
		g.fault("%q leaves a gate that was not asked", a.Task)
	}
	g.busy[id] = true
	if entering {
		g.asked[id] = true
	}
	return g.rng.IntN(200), milliseconds(g.rng, 3)
}

func (g *capricious) end(a taskvisor.Attempt, entered, left bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.busy, a.TaskID)
	switch {
	case left:
		delete(g.asked, a.TaskID)
		delete(g.inside, a.TaskID)
	case entered:
		g.inside[a.TaskID] = true
	}
}

func (g *capricious) Enter(a taskvisor.Attempt, ready func()) (ok bool) {
	caprice, later := g.begin(a, true)
	defer func() { g.end(a, ok, false) }()
	switch {
	case caprice == 0 && g.panics:
		panic("soak: gate")
	case caprice < 100:
		return true
	case caprice < 110:
		ready() // before it has answered
		return false
	case caprice < 120:
		time.AfterFunc(later, func() { ready(); ready() })
		return false
	}
	time.AfterFunc(later, ready)
	return false
}

func (g *capricious) Leave(a taskvisor.Attempt) {
	g.begin(a, false)
	g.end(a, false, true)
}

// kept returns how many tasks have not left the gate.
func (g *capricious) kept() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.asked)
}

// wheel is what tasks of a random run share, and what steers them.
type wheel struct {
	gate  *capricious
	limit *taskvisor.Limit
}

func newWheel(rng *rand.Rand, panics bool, fault func(string, ...any)) wheel {
	return wheel{gate: newCapricious(rng, panics, fault), limit: taskvisor.NewLimit("soak", 1+rng.IntN(8))}
}

// options are those that let a task take part; once says that it runs once.
func (w wheel) options(rng *rand.Rand, once bool) (opts []taskvisor.TaskOption) {
	switch rng.IntN(6) {
	case 0:
		opts = append(opts, taskvisor.WithGate(w.limit))
	case 1:
		opts = append(opts, taskvisor.WithGate(w.gate))
	case 2:
		opts = append(opts, taskvisor.WithGate(w.limit, w.gate))
	}
	if rng.IntN(6) == 0 {
		opts = append(opts, taskvisor.WithReadiness())
	}
	if rng.IntN(6) == 0 {
		opts = append(opts, taskvisor.WithIdleTimeout(1+milliseconds(rng, 4)))
	}
	if rng.IntN(10) == 0 && !once {
		opts = append(opts, taskvisor.WithResetAfter(1+milliseconds(rng, 3)))
	}
	if rng.IntN(10) == 0 {
		opts = append(opts, taskvisor.WithInitialDelay(0, milliseconds(rng, 4)))
	}
	if rng.IntN(20) == 0 {
		opts = append(opts, taskvisor.WithoutRestartFloor())
	}
	return opts
}

// say is what a body says while it works.
func (w wheel) say(ctx context.Context, rng int) {
	if rng%3 == 0 {
		taskvisor.Ready(ctx)
	}
	if rng%2 == 0 {
		taskvisor.Beat(ctx, "at work")
	}
}

// steer does one random thing to h, or to all.
func (w wheel) steer(rng *rand.Rand, sup *taskvisor.Supervisor, h *taskvisor.Handle) {
	switch n := rng.IntN(100); {
	case n == 0:
		sup.PauseAll(errBoom)
	case n < 5:
		sup.ResumeAll(nil)
	case n < 20:
		w.limit.Resize(rng.IntN(10))
	case h == nil:
	case n < 45:
		h.RunNow(errBoom)
	case n < 70:
		h.Interrupt(errBoom)
	case n < 80:
		h.Pause(nil)
	default:
		h.Resume(nil)
	}
}

// family is a batch of tasks that depend on each other.
func (w wheel) family(rng *rand.Rand, body func(i int) taskvisor.Func) []taskvisor.TaskSpec {
	id := rng.Uint64()
	name := func(i int) string { return fmt.Sprintf("family-%x-%d", id, i) }
	specs := make([]taskvisor.TaskSpec, 2+rng.IntN(4))
	for i := range specs {
		once := rng.IntN(3) == 0
		opts := append(w.options(rng, once), taskvisor.WithGrace(milliseconds(rng, 20)), taskvisor.WithStuckAfter(1+milliseconds(rng, 10)))
		for on := range i {
			switch rng.IntN(4) {
			case 0:
				opts = append(opts, taskvisor.After(name(on)))
			case 1:
				opts = append(opts, taskvisor.BoundTo(name(on)))
			}
		}
		specs[i] = taskvisor.Restartable(name(i), body(i), append(opts, taskvisor.WithMaxRetries(rng.IntN(4)), taskvisor.ConstantBackoff(milliseconds(rng, 2)))...)
		if once {
			specs[i] = taskvisor.Once(name(i), body(i), opts...)
		}
	}
	rng.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	return specs
}

// check demands that nobody is left at the gates: a limit has as many places as it says.
func (w wheel) check(t *testing.T) {
	t.Helper()
	if n := w.gate.kept(); n > 0 {
		t.Errorf("%d tasks have not left the gate", n)
	}
	w.limit.Resize(1)
	for i, want := range []bool{true, false} {
		a := taskvisor.Attempt{TaskID: taskvisor.TaskID(1<<62 + i)}
		if got := w.limit.Enter(a, func() {}); got != want {
			t.Errorf("entering the limit of one for the %d. time: %v", i+1, got)
		}
		defer w.limit.Leave(a)
	}
}
