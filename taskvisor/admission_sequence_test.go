package taskvisor_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const aeon = 100_000 * time.Hour // for delays that no test waits for

// slotWatch sorts what happens in each slot into the words of the model.
type slotWatch struct {
	mu    sync.Mutex
	slots map[string]*realSlot // by key, which is also how names begin
}

func (*slotWatch) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (w *slotWatch) OnEvent(_ context.Context, e taskvisor.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Kind == taskvisor.ControllerSlotTransition {
		r := w.slots[e.Slot]
		r.moves = append(r.moves, slotMove{e.Seq, e.To})
		return
	}
	key, n, _ := strings.Cut(e.Task, "/")
	what := ""
	switch e.Kind {
	case taskvisor.ControllerSubmitted:
		what = "submitted " + e.Verdict.String()
	case taskvisor.ControllerRejected:
		what = "rejected " + e.Reason.String()
	case taskvisor.TaskAdded:
		what = "added"
	case taskvisor.TaskRemoved:
		what = "removed " + e.Outcome.String() + " " + e.Reason.String()
	}
	if r := w.slots[key]; what != "" && r != nil {
		r.facts = append(r.facts, n+" "+what)
	}
}

// realSlot drives a slot of a supervisor through inputs, beside its model.
type realSlot struct {
	t       *testing.T
	sup     *taskvisor.Supervisor
	key     string
	model   modelSlot
	ops     []int
	handles []*taskvisor.Handle // by step; nil: no submission
	returns map[*taskvisor.Handle]chan error
	over    chan struct{} // closed when the test is over

	moves []slotMove // guarded by the watch's lock, as the next
	facts []string
}

