package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// world is one supervisor with a life that a seed decides: tasks of all kinds
// with random scripts, limits, stops, removals, submissions, and an end.
type world struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	sup     *taskvisor.Supervisor
	rec     *taskvisortest.Recorder
	queued  int // events that the queued subscriber got
	handles []*taskvisor.Handle
	refused int // calls of Add that a name was in the way of
	release chan struct{}
	mu      sync.Mutex      // guards running
	running map[string]int  // bodies, by task
	free    map[string]bool // tasks that may overlap: WithReleaseOnAbandon
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), rec: &taskvisortest.Recorder{},
		release: make(chan struct{}), running: map[string]int{}, free: map[string]bool{}}
	opts := []taskvisor.Option{
		taskvisor.WithSubscriber(w.rec),
		taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { w.queued++ }), taskvisor.Queued(1<<16)),
		taskvisor.WithGrace(w.duration(20 * time.Millisecond)),
		taskvisor.WithMaxQueue(w.rng.IntN(3)),
		taskvisor.WithTaskDefaults(taskvisor.BackoffPolicy{First: time.Millisecond, Max: 8 * time.Millisecond, Factor: 2, Jitter: taskvisor.Jitter(w.rng.IntN(4))},
			taskvisor.WithStuckAfter(time.Millisecond+w.duration(5*time.Millisecond))),
	}
	if n := w.rng.IntN(4); n > 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(n))
	}
	sup, err := taskvisor.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	w.sup = sup
	return w
}

func (w *world) duration(most time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(most) + 1))
}

// body makes a script of random steps. What is random is drawn before, so that a
// seed decides it.
func (w *world) body(name string) taskvisor.Func {
	var steps []taskvisortest.Step
	for range 1 + w.rng.IntN(5) {
		d := w.duration(5 * time.Millisecond)
		ends := []taskvisortest.Step{
			taskvisortest.Succeed(), taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom),
			taskvisortest.Panic(errBoom), taskvisortest.Goexit(), taskvisortest.Fail(taskvisor.Fatal(errBoom)),
			taskvisortest.Fail(taskvisor.ErrCanceled), taskvisortest.Fail(taskvisor.RetryAfter(d, errBoom)),
			taskvisortest.Block(), taskvisortest.Ignore(10 * d), taskvisortest.Fail(context.Canceled),
		}
		end := ends[w.rng.IntN(len(ends))]
		if w.rng.IntN(2) == 0 {
			end = taskvisortest.After(d, end)
		}
		steps = append(steps, end)
	}
	script := taskvisortest.Script(steps...)
	return func(ctx context.Context) error {
		w.enter(name, 1)
		defer w.enter(name, -1)
		return script(ctx)
	}
}

// enter notes that a body of that name begins or ends: two attempts never
// overlap.
func (w *world) enter(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[name] += n; w.running[name] > 1 && !w.free[name] {
		w.t.Errorf("seed %d: two bodies of %s at a time", w.seed, name)
	}
}

func (w *world) spec() taskvisor.TaskSpec {
	name := fmt.Sprint("t", w.rng.IntN(8))
	fn := w.body(name)
	var opts []taskvisor.TaskOption
	shape := w.rng.IntN(3)
	retries := taskvisor.WithMaxRetries(w.rng.IntN(4))
	if shape == 0 { // has none
		retries = taskvisor.WithoutTimeout()
	}
	for _, o := range []taskvisor.TaskOption{
		taskvisor.WithTimeout(time.Millisecond + w.duration(10*time.Millisecond)), retries,
		taskvisor.WithGrace(w.duration(10 * time.Millisecond)), taskvisor.WithoutRestartFloor(),
	} {
		if w.rng.IntN(3) == 0 {
			opts = append(opts, o)
		}
	}
	if w.rng.IntN(20) == 0 {
		opts = append(opts, taskvisor.WithReleaseOnAbandon())
		w.mu.Lock()
		w.free[name] = true
		w.mu.Unlock()
	}
	switch shape {
	case 0:
		return taskvisor.Once(name, fn, opts...)
	case 1:
		return taskvisor.Restartable(name, fn, opts...)
	default:
		return taskvisor.Periodic(name, time.Millisecond+w.duration(5*time.Millisecond), fn, opts...)
	}
}

