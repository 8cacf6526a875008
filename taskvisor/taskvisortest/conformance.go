package taskvisortest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestSubscriber checks that a subscriber can be given to any supervisor. It
// runs it, as a family of subtests, through real supervisors and through direct
// calls, with every kind of event and of ending, and demands that it
//
//   - neither panics nor calls runtime.Goexit, whatever the event: known or
//     unknown kinds, zero or extreme values, errors and names of any shape;
//   - does not block when it is inline, and is safe for concurrent and
//     re-entrant calls then; a queued one is called one event at a time, may
//     take its time, but must come back;
//   - leaves what it is given as it was;
//   - returns from BeginAttempt a context derived from the given one, without
//     blocking, from many goroutines at once;
//   - accepts events and ends of attempts after the supervisor has ended;
//   - leaves no goroutine behind.
//
// newSubscriber makes a fresh one; it is called at least once in each subtest
// and a thousand times in one of them. The t that it gets is the subtest's, and
// what has to be closed is closed by t.Cleanup. It is called inside a bubble of
// testing/synctest, so what it makes must not wait for the network, for other
// processes or for goroutines outside; and t.Run, t.Parallel and t.Deadline are
// not available there. Sinks belong in the test's memory.
//
// A subscriber that hangs or leaks cannot be undone: the test binary then ends
// with a panic, after the message that says what the subscriber did.
func TestSubscriber(t *testing.T, newSubscriber func(t *testing.T) taskvisor.Subscribe) {
	for _, c := range []struct {
		name  string
		check func(r *rig)
	}{
		{"ContextPassesOn", contextPassesOn}, // first: without it nothing else would end
		{"NeverStarted", neverStarted},
		{"NaturalEnd", naturalEnd},
		{"EveryEnding", everyEnding},
		{"Wheel", theWheel},
		{"Names", names},
		{"Errors", oddErrors},
		{"Admission", admission},
		{"GraceExceeded", graceExceeded},
		{"Concurrent", concurrent},
		{"Reentrant", reentrant},
		{"Overflow", overflow},
		{"OddEvents", oddEvents},
		{"OddAttempts", oddAttempts},
		{"ArgumentsKept", argumentsKept},
		{"AfterShutdown", afterShutdown},
		{"ThousandSupervisors", thousandSupervisors},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &rig{newSubscriber: newSubscriber, said: make(map[string]bool), calls: make(map[uint64]call)}
			defer watch(r)()
			synctest.Test(t, func(t *testing.T) { r.run(t, c.check) })
		})
	}
}

// blocksAfter is how long, in the bubble's time, one call of a subscriber may
// take. It is more than the time that a shutdown waits for subscribers.
const blocksAfter = 10 * time.Second

// patience is how long, in the bubble's time, a check may take: more than the
// sleeps of the longest.
const patience = 6 * time.Hour

// run does one check inside its bubble. The check has a goroutine of its own,
// so that a subscriber that blocks can be named instead of ending in a deadlock
// that names nobody.
func (r *rig) run(t *testing.T, check func(r *rig)) {
	r.t = t
	r.before = make(map[string]bool)
	for id := range bubbleGoroutines() {
		r.before[id] = true
	}
	t.Cleanup(r.checkLeaks) // registered first, hence after everything else
	done := make(chan struct{})
	// Ends with the check; a check that hangs fails the test below.
	go func() {
		defer close(done)
		check(r)
	}()
	start := time.Now()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(blocksAfter):
		}
		r.checkBlocked()
		if running && time.Since(start) > patience {
			r.blocked = true
			t.Fatal("taskvisortest: the check does not end, although no call of the subscriber is in progress")
		}
	}
}

// checkBlocked ends the test if a call of the subscriber blocks.
func (r *rig) checkBlocked() {
	for _, what := range r.pending(blocksAfter) {
		r.complain("%s has not returned after %s: it blocks", what, blocksAfter)
		r.blocked = true
	}
	if r.blocked {
		r.t.FailNow()
	}
}