// slotMove is a transition with its number: those of two owners may be delivered
// out of order.
type slotMove struct {
	seq uint64
	to  taskvisor.SlotState
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

// submit makes a submission whose body does as it is told and nothing else.
func (r *realSlot) submit(policy taskvisor.Admission, taken bool) *taskvisor.Handle {
	name := r.key + "/" + strconv.Itoa(len(r.ops))
	if taken { // a name is a fact's only sign of its step
		name += "!"
		addTo(r.t, r.sup, taskvisor.Restartable(name, func(context.Context) error { return errBoom }, taskvisor.ConstantBackoff(aeon)))
	}
	told := make(chan error, 1)
	body := func(context.Context) error {
		select {
		case err := <-told:
			return err
		case <-r.over:
			return nil
		}
	}
	h, err := r.sup.Submit(context.Background(), taskvisor.Submission{Slot: r.key, Admission: policy,
		Task: taskvisor.Restartable(name, body, taskvisor.ConstantBackoff(aeon), taskvisor.WithGrace(aeon), taskvisor.WithStuckAfter(aeon))})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.returns[h] == nil { // a joined handle has its own
		r.returns[h] = told
	}
	return h
}

// handle returns that of a task of the model; nil for none.
func (r *realSlot) handle(t *modelTask) *taskvisor.Handle {
	if t == nil {
		return nil
	}
	return r.handles[t.n]
}

// apply makes an input; what follows from it is complete when all goroutines of the
// bubble have come to rest.
func (r *realSlot) apply(op int) {
	m := &r.model
	owner := r.handle(m.owner)
	works := m.state != taskvisor.SlotIdle && !m.sleep
	var h *taskvisor.Handle
	switch {
	case op <= opTaken:
		h = r.submit(taskvisor.Admission(op%opTaken), op == opTaken)
	case op == opStopSlot, op == opPurge:
		r.sup.StopSlot(r.key, op == opPurge)
	case op == opStopFirst && len(m.queue) > 0:
		r.handle(m.queue[0]).Stop()
	case op == opStopLast && len(m.queue) > 0:
		r.handle(m.queue[len(m.queue)-1]).Stop()
	case owner == nil:
	case (op == opReturn || op == opFail) && works:
		r.returns[owner] <- map[bool]error{true: errBoom}[op == opFail]
	case op == opWake && m.sleep:
		owner.RunNow(nil)
	case op == opStop:
		owner.Stop()
	case op == opAbandon && m.state == taskvisor.SlotTerminating:
		taskvisor.GiveUp(owner)
	}
	r.ops = append(r.ops, op)
	r.handles = append(r.handles, h)
	m.apply(op)
}

// check compares the slot with its model; status is what the snapshot has of it.
func (r *realSlot) check(w *slotWatch, status taskvisor.SlotStatus) {
	m := &r.model
	moves, facts := r.seen(w)
	want := slices.Clone(m.facts)
	slices.Sort(want)
	if !slices.Equal(facts, want) || !slices.Equal(moves, m.moves) {
		r.t.Fatalf("inputs %v, limit %d:\n facts %q\n  want %q\n moves %q\n  want %q", r.ops, m.limit, facts, want, moves, m.moves)
	}
	var expected taskvisor.SlotStatus
	if owner := r.handle(m.owner); owner != nil {
		expected = taskvisor.SlotStatus{Key: r.key, Owner: owner.ID(), Queued: len(m.queue), State: m.state}
	}
	status.Oldest = time.Time{}
	if status != expected {
		r.t.Fatalf("inputs %v, limit %d: status %+v, want %+v", r.ops, m.limit, status, expected)
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

// runSequences runs sequences of inputs side by side, each in a slot of its own, step
// by step. The first half empties its slots at the end, the others are left to the
// shutdown.
func runSequences(t *testing.T, limit int, sequences [][]int) {
	synctest.Test(t, func(t *testing.T) {
		w := &slotWatch{slots: map[string]*realSlot{}}
		sup, err := taskvisor.New(taskvisor.WithMaxQueue(limit), taskvisor.WithSubscriber(w), taskvisor.WithGrace(aeon))
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
			key := "s" + strconv.Itoa(i)
			slots[i] = &realSlot{t: t, sup: sup, key: key, over: over, returns: map[*taskvisor.Handle]chan error{},
				model: modelSlot{limit: limit, state: taskvisor.SlotIdle}}
			w.slots[key] = slots[i]
			longest = max(longest, len(ops))
		}
		round := func(step func(i int, r *realSlot)) {
			for i, r := range slots {
				step(i, r)
			}
			time.Sleep(2 * time.Millisecond) // more than the restart floor
			synctest.Wait()
			statuses := map[string]taskvisor.SlotStatus{}
			for _, st := range sup.Snapshot().Slots {
				statuses[st.Key] = st
			}
			for _, r := range slots {
				r.check(w, statuses[r.key])
			}
		}
		for n := range longest {
			round(func(i int, r *realSlot) {
				if n < len(sequences[i]) {
					r.apply(sequences[i][n])
				}
			})
		}
		for _, op := range []int{opPurge, opReturn} {
			round(func(i int, r *realSlot) {
				// What returns after the verdict is not announced any more, and an
				// abandoned body does not hold the verdict up.
				if emptied := i < len(slots)/2; emptied || op == opReturn && r.model.state == taskvisor.SlotAbandoned {
					r.apply(op)
				}
			})
		}
		endSequences(t, sup, slots, round)
	})
}

func endSequences(t *testing.T, sup *taskvisor.Supervisor, slots []*realSlot, round func(func(int, *realSlot))) {
	go sup.Shutdown(context.Background())
	synctest.Wait()
	round(func(_ int, r *realSlot) { r.model.shutdown() })
	round(func(_ int, r *realSlot) { r.apply(opReturn) })
	<-sup.Done()
	sn := sup.Snapshot()
	for _, r := range slots {
		if r.model.state != taskvisor.SlotIdle || len(r.model.queue) > 0 {
			t.Fatalf("inputs %v: the model is %v at the end", r.ops, r.model.state)
		}
	}
	checkConservation(t, sn)
	if len(sn.Slots)+len(sn.Tasks) != 0 {
		t.Errorf("at the end: %+v", sn)
	}
}

// Every sequence of inputs up to a length, but for those that go on after an input
// without effect, agrees with the model step by step. The soak goes further.
func TestSlotSequences(t *testing.T) {
	depths := []int{4, 4, 3}
	switch {
	case os.Getenv("TASKVISOR_SOAK") != "":
		depths = []int{5, 5, 5}
	case raceEnabled || testing.Short():
		depths = []int{3, 3, 3}
	}
	for limit, depth := range depths {
		var sequences [][]int
		var extend func(ops []int)
		extend = func(ops []int) {
			for op := range opCount {
				next := append(slices.Clone(ops), op)
				m := modelSlot{limit: limit, state: taskvisor.SlotIdle}
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
