package taskvisor_test

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// A burst of submissions to as many slots: every one of them becomes a task, and
// none is rejected because something inside was full (D4).
func TestBurstOfSlotsRejectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, callers = 40_000, 8
		var ran atomic.Int64
		sup := newSupervisor(t)
		done := make(chan struct{}) // Go 1.25.0 confuses WaitGroups of different bubbles
		for c := range callers {
			go func() {
				defer func() { done <- struct{}{} }()
				for i := c; i < slots; i += callers {
					_, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(nth("t", i), func(context.Context) error {
						ran.Add(1)
						return nil
					})})
					if err != nil {
						t.Error(err)
					}
				}
			}()
		}
		for range callers {
			<-done
		}
		synctest.Wait()
		sn := sup.Snapshot()
		if ran.Load() != slots || sn.Submitted != slots || sn.FromSlots != slots || sn.Rejected != 0 || len(sn.Slots) != 0 {
			t.Errorf("%d ran; submitted %d, admitted %d, rejected %d, %d slots left", ran.Load(), sn.Submitted, sn.FromSlots, sn.Rejected, len(sn.Slots))
		}
	})
}

// Ten thousand busy slots with a queue each cost entries: what waits has no
// goroutine and no timer, and neither has an owner that waits for its next start.
func TestDeepQueuesNeedNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup := newSupervisor(t)
		before := runtime.NumGoroutine()
		slots, depth := 10_000, 5
		if raceEnabled {
			slots = 1000
		}
		for i := range slots {
			for j := range depth + 1 {
				spec := taskvisor.Periodic(nth(nth("t", i)+"-", j), time.Hour, func(context.Context) error { return nil })
				if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: nth("s", i)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if extra := runtime.NumGoroutine() - before; extra > 100 { // some of the runtime's own may be counted
			t.Errorf("%d goroutines more for %d waiting submissions", extra, slots*depth)
		}
		sn := sup.Snapshot()
		for _, st := range sn.Slots {
			if st.Queued != depth || st.State != taskvisor.SlotRunning {
				t.Fatalf("slot %+v", st)
			}
		}
		checkConservation(t, sn)
		sup.Shutdown(context.Background())
		if sn := sup.Snapshot(); sn.Rejected != uint64(slots*depth) || len(sn.Slots) != 0 || len(sn.Tasks) != 0 {
			t.Errorf("after the shutdown: %d rejected, %d slots, %d tasks", sn.Rejected, len(sn.Slots), len(sn.Tasks))
		}
	})
}

// The state of a slot does not depend on whether anybody listens.
func TestSlotStateWithoutSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup := newSupervisor(t)
		r := &slotRig{t: t, sup: sup}
		want := func(state taskvisor.SlotState) {
			t.Helper()
			r.settle()
			if got := r.slot().State; got != state {
				t.Errorf("slot is %v, want %v", got, state)
			}
		}
		h := r.submit("owner", asQueue, ignoresFor(time.Minute), taskvisor.WithGrace(time.Second))
		want(taskvisor.SlotRunning)
		h.Stop()
		want(taskvisor.SlotTerminating)
		time.Sleep(2 * time.Second)
		want(taskvisor.SlotAbandoned)
		time.Sleep(time.Hour)
		want(0)
	})
}

// Idle slots cost nothing: keys that were used once leave no trace, neither one
// after the other nor all at the same time. The soak uses a million.
func TestKeysUsedOnceLeaveNothing(t *testing.T) {
	keys := 50_000
	switch {
	case raceEnabled:
		keys = 10_000
	case os.Getenv("TASKVISOR_SOAK") != "":
		keys = 1_000_000
	}
	for _, together := range []bool{false, true} {
		name := map[bool]string{false: "one after the other", true: "all at once"}[together]
		t.Run(name, func(t *testing.T) { keysUsedOnce(t, keys, together) })
	}
}

func keysUsedOnce(t *testing.T, keys int, together bool) {
	ctx := context.Background()
	var opts []taskvisor.Option
	if together {
		// Owners wait for a permit: the runtime keeps descriptors of goroutines, and
		// a share of the timers that were stopped, which is not what this is about.
		opts = append(opts, taskvisor.WithMaxConcurrent(1))
	}
	sup := newSupervisor(t, opts...)
	if _, err := sup.Add(ctx, taskvisor.Once("holds the permit", runsUntilStopped())); err != nil {
		t.Fatal(err)
	}
	use := func(n, from int) {
		var last []*taskvisor.Handle
		for i := range n {
			spec := taskvisor.Once(nth("", from+i), func(context.Context) error { return nil })
			h, err := sup.Submit(ctx, taskvisor.Submission{Task: spec})
			if err != nil {
				t.Fatal(err)
			}
			if last = append(last, h); !together && len(last) == 64 {
				waitForAll(t, last)
				last = last[:0]
			}
		}
		for _, h := range last {
			if together && !h.Stop() {
				t.Fatalf("%s did not wait for a permit", h.Name())
			}
		}
		waitForAll(t, last)
	}
	use(1000, keys)
	before := heapInUse()
	use(keys, 0)
	after := heapInUse()
	if sn := sup.Snapshot(); len(sn.Slots) != 0 || len(sn.Tasks) != 1 {
		t.Errorf("%d slots and %d tasks left", len(sn.Slots), len(sn.Tasks))
	}
	if grown := int64(after) - int64(before); grown > 1<<20 {
		t.Errorf("%d keys left %d KiB", keys, grown>>10)
	}
}

func waitForAll(t *testing.T, handles []*taskvisor.Handle) {
	t.Helper()
	for _, h := range handles {
		if _, err := h.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
