package taskvisor

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const aeon = 100_000 * time.Hour // for delays that no test waits for

// slotWatch sorts what happens in each slot into the words of the model.
type slotWatch struct {
	mu    sync.Mutex
	slots map[string]*realSlot // by key, which is also how names begin
}

func (w *slotWatch) Preferences() []SubscriberOption { return []SubscriberOption{Inline()} }

func (w *slotWatch) OnEvent(_ context.Context, e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Kind == ControllerSlotTransition {
		r := w.slots[e.Slot]
		r.moves = append(r.moves, slotMove{e.Seq, e.To})
		return
	}
	key, n, _ := strings.Cut(e.Task, "/")
	what := ""
	switch e.Kind {
	case ControllerSubmitted:
		what = "submitted " + e.Verdict.String()
	case ControllerRejected:
		what = "rejected " + e.Reason.String()
	case TaskAdded:
		what = "added"
	case TaskRemoved:
		what = "removed " + e.Outcome.String() + " " + e.Reason.String()
	}
	if r := w.slots[key]; what != "" && r != nil {
		r.facts = append(r.facts, n+" "+what)
	}
}

// realSlot drives a slot of a supervisor through inputs, beside its model.
type realSlot struct {
	t       *testing.T
	sup     *Supervisor
	key     string
	model   modelSlot
	ops     []int
	handles []*Handle // by step; nil: no submission
	returns map[*Handle]chan error
	over    chan struct{} // closed when the test has failed

	moves []slotMove // guarded by the watch's lock, as the next
	facts []string
}

// slotMove is a transition with its number: those of two owners may be delivered
// out of order.
type slotMove struct {
	seq uint64
	to  State
}

