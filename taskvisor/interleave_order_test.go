package taskvisor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// What can happen to an attempt, each once, in every order.
type happening string

const (
	happenStop     happening = "stop"
	happenReplace  happening = "replace"
	happenShutdown happening = "shutdown"
	happenTimeout  happening = "timeout"
	happenChild    happening = "child panics"
	happenReturn   happening = "return"
)

var happenings = []happening{happenStop, happenReplace, happenShutdown, happenTimeout, happenChild, happenReturn}

// permutations calls f with every order of hs.
func permutations(hs []happening, f func([]happening)) {
	var place func(n int)
	place = func(n int) {
		if n == len(hs) {
			f(hs)
			return
		}
		for i := n; i < len(hs); i++ {
			hs[n], hs[i] = hs[i], hs[n]
			place(n + 1)
			hs[n], hs[i] = hs[i], hs[n]
		}
	}
	place(0)
}

// expected is what the contract says about the attempt whose life is order: its
// events, its outcome, its reason, and the cause of its context.
func expected(order []happening) (trace, outcome string, cause error) {
	events := []string{"U", "A", "S"}
	stop, result := taskvisor.Reason(0), "✓"
	cancel := func(err error) {
		if cause == nil {
			cause = err
		}
	}
	claim := func(why taskvisor.Reason) {
		if stop == 0 {
			stop = why
			cancel(why)
			if why != taskvisor.ErrShutdown {
				events = append(events, "Q")
			}
		}
	}
	closed := false // to submissions
	for _, h := range order {
		switch h {
		case happenStop:
			claim(taskvisor.ErrRemoved)
		case happenReplace:
			if !closed {
				claim(taskvisor.ErrReplaced)
			}
		case happenShutdown:
			closed = true
			claim(taskvisor.ErrShutdown)
		case happenTimeout:
			if stop == 0 {
				events = append(events, "T")
				result = "✗"
				cancel(taskvisor.ErrAttemptTimeout)
			}
		case happenChild:
			result = "✗"
			cancel(errBoom)
		case happenReturn:
			cancel(context.Canceled)
			switch {
			case stop != 0:
				return strings.Join(append(events, result, "D"), " "), "canceled " + stop.String(), cause
			case result == "✗":
				return strings.Join(append(events, result, "E", "D"), " "), "failed ", cause
			default:
				return strings.Join(append(events, result, "E", "D"), " "), "completed ", cause
			}
		}
	}
	panic("no return in " + fmt.Sprint(order))
}

// Whatever can happen to an attempt happens in all 720 orders, a second apart;
// what is announced, decided and told to the body follows from the order alone.
func TestEveryOrderOfEvents(t *testing.T) {
	n := 0
	permutations(happenings, func(order []happening) {
		n++
		name := fmt.Sprint(order)
		synctest.Test(t, func(t *testing.T) {
			trace, outcome, cause := liveThrough(t, order)
			wantTrace, wantOutcome, wantCause := expected(order)
			if trace != wantTrace || outcome != wantOutcome {
				t.Errorf("%s: %q, %s; want %q, %s", name, trace, outcome, wantTrace, wantOutcome)
			}
			if cause != wantCause && !(wantCause == errBoom && strings.Contains(cause.Error(), "boom")) {
				t.Errorf("%s: cause %v, want %v", name, cause, wantCause)
			}
		})
	})
	if n != 720 {
		t.Errorf("%d orders", n)
	}
}

// liveThrough lets one attempt see everything in the given order, a second
// between two things.
func liveThrough(t *testing.T, order []happening) (trace, outcome string, cause error) {
	at := map[happening]time.Duration{}
	for i, h := range order {
		at[h] = time.Duration(i+1) * time.Second
	}
	sup, rec := taskvisortest.Start(t)
	var ctx context.Context
	h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: taskvisor.Once("a", func(c context.Context) error {
		ctx = c
		taskvisor.Go(c, func(context.Context) {
			if at[happenChild] < at[happenReturn] { // it is joined: later there is no attempt
				time.Sleep(at[happenChild])
				panic(errBoom)
			}
		})
		time.Sleep(at[happenReturn])
		return nil
	}, taskvisor.WithTimeout(at[happenTimeout]), taskvisor.WithStuckAfter(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	do := map[happening]func(){
		happenStop: func() { h.Stop() },
		happenReplace: func() {
			sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Admission: taskvisor.Replace, Task: taskvisor.Once("b", worksFor(0))})
		},
		happenShutdown: func() { go sup.Shutdown(context.Background()) },
	}
	for _, what := range order {
		time.Sleep(time.Second)
		if act := do[what]; act != nil {
			act()
		}
		synctest.Wait()
	}
	<-sup.Done()
	o, _ := h.Outcome()
	checkConservation(t, sup.Snapshot())
	checkAnnouncements(t, rec.Events(), sup.Snapshot())
	slotMoves(t, rec.Events())
	return rec.Trace("a"), o.Kind.String() + " " + o.Reason.String(), context.Cause(ctx)
}