// step does one random thing.
func (w *world) step() {
	ctx := context.Background()
	switch w.rng.IntN(8) {
	case 0, 1:
		w.note(w.sup.Add(ctx, w.spec()))
	case 2:
		hs, err := w.sup.AddAll(ctx, w.spec(), w.spec())
		w.handles = append(w.handles, hs...)
		w.count(err, 2)
	case 3, 4:
		h, err := w.sup.Submit(ctx, taskvisor.Submission{Task: w.spec(), Slot: fmt.Sprint("s", w.rng.IntN(3)), Admission: taskvisor.Admission(w.rng.IntN(5))})
		if err == nil {
			w.handles = append(w.handles, h)
		} else if !w.over(err) {
			w.t.Errorf("seed %d: Submit: %v", w.seed, err)
		}
	case 5:
		if len(w.handles) > 0 {
			w.handles[w.rng.IntN(len(w.handles))].Stop()
		}
	case 6:
		w.sup.StopSlot(fmt.Sprint("s", w.rng.IntN(3)), w.rng.IntN(2) == 0)
	default:
		time.Sleep(w.duration(10 * time.Millisecond))
	}
}

func (w *world) over(err error) bool { return errors.Is(err, taskvisor.ErrShuttingDown) }

func (w *world) note(h *taskvisor.Handle, err error) {
	if err == nil {
		w.handles = append(w.handles, h)
	}
	w.count(err, 1)
}

func (w *world) count(err error, n int) {
	switch {
	case err == nil || w.over(err):
	case errors.Is(err, taskvisor.ErrTaskExists):
		w.refused += n
	default:
		w.t.Errorf("seed %d: %v", w.seed, err)
	}
}

// quiet waits until everything that can happen now has happened, and holds the
// snapshot and the events against each other.
func (w *world) quiet() {
	synctest.Wait()
	sn := w.sup.Snapshot()
	queued, running := 0, 0
	for _, s := range sn.Slots {
		queued += s.Queued
	}
	for _, st := range sn.Tasks {
		if !st.AttemptStart.IsZero() {
			running++
		}
	}
	w.mu.Lock()
	bodies := 0
	for _, n := range w.running {
		bodies += n
	}
	w.mu.Unlock()
	kinds := kindsOf(w.rec)
	ended := kinds[taskvisor.TaskStopped] + kinds[taskvisor.TaskFailed] + kinds[taskvisor.TaskCanceled] + kinds[taskvisor.BodyReturned]
	over := sn.State == taskvisor.SupervisorStopped // then late bodies are counted and not announced
	for _, law := range []struct {
		name        string
		left, right int
	}{
		{"added = removed + registered", int(sn.Added), int(sn.Removed) + len(sn.Tasks)},
		{"started = ended + running", int(sn.Started), int(sn.Ended) + bodies},
		{"submitted = rejected + queued + joined + from slots", int(sn.Submitted), int(sn.Rejected) + queued + int(sn.Joined) + int(sn.FromSlots)},
		{"added is announced", int(sn.Added), kinds[taskvisor.TaskAdded]},
		{"removed is announced", int(sn.Removed), kinds[taskvisor.TaskRemoved]},
		{"started is announced", int(sn.Started), kinds[taskvisor.TaskStarting]},
		{"ended is announced", int(sn.Ended), ended},
		{"submitted is announced", int(sn.Submitted), kinds[taskvisor.ControllerSubmitted]},
		{"rejected is announced", int(sn.Rejected), kinds[taskvisor.ControllerRejected]},
		{"refusals are announced", w.refused, kinds[taskvisor.TaskAddFailed]},
		{"all is announced", int(sn.Seq), len(w.rec.Events())},
	} {
		late := over && (strings.HasPrefix(law.name, "removed is") || strings.HasPrefix(law.name, "ended is"))
		if law.left != law.right && !(late && law.left > law.right) {
			w.t.Errorf("seed %d: %s: %d, %d", w.seed, law.name, law.left, law.right)
		}
	}
	if running > bodies {
		w.t.Errorf("seed %d: %d tasks show an attempt, %d bodies run", w.seed, running, bodies)
	}
}

// letters of one task's life, as the contract allows them to follow each other.
var lives = regexp.MustCompile(`^A(S[TK]*[✓✗]B)*(` +
	`Q?D` + // stopped without an attempt
	`|S[TK]*[✓✗]ED|S[TK]*✗XD|S[TK]*CD` + // by its own end
	`|S[TKQ]*[✓✗C]D` + // stopped
	`|S[TKQ]*N([✓✗C]RD)?` + // abandoned, back or not
	`|S[TKQ]*ND([✓✗C]R)?` + // released
	`)$`)

// lifeLetters maps kinds as [taskvisortest.Recorder.Trace] does.
var lifeLetters = map[taskvisor.EventKind]string{
	taskvisor.TaskAdded: "A", taskvisor.TaskStarting: "S", taskvisor.TaskStopped: "✓", taskvisor.TaskFailed: "✗", taskvisor.TaskCanceled: "C",
	taskvisor.TimeoutHit: "T", taskvisor.TaskStuck: "K", taskvisor.BackoffScheduled: "B", taskvisor.TaskRemoveRequested: "Q",
	taskvisor.ActorExhausted: "E", taskvisor.ActorDead: "X", taskvisor.TaskAbandoned: "N", taskvisor.TaskReturned: "R", taskvisor.TaskRemoved: "D",
}

