package taskvisor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A ring whose readers have seen everything keeps nobody's errors and values.
func TestRingAtRestRefersToNothing(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 300} {
		var r ring
		var c clock
		fast, slow := r.add(100, 0), r.add(200, 0)
		empty := func(rd *reader) {
			for some := true; some; {
				some, _ = r.take(rd, "", &c, 1)
			}
		}
		for range n {
			r.publish(&Event{Kind: TaskFailed, Err: errors.New("large")})
			r.entries[r.head.Load()&uint64(len(r.entries)-1)].view = &views{}
		}
		empty(fast)
		if e := &r.entries[r.head.Load()&uint64(len(r.entries)-1)]; e.Err == nil {
			t.Errorf("%d events: the last is gone before everybody had it", n)
		}
		empty(slow)
		for i := range r.entries {
			if e := &r.entries[i]; e.Err != nil || e.view != nil {
				t.Errorf("%d events: entry %d keeps %v", n, i, e.Event)
			}
		}
		for _, rd := range r.readers {
			for i := range rd.batch {
				if e := &rd.batch[i]; e.Err != nil || e.view != nil {
					t.Errorf("%d events: a batch keeps %v", n, e.Event)
				}
			}
		}
	}
}

// Parked readers are sent for when enough has come for them, one after the other:
// who publishes pays for the first only.
func TestParkedReadersWakeEachOther(t *testing.T) {
	var r ring
	var c clock
	readers := []*reader{r.add(64, 0), r.add(64, 0), r.add(64, 0)}
	enough := []int{3, 2, 3}
	for i, rd := range readers {
		r.take(rd, "", &c, enough[i])
	}
	sent := func() (who []int) {
		for i, rd := range readers {
			if len(rd.wake) > 0 {
				who = append(who, i)
			}
		}
		return who
	}
	expect := func(when string, want ...int) {
		t.Helper()
		got := sent()
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("%s: sent for %v, want %v", when, got, want)
		}
	}
	publish := func() {
		r.publish(&Event{Kind: TaskStarting})
		r.wakeParked()
	}
	publish()
	expect("after one event")
	publish()
	expect("after two events", 1)
	readers[1].await(&r)
	expect("nobody else has enough")
	publish()
	expect("after three events", 0)
	readers[0].await(&r)
	expect("the first sends for the next", 2)
	readers[2].await(&r)
	expect("everybody is awake")
	for _, rd := range readers {
		r.take(rd, "", &c, 64)
		r.take(rd, "", &c, 64)
	}
	r.wakeAll()
	for i, rd := range readers {
		expect("at the seal", i)
		rd.await(&r)
	}
}

// A subscriber that has just had work naps for at most a millisecond, and not
// when much is waiting.
func TestNapIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		s, err := New(WithSubscriber(onEvent(func(Event) { count.Add(1) }), Queued(64)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		publish := func(n int) {
			for range n {
				s.fan.announce(Event{Kind: TaskAddFailed})
			}
			synctest.Wait()
		}
		want := int64(0)
		delivered := func(what string, n int) {
			t.Helper()
			if want += int64(n); count.Load() != want {
				t.Fatalf("%s: %d events, want %d", what, count.Load(), want)
			}
		}
		synctest.Wait() // it rests
		for range napAfter {
			publish(1)
			delivered("a worker that rests is woken at once", 1)
		}
		publish(3)
		delivered("a worker that was woken again and again naps", 0)
		time.Sleep(napTime)
		synctest.Wait()
		delivered("after the nap", 3)
		publish(64 / napShare)
		delivered("a quarter of the capacity ends it early", 64/napShare)
		time.Sleep(2 * napTime)
		publish(1)
		delivered("after a nap without any it rests", 1)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

type onEvent func(Event)

func (f onEvent) OnEvent(_ context.Context, e Event) { f(e) }
