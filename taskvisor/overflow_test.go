package taskvisor_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// held is a queued subscriber that, once it is armed, keeps an event until it is
// released, and remembers all from then on.
type held struct {
	armed   atomic.Bool
	release chan struct{}
	events  []taskvisor.Event
}

func (h *held) OnEvent(_ context.Context, e taskvisor.Event) {
	if h.armed.Load() {
		<-h.release
		h.events = append(h.events, e)
	}
}

// hold arms h and gives it one event, which it then holds with nothing behind.
func (h *held) hold(t *testing.T, sup *taskvisor.Supervisor) {
	t.Helper()
	addTo(t, sup, taskvisor.Once("taken", idle))
	time.Sleep(time.Second) // its worker has parked
	h.armed.Store(true)
	if _, err := sup.Add(context.Background(), taskvisor.Once("taken", idle)); err == nil {
		t.Error("a taken name was accepted")
	}
	synctest.Wait()
}

// A subscriber that fell behind gets what it was holding, the terminal events
// that were overwritten (as many as the last quarter of its capacity), one
// SubscriberOverflow, and the rest. Everything is accounted for, by kind.
func TestOverflow(t *testing.T) {
	for _, capacity := range []int{1, 2, 8, 64, 256} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				slow := &held{release: make(chan struct{})}
				sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slow, taskvisor.Queued(capacity), taskvisor.WithName("slow")))
				slow.hold(t, sup)
				before, earlier := len(rec.Events())-1, sup.Snapshot().Subscribers[1].Dropped
				for i := range 100 {
					outcomeOf(t, addTo(t, sup, taskvisor.Once(fmt.Sprint("t", i), taskvisortest.Script(taskvisortest.Succeed()))))
				}
				published := len(rec.Events())
				all := rec.Events()[before:]
				behind := sup.Snapshot().Subscribers[1]
				close(slow.release)
				synctest.Wait()
				checkOverflow(t, all, slow.events, capacity)
				after := sup.Snapshot().Subscribers[1]
				checkAccounts(t, behind, published)
				checkAccounts(t, after, published)
				missing := map[taskvisor.EventKind]uint64{}
				for _, e := range all {
					missing[e.Kind]++
				}
				for _, e := range slow.events {
					missing[e.Kind]--
				}
				for kind := range missing {
					if kind != taskvisor.SubscriberOverflow && after.Dropped[kind]-earlier[kind] != missing[kind] {
						t.Errorf("%d of %v dropped, %d are missing", after.Dropped[kind]-earlier[kind], kind, missing[kind])
					}
				}
				if after.Queued != 0 || after.Capacity != capacity {
					t.Errorf("accounts %+v", after)
				}
			})
		})
	}
}

func checkAccounts(t *testing.T, st taskvisor.SubscriberStatus, published int) {
	t.Helper()
	var dropped uint64
	for _, n := range st.Dropped {
		dropped += n
	}
	if st.Delivered+dropped+uint64(st.Queued) != uint64(published) {
		t.Errorf("%d delivered, %d dropped, %d queued of %d", st.Delivered, dropped, st.Queued, published)
	}
}

// checkOverflow compares what a subscriber got that held the first of all events
// while the others were published.
func checkOverflow(t *testing.T, all, got []taskvisor.Event, capacity int) {
	t.Helper()
	at := 0
	for at < len(got) && got[at].Kind != taskvisor.SubscriberOverflow {
		at++
	}
	if at == 0 || at == len(got) {
		t.Fatalf("no overflow in %v", numbers(got))
	}
	saved, over, rest := got[1:at], got[at], got[at+1:]
	if over.Supervisor != all[0].Supervisor || over.Supervisor == "" {
		t.Errorf("the overflow of supervisor %q", over.Supervisor)
	}
	overwritten, kept := all[1:len(all)-capacity], all[len(all)-capacity:]
	var want []taskvisor.Event
	for _, e := range overwritten {
		if e.Kind.Terminal() {
			want = append(want, e)
		}
	}
	want = want[len(want)-max(1, capacity/4):]
	if got[0].Seq != all[0].Seq || !sameEvents(saved, want) {
		t.Errorf("first %v, then %v; want %d, then %v", got[0].Seq, numbers(saved), all[0].Seq, numbers(want))
	}
	if !sameEvents(rest, kept) {
		t.Errorf("the rest %v, want the last %d", numbers(rest), capacity)
	}
	var lost []uint64
	for _, e := range overwritten {
		if !slices.Contains(numbers(saved), e.Seq) {
			lost = append(lost, e.Seq)
		}
	}
	if over.Dropped != uint64(len(lost)) || over.FirstSeq != slices.Min(lost) || over.LastSeq != slices.Max(lost) ||
		over.Subscriber != "slow" || over.Seq != 0 || over.Time.IsZero() {
		t.Errorf("overflow %v, want %d lost, %d to %d", over, len(lost), slices.Min(lost), slices.Max(lost))
	}
}

func sameEvents(a, b []taskvisor.Event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Seq != b[i].Seq || a[i].Kind != b[i].Kind {
			return false
		}
	}
	return true
}

func numbers(events []taskvisor.Event) (n []uint64) {
	for _, e := range events {
		n = append(n, e.Seq)
	}
	return n
}

// Only the one that lost something hears of it.
func TestOverflowIsOneSubscribersOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := &held{release: make(chan struct{})}
		quick := &held{release: make(chan struct{})}
		close(quick.release)
		quick.armed.Store(true)
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(slow, taskvisor.Queued(2)), taskvisor.WithSubscriber(quick, taskvisor.Queued(64)))
		slow.hold(t, sup)
		for i := range 50 {
			outcomeOf(t, addTo(t, sup, taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Succeed()))))
		}
		close(slow.release)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := kindsOf(rec)[taskvisor.SubscriberOverflow]; n != 0 || !sameEvents(quick.events, rec.Events()) {
			t.Errorf("%d overflows for the recorder; the quick one saw %d of %d", n, len(quick.events), len(rec.Events()))
		}
	})
}

// loseNothing runs n instant tasks at the default settings beside one trivial
// queued subscriber. It is the one test of this kind outside a bubble: it is
// about the scheduler that there really is.
func loseNothing(t *testing.T, n int) {
	t.Helper()
	var seen atomic.Uint64
	sup, err := taskvisor.New(taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { seen.Add(1) })))
	if err != nil {
		t.Fatal(err)
	}
	specs := make([]taskvisor.TaskSpec, n)
	for i := range specs {
		specs[i] = taskvisor.Once(fmt.Sprint("t", i), func(context.Context) error { return nil })
	}
	if err := sup.Run(context.Background(), specs...); err != nil {
		t.Fatal(err)
	}
	sn := sup.Snapshot()
	if st := sn.Subscribers[0]; st.Dropped != nil || st.Delivered != sn.Seq || seen.Load() != sn.Seq || sn.Seq != uint64(5*n+1) {
		t.Errorf("of %d events %d were delivered, %v dropped", sn.Seq, seen.Load(), st.Dropped)
	}
}

func TestDefaultsLoseNothing(t *testing.T) {
	sizes := []int{500, 10_000}
	if raceEnabled { // which makes an event several times dearer
		sizes = sizes[:2]
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) { loseNothing(t, n) })
	}
	t.Run("one processor", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		loseNothing(t, sizes[1])
	})
}
