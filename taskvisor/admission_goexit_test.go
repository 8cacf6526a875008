package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// leaver is an inline subscriber that ends the goroutine which delivers an event
// to it, once, and notes what it got.
type leaver struct {
	onEvent
	mu   sync.Mutex // guards the fields below
	at   int        // the event, counted from 1
	n    int
	seen map[uint64]taskvisor.Event
}

func newLeaver() *leaver {
	l := &leaver{seen: map[uint64]taskvisor.Event{}}
	l.onEvent = func(e taskvisor.Event) {
		l.mu.Lock()
		l.n++
		leave := l.n == l.at
		l.seen[e.Seq] = e
		l.mu.Unlock()
		if leave {
			runtime.Goexit()
		}
	}
	return l
}

// Whichever event of a slot's life an inline subscriber answers with Goexit, on
// whose goroutine ever: what was decided happens, every submission has its
// outcome, every event is delivered, and Run ends.
func TestGoexitInlineDuringAdmission(t *testing.T) {
	const events = 88
	for at := range events + 1 { // 0: not at all
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if n := lifeOfSlots(t, at); at == 0 && n != events {
					t.Errorf("%d events, want %d", n, events)
				}
			})
		})
	}
}

// lifeOfSlots does all that can be done with a slot, and returns how many events
// there were.
func lifeOfSlots(t *testing.T, at int) int {
	sub := newLeaver()
	sup, err := taskvisor.New(taskvisor.WithSubscriber(sub), taskvisor.WithMaxQueue(3))
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		result <- sup.Run(context.Background(), taskvisor.Once("first", worksFor(time.Minute)))
	}()
	synctest.Wait()
	sub.mu.Lock()
	sub.n = 0 // from here on
	sub.at = at
	sub.mu.Unlock()
	begin := time.Now()
	apart := func(f func()) { // Goexit ends the caller of Submit and Stop, too
		go f()
		synctest.Wait()
	}
	submit := func(name, slot string, policy taskvisor.Admission, fn taskvisor.Func) {
		apart(func() {
			if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(name, fn), Slot: slot, Admission: policy}); err != nil {
				t.Errorf("submit %s: %v", name, err)
			}
		})
	}
	submit("a1", "a", asQueue, runsUntilStopped())
	submit("a2", "a", asCoalesce, worksFor(time.Second))
	submit("a3", "a", asCoalesce, worksFor(time.Second)) // supersedes a2
	submit("a4", "a", asQueue, worksFor(time.Second))
	submit("a5", "a", asQueue, worksFor(time.Second))
	submit("a6", "a", asQueue, worksFor(time.Second)) // queue_full
	submit("a7", "a", asDrop, worksFor(time.Second))  // slot_busy
	submit("a8", "a", asJoin, instant)                // joined
	submit("a9", "a", asReplace, worksFor(time.Second))
	submit("first", "c", asQueue, worksFor(time.Second)) // already_exists
	submit("b1", "b", asQueue, ignoresFor(2*time.Second))
	submit("b2", "b", asReplace, runsUntilStopped())
	submit("b3", "b", asReplace, runsUntilStopped()) // supersedes b2
	submit("b4", "b", asQueue, worksFor(time.Second))
	submit("b5", "b", asQueue, worksFor(time.Second))
	apart(func() { sup.StopSlot("b", true) })
	submit("d1", "d", asQueue, worksFor(time.Hour))
	submit("d2", "d", asReplace, worksFor(time.Hour)) // supersedes nobody; d1 is stopped
	submit("d3", "d", asQueue, worksFor(time.Hour))
	apart(func() { sup.StopSlot("d", true) })
	if err := <-result; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("Run ended after %v", took)
	}
	sn := sup.Snapshot()
	checkConservation(t, sn)
	if len(sn.Tasks)+len(sn.Slots) > 0 {
		t.Errorf("%d tasks, %d slots left", len(sn.Tasks), len(sn.Slots))
	}
	sub.check(t, sn.Seq)
	return sub.n
}

// check demands that all events up to last were delivered, and that each
// submission and task came to its end.
func (l *leaver) check(t *testing.T, last uint64) {
	t.Helper()
	ends := map[string]int{}
	var names []string
	for seq := uint64(1); seq <= last; seq++ {
		e, ok := l.seen[seq]
		if !ok {
			t.Errorf("event %d was not delivered", seq)
		}
		switch e.Kind {
		case taskvisor.ControllerSubmitted:
			if e.Verdict != taskvisor.VerdictJoined {
				names = append(names, e.Task)
			}
		case taskvisor.ControllerRejected, taskvisor.TaskRemoved:
			ends[e.Task]++
		}
	}
	for _, name := range names {
		if want := map[bool]int{true: 2, false: 1}[name == "first"]; ends[name] != want {
			t.Errorf("%s ended %d times, want %d", name, ends[name], want)
		}
	}
}

// The same for a batch: all of it is announced and begins.
func TestGoexitInlineDuringAddAll(t *testing.T) {
	const events = 3 * 5
	for at := 1; at <= events; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sub := newLeaver()
				sub.at = at
				sup := newSupervisor(t, taskvisor.WithSubscriber(sub))
				go func() {
					work := worksFor(time.Second)
					sup.AddAll(context.Background(), taskvisor.Once("a", work), taskvisor.Once("b", work), taskvisor.Once("c", work))
				}()
				time.Sleep(time.Minute)
				synctest.Wait()
				sn := sup.Snapshot()
				if sn.Added != 3 || sn.Removed != 3 || sn.Ended != 3 {
					t.Errorf("%d added, %d removed, %d attempts ended", sn.Added, sn.Removed, sn.Ended)
				}
				sub.check(t, sn.Seq)
				if sub.n != events+1 { // the report of the Goexit
					t.Errorf("%d events", sub.n)
				}
			})
		})
	}
}