// seen returns what was delivered so far: transitions in order, facts sorted.
func (r *realSlot) seen(w *slotWatch) (moves, facts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(r.moves, func(a, b slotMove) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range r.moves {
		moves = append(moves, m.to.String())
	}
	for _, f := range r.facts {
		namesake := strings.Contains(f, "! added") || strings.Contains(f, "! removed")
		if !namesake {
			facts = append(facts, strings.Replace(f, "!", "", 1))
		}
	}
	slices.Sort(facts)
	return moves, facts
}

func newRealSlot(t *testing.T, sup *Supervisor, key string, limit int, over chan struct{}) *realSlot {
	return &realSlot{t: t, sup: sup, key: key, model: modelSlot{limit: limit, state: StateIdle},
		returns: map[*Handle]chan error{}, over: over}
}

// submit makes a submission whose body does as it is told and nothing else.
func (r *realSlot) submit(policy Admission, taken bool) *Handle {
	name := r.key + "/" + strconv.Itoa(len(r.ops))
	if taken { // a name is a fact's only sign of its step
		name += "!"
		if _, err := r.sup.Add(context.Background(), Restartable(name, func(context.Context) error { return errModel }, ConstantBackoff(aeon))); err != nil {
			r.t.Fatal(err)
		}
	}
	told := make(chan error, 1)
	h, err := r.sup.Submit(context.Background(), Submission{Slot: r.key, Admission: policy, Task: Restartable(name,
		func(context.Context) error {
			select {
			case err := <-told:
				return err
			case <-r.over:
				return nil
			}
		}, ConstantBackoff(aeon), WithGrace(aeon), WithStuckAfter(aeon))})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.returns[h] == nil { // a joined handle has its own
		r.returns[h] = told
	}
	return h
}

var errModel = errors.New("told to fail")

// owner returns who owns the slot and who waits, in order.
func (r *realSlot) owner() (owner *Handle, queue []*Handle) {
	c := &r.sup.slots
	c.mu.Lock()
	defer c.mu.Unlock()
	sl := c.slots.m[r.key]
	if sl == nil {
		return nil, nil
	}
	for t := sl.head; t != nil; t = t.sub.next {
		queue = append(queue, t)
	}
	return sl.owner, queue
}

// apply makes an input; what follows from it is complete when all goroutines of
// the bubble have come to rest.
func (r *realSlot) apply(op int) {
	owner, queue := r.owner()
	var h *Handle
	switch {
	case op <= opTaken:
		h = r.submit(Admission(op%opTaken), op == opTaken)
	case op == opStopSlot, op == opPurge:
		r.sup.StopSlot(r.key, op == opPurge)
	case op == opStopFirst && len(queue) > 0:
		queue[0].Stop()
	case op == opStopLast && len(queue) > 0:
		queue[len(queue)-1].Stop()
	case owner == nil:
	case op == opReturn || op == opFail:
		if owner.phaseNow() == phaseActive {
			r.returns[owner] <- map[bool]error{true: errModel}[op == opFail]
		}
	case op == opWake:
		r.wake(owner)
	case op == opStop:
		owner.Stop()
	case op == opAbandon:
		owner.abandon("", errModel)
	}
	r.ops = append(r.ops, op)
	r.handles = append(r.handles, h)
	r.model.apply(op)
}

// wake lets the delay of the owner be over.
func (r *realSlot) wake(owner *Handle) {
	owner.mu.Lock()
	if owner.m.phase == phaseBackoff {
		_, owner.m.due = r.sup.clock.now()
	}
	owner.mu.Unlock()
	owner.tick()
}

// check compares the slot with its model.
func (r *realSlot) check(w *slotWatch) {
	m := &r.model
	name := func(h *Handle) string { return strings.TrimSuffix(strings.TrimPrefix(h.Name(), r.key+"/"), "!") }
	moves, facts := r.seen(w)
	want := slices.Clone(m.facts)
	slices.Sort(want)
	if !slices.Equal(facts, want) || !slices.Equal(moves, m.moves) {
		r.t.Fatalf("inputs %v, limit %d:\n facts %q\n  want %q\n moves %q\n  want %q", r.ops, m.limit, facts, want, moves, m.moves)
	}
	owner, queue := r.owner()
	var got, wanted []string
	if owner != nil {
		got = append(got, name(owner))
	}
	if m.owner != nil {
		wanted = append(wanted, strconv.Itoa(m.owner.n))
	}
	for _, h := range queue {
		got = append(got, name(h))
	}
	for _, q := range m.queue {
		wanted = append(wanted, strconv.Itoa(q.n))
	}
	if !slices.Equal(got, wanted) {
		r.t.Fatalf("inputs %v, limit %d: owner and queue %q, want %q", r.ops, m.limit, got, wanted)
	}
	r.checkHandles()
}

func (r *realSlot) checkHandles() {
	for n, t := range r.model.tasks {
		if t == nil {
			continue
		}
		if t.joined != nil {
			if r.handles[n] != r.handles[t.joined.n] {
				r.t.Fatalf("inputs %v: the handle of step %d is not that of %d", r.ops, n, t.joined.n)
			}
			continue
		}
		end := ""
		if o, known := r.handles[n].Outcome(); known {
			end = o.Kind.String() + " " + o.Reason.String()
		}
		if strings.TrimSpace(end) != strings.TrimSpace(t.end) {
			r.t.Fatalf("inputs %v: outcome of step %d is %q, want %q", r.ops, n, end, t.end)
		}
	}
}

// runSequences runs sequences of inputs side by side, each in a slot of its own,
// step by step. The first half empties its slots at the end, the others are left
// to the shutdown.
func runSequences(t *testing.T, limit int, sequences [][]int) {
	synctest.Test(t, func(t *testing.T) {
		w := &slotWatch{slots: map[string]*realSlot{}}
		sup, err := New(WithMaxQueue(limit), WithSubscriber(w), WithGrace(aeon))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		t.Cleanup(func() {
			close(over)
			sup.Shutdown(context.Background())
		})
		slots := make([]*realSlot, len(sequences))
		longest := 0
		for i, ops := range sequences {
			slots[i] = newRealSlot(t, sup, "s"+strconv.Itoa(i), limit, over)
			w.slots[slots[i].key] = slots[i]
			longest = max(longest, len(ops))
		}
		round := func(step func(i int, r *realSlot)) {
			for i, r := range slots {
				step(i, r)
			}
			synctest.Wait()
			for _, r := range slots {
				r.check(w)
			}
		}
		for n := range longest {
			round(func(i int, r *realSlot) {
				if n < len(sequences[i]) {
					r.apply(sequences[i][n])
				}
			})
		}
		emptied := func(i int) bool { return i < len(slots)/2 }
		for _, op := range []int{opPurge, opReturn} {
			round(func(i int, r *realSlot) {
				// What returns after the verdict is not announced any more, and an
				// abandoned body does not hold the verdict up.
				if emptied(i) || op == opReturn && r.model.state == StateAbandoned {
					r.apply(op)
				}
			})
		}
		endSequences(t, sup, slots, round)
	})
}

func endSequences(t *testing.T, sup *Supervisor, slots []*realSlot, round func(func(int, *realSlot))) {
	go sup.Shutdown(context.Background())
	synctest.Wait()
	round(func(_ int, r *realSlot) { r.model.shutdown() })
	round(func(_ int, r *realSlot) { r.apply(opReturn) })
	<-sup.Done()
	sn := sup.Snapshot()
	for _, r := range slots {
		if r.model.state != StateIdle || len(r.model.queue) > 0 {
			t.Fatalf("inputs %v: the model is %v at the end", r.ops, r.model.state)
		}
	}
	if len(sn.Slots)+len(sn.Tasks) != 0 || sn.Added != sn.Removed || sn.Started != sn.Ended || sn.Submitted != sn.Rejected+sn.Joined+sn.FromSlots {
		t.Errorf("at the end: %+v", sn)
	}
}

// Every sequence of inputs up to a length, but for those that go on after an
// input without effect, agrees with the model step by step. The soak goes one
// input further.
func TestSlotSequences(t *testing.T) {
	depths := []int{3, 4, 3}
	switch {
	case os.Getenv("TASKVISOR_SOAK") != "":
		depths = []int{5, 5, 5}
	case underRace():
		depths = []int{3, 3, 3}
	}
	for limit, depth := range depths {
		var sequences [][]int
		var extend func(ops []int)
		extend = func(ops []int) {
			for op := range opCount {
				next := append(slices.Clone(ops), op)
				m := modelSlot{limit: limit, state: StateIdle}
				changed := false
				for _, op := range next {
					changed = m.apply(op)
				}
				if changed && len(next) < depth {
					extend(next)
				} else {
					sequences = append(sequences, next)
				}
			}
		}
		extend(nil)
		t.Logf("MaxQueue(%d), length %d: %d sequences", limit, depth, len(sequences))
		for batch := range slices.Chunk(sequences, 1500) {
			runSequences(t, limit, batch)
		}
	}
}

// underRace reports whether the race detector is on, which makes everything ten
// times slower.
func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Random sequences go deeper.
func TestSlotRandomSequences(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for limit := range 5 {
		sequences := make([][]int, 60)
		for i := range sequences {
			for range 40 {
				sequences[i] = append(sequences[i], rng.IntN(opCount))
			}
		}
		runSequences(t, limit, sequences)
	}
}

// FuzzSlotSequence reads a limit and inputs from bytes.
func FuzzSlotSequence(f *testing.F) {
	f.Add([]byte{2, 0, 0, 3, 1, opStop, opAbandon, 0, opReturn, opPurge})
	f.Add([]byte{0, 4, opFail, 4, 1, opWake, opTaken, opReturn, opTaken})
	f.Add([]byte{1, 3, 3, 3, opStopFirst, opTaken, opStopSlot, opReturn})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 200 {
			return
		}
		ops := make([]int, len(data)-1)
		for i, b := range data[1:] {
			ops[i] = int(b) % opCount
		}
		runSequences(t, int(data[0])%6, [][]int{ops, ops})
	})
}