// checkEnd looks back at a whole life.
func (w *world) checkEnd() {
	life := map[taskvisor.TaskID]string{}
	attempts := map[taskvisor.TaskID]int{}
	for i, e := range w.rec.Events() {
		if e.Seq != uint64(i+1) {
			w.t.Errorf("seed %d: event %d has the number %d", w.seed, i+1, e.Seq)
		}
		if letter := lifeLetters[e.Kind]; letter != "" && e.TaskID != 0 {
			life[e.TaskID] += letter
		}
		if e.Kind == taskvisor.TaskStarting {
			if attempts[e.TaskID]++; e.Attempt != attempts[e.TaskID] {
				w.t.Errorf("seed %d: task %d begins attempt %d, want %d", w.seed, e.TaskID, e.Attempt, attempts[e.TaskID])
			}
		}
	}
	for id, l := range life {
		if !lives.MatchString(l) {
			w.t.Errorf("seed %d: task %d lived %s", w.seed, id, l)
		}
	}
	for _, h := range w.handles {
		o, known := h.Outcome()
		switch l := life[h.ID()]; {
		case !known || o.Kind == 0 || (o.Err == nil) != (o.Kind == taskvisor.OutcomeCompleted):
			w.t.Errorf("seed %d: task %d has the outcome %+v, %v", w.seed, h.ID(), o, known)
		case (o.Kind == taskvisor.OutcomeRejected) != (l == ""):
			w.t.Errorf("seed %d: task %d is %v and lived %q", w.seed, h.ID(), o.Kind, l)
		case strings.Contains(l, "N") != (o.Kind == taskvisor.OutcomeAbandoned) || strings.Contains(l, "X") != (o.Kind == taskvisor.OutcomeFatal):
			w.t.Errorf("seed %d: task %d is %v and lived %s", w.seed, h.ID(), o.Kind, l)
		case o.Attempts != strings.Count(l, "S"):
			w.t.Errorf("seed %d: task %d has %d attempts and lived %s", w.seed, h.ID(), o.Attempts, l)
		}
	}
	if w.queued != len(w.rec.Events()) {
		w.t.Errorf("seed %d: the queued subscriber got %d of %d events", w.seed, w.queued, len(w.rec.Events()))
	}
}

// live runs one life to its end, which comes by itself, by Shutdown, or by the
// end of a context.
func (w *world) live() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	natural := w.rng.IntN(3) == 0
	ran := make(chan error, 1)
	if natural {
		first, n := w.spec(), w.rng.IntN(2)
		go func() { ran <- w.sup.Run(ctx, []taskvisor.TaskSpec{first}[:n]...) }()
		synctest.Wait()
		if n == 1 {
			w.handles = append(w.handles, w.sup.List()...)
		}
	} else if err := w.sup.Start(ctx); err != nil {
		w.t.Fatal(err)
	}
	for range w.rng.IntN(40) {
		w.step()
		if w.rng.IntN(10) == 0 {
			w.quiet()
		}
	}
	if natural && w.rng.IntN(2) == 0 {
		cancel()
	}
	if !natural || w.rng.IntN(2) == 0 {
		w.sup.Shutdown(context.Background())
	}
	for over := false; !over; { // what would go on for ever, and what waits behind it
		for _, h := range append(w.sup.List(), w.handles...) {
			h.Stop()
		}
		select {
		case <-w.sup.Done():
			over = true
		case <-time.After(time.Second):
		}
	}
	if natural {
		<-ran
	}
	w.quiet()
	time.Sleep(time.Second) // bodies that ignored everything return
	w.quiet()
	w.checkEnd()
}

// Conservation: whatever happens to a supervisor, at every quiet moment what
// went in is what came out and what is there; each task has one life in the
// order of the contract, and one outcome. A failure names its seed.
func TestConservation(t *testing.T) {
	runs := 3000
	if raceEnabled {
		runs = 1000
	}
	first := rand.Uint64()
	t.Logf("seeds %d to %d", first, first+uint64(runs)-1)
	var workers sync.WaitGroup
	for i := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := i; n < runs && !t.Failed(); n += runtime.GOMAXPROCS(0) {
				synctest.Test(t, func(t *testing.T) { newWorld(t, first+uint64(n)).live() })
			}
		})
	}
	workers.Wait()
}
